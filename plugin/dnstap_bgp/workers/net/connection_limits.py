"""Connection limits of one HTTP listener: how many connections, and how long for a request; for the loop's thread.

A connection is in one of three states:

    state     from                                     to                       bounded by
    waiting   the connection, or the end of an answer  a request's last header  `request_s`: then it is closed
    reading   a handler that asks for a body           the body's end           `http_server.BODY_S`: then it is refused
    busy      a request's last header                  the end of its answer    its handler (`http_server.send`), and
                                                                                AHEAD_MAX_BYTES of further requests

Every connection belongs to a room (all of a listener, one peer's address, one kind of user), and rooms take no place
from each other. In a full room somebody gives way to a newcomer, in this order:

    1. of the client that has the most waiting or reading, the one that has been so for longest: a flood that asks for
       nothing keeps nobody out, and takes no place but its own
    2. where all are busy, the oldest of the client that has the most, if the newcomer's has clearly fewer
       (`fair_share`): one client that reads slowly, or watches with all it has, keeps no other out
    3. the newcomer itself
"""

import asyncio
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias, cast

from dnstap_bgp.config import IPNetwork
from dnstap_bgp.workers.net.fair_share import crowding, most_of, owner_of, peer_uid
from dnstap_bgp.workers.net.listeners import peer_address

REQUEST_S = 10.0
"""From the connection, or the last answer, to the end of the next request's headers. Browsers keep idle connections,
and open another when they find one closed."""

AHEAD_MAX_BYTES = 1 << 16
"""What may be sent within a request that is being answered: pipelining is of no use here, but to fill the memory."""

READ_BYTES = 1 << 14
"""Of what came, taken at once; a request's headers are less. aiohttp keeps each piece in which it finds no request, of
256 KiB where asyncio makes them, until Python's collector of cycles comes by: a flood of such took 400 MB."""


class Room(NamedTuple):
    """The connections that share a limit.

    Attributes:
        name: Of this room among the listener's.
        connections_max: How many.
    """

    name: Hashable
    connections_max: int


RoomOf: TypeAlias = Callable[[socket.socket], Room | None]
"""The room of a connection that was just accepted; None: it is not let in. May raise OSError: it is gone already."""


def room_of_allowed(allow: Sequence[IPNetwork], connections_max: int) -> RoomOf:
    """Let in who connects from these networks (empty: everybody) over TCP, all into one room."""

    def room_of(sock: socket.socket) -> Room | None:
        if allow and not any(peer_address(sock) in network for network in allow):
            return None
        return Room("all", connections_max)

    return room_of


def room_of_user(connections_max: int) -> RoomOf:
    """Let in everybody on a unix socket: root and the user of this process have a room of their own."""

    def room_of(sock: socket.socket) -> Room | None:
        return Room("own" if peer_uid(sock) in (0, os.geteuid()) else "others", connections_max)

    return room_of


