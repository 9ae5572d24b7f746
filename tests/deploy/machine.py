"""A Debian of its own to install packages in: a fresh root, booted with its own systemd, without any network."""

import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.lab import eventually, run, unique_name

INCLUDED = ("python3", "adduser", "systemd", "systemd-sysv", "dbus", "iproute2", "unbound", "bird2", "redis-server")
"""What the installation may rely on (python3, adduser), and what a first route takes. No pip, no venv, no compiler."""

BOOT_S = 60.0


def debootstrap(root: Path, included: Sequence[str]) -> None:
    """Make a root of this system's own release, from the mirror that apt is set to."""
    codename = run("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME").strip()
    targets = run("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages").splitlines()
    site = next(target.split()[0] for target in targets if target.split()[1:] == [codename])
    run("debootstrap", "--variant=minbase", f"--include={','.join(included)}", codename, str(root), site, timeout_s=500)
    shutil.rmtree(root / "var/cache/apt/archives")
    (root / "etc/dpkg/dpkg.cfg.d/no-sync").write_text("force-unsafe-io\n")  # it has to survive no power cut


def make_root(root: Path) -> None:
    """Make the root of a machine that can be booted."""
    debootstrap(root, INCLUDED)
    for unit in ("unbound", "bird", "redis-server"):  # the programs are wanted, not Debian's instances of them
        run("chroot", str(root), "systemctl", "disable", "--quiet", unit)


class Machine:
    """A booted root; `run` executes in it."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self._log = log
        with log.open("wb") as output:
            self._nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network"),
                    *("--link-journal=no", f"--machine={unique_name()}", f"--directory={root}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._leader = eventually(self._find_leader, BOOT_S, "systemd-nspawn has a child")
            eventually(self._booted, BOOT_S, "systemd is up")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{log.read_text(errors='replace')[-3000:]}") from None

    def run(self, *argv: str, status: int | None = 0) -> str:
        """Execute a command to its end; returns what it wrote. `status` None: any will do."""
        done = self._execute(argv)
        assert status is None or done.returncode == status, f"{argv}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def sh(self, script: str, status: int | None = 0) -> str:
        return self.run("sh", "-c", script, status=status)

    def write(self, path: str, text: str) -> None:
        (self.root / path.removeprefix("/")).write_text(text)

    def read(self, path: str) -> str:
        """A file as the machine has it: its /run is not the root's."""
        return self.run("cat", path)

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def stop(self) -> None:
        """Power it off; pull the plug if that takes too long."""
        self._nspawn.send_signal(signal.SIGTERM)  # nspawn asks its systemd to power off
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
            pytest.fail("the machine did not power off", pytrace=False)

    def _execute(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", *argv],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )

    def _find_leader(self) -> int | None:
        assert self._nspawn.poll() is None, self._log.read_text(errors="replace")[-3000:]
        with suppress(FileNotFoundError, ProcessLookupError):  # some of its children live for a moment only
            for task in Path(f"/proc/{self._nspawn.pid}/task").iterdir():
                for pid in map(int, (task / "children").read_text().split()):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                        return pid
        return None

    def _booted(self) -> bool:
        done = self._execute(["systemctl", "is-system-running"])
        assert done.stdout.strip() in ("running", "degraded"), done.stdout
        return True


class Router:
    """BIRD in a network namespace inside of a machine, the neighbor of the dnstap-bgp there."""

    CONFIG = """\
router id 10.99.0.2;
ipv4 table steered4;
protocol device { }
protocol bgp dnstap {
    local 10.99.0.2 as 64513;
    neighbor 10.99.0.1 as 64512;
    multihop;
    graceful restart RESTART;
    ipv4 { table steered4; import all; export none; };
}
"""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.sh(
            "ip netns add r && ip link add name to-r type veth peer name to-h netns r &&"
            " ip address add 10.99.0.1/24 dev to-r && ip link set to-r up &&"
            " ip -n r address add 10.99.0.2/24 dev to-h && ip -n r link set to-h up && ip -n r link set lo up"
        )
        self.graceful_restart(on=False, configure=False)
        machine.sh("systemd-run --quiet --unit=router ip netns exec r bird -f -c /root/bird.conf -s /run/router.ctl")
        eventually(lambda: "up" in machine.sh("birdc -s /run/router.ctl show status", status=None), what="BIRD is up")

    def graceful_restart(self, *, on: bool, configure: bool = True) -> None:
        self._machine.write("/root/bird.conf", self.CONFIG.replace("RESTART", "on" if on else "off"))
        if configure:
            self._machine.sh("birdc -s /run/router.ctl configure")

    def expect(self, peer_as: int) -> None:
        """Speak with a neighbor of another AS than 64512, or of that again."""
        config = self.CONFIG.replace("as 64512", f"as {peer_as}").replace("RESTART", "off")
        self._machine.write("/root/bird.conf", config)
        self._machine.sh("birdc -s /run/router.ctl configure")

    def routes(self) -> set[str]:
        told = self._machine.sh("birdc -s /run/router.ctl show route table steered4")
        return {word for word in told.split() if word.endswith("/32")}

    def established(self) -> str:
        """The moment since which the session is up; empty: it is down."""
        words = self._machine.sh("birdc -s /run/router.ctl show protocols dnstap").splitlines()[-1].split()
        return words[4] if words[-1] == "Established" else ""


class Watch:
    """Counts of the router's routes, taken ten times a second while a test does something."""

    SCRIPT = """\
touch /run/watching
while [ -e /run/watching ]; do
    birdc -s /run/router.ctl show route table steered4 count | tail -n 1
    sleep 0.1
done >/run/watched
"""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __enter__(self) -> None:
        self._machine.write("/root/watch", self.SCRIPT)
        self._machine.run("systemd-run", "--quiet", "--collect", "--unit=watch", "sh", "/root/watch")
        eventually(lambda: self._machine.sh("[ ! -s /run/watched ] || echo seen", status=None), what="the watch runs")

    def __exit__(self, *_: object) -> None:
        time.sleep(1)  # what a change sets off, too
        self._machine.run("rm", "/run/watching")
        eventually(lambda: "inactive" in self._machine.run("systemctl", "is-active", "watch", status=None))

    def counts(self) -> list[int]:
        return [int(line.split()[0]) for line in self._machine.read("/run/watched").splitlines()]
