"""Surroundings of the program: access to our unix sockets, and settings of system and resolvers; no thread of its own.

Access is a matter of modes on the way there, and of the users that resolvers run as.
"""

import json
import math
import os
import pwd
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from dnstap_bgp.config import ListenAddress, UnixAddress, values
from dnstap_bgp.core.doctor.evidence import Account, PathStep, SocketAccess
from dnstap_bgp.core.doctor.sniffers import SnifferReport

RESOLVER_USERS = (
    "unbound",
    "bind",
    "named",
    "knot-resolver",
    "_dnsdist",
    "dnsdist",
    "pdns",
    "pdns-recursor",
    "coredns",
)
"""Users that resolvers run as, on Debian, Fedora and the like."""

SNIFFERS_MAX, SNIFFER_MAX_BYTES, IFNAMSIZ = 16, 4096, 16
_NUMBERS = ("questions", "answers", "empty", "unasked", "lost_packets", "lost_frames")


CACHE_TTL_MAX_S = 86_400.0
"""The longest that unbound and others keep an answer, unless told."""
UNBOUND_FILES = (Path("/etc/unbound/unbound.conf"), Path("/etc/unbound/unbound.conf.d"))
SETTINGS_MAX_BYTES = 1 << 20
FILES_MAX = 100

_CACHE_MAX_TTL = re.compile(r"^\s*cache-max-ttl:\s*([0-9]{1,9})", re.MULTILINE)


def cache_ttl_max_s(places: Iterable[Path] = UNBOUND_FILES) -> float:
    """Read how long this system's unbound keeps an answer at most, as far as its files may be read.

    Args:
        places: Files, and folders of such.

    Returns:
        The last value that stands there, or the default.
    """
    found = CACHE_TTL_MAX_S
    for place in places:
        with suppress(OSError):
            files = sorted(place.glob("*.conf"))[:FILES_MAX] if place.is_dir() else [place]
            for file in files:
                with suppress(OSError):
                    if file.is_file() and file.stat().st_size <= SETTINGS_MAX_BYTES:
                        values = _CACHE_MAX_TTL.findall(file.read_text(errors="replace"))
                        found = float(values[-1]) if values else found
    return found


def datagram_queue() -> int | None:
    """Read how many datagrams wait at a unix socket of this system; None: it doesn't tell."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    return None


def look(listen: Iterable[ListenAddress]) -> SocketAccess:
    """Look at the files of now.

    Args:
        listen: The listeners; only those on unix sockets that are there matter.
    """
    paths = [steps(address.path) for address in listen if isinstance(address, UnixAddress)]
    return SocketAccess(tuple(found for found in paths if found), tuple(accounts(RESOLVER_USERS)))


def accounts(names: Iterable[str]) -> list[Account]:
    """Find those of the names that are users of this system, with their groups."""
    found = []
    for name in names:
        with suppress(KeyError, OSError):
            entry = pwd.getpwnam(name)
            found.append(Account(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid))))
    return found


def steps(path: Path) -> tuple[PathStep, ...]:
    """Give the folders from the root to a socket, and the socket; empty: it isn't there, or we may not look."""
    try:
        real = path.resolve(strict=True)
        states = [(found, found.stat()) for found in (*reversed(real.parents), real)]
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return ()
    return tuple(PathStep(str(found), state.st_mode, state.st_uid, state.st_gid) for found, state in states)


def sniffers(runtime_dir: Path, now: float) -> tuple[SnifferReport, ...]:
    """Read the counters of captures on this machine; a file that is none is nobody's.

    Args:
        runtime_dir: Where they lie.
        now: Wall clock.
    """
    files = sorted(runtime_dir.glob("sniff-*.json"))[:SNIFFERS_MAX]
    return tuple(found for path in files for found in _sniffer(path, now))


def _sniffer(path: Path, now: float) -> Iterator[SnifferReport]:
    try:
        found = json.loads(values.read_regular(path, SNIFFER_MAX_BYTES))
        numbers = {key: int(found[key]) for key in _NUMBERS}
        at, interface = float(found["at"]), str(found["interface"])[:IFNAMSIZ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return
    if not math.isfinite(at):
        return
    answered = numbers["answers"] + numbers["empty"]
    shown = "".join(filter(str.isprintable, interface))
    lost = numbers["lost_packets"], numbers["lost_frames"]
    yield SnifferReport(shown, now - at, numbers["questions"], answered, numbers["unasked"], *lost)
