"""Real resolvers, tapped by the very files in `deploy/resolvers`, and the authority that they ask.

The authority is a second named on 127.0.0.1 port 5301 with one zone, `example.`. A resolver forwards that zone to
it, so that every name is a cache miss once and a cache hit until its TTL has passed.
"""

import socket
from pathlib import Path
from typing import Protocol, TypeAlias

import dns.exception
import dns.message
import dns.query

from tests.integration.lab import Daemon, Lab, eventually
from tests.integration.shipped import TAP_ADDRESS, TAP_SOCKET, shipped

AUTHORITY_PORT = 5301

ZONE = """\
$ORIGIN example.
$TTL 300
@                   SOA   ns hostmaster 1 3600 600 86400 5
@                   NS    ns
ns                  A     127.0.0.1
ready               TXT   "for the test that waits for it"
plain               A     11.1.0.1
plain               A     11.1.0.2
six                 AAAA  2600:1::1
both                A     11.1.0.3
both                AAAA  2600:1::3
brief          1    A     11.1.0.4
; www -> edge.cdn -> pop.cdn: a chain whose end is on nobody's list
www                 CNAME edge.cdn
edge.cdn            CNAME pop.cdn
pop.cdn             A     11.1.0.5
pop.cdn             AAAA  2600:1::5
; a listed name in the middle of a chain: only the alias points at it
alias               CNAME middle
middle              CNAME end.cdn
end.cdn             A     11.1.0.6
; everything below old.example. is known under new.example.
old                 DNAME new
host.new            A     11.1.0.7
secure              HTTPS 1 . alpn=h2 ipv4hint=11.1.0.8 ipv6hint=2600:1::8
shared-a            A     11.1.0.9
shared-b            A     11.1.0.9
other               A     11.2.0.1
trap                A     127.0.0.1
trap                A     224.0.0.5
trap                A     11.1.0.10
"""


class Resolver(Protocol):
    """What a test asks of a resolver: any real one fits behind this."""

    name: str

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """End it."""


class Authority:
    """A named with the zone `example.` on 127.0.0.1 port 5301."""

    def __init__(self, lab: Lab, zone: str = ZONE) -> None:
        self._lab = lab
        self._daemon: Daemon | None = None
        self._folder = lab.folder / "authority"
        self._folder.mkdir()
        (self._folder / "example.zone").write_text(zone)
        self._config = self._folder / "named.conf"
        self._config.write_text(
            _named_options(self._folder, AUTHORITY_PORT, "recursion no;")
            + f'zone "example" {{ type primary; file "{self._folder}/example.zone"; }};\n'
        )

    def start(self) -> None:
        self._daemon = self._lab.start("authority", ["named", "-g", "-c", str(self._config)], self._lab.host)
        _await_answers(self._lab, self._daemon, AUTHORITY_PORT)

    def stop(self) -> None:
        """End it: from then on its names are known only from a resolver's cache."""
        assert self._daemon
        self._daemon.stop()


_POLICY = "$ORIGIN rpz.\n$TTL 300\n@ SOA localhost. hostmaster 1 3600 600 86400 5\n@ NS localhost.\n"


class _Forwarder:
    """The part that all resolvers share: one daemon in the host namespace, tapped as a file of `deploy/` says."""

    name: str
    program: str
    port: int

    def __init__(self, lab: Lab, folder: str = "") -> None:
        self._lab = lab
        self._daemon: Daemon | None = None
        self._folder = lab.folder / (folder or self.name)
        self._folder.mkdir()

    @property
    def daemon(self) -> Daemon:
        assert self._daemon, f"{self.name} was not started"
        return self._daemon

    def start(self) -> None:
        self._daemon = self._lab.start(self.name, self._argv(), self._lab.host)
        _await_answers(self._lab, self._daemon, self.port)

    def stop(self) -> None:
        assert self._daemon
        self._daemon.stop()

    def _argv(self) -> list[str]:
        raise NotImplementedError

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        return path


