"""Warnings at each start: what a valid configuration allows and an operator should know."""

from collections.abc import Iterator

from dnstap_bgp.config.addresses import UnixAddress
from dnstap_bgp.config.policies import guard, packed
from dnstap_bgp.config.settings import FALLBACK_NEXT_HOP_IPV6, Config, SyncerConfig
from dnstap_bgp.core.routes import refusal_texts

CLIENT_RESPONSE = 6

HOLD_TIME_SAFE_S = 30
"""ExaBGP sends no KEEPALIVE while it carries out a command; the longest seen took 12 s, at 100,000 routes."""


def warnings(config: Config) -> Iterator[str]:
    """Say what an operator should know about a valid configuration, one sentence each, each naming its key."""
    yield from _of_the_tap(config)
    if config.ipv6 and config.bgp.usable_next_hop_ipv6 is None:
        yield f"ipv6 = true without bgp.next_hop_ipv6: IPv6 routes get the next-hop {FALLBACK_NEXT_HOP_IPV6}"
    if config.next_hop is None:
        yield "bgp.next_hop is missing: no IPv4 route is announced"
    for neighbor in config.bgp.neighbors:
        if 0 < neighbor.hold_time_s < HOLD_TIME_SAFE_S:
            yield (
                f"bgp.peers {neighbor.address}: hold_time {neighbor.hold_time_s}: a busy ExaBGP may miss it and lose"
                f" the session; {HOLD_TIME_SAFE_S} or more is safe"
            )
        if neighbor.passive and neighbor.ttl_security is not None:
            yield (
                f"bgp.peers {neighbor.address}: passive with ttl_security: ExaBGP accepts its connection with the"
                " system's default TTL, so no session comes about if it checks TTLs as well"
            )
    hold = config.hold
    if hold is not None and hold.perm & 0o002 and any(isinstance(found, UnixAddress) for found in hold.listen):
        text = "every local user can make routes; with 0660 and hold.group only the resolver can"
        yield f"hold.perm {hold.perm:04o}: {text}"
    yield from _refused_prefixes(config)
    yield from _open_to_all(config)
    for endpoint in config.http.open_endpoints if config.http is not None else ():
        yield f"http.listen {endpoint}: whoever reaches it sees what is visited; say in http.allow who may connect"
    if config.dry_run:
        yield "dry_run = true: everything is done but telling ExaBGP"
    if config.syncer is not None:
        yield from _of_the_sync(config.syncer)


def _open_to_all(config: Config) -> Iterator[str]:
    """Say which `allow` lets everybody in, or opens all space."""
    for key, allowed, what in (
        ("dnstap.allow", config.dnstap.allow, "whoever reaches the tap can make routes"),
        ("http.allow", config.http.allow if config.http is not None else (), "whoever reaches it sees what is visited"),
        ("guard.allow", config.guard.allow, "addresses of private and other special space become routes"),
        *(
            (f"list[{index}].allow", found.allow, "addresses of private and other special space become its routes")
            for index, found in enumerate(config.lists)
        ),
    ):
        for network in allowed:
            if network.prefixlen == 0:
                yield f"{key} {network}: everything is in it, so that {what}"


def _of_the_tap(config: Config) -> Iterator[str]:
    if config.refreshed_lists and CLIENT_RESPONSE not in config.dnstap.messages and config.hold is None:
        yield (
            "list.refresh: without client_response among dnstap.messages our questions are not known from clients', so"
            " that names are asked again seldom; a hook ([hold]) would tell them apart, too"
        )
    for endpoint in config.dnstap.open_endpoints:
        certificates = ", or ask for certificates with dnstap.tls_client_ca" if endpoint.tls else ""
        yield (
            f"dnstap.listen {endpoint}: whoever reaches it can make routes;"
            f" say in dnstap.allow who may connect{certificates}"
        )
    if config.dnstap.tls_cert is not None and not config.dnstap.speaks_tls:
        yield "dnstap.tls_cert: of no use, since no endpoint of dnstap.listen speaks TLS"
    if config.dnstap.perm & 0o002 and any(isinstance(found, UnixAddress) for found in config.dnstap.listen):
        yield (
            f"dnstap.perm {config.dnstap.perm:04o}: every local user can make routes;"
            " with 0660 and dnstap.group only the resolver can"
        )


def _of_the_sync(syncer: SyncerConfig) -> Iterator[str]:
    """Say who may feed us, where nobody has to show who he is."""
    if syncer.listen is None or syncer.is_authenticated:
        return
    better = "syncer.token or certificates (tls_cert, tls_key, tls_ca) tell members from others"
    if syncer.insecure:
        yield f"syncer.insecure = true: whoever reaches {syncer.listen} can make routes; {better}"
    elif syncer.peers:
        yield f"syncer: neither token nor certificates, so only the addresses of its peers are answered; {better}"
    else:
        yield f"syncer.listen {syncer.listen}: nobody is answered, without token, certificates or peers"


def _refused_prefixes(config: Config) -> Iterator[str]:
    rails = guard(config)
    for index, found in enumerate(config.lists):
        refusals = rails.prefix_refusals(map(packed, found.prefixes), found.name)
        for written, (_, reason) in zip(found.prefixes, refusals, strict=True):
            if reason is not None:
                said = refusal_texts.sentence(reason, packed(written))
                yield f"list[{index}].prefixes: {written} is not announced: {said}"
