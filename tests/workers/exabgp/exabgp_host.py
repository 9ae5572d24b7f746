"""A real ExaBGP whose api process is the test itself.

ExaBGP starts a little program that hands its own stdin and stdout over to the test through a unix socket and then
waits; when the test lets it go it ends, and ExaBGP starts the next one.
"""

import array
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

EXABGP = Path(sys.executable).with_name("exabgp")

RELAY = """\
#!{python} -IS
import array, socket
with socket.socket(socket.AF_UNIX) as test:
    test.connect({path!r})
    test.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))])
    test.recv(1)
"""

NEIGHBOR = """
neighbor {address} {{
    router-id 10.99.0.1; local-address {local}; local-as 65001; peer-as {asn}; connect {port}; hold-time 180;
    capability {{ graceful-restart 120; route-refresh enable; }}
    manual-eor true;
    {extra}
    family {{ {families} }}
    api {{ processes [ test ]; {events} }}
}}
"""


def neighbor(
    address,
    port,
    *,
    local="127.0.0.1",
    asn=65002,
    families="ipv4 unicast; ipv6 unicast;",
    extra="",
    events="neighbor-changes; negotiated; signal;",
):
    return NEIGHBOR.format(
        address=address, port=port, local=local, asn=asn, families=families, extra=extra, events=events
    )


class Process:
    """The ends of one api process's pipes, as that process has them."""

    def __init__(self, connection):
        self._connection = connection
        fds = array.array("i")
        _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(2 * fds.itemsize))
        fds.frombytes(ancillary[0][2])
        self.stdin, self.stdout = fds

    def die(self):
        """End the process; what it had not read or what ExaBGP had not read of it is lost or stays, as in life."""
        self._connection.close()
        os.close(self.stdin)
        os.close(self.stdout)


class Host:
    def __init__(self, folder, neighbors, *, exabgp=EXABGP, encoder="json", environment=None):
        self.folder = Path(folder)
        self.encoder = encoder
        self._exabgp = exabgp
        self._environment = environment or {}
        self._path = str(self.folder / "relay.socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen(20)
        self._relay = self.folder / "relay"
        self._relay.write_text(RELAY.format(python=sys.executable, path=self._path))
        self._relay.chmod(0o755)
        self._conf = self.folder / "exabgp.conf"
        self.log = self.folder / "exabgp.log"
        self.process = None
        self.configure(neighbors)

    def configure(self, neighbors):
        self._conf.write_text(
            f"process test {{ run {self._relay}; encoder {self.encoder}; }}\n" + "\n".join(neighbors), encoding="ascii"
        )

    def start(self):
        environment = {
            **os.environ,
            "exabgp_daemon_user": "root" if os.getuid() == 0 else os.environ.get("USER", ""),
            "exabgp_tcp_bind": "",
            "exabgp_log_level": "ERROR",
            "exabgp_api_cli": "false",
            "exabgp_cache_attributes": "true",
            **self._environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._exabgp), "server", str(self._conf)]
                if self._exabgp == EXABGP
                else [str(self._exabgp), str(self._conf)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def accept(self, timeout=60.0):
        """The next api process that ExaBGP starts."""
        readable, _, _ = select.select([self._listener], [], [], timeout)
        assert readable, self.log.read_text()
        connection, _ = self._listener.accept()
        return Process(connection)

    def signal(self, number):
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def close(self):
        self.stop()
        self._listener.close()