class ConnectionLimits:
    """The connections of one listening socket.

    Attributes:
        refused: Counts who is turned away.
        received: Where each connection receives what comes; it is taken out of there at once.
    """

    def __init__(self, refused: Counter[str], room_of: RoomOf, *, request_s: Callable[[], float]) -> None:
        """Make it.

        Args:
            refused: Counts who is turned away: `allow`, `limit`, `slow`, `flood`.
            room_of: Says where a connection belongs.
            request_s: How long a connection may be waiting.
        """
        self.refused = refused
        self.received = memoryview(bytearray(READ_BYTES))
        self._room_of = room_of
        self._request_s = request_s
        self._rooms: defaultdict[Hashable, dict[LimitedConnection, None]] = defaultdict(dict)  # oldest first
        self._by_transport: dict[asyncio.BaseTransport, LimitedConnection] = {}

    def admit(self, sock: socket.socket, inner: Callable[[], asyncio.Protocol]) -> "LimitedConnection | None":
        """Take in a connection that was just accepted.

        Args:
            sock: Its socket.
            inner: Makes the protocol that serves it.

        Returns:
            The protocol for its transport, to be given back with `leave`; None: it is turned away.
        """
        try:
            room, owner = self._room_of(sock), owner_of(sock)
        except OSError:  # it is gone already
            return None
        if room is None:
            self.refused["allow"] += 1
            return None
        inside = self._rooms[room.name]
        if len(inside) >= room.connections_max:
            self.refused["limit"] += 1
            displaced = _displaced(inside, owner)
            if displaced is None:
                return None
            displaced.abort()
            del inside[displaced]
        connection = LimitedConnection(self, room.name, owner, inner())
        inside[connection] = None
        return connection

    def leave(self, connection: "LimitedConnection") -> None:
        """Forget a connection that has ended."""
        inside = self._rooms[connection.room]
        inside.pop(connection, None)
        if not inside:
            del self._rooms[connection.room]

    @contextmanager
    def answering(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Keep a connection busy, whose request has its headers, until the block ends."""
        connection = None if transport is None else self._by_transport.get(transport)
        if connection is None:  # it ended meanwhile
            yield
            return
        connection.is_busy()
        connection.answer_begun = False
        try:
            yield
        finally:
            connection.is_waiting(self._request_s())

    @contextmanager
    def reading(self, transport: asyncio.BaseTransport | None, within_s: float) -> Iterator[None]:
        """Let a busy connection give way again, while its body is waited for, which may take so long."""
        connection = None if transport is None else self._by_transport.get(transport)
        if connection is None:
            yield
            return
        connection.is_waiting(2 * within_s)  # whoever reads has its own deadline, and says more at it
        try:
            yield
        finally:
            connection.is_busy()

    def note_begun(self, transport: asyncio.BaseTransport | None) -> None:
        """Remember that the head of an answer is on its way."""
        connection = None if transport is None else self._by_transport.get(transport)
        if connection is not None:
            connection.answer_begun = True

    def end_if_begun(self, transport: asyncio.BaseTransport | None) -> None:
        """Cut a connection off if an answer has begun: in the middle of that no other answer can be given.

        Raises:
            ConnectionResetError: It was cut off, or is gone.
        """
        connection = None if transport is None else self._by_transport.get(transport)
        if connection is None or connection.answer_begun:
            if connection is not None:
                connection.abort()
            raise ConnectionResetError("an answer failed in its middle")

    def opened(self, connection: "LimitedConnection", transport: asyncio.BaseTransport) -> None:
        """Have a connection bring a request from now on: it has its transport."""
        self._by_transport[transport] = connection
        connection.is_waiting(self._request_s())

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """Forget the transport of a connection that has ended."""
        self._by_transport.pop(transport, None)


class LimitedConnection(asyncio.BufferedProtocol):
    """One connection: hands everything on to the protocol that serves it, and looks at the clock.

    Attributes:
        room: The name of its room.
        owner: Who has opened it; see `fair_share.owner_of`.
        idle_since: Since when it is waiting or reading, the loop's clock; None: it is busy.
        answer_begun: The head of the answer to the request at hand is on its way.
        gone: Set when its transport has ended.
        task: What attends it; cancelled where it must end before it has a transport.
    """

    def __init__(self, limits: ConnectionLimits, room: Hashable, owner: Hashable, inner: asyncio.Protocol) -> None:
        self.room = room
        self.owner = owner
        self.answer_begun = False
        self.gone = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._limits = limits
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._ahead = 0
        self.idle_since: float | None = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve it."""
        self._transport = cast("asyncio.Transport", transport)
        self._inner.connection_made(transport)
        self._limits.opened(self, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Serve it no more."""
        self._stop_clock()
        assert self._transport is not None
        self._limits.closed(self._transport)
        self._inner.connection_lost(exc)
        self.gone.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as asyncio calls it
        """Give the room for what comes next."""
        return self._limits.received

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came; while it is busy only so much of it."""
        if self.idle_since is None:
            self._ahead += nbytes
            if self._ahead > AHEAD_MAX_BYTES:
                self._refuse("flood")
                return
        self._inner.data_received(bytes(self._limits.received[:nbytes]))

    def eof_received(self) -> bool | None:
        """Hand on that nothing more comes."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Hand on that the reader is slow."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the reader keeps up again."""
        self._inner.resume_writing()

    def is_busy(self) -> None:
        """Take note of a request, or of its body's end: from now on its handler looks at the clock."""
        self.idle_since, self._ahead = None, 0
        self._stop_clock()

    def is_waiting(self, within_s: float) -> None:
        """Take note that something has to come within a time."""
        self.idle_since = self._loop.time()
        self._stop_clock()
        if not self.gone.is_set():  # by which an answer ends, too
            self._deadline = self._loop.call_later(within_s, self._refuse, "slow")

    def abort(self) -> None:
        """Cut it off, whatever it has not taken yet."""
        if self._transport is not None:
            cut_off(self._transport)
        elif self.task is not None:
            self.task.cancel()

    def _refuse(self, reason: str) -> None:
        self._limits.refused[reason] += 1
        self.abort()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def cut_off(transport: asyncio.Transport) -> None:
    """Abort a connection; one whose TLS is ending already ends by itself, within asyncio's 30 s.

    The TLS transport of Python 3.11.2 (Debian 12) fails there, once it was closed twice; later ones do nothing.
    """
    with suppress(AttributeError):
        transport.abort()


def _displaced(inside: Iterable[LimitedConnection], newcomer: Hashable) -> LimitedConnection | None:
    """Choose the connection that gives way in a full room; None: the newcomer itself.

    Args:
        inside: Oldest first.
        newcomer: The owner of the one that wants to come in.
    """
    idle = [one for one in inside if one.idle_since is not None]
    if idle:
        idle.sort(key=lambda one: one.idle_since or 0.0)
        largest = most_of(one.owner for one in idle)
        return next(one for one in idle if one.owner == largest)
    owner = crowding((one.owner for one in inside), newcomer)
    return next((one for one in inside if one.owner == owner), None) if owner is not None else None
