"""Debian 13's daemons on whatever the tests run on: a root that is unpacked once and kept outside of this checkout.

The packages are unpacked, not installed: no script of theirs runs, no user is made, and it takes 20 seconds. A daemon
runs in there by `chroot`, with the test's folder at its very path. Delete the folder to have it made anew.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

RELEASE = "trixie"
PACKAGES = ("unbound", "python3-unbound", "dnsdist", "pdns-recursor", "knot-resolver")
MIRROR = "http://deb.debian.org/debian"
WITHIN_S = 300

_ENTER = """\
mount -t tmpfs tmpfs "$0/tmp" && mkdir -p "$0$1" && mount --bind "$1" "$0$1" &&
mount --rbind /dev "$0/dev" && mount --bind /proc "$0/proc" && root=$0 && shift && exec chroot "$root" "$@"
"""
"""In the mount namespace that `ip netns exec` has made: $0 is the root, $1 the test's folder, behind it a command."""


def inside(root: Path, folder: Path, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in this root, for `Namespace.argv`; its process id stays."""
    return ["sh", "-c", _ENTER, str(root), str(folder), *argv]


@cache
def debian_13() -> Path:
    """The root with Debian 13's resolvers; skips the test where it can't be made.

    Its name tells what it was made of, so that another list of packages makes another one.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dnstap-bgp-tests"
    base.mkdir(parents=True, exist_ok=True)
    root = base / "-".join((RELEASE, *PACKAGES))
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes want it at once
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=base) as folder:
                _unpack(Path(folder)).rename(root)
    return root


def _unpack(folder: Path) -> Path:
    """Have apt find and fetch the packages with all that they need, as for an empty system, and unpack them."""
    apt, root = folder / "apt", folder / "root"
    for path in (apt / "lists/partial", apt / "archives/partial", root):
        path.mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb {MIRROR} {RELEASE} main\n")
    options = {
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Log": apt,
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt_get = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    for words in (["update"], ["install", "--yes", "--download-only", "base-files", *PACKAGES]):
        done = subprocess.run([*apt_get, *words], capture_output=True, text=True, timeout=WITHIN_S, check=False)
        if done.returncode:
            lacking(f"Debian 13 can't be fetched from {MIRROR}: {done.stderr.strip()[-300:]}")
    archives = sorted((apt / "archives").glob("*.deb"), key=lambda deb: not deb.name.startswith("base-files_"))
    for deb in archives:  # base-files first: it has the links that /bin, /lib and /sbin are
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(root)], check=True, timeout=WITHIN_S)
    shutil.rmtree(root / "usr/share/doc")
    return root


def lacking(reason: str) -> None:
    """Skip the test; in CI, where nothing may be left out unnoticed, fail it."""
    strict = os.environ.get("CI", "").lower() in ("1", "true") or bool(os.environ.get("DNSTAP_BGP_TEST_STRICT"))
    (pytest.fail if strict else pytest.skip)(reason)
