"""Fair shares of a limited number of places among those who connect, with no reservation while there is room.

At a limit the newcomer gets the place of somebody who holds many, and only of such a one: whoever holds at least two
places more than the newcomer. So one client can't keep others out, clients with a place each keep theirs, and two
who share the places evenly don't push each other out in turn.
"""

import ipaddress
import socket
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

from dnstap_bgp.workers.net.listeners import peer_address, peer_credentials

_Owner = TypeVar("_Owner", bound=Hashable)

_HOST_BITS_IPV6 = 64
"""Whoever has an IPv6 address has a /64 of them (RFC 4291, 2.5.4)."""


def owner_of(sock: socket.socket) -> Hashable:
    """Name who is connected: an IPv4 address, the /64 of an IPv6 address, or the user of a local process.

    Raises:
        OSError: The connection is gone already.
    """
    if sock.family == socket.AF_UNIX:
        return "uid", peer_uid(sock)
    address = peer_address(sock)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return int(address) >> _HOST_BITS_IPV6


def peer_uid(sock: socket.socket) -> int:
    """Give the user of the process behind a unix socket, as it was when it connected."""
    return peer_credentials(sock)[1]


def most_of(owners: Iterable[_Owner]) -> _Owner:
    """Say who has the most places; of several the one that stands first.

    Whoever floods with connections that say nothing has them: where each gives way to the next one of the flood, it
    takes places from itself alone, and who comes beside it has the time for a handshake.

    Args:
        owners: Of each place; at least one.
    """
    return Counter(owners).most_common(1)[0][0]


def crowding(owners: Iterable[_Owner], newcomer: _Owner) -> _Owner | None:
    """Say who has to give up a place, of which none is left, for a newcomer.

    Args:
        owners: Of each place.
        newcomer: Who wants one.

    Returns:
        An owner of the most places, two more than the newcomer's at least; None: nobody has so many.
    """
    places = Counter(owners)
    if not places:
        return None
    owner, most = places.most_common(1)[0]
    return owner if most >= places[newcomer] + 2 else None
