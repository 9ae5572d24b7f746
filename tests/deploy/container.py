"""Images as buildah makes them here, and containers of them: processes in namespaces of their own, without an engine.

As an engine does: the image's root, user, environment and command, its process as PID 1, volumes bound in, capabilities
dropped: those of a user, and of root all but the ones that an engine leaves it; no cgroup and no seccomp.
"""

import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.machine import debootstrap
from tests.integration.lab import Daemon, Namespace, eventually, run

ROOT = Path(__file__).parents[2]

LEFT_TO_ROOT = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service"),
    *("setfcap", "setgid", "setpcap", "setuid", "sys_chroot"),
)
"""Capabilities of root in a container where nobody asks for more, by podman's default; docker's has some more."""

_ENTER = """\
set -e
mount --make-rprivate / && mount --bind "$ROOT" "$ROOT" && cd "$ROOT"
mount -t proc proc proc && mount --rbind /dev dev && mount -t tmpfs tmpfs tmp
for bind in $BINDS; do
    target=.${bind#*:}
    mkdir -p "${target%/*}"
    if [ -d "${bind%%:*}" ]; then mkdir -p "$target"; else [ -e "$target" ] || : >"$target"; fi
    mount --bind "${bind%%:*}" "$target"
done
[ -z "$READ_ONLY" ] || mount -o remount,bind,ro .
exec chroot . "$@"
"""
"""In mount and PID namespaces of its own: what an engine does before it starts the image's command."""


class Store:
    """A folder with buildah's images, made from a Debian of this system's own release."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "storage.conf"
        self.archive = folder / "archive.tar"
        self._config.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n')

    def buildah(self, *words: str) -> str:
        return run("env", f"CONTAINERS_STORAGE_CONF={self._config}", "buildah", *words, timeout_s=600)

    def make_base(self) -> str:
        """The name of an image of a fresh Debian."""
        debootstrap(self._folder / "debian", ("ca-certificates",))
        (self._folder / "Containerfile").write_text("FROM scratch\nCOPY debian /\n")
        self.buildah("build", "--isolation=chroot", "--tag=localhost/debian:test", str(self._folder))
        shutil.rmtree(self._folder / "debian")
        return "localhost/debian:test"

    def build(self, base: str, *targets: str) -> None:
        """Have deploy/build-image build these targets, with this machine's way to the Python packages.

        The first of them as a file, too: `archive`.
        """
        options = ["--isolation", "chroot"]
        for path in ("/etc/pip.conf", "/etc/ssl/certs"):
            options += ["--volume", f"{path}:{path}:ro"] if Path(path).exists() else []
        settings = {"BUILDER": "buildah", "BASE": base, "OPTIONS": " ".join(options), "ARCHIVE": str(self.archive)}
        words = [f"{name}={value}" for name, value in settings.items()]
        script = str(ROOT / "deploy/build-image")
        run("env", f"CONTAINERS_STORAGE_CONF={self._config}", *words, script, *targets, timeout_s=1200)

    def image(self, name: str) -> "Image":
        """Unpack an image."""
        container = self.buildah("from", "--pull-never", name).strip()
        found = json.loads(self.buildah("inspect", "--type=image", name))["Docker"]
        return Image(Path(self.buildah("mount", container).strip()), found["config"], found["architecture"])

    def remove(self) -> None:
        self.buildah("rm", "--all")
        shutil.rmtree(self._folder)


@dataclass(frozen=True)
class Image:
    """An unpacked image: its root, and its configuration in docker's form."""

    root: Path
    config: Mapping[str, Any]
    architecture: str

    @property
    def command(self) -> list[str]:
        words: list[str] = [*(self.config.get("Entrypoint") or ()), *(self.config.get("Cmd") or ())]
        return words

    @property
    def health_command(self) -> list[str]:
        words: list[str] = self.config["Healthcheck"]["Test"]
        assert words[0] == "CMD"
        return words[1:]

    def identity(self) -> tuple[int, int]:
        """User and group of its process."""
        name = self.config.get("User")
        if not name:
            return 0, 0
        lines = (self.root / "etc/passwd").read_text().splitlines()
        fields = next(line.split(":") for line in lines if line.startswith(f"{name}:"))
        return int(fields[2]), int(fields[3])


@dataclass
class Container:
    """One of an image's containers, in a network namespace."""

    name: str
    image: Image
    where: Namespace
    folder: Path
    binds: Mapping[str, str] = field(default_factory=dict)
    """Path outside by path inside."""
    read_only: bool = False
    daemon: Daemon = field(init=False)
    pid: int = field(init=False)

    def start(self) -> None:
        settings = {
            "ROOT": str(self.image.root),
            "BINDS": " ".join(f"{outside}:{inside}" for inside, outside in self.binds.items()),
            "READ_ONLY": "yes" if self.read_only else "",
        }
        enter = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", _ENTER, "enter"]
        words = self.where.argv(*enter, *self._as_user(self.image.command))
        self.daemon = Daemon(self.name, words, self.folder / f"{self.name}.log", settings)
        self.pid = eventually(self._find_pid, 10, f"{self.name} has a process") or 0

    def _find_pid(self) -> int | None:
        """The process that is PID 1 inside, once the image's command runs."""
        assert self.daemon.alive(), self.daemon.text()[-3000:]
        with suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            children = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text().split()
            inside = [int(pid) for pid in children if Path(f"/proc/{pid}/root").readlink() == self.image.root]
            return inside[0] if inside else None
        return None

    def run(self, *argv: str, user: bool = True) -> str:
        """Execute a command in it, as `docker exec` does."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--root", "--wd"]
        return run(*enter, *(self._as_user(argv) if user else argv))

    def is_healthy(self) -> bool:
        """The verdict of the image's own health check; a failure's words are an AssertionError."""
        self.run(*self.image.health_command)
        return True

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, deadline_s: float = 40.0) -> int:
        return self.daemon.process.wait(deadline_s)

    def kill(self) -> None:
        """End all that runs in it: the kernel does, with PID 1."""
        if self.daemon.alive():
            self.signal(signal.SIGKILL)
            self.daemon.process.wait(30)

    def _as_user(self, argv: Sequence[str]) -> list[str]:
        uid, gid = self.image.identity()
        environment = list(self.image.config["Env"])
        words = ["env", "-i", *environment, *argv]
        if not uid:
            kept = ",".join(["-all", *(f"+{name}" for name in LEFT_TO_ROOT)])
            return ["setpriv", f"--bounding-set={kept}", "--inh-caps=-all", *words]
        drop = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        return ["setpriv", *drop, "--inh-caps=-all", *words]
