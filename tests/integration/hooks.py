"""Real resolvers with the hooks of `deploy/resolvers`: Debian 12's, as installed here, and Debian 13's, from its root.

They listen in the lab's host namespace and forward `example.` to the authority, as those of `resolvers` do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.debian import debian_13, inside, lacking
from tests.integration.lab import Lab
from tests.integration.resolvers import AUTHORITY_PORT, _Forwarder
from tests.integration.shipped import shipped

HOLD_SOCKET, HOLD_DGRAM, HOLD_UDP = "/run/dnstap-bgp/hold.sock", "/run/dnstap-bgp/hold-dgram.sock", "127.0.0.1:6053"
FILTER = "/run/dnstap-bgp/hold.filter"
TOKEN_FILE, REPLY_FOLDER = "/run/dnstap-bgp/hold.token", "/run/dnstap-bgp/replies"
"""Where the files of `deploy/resolvers` say that dnstap-bgp listens."""
SETTINGS = {
    "HOLD": f'"{HOLD_SOCKET}"',
    "FILTER": f'"{FILTER}"',
    "BEFORE": '""',
    "TLS_NAME": '""',
    "TLS_CA, TLS_CERT, TLS_KEY": '"", "", ""',
}
"""Those of unbound-hook.py, as they are shipped."""
PYTHON_UNBOUND = "/usr/lib/python3/dist-packages"


class Hooked(_Forwarder):
    """A resolver that asks before an answer leaves."""

    release: str
    hook: str
    """The file of `deploy/resolvers`."""

    def __init__(
        self, lab: Lab, hold: Path, *, is_hooked: bool = True, is_filtering: bool = True, threads: int = 1
    ) -> None:
        """Write its configuration.

        Args:
            lab: Where it runs.
            hold: The folder of dnstap-bgp's sockets and token; replies to dnsdist come here, too.
            is_hooked: False: for comparison.
            is_filtering: False: it asks for all names.
            threads: As many, where it has threads.
        """
        earlier = len(list(lab.folder.glob(f"{self.name}*/")))
        super().__init__(lab, f"{self.name}.{earlier}")
        self._hold = hold
        self.is_hooked = is_hooked
        self.is_filtering = is_filtering
        self.threads = threads
        self._configure()

    @property
    def filter(self) -> str:
        """The file by which the hook knows most names that are on no list: that of the lab's speaker."""
        return f"{self._lab.folder}/speaker/run/hold.filter" if self.is_filtering else ""

    def _configure(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _argv(self) -> list[str]:
        return self._in_release(self._command())

    def _in_release(self, argv: list[str]) -> list[str]:
        return argv

    def _ship(self, substitutions: dict[str, str]) -> Path:
        return shipped(f"resolvers/{self.hook}", self._folder, substitutions)


class _OfDebian13(Hooked):
    """The same resolver of Debian 13."""

    def _in_release(self, argv: list[str]) -> list[str]:
        return inside(debian_13(), self._lab.folder, argv)


class HookedUnbound(Hooked):
    """unbound with unbound-hook.py."""

    name, release = "unbound12", "12"
    port = PORT = 5310
    hook = "unbound-hook.py"

    def __init__(
        self, lab: Lab, hold: Path, *, server: str = "", settings: Mapping[str, str] | None = None, **more: Any
    ):
        """Write its configuration.

        Args:
            lab: Where it runs.
            hold: The folder of dnstap-bgp's sockets.
            server: More of its `server:`.
            settings: Of the script, by name, as Python.
            more: See `Hooked`.
        """
        self._server = server
        self._settings = settings or {}
        super().__init__(lab, hold, **more)

    def control(self, *words: str) -> str:
        """Run `unbound-control` with these words."""
        return self._lab.host.run(*self._in_release(["unbound-control", "-c", str(self.config), *words]))

    def _configure(self) -> None:
        ours = {"HOLD": f'"{self._hold}/hold.sock"', "FILTER": f'"{self.filter}"', **self._settings}
        script = self._ship({f"\n{name} = {SETTINGS[name]}\n": f"\n{name} = {value}\n" for name, value in ours.items()})
        module = Path(PYTHON_UNBOUND, "unboundmodule.py")
        if self.release == "12" and not module.exists():
            lacking("missing: python3-unbound")
        (self._folder / module.name).symlink_to(module)
        self.config = self._write(
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
  num-threads: {self.threads}
  module-config: "{"python " if self.is_hooked else ""}validator iterator"
  do-not-query-localhost: no
  outgoing-interface: 127.0.0.1
  {self._server}
python:
  {f'python-script: "{script}"' if self.is_hooked else ""}
stub-zone:
  name: "example"
  stub-addr: 127.0.0.1@{AUTHORITY_PORT}
remote-control:
  control-enable: yes
  control-interface: "{self._folder}/control"
  control-use-cert: no
""",
        )

    def _command(self) -> list[str]:
        return ["unbound", "-d", "-p", "-c", str(self.config)]


class HookedUnbound13(_OfDebian13, HookedUnbound):
    """unbound 1.26."""

    name, release = "unbound13", "13"
    port = PORT = 5311


class HookedKnot(Hooked):
    """Knot Resolver 5 with knot-resolver-hook.lua."""

    name, release = "knot12", "12"
    port = PORT = 5312
    hook = "knot-resolver-hook.lua"

    def _configure(self) -> None:
        script = self._ship(
            {
                f"hold = '{HOLD_SOCKET}'": f"hold = '{self._hold}/hold.sock'",
                f"filter_file = '{FILTER}'": f"filter_file = '{self.filter}'",
            }
        )
        self._config = self._write(
            "kresd.conf",
            f"""\
net.listen('127.0.0.1', {self.port}, {{ kind = 'dns' }})
net.ipv6 = false
cache.open(100 * MB, 'lmdb://{self._folder}')
trust_anchors.remove('.')
policy.add(policy.suffix(policy.STUB('127.0.0.1@{AUTHORITY_PORT}'), policy.todnames({{'example.'}})))
{f"dofile('{script}')" if self.is_hooked else ""}
""",
        )

    def _command(self) -> list[str]:
        return ["kresd", "-n", "-c", str(self._config), str(self._folder)]


class HookedKnot13(_OfDebian13, HookedKnot):
    """Knot Resolver 5.7."""

    name, release = "knot13", "13"
    port = PORT = 5313


class HookedRecursor(Hooked):
    """PowerDNS Recursor 4.8 with pdns-recursor-hook.lua."""

    name, release = "recursor12", "12"
    port = PORT = 5314
    hook = "pdns-recursor-hook.lua"

    def _configure(self) -> None:
        token = f"token_file = '{TOKEN_FILE}'"
        script = self._ship(
            {
                token: f"token_file = '{self._hold}/hold.token'",
                f"filter_file = '{FILTER}'": f"filter_file = '{self.filter}'",
            }
        )
        self._write("recursor.conf", self._settings(script))

    def _settings(self, script: Path) -> str:
        return f"""\
local-address=127.0.0.1:{self.port}
socket-dir={self._folder}
daemon=no
disable-syslog=yes
security-poll-suffix=
dnssec=off
threads={self.threads}
config-dir={self._folder}
hint-file=
forward-zones=example=127.0.0.1:{AUTHORITY_PORT}
{f"lua-dns-script={script}" if self.is_hooked else ""}
"""

    def _command(self) -> list[str]:
        return ["pdns_recursor", f"--config-dir={self._folder}"]


class HookedRecursor13(_OfDebian13, HookedRecursor):
    """PowerDNS Recursor 5.2, whose settings are YAML."""

    name, release = "recursor13", "13"
    port = PORT = 5315

    def _configure(self) -> None:
        super()._configure()
        (self._folder / "recursor.conf").rename(self._folder / "recursor.yml")

    def _settings(self, script: Path) -> str:
        return f"""\
incoming: {{ listen: ["127.0.0.1:{self.port}"] }}
dnssec: {{ validation: "off" }}
logging: {{ disable_syslog: true }}
recursor:
  socket_dir: {self._folder}
  daemon: false
  threads: {self.threads}
  security_poll_suffix: ""
  hint_file: ""
  forward_zones: [ {{ zone: example, forwarders: ["127.0.0.1:{AUTHORITY_PORT}"] }} ]
  {f"lua_dns_script: {script}" if self.is_hooked else ""}
"""


class HookedDnsdist13(_OfDebian13):
    """dnsdist 1.9 with dnsdist-hook.lua, in front of the authority."""

    name, release = "dnsdist13", "13"
    port = PORT = 5316
    hook = "dnsdist-hook.lua"

    def _configure(self) -> None:
        script = self._ship(
            {
                f"hold = '{HOLD_DGRAM}'": f"hold = '{self._hold}/hold-dgram.sock'",
                f"filter_file = '{FILTER}'": f"filter_file = '{self.filter}'",
                f"reply_folder = '{REPLY_FOLDER}'": f"reply_folder = '{self._hold}/replies'",
            }
        )
        self._config = self._write(
            "dnsdist.conf",
            f"""\
setLocal('127.0.0.1:{self.port}')
setSecurityPollSuffix('')
newServer({{address = '127.0.0.1:{AUTHORITY_PORT}', healthCheckMode = 'up'}})
getPool(''):setCache(newPacketCache(100000))
{f"dofile('{script}')" if self.is_hooked else ""}
""",
        )

    def _command(self) -> list[str]:
        return ["dnsdist", "--supervised", "--disable-syslog", "-C", str(self._config)]


HOOKED: tuple[type[Hooked], ...] = (
    *(HookedUnbound, HookedUnbound13),
    *(HookedKnot, HookedKnot13),
    *(HookedRecursor, HookedRecursor13),
    HookedDnsdist13,
)
"""Debian 12's dnsdist, 1.7, can't wait."""
