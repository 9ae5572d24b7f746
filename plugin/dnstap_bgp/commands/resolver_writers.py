"""Writers of what belongs into each resolver, for `resolver-conf`.

Each gives its resolver's tap, as the file in `deploy/resolvers` has it, and what a list asks of the resolver: names to
be forwarded, AAAA withheld. What the resolver can't be told is said in a comment.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dnstap_bgp.config.addresses import join_port

CANARY = "use-application-dns.net"
"""Name by which browsers ask whether they may use a DNS of their own (support.mozilla.org: "canary domain")."""


@dataclass(frozen=True, slots=True)
class SteeredList:
    """List as a resolver has to know it.

    Attributes:
        name: Its name.
        domains: Names that it holds, each with all below; in order.
        excepted: Names below them that it does not hold.
        servers: (address, port) of the servers that are to be asked for them; empty: the resolver asks as ever.
        without_ipv6: Its routes have no IPv6 way, so that an AAAA record would lead around it.
        inexact: Rules for just a name, or just what is below: the resolver takes both.
    """

    name: str
    domains: tuple[str, ...]
    excepted: tuple[str, ...]
    servers: tuple[tuple[str, int], ...]
    without_ipv6: bool
    inexact: int


Writer = Callable[[str | None, Sequence[SteeredList]], Iterator[str]]


def _about(mark: str, one: SteeredList) -> Iterator[str]:
    yield f"{mark} list {one.name}"
    if one.inexact:
        yield f"{mark} {one.inexact} of its rules are of just a name, or just what is below: here they are of both"


def _unbound(tap: str | None, lists: Sequence[SteeredList]) -> Iterator[str]:
    yield "# unbound: a file for unbound.conf.d; made by `dnstap-bgp resolver-conf unbound`"
    yield from ("server:", f'    local-zone: "{CANARY}." always_nxdomain')
    if tap is not None:
        yield "dnstap:"
        yield from ("    dnstap-enable: yes", f'    dnstap-socket-path: "{tap}"')
        yield from ("    dnstap-send-identity: yes", "    dnstap-log-client-response-messages: yes")
    for one in lists:
        yield from _about("#", one)
        if one.servers:
            for domain in one.domains:
                yield from ("forward-zone:", f'    name: "{domain}."')
                yield from (f"    forward-addr: {host}@{port}" for host, port in one.servers)
            yield from (f"# unbound can't except {domain}: it is asked for there, too" for domain in one.excepted)
        if one.without_ipv6:
            yield "# its routes are IPv4 only; unbound can't withhold AAAA of some names: dnsdist in front of it can"


def _bind(tap: str | None, lists: Sequence[SteeredList]) -> Iterator[str]:
    yield "// BIND: a file to include in named.conf, outside of options; made by `dnstap-bgp resolver-conf bind`"
    if tap is not None:
        yield "// its tap stands in `options { ... }`:"
        yield f'//     dnstap {{ client response; }}; dnstap-output unix "{tap}";'
        yield "//     fstrm-set-output-notify-threshold 1; fstrm-set-buffer-hint 1024; fstrm-set-flush-timeout 1;"
        yield "//     fstrm-set-reopen-interval 1;"
    yield f'zone "{CANARY}" {{ type primary; file "/etc/bind/db.empty"; }};'
    for one in lists:
        yield from _about("//", one)
        if one.servers:
            servers = " ".join(f"{host} port {port};" for host, port in one.servers)
            for domain in one.domains:
                yield f'zone "{domain}" {{ type forward; forward only; forwarders {{ {servers} }}; }};'
            for domain in one.excepted:
                yield f'zone "{domain}" {{ type forward; forwarders {{ }}; }};'
        if one.without_ipv6:
            yield "// its routes are IPv4 only; BIND can't withhold AAAA of some names: dnsdist in front of it can"


def _knot(tap: str | None, lists: Sequence[SteeredList]) -> Iterator[str]:
    yield "-- Knot Resolver 5: a file for `dofile` in kresd.conf; made by `dnstap-bgp resolver-conf knot`"
    if tap is not None:
        yield "modules.load('dnstap')"
        yield f"dnstap.config({{ socket_path = '{tap}', identity = hostname(),"
        yield "    client = { log_queries = false, log_responses = true } })"
    yield f"policy.add(policy.suffix(policy.DENY, policy.todnames({{'{CANARY}.'}})))"
    for one in lists:
        yield from _about("--", one)
        names, excepted = _lua(one.domains, dot="."), _lua(one.excepted, dot=".")
        if not one.domains:
            continue
        if one.without_ipv6:
            yield "do -- its routes are IPv4 only"
            yield f"    local none = policy.suffix(policy.ANSWER({{}}, true), policy.todnames({names}))"
            yield f"    local other = policy.suffix(policy.PASS, policy.todnames({excepted}))"
            yield "    policy.add(function(req, query)"
            yield "        if query.stype == kres.type.AAAA and not other(req, query) then return none(req, query) end"
            yield "    end)"
            yield "end"
        if one.servers:
            servers = ", ".join(f"'{host}@{port}'" for host, port in one.servers)
            yield "do"
            yield f"    local there = policy.suffix(policy.FORWARD({{{servers}}}), policy.todnames({names}))"
            yield f"    local other = policy.suffix(policy.PASS, policy.todnames({excepted}))"
            yield "    policy.add(function(req, query)"
            yield "        if not other(req, query) then return there(req, query) end"
            yield "    end)"
            yield "end"


def _dnsdist(tap: str | None, lists: Sequence[SteeredList]) -> Iterator[str]:
    yield "-- dnsdist: a file for `dofile` in dnsdist.conf; made by `dnstap-bgp resolver-conf dnsdist`"
    if tap is not None:
        options = "{queueNotifyThreshold=1, bufferHint=1024, flushTimeout=1}"
        yield f"local tap = newFrameStreamUnixLogger('{tap}', {options})"
        yield "local send = DnstapLogResponseAction('dnsdist', tap)"
        yield "addResponseAction(AllRule(), send)"
        yield "addCacheHitResponseAction(AllRule(), send)"
    yield f"addAction(QNameRule('{CANARY}.'), RCodeAction(DNSRCode.NXDOMAIN))"
    for number, one in enumerate(lists):
        yield from _about("--", one)
        if not one.domains or not (one.servers or one.without_ipv6):
            continue
        yield "do"
        yield f"    local names = newSuffixMatchNode(); names:add({_lua(one.domains)})"
        yield "    local listed = SuffixMatchNodeRule(names)"
        if one.excepted:
            yield f"    local others = newSuffixMatchNode(); others:add({_lua(one.excepted)})"
            yield "    listed = AndRule({listed, NotRule(SuffixMatchNodeRule(others))})"
        if one.without_ipv6:
            yield "    -- its routes are IPv4 only"
            yield "    addAction(AndRule({listed, QTypeRule(DNSQType.AAAA)}), RCodeAction(DNSRCode.NOERROR))"
        if one.servers:
            for host, port in one.servers:
                at = join_port(host, port)
                yield f"    newServer({{address='{at}', pool='steered-{number}', healthCheckMode='up'}})"
            yield f"    addAction(listed, PoolAction('steered-{number}'))"
        yield "end"


def _pdns(tap: str | None, lists: Sequence[SteeredList]) -> Iterator[str]:
    yield "# PowerDNS Recursor 4 and 5: a file for `forward-zones-file`; made by `dnstap-bgp resolver-conf pdns`"
    yield "#   recursor.conf (4)   forward-zones-file=FILE             lua-dns-script=SCRIPT"
    yield "#   recursor.yml (5)    recursor: forward_zones_file: FILE  recursor: lua_dns_script: SCRIPT"
    yield "# SCRIPT withholds names; it stands below behind `#lua `:  sed -n 's/^#lua //p' FILE >SCRIPT"
    if tap is not None:
        yield "# its tap is Lua, too: deploy/resolvers/pdns-recursor.lua, by lua-config-file, or pdns-recursor.yml"
    for one in lists:
        yield from _about("#", one)
        if one.servers:
            servers = ";".join(join_port(host, port) for host, port in one.servers)
            yield from (f"+{domain}={servers}" for domain in one.domains)
            yield from (f"# the Recursor can't except {domain}: it is asked for there, too" for domain in one.excepted)
    yield "#lua local canary, none, others = newDS(), newDS(), newDS()"
    yield f"#lua canary:add('{CANARY}')"
    for one in lists:
        if one.without_ipv6 and one.domains:
            yield f"#lua none:add({_lua(one.domains)})"
            if one.excepted:
                yield f"#lua others:add({_lua(one.excepted)})"
    yield "#lua function preresolve(dq)"
    yield "#lua   if canary:check(dq.qname) then dq.rcode = pdns.NXDOMAIN return true end"
    yield "#lua   if dq.qtype == pdns.AAAA and none:check(dq.qname) and not others:check(dq.qname) then"
    yield "#lua     dq.rcode = pdns.NOERROR return true"
    yield "#lua   end"
    yield "#lua   return false"
    yield "#lua end"


def _dnsmasq(_: str | None, lists: Sequence[SteeredList]) -> Iterator[str]:
    yield "# dnsmasq: a file for dnsmasq.d; made by `dnstap-bgp resolver-conf dnsmasq`"
    yield "# it has no DNSTap: `dnstap-bgp sniff` reads its answers off the wire"
    yield f"address=/{CANARY}/"
    for one in lists:
        yield from _about("#", one)
        if one.servers:
            for domain in one.domains:
                yield from (f"server=/{domain}/{host}#{port}" for host, port in one.servers)
            yield from (f"server=/{domain}/#" for domain in one.excepted)
        if one.without_ipv6:
            yield "# its routes are IPv4 only; dnsmasq withholds AAAA of all names or of none: filter-AAAA"


def _lua(names: Sequence[str], *, dot: str = "") -> str:
    return "{" + ", ".join(f"'{name}{dot}'" for name in names) + "}"


WRITERS: dict[str, Writer] = {
    "unbound": _unbound,
    "bind": _bind,
    "knot": _knot,
    "dnsdist": _dnsdist,
    "pdns": _pdns,
    "dnsmasq": _dnsmasq,
}