class Unbound(_Forwarder):
    """unbound 1.17 or later, tapped over a unix socket, TCP or TLS."""

    name = program = "unbound"
    port = PORT = 5302

    def __init__(
        self, lab: Lab, tap: str, *, tls: str | None = None, server: str = "", dnstap: str = "", rewrites: str = ""
    ) -> None:
        """Make one.

        Args:
            lab: Where it runs.
            tap: A path or `host:port`.
            tls: A folder with ca.pem, client.pem and client.key.
            server: More of its `server:`.
            dnstap: More of its `dnstap:`.
            rewrites: Records of a response policy zone.
        """
        super().__init__(lab)
        if tap.startswith("/"):
            snippet = shipped("resolvers/unbound-unix.conf", self._folder, {TAP_SOCKET: tap})
        elif tls is None:
            snippet = shipped("resolvers/unbound-tcp.conf", self._folder, {f"{TAP_ADDRESS}@6000": _at(tap)})
        else:
            substitutions = {f"{TAP_ADDRESS}@6000": _at(tap), "/etc/unbound/dnstap": tls}
            snippet = shipped("resolvers/unbound-tls.conf", self._folder, substitutions)
        policy = f'rpz:\n  name: rpz\n  zonefile: "{self._write("rpz.zone", _POLICY + rewrites)}"' if rewrites else ""
        self._config = self._write(
            "unbound.conf",
            f"""\
server:
  interface: 127.0.0.1
  port: {self.port}
  chroot: ""
  username: ""
  directory: "{self._folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  num-threads: 1
  module-config: "{"respip " if rewrites else ""}iterator"
  do-not-query-localhost: no
  outgoing-interface: 127.0.0.1
  {server}
stub-zone:
  name: "example"
  stub-addr: 127.0.0.1@{AUTHORITY_PORT}
remote-control:
  control-enable: no
include: "{snippet}"
dnstap:
  {dnstap}
{policy}
""",
        )

    def _argv(self) -> list[str]:
        return [self.program, "-d", "-p", "-c", str(self._config)]


class Bind(_Forwarder):
    """BIND 9.18 or later."""

    name, program = "bind", "named"
    port = PORT = 5303

    def __init__(self, lab: Lab, tap: str, *, options: str = "", rewrites: str = "") -> None:
        """Make one.

        Args:
            lab: Where it runs.
            tap: A path.
            options: More of its `options`.
            rewrites: Records of a response policy zone.
        """
        super().__init__(lab)
        snippet = shipped("resolvers/bind.conf", self._folder, {TAP_SOCKET: tap})
        zones = (
            f'zone "example" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {AUTHORITY_PORT}; }}; }};\n'
        )
        if rewrites:
            options += 'response-policy { zone "rpz"; };'
            zones += f'zone "rpz" {{ type primary; file "{self._write("rpz.zone", _POLICY + rewrites)}"; }};\n'
        self._has_policy = bool(rewrites)
        more = f'recursion yes;\n  include "{snippet}";\n  {options}'
        self._config = self._write("named.conf", _named_options(self._folder, self.port, more) + zones)

    def start(self) -> None:
        super().start()
        if self._has_policy:  # named answers before it rewrites
            daemon = self._daemon
            assert daemon
            eventually(lambda: "rpz: reload done" in daemon.text(), 15, "the policy is in force")

    def _argv(self) -> list[str]:
        return [self.program, "-g", "-c", str(self._config)]


class Knot(_Forwarder):
    """Knot Resolver 5."""

    name, program = "knot", "kresd"
    port = PORT = 5304

    def __init__(self, lab: Lab, tap: str) -> None:
        super().__init__(lab)
        snippet = shipped("resolvers/knot-resolver.conf", self._folder, {TAP_SOCKET: tap})
        self._config = self._write(
            "kresd.conf",
            f"""\
net.listen('127.0.0.1', {self.port}, {{ kind = 'dns' }})
net.ipv6 = false
cache.open(10 * MB, 'lmdb://{self._folder}')
trust_anchors.remove('.')
policy.add(policy.suffix(policy.STUB('127.0.0.1@{AUTHORITY_PORT}'), policy.todnames({{'example.'}})))
dofile('{snippet}')
""",
        )

    def _argv(self) -> list[str]:
        return [self.program, "-n", "-c", str(self._config), str(self._folder)]


