"""Real resolvers, and the authority that they ask.

The authority is a second named on 127.0.0.1 port 5301 with one zone, `example.`. A resolver forwards that zone to
it, so that every name is a cache miss once and a cache hit until its TTL has passed.
"""

import socket
from pathlib import Path
from typing import Protocol

import dns.exception
import dns.message
import dns.query

from tests.integration.lab import Daemon, Lab, eventually

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


class Unbound:
    """unbound 1.17 or later, tapped over a unix socket or TCP."""

    name = "unbound"

    PORT = 5302

    def __init__(self, lab: Lab, tap: str) -> None:
        """`tap` is a path or `host:port`."""
        self.port = self.PORT
        self._lab = lab
        self._daemon: Daemon | None = None
        self._config = lab.folder / "unbound.conf"
        target = f'dnstap-socket-path: "{tap}"' if tap.startswith("/") else f'dnstap-ip: "{_at(tap)}"\n  dnstap-tls: no'
        self._config.write_text(f"""\
server:
  interface: 127.0.0.1
  port: {self.port}
  chroot: ""
  username: ""
  directory: "{lab.folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  outgoing-interface: 127.0.0.1
stub-zone:
  name: "example"
  stub-addr: 127.0.0.1@{AUTHORITY_PORT}
dnstap:
  dnstap-enable: yes
  {target}
  dnstap-log-client-response-messages: yes
remote-control:
  control-enable: no
""")

    def start(self) -> None:
        self._daemon = self._lab.start(self.name, ["unbound", "-d", "-p", "-c", str(self._config)], self._lab.host)
        _await_answers(self._lab, self._daemon, self.port)

    def stop(self) -> None:
        assert self._daemon
        self._daemon.stop()


class Bind:
    """BIND 9.18 or later, tapped over a unix socket, set to hand its frames on as early as it can."""

    name = "bind"

    PORT = 5303

    def __init__(self, lab: Lab, tap: str) -> None:
        self.port = self.PORT
        self._lab = lab
        self._daemon: Daemon | None = None
        folder = lab.folder / "bind"
        folder.mkdir()
        self._config = folder / "named.conf"
        self._config.write_text(
            _named_options(
                folder,
                self.port,
                f"""recursion yes;
  dnstap {{ client response; }};
  dnstap-output unix "{tap}";
  fstrm-set-output-notify-threshold 1;
  fstrm-set-buffer-hint 1024;
  fstrm-set-flush-timeout 1;
  fstrm-set-reopen-interval 1;""",
            )
            + f'zone "example" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {AUTHORITY_PORT}; }}; }};\n'
        )

    def start(self) -> None:
        self._daemon = self._lab.start(self.name, ["named", "-g", "-c", str(self._config)], self._lab.host)
        _await_answers(self._lab, self._daemon, self.port)

    def stop(self) -> None:
        assert self._daemon
        self._daemon.stop()


RESOLVERS: tuple[type[Unbound | Bind], ...] = (Unbound, Bind)


def ask(lab: Lab, port: int, name: str, kind: str = "A", timeout_s: float = 5) -> list[str]:
    """Ask the resolver on this port of the host, as an application would; returns the answer's records in text."""
    question = dns.message.make_query(name, kind)
    with lab.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)  # dnspython waits itself, with its timeout
        answer = dns.query.udp(question, "127.0.0.1", timeout=timeout_s, port=port, sock=udp)
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
