"""Who can reach our unix sockets: modes on the way there, and the users that resolvers run as; no thread."""

import os
import pwd
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dnstap_bgp.config import ListenAddress, UnixAddress
from dnstap_bgp.core.doctor.clues import Access, Account, Step

RESOLVERS = ("unbound", "bind", "named", "knot-resolver", "_dnsdist", "dnsdist", "pdns", "pdns-recursor", "coredns")
"""Their users on Debian, Fedora and the like."""


def look(listen: Iterable[ListenAddress]) -> Access:
    """Look at the files of now.

    Args:
        listen: The listeners; only those on unix sockets that are there matter.
    """
    paths = [steps(address.path) for address in listen if isinstance(address, UnixAddress)]
    return Access(tuple(found for found in paths if found), tuple(accounts(RESOLVERS)))


def accounts(names: Iterable[str]) -> list[Account]:
    """Those of the names that are users of this system, with their groups."""
    found = []
    for name in names:
        with suppress(KeyError, OSError):
            entry = pwd.getpwnam(name)
            found.append(Account(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid))))
    return found


def steps(path: Path) -> tuple[Step, ...]:
    """The folders from the root to a socket, and the socket; empty: it is not there, or we may not look ourselves."""
    try:
        real = path.resolve(strict=True)
        states = [(found, found.stat()) for found in (*reversed(real.parents), real)]
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return ()
    return tuple(Step(str(found), state.st_mode, state.st_uid, state.st_gid) for found, state in states)