class Dnsdist(_Forwarder):
    """dnsdist 1.7 with a cache of its own, in front of the authority."""

    name = program = "dnsdist"
    port = PORT = 5305

    def __init__(self, lab: Lab, tap: str) -> None:
        super().__init__(lab)
        snippet = shipped("resolvers/dnsdist.conf", self._folder, {TAP_SOCKET: tap})
        self._config = self._write(
            "base.conf",
            f"""\
setLocal('127.0.0.1:{self.port}')
setSecurityPollSuffix('')
newServer({{address = '127.0.0.1:{AUTHORITY_PORT}', healthCheckMode = 'up'}})
getPool(''):setCache(newPacketCache(1000))
dofile('{snippet}')
""",
        )

    def _argv(self) -> list[str]:
        return [self.program, "--supervised", "--disable-syslog", "-C", str(self._config)]


class Recursor(_Forwarder):
    """PowerDNS Recursor 4.8 or 5, which taps what it asks others for, and not what it answers."""

    name, program = "recursor", "pdns_recursor"
    port = PORT = 5306

    def __init__(self, lab: Lab, tap: str) -> None:
        super().__init__(lab)
        snippet = shipped("resolvers/pdns-recursor.lua", self._folder, {TAP_SOCKET: tap})
        self._write(
            "recursor.conf",
            f"""\
local-address=127.0.0.1:{self.port}
socket-dir={self._folder}
daemon=no
disable-syslog=yes
security-poll-suffix=
dnssec=off
threads=1
config-dir={self._folder}
hint-file=
forward-zones=example=127.0.0.1:{AUTHORITY_PORT}
lua-config-file={snippet}
""",
        )
        (self._folder / "recursor.d").mkdir()
        shipped("resolvers/pdns-recursor.yml", self._folder / "recursor.d", {TAP_SOCKET: tap})
        self._write(  # the same for Recursor 5, which prefers it
            "recursor.yml",
            f"""incoming: {{ listen: ["127.0.0.1:{self.port}"] }}
dnssec: {{ validation: "off" }}
logging: {{ disable_syslog: true }}
recursor:
  socket_dir: {self._folder}
  daemon: false
  threads: 1
  security_poll_suffix: ""
  hint_file: ""
  forward_zones: [ {{ zone: example, forwarders: ["127.0.0.1:{AUTHORITY_PORT}"] }} ]
  include_dir: {self._folder}/recursor.d
""",
        )

    def _argv(self) -> list[str]:
        return [self.program, f"--config-dir={self._folder}"]


ClientTap: TypeAlias = Unbound | Bind | Knot | Dnsdist
RESOLVERS: tuple[type[ClientTap], ...] = (Unbound, Bind, Knot, Dnsdist)
"""Those that tap what they answer their clients."""
PROGRAMS = tuple(resolver.program for resolver in RESOLVERS)


def ask(
    lab: Lab, port: int, name: str, kind: str = "A", timeout_s: float = 20, *, address: str = "127.0.0.1"
) -> list[str]:
    """Ask the resolver on this port of the host, as an application would; returns the answer's records in text."""
    question = dns.message.make_query(name, kind)
    with lab.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)  # dnspython waits itself, with its timeout
        answer = dns.query.udp(question, address, timeout=timeout_s, port=port, sock=udp)
    assert answer.rcode() in (0, 3), answer
    return [record.to_text() for rrset in answer.answer for record in rrset]


def _await_answers(lab: Lab, daemon: Daemon, port: int) -> None:
    def answers() -> bool:
        assert daemon.alive(), daemon.text()[-3000:]
        try:
            return bool(ask(lab, port, "ready.example", "TXT", timeout_s=0.2))
        except (OSError, dns.exception.DNSException):
            return False

    eventually(answers, 15, f"{daemon.name} answers")


def _rpz_file(lab: Lab, records: str) -> Path:
    file = lab.folder / "rpz.zone"
    file.write_text(f"$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n{records}")
    return file


def _at(tap: str) -> str:
    host, _, port = tap.rpartition(":")
    return f"{host.strip('[]')}@{port}"


def _named_options(folder: Path, port: int, more: str) -> str:
    return f"""\
options {{
  directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}";
  dnssec-validation no;
  notify no;
  {more}
}};
controls {{ }};
"""
