"""The connections of DNSTap senders: admitted, received from, answered, closed; all of it in the tap thread.

A turn gives a connection that has something one `recv` of at most its buffer, so that eight that blast share fairly
and a slow one never waits long. What a chunk's frames gave goes to the keeper, once a chunk. Nothing blocks on a
sender: what we send to one is 58 bytes at most in its whole life, which any socket takes at once.

What senders get wrong is counted and kept by kind, with a text that says what to change.

A connection from its socket to its end:

    admitted     within `allow`, and a place is free or one that has not come to START gives way
    handshake    the deadline runs; the first frame tells who sends
    streaming    no deadline: a resolver may be silent for days, and a dead one is noticed by TCP keep-alive
    lingering    FINISH is sent, and our side shut down; the sender closes, or the deadline does
    closed       by its end, a fault, or a deadline; `open` is False, as its turn may still be due in this round
"""

import contextlib
import functools
import logging
import random
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

from dnstap_bgp.config import DnstapConfig, ListenAddress, TcpAddress
from dnstap_bgp.core.doctor.evidence import PASSED_MAX, sample_of
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.status.report import SenderStatus, Trouble
from dnstap_bgp.core.tap.framestream import BUFFER_BYTES, Fault, Feed, FrameStream, StreamState
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.core.tap.trust import read_sender
from dnstap_bgp.errors import FrameError
from dnstap_bgp.workers.net.fair_share import crowding, most_of, owner_of
from dnstap_bgp.workers.net.listeners import keep_alive, peer_address, peer_text
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.routes.keeper import Keeper

if TYPE_CHECKING:
    from dnstap_bgp.workers.tap.tls_wire import TapTls, TlsWire

SAMPLE = 128
"""Connections that are looked at to find one that gives way: those who hold many are among them."""

LIGHT_S = 0.001
"""A connection whose last chunk took longer waits for the others in its turn: 64 KiB on no list take less. So does one
that is at its TLS handshake."""

HEAVY_TURN_S = 0.02
"""For the chunks of such connections in one turn of the tap, one at least: so long do the others wait for them."""

CHUNK_FIRST_BYTES, CHUNK_MIN_BYTES = 1 << 14, 1 << 12
"""Bytes that are read at once: at first, and at least. Where a chunk takes longer than `HEAVY_TURN_S`, as one with
thousands of new addresses does, the next has half as many; where it takes a quarter of that, twice as many."""

LINGER_S = 2.0
"""After FINISH the sender closes; if we close first, bytes that it still sends destroy the FINISH it waits for."""


class Wire(Protocol):
    """The socket calls of a connection, made on its socket or on TLS on it; none of them blocks."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Act as the call of a socket does."""

    def send(self, data: bytearray, /) -> int:
        """Act as the call of a socket does."""

    def shutdown(self, how: int, /) -> None:
        """Act as the call of a socket does."""


class Connection:
    """One sender's connection.

    Attributes:
        wire: Its socket, or the TLS on it.
        identity: The sender's name as its frames tell it; None: it has sent none yet. `version` alike.
        sample: Bytes of a chunk, from a frame's start on; None: one is wanted, `sample_in` chunks from now.
        messages: Frames of a type that counts. `empty`: of these, those without a DNS message.
        chunks: Chunks of frames. `sampled_at`: so many when the last sample was taken.
        deadline: The time at which it is closed, process clock: START must come before, or the end after FINISH. None:
            it is streaming.
        open: False once its socket is closed.
        owner: Who has opened it; see `fair_share.owner_of`.
        cost_s: How long its last chunk took.
        chunk_bytes: At most so many are read at once.
        read_at: When it was read last, process clock.
    """

    __slots__ = (
        "bytes",
        "chunk_bytes",
        "chunks",
        "cost_s",
        "deadline",
        "empty",
        "frames",
        "identity",
        "listener",
        "messages",
        "open",
        "owner",
        "peer",
        "read_at",
        "sample",
        "sample_in",
        "sampled_at",
        "since",
        "sock",
        "stream",
        "version",
        "wire",
    )

    def __init__(self, sock: socket.socket, peer: str, listener: ListenAddress, frame_max_bytes: int) -> None:
        self.sock = sock
        self.wire: Wire = sock
        self.peer = peer
        self.listener = listener
        self.stream = FrameStream(frame_max_bytes)
        self.owner: Hashable = None
        self.since = 0.0
        self.deadline: float | None = None
        self.open = True
        self.cost_s = self.read_at = 0.0
        self.chunk_bytes = CHUNK_FIRST_BYTES
        self.bytes = 0
        self.frames = 0
        self.identity: str | None = None
        self.version = ""
        self.sample: bytes | None = None
        self.sample_in = self.sampled_at = self.chunks = self.messages = self.empty = 0

    def feed_and_sample(
        self, feed: Feed[Sighting], buffer: bytearray, start: int, end: int, frame_max: int
    ) -> tuple[int, list[Sighting]]:
        """Feed frames on as `feed` does, but read who sends and take a sample for the doctor before."""
        sender = read_sender(buffer, start, end)
        if sender is not None:
            self.identity, self.version = sender
            if self.sample is None and self.chunks >= self.sample_in:
                self.sample = sample_of(buffer, start, end, random.randrange(PASSED_MAX))  # noqa: S311 - guards nothing
        return feed(buffer, start, end, frame_max)

    def status(self, now: float) -> SenderStatus:
        """Copy how the connection stands."""
        return SenderStatus(
            peer=self.peer,
            listener=str(self.listener),
            state=self.stream.state.value,
            bidirectional=self.stream.bidirectional,
            age_s=round(now - self.since, 3),
            bytes=self.bytes,
            frames=self.frames,
            identity=self.identity or "",
            version=self.version,
        )


class Senders:
    """All connections of DNSTap senders.

    Attributes:
        config: Limits for what comes from now on; the tap replaces it.
        ingest: The reader of the data frames; replaced as a whole by a reload, in force with the next chunk.
        tls: The certificate for connections from now on, where their listener speaks TLS.
        connections: The open ones.
        accepted: Connections since the start, those turned away included.
    """

    def __init__(
        self,
        config: DnstapConfig,
        keeper: Keeper,
        ingest: Ingest,
        *,
        selector: selectors.BaseSelector,
        log: RateLimitedLog,
        clock: Callable[[], float],
    ) -> None:
        self.config = config
        self.ingest = ingest
        self.tls: TapTls | None = None
        self.connections: set[Connection] = set()
        self._of_listener: Counter[ListenAddress] = Counter()  # how many of them
        self.accepted = 0
        self._troubles: dict[str, tuple[int, str, float]] = {}  # kind -> how often, the last one, its time
        self._waiting: list[tuple[Connection, Callable[[], None]]] = []  # of this turn, see `_receive_in_turn`
        self._keeper = keeper
        self._selector = selector
        self._log = log
        self._clock = clock

    def troubles(self, now: float) -> tuple[Trouble, ...]:
        """Copy what senders got wrong so far, by kind; any thread may ask."""
        known = list(self._troubles.items())
        return tuple(Trouble(kind, times, last, round(now - at, 3)) for kind, (times, last, at) in known)

    def admit(self, sock: socket.socket, listener: ListenAddress) -> None:
        """Take over a socket that was just accepted: register it, or close it."""
        self.accepted += 1
        try:
            sock.settimeout(0)
            peer = peer_text(sock)
            is_allowed, owner = self._is_allowed(sock), owner_of(sock)
            if sock.family != socket.AF_UNIX:
                keep_alive(sock)
        except OSError:  # it is gone already
            sock.close()
            return
        if not is_allowed:
            self._note(Fault.NOT_ALLOWED, peer, "refused: it is not within `allow` of [dnstap]")
        if not is_allowed or not self._make_room(peer, listener, owner):
            sock.close()
            return
        connection = Connection(sock, peer, listener, self.config.frame_max_bytes)
        connection.owner = owner
        connection.since = self._clock()
        connection.deadline = connection.since + self.config.handshake_timeout_s
        self.connections.add(connection)
        self._of_listener[listener] += 1
        receive = functools.partial(self._receive, connection)
        if isinstance(listener, TcpAddress) and listener.tls:
            assert self.tls is not None, "the listener opened after it was made"
            connection.wire = wire = self.tls.wire(sock)
            # A handshake costs some ms, whoever it is of: it waits for the others in its turn, until a chunk is cheap.
            connection.cost_s, connection.read_at = 2 * LIGHT_S, connection.since
            receive = functools.partial(self._receive_tls, connection, wire)
        in_turn = functools.partial(self._receive_in_turn, connection, receive)
        self._selector.register(sock, selectors.EVENT_READ, in_turn)

    def end_turn(self, *, is_last: bool = False) -> None:
        """Read the connections that have waited in this turn, longest unread first, as many as `HEAVY_TURN_S` allows.

        The others stay ready, and wait for their next turn. So whoever sends what is costly (a flood of new addresses
        on a list, say) shares this time with others who do, and delays nobody else by more.

        Args:
            is_last: The tap ends: all are read.
        """
        waiting, self._waiting = self._waiting, []
        waiting.sort(key=lambda one: one[0].read_at)
        end = self._clock() + HEAVY_TURN_S
        for _, receive in waiting:
            receive()
            if self._clock() >= end and not is_last:
                return

    def time_out(self, now: float) -> None:
        """Close the connections whose deadline has passed."""
        for connection in [one for one in self.connections if one.deadline is not None and one.deadline <= now]:
            if not connection.stream.over:
                seconds = f"{self.config.handshake_timeout_s:g} s"
                if connection.bytes or getattr(connection.wire, "began", False):
                    self._note(Fault.SLOW, connection.peer, f"began, but did not send START within {seconds}")
                else:
                    self._note(Fault.SILENT, connection.peer, f"connected and sent nothing for {seconds}")
            self._drop(connection)

    def read_whole_chunks(self) -> None:
        """Read as much as there is room for from now on: the tap ends, and nobody waits for the others."""
        for connection in self.connections:
            connection.chunk_bytes = BUFFER_BYTES

    def close(self) -> None:
        """Close all connections; senders connect again when they next find a listener."""
        for connection in list(self.connections):
            self._drop(connection)

    # -- who comes in

    def _is_allowed(self, sock: socket.socket) -> bool:
        if sock.family == socket.AF_UNIX or not self.config.allow:
            return True
        address = peer_address(sock)
        return any(address in network for network in self.config.allow)

    def _make_room(self, peer: str, listener: ListenAddress, owner: Hashable) -> bool:
        """Have a place for a newcomer, at the limit in the place of another connection; False: there is none.

        The cases, in this order:

            1. a connection without a data frame goes: of the listener and the owner that have the most of such, first
               one without START, then the oldest; so a flood of connections that say nothing, or START and nothing
               more, keeps no sender out, and takes no place but its own
            2. the newcomer's listener has less than an equal share of the places: a connection of the listener that
               has the most goes
            3. another owner at the same listener has clearly more than the newcomer's (`fair_share`): one of it goes
            4. the newcomer is refused

        In 2 and 3 it is the one with the fewest frames of that listener's largest owner.
        """
        limit = self.config.connections_max
        if len(self.connections) < limit:
            return True
        silent = [one for one in self.connections if not one.frames]
        displaced = _first_silent(_sample(silent)) if silent else self._beyond_share(listener, owner)
        if displaced is None:
            self._note(Fault.LIMIT, peer, f"refused: {limit} connections (connections_max) are streaming")
            return False
        if not displaced.stream.over:
            what = "a START" if displaced.deadline is not None else "a frame"
            why = f"with {displaced.frames} frames, one of many" if displaced.frames else f"without {what}"
            self._note(Fault.CROWDED, displaced.peer, f"closed {why}, to make room for another connection")
        self._drop(displaced)
        return True

    def _beyond_share(self, listener: ListenAddress, owner: Hashable) -> Connection | None:
        """Choose a connection of those that hold more than their share; None: nobody does."""
        listeners = self._of_listener
        share = self.config.connections_max // max(1, len(self.config.listen))
        most, held = listeners.most_common(1)[0]
        crowded = most if listeners[listener] < share and held >= listeners[listener] + 2 else listener
        inside = [one for one in _sample(list(self.connections)) if one.listener == crowded]
        largest = crowding([one.owner for one in inside], owner)
        if largest is None and inside and crowded != listener:  # a place each: one of them goes all the same
            largest = max(inside, key=lambda one: one.since).owner
        return min([one for one in inside if one.owner == largest], key=lambda one: one.frames, default=None)

    # -- what they send

    def _receive_in_turn(self, connection: Connection, receive: Callable[[], None]) -> None:
        """Read a connection now, or at the end of this turn if its last chunk took long."""
        if connection.cost_s > LIGHT_S:
            self._waiting.append((connection, receive))
        else:
            receive()

    def _receive(self, connection: Connection) -> None:
        """Take one turn of one connection: the hot path, once a chunk.

        The order matters: what the chunk's frames gave is observed before the stream's state is looked at, so that
        good frames ahead of a fault, or of STOP, count.
        """
        if not connection.open:  # closed earlier in this round of the selector, to make room
            return
        stream = connection.stream
        try:
            n = connection.wire.recv_into(stream.free()[: connection.chunk_bytes])
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(connection, error.strerror)
            return
        if not n:
            self._ended(connection, None)
            return
        ingest = self.ingest  # a reload may replace it at any time: one chunk has one rule set
        counters = ingest.counters
        before, costly = counters.frames, counters.costly
        messages, empty = counters.messages, counters.empty
        # the doctor's sample, of a chunk that chance chose; the first chunk tells besides who sends
        is_sampled = connection.sample is None and ingest.reads and connection.chunks >= connection.sample_in
        feed = functools.partial(connection.feed_and_sample, ingest.feed) if is_sampled else ingest.feed
        began = self._clock()
        sightings = stream.received(n, feed)
        if sightings:
            self._keeper.observe(sightings, ingest.rules)
        connection.bytes += n
        _charge(connection, began, self._clock())
        if counters.frames != before:
            connection.frames += counters.frames - before
            connection.messages += counters.messages - messages
            connection.empty += counters.empty - empty
            connection.chunks += 1
        if counters.costly != costly:
            text = f"{counters.costly - costly} answers of one chunk were skipped: they are made to cost much"
            self._note(Fault.COSTLY, connection.peer, text)
        if stream.state is not StreamState.STREAMING or connection.deadline is not None:
            self._follow(connection)

    def _receive_tls(self, connection: Connection, wire: "TlsWire") -> None:
        """Take a turn of a TLS connection: the selector can't tell of bytes decrypted already (up to 64 KiB)."""
        began = self._clock()
        try:
            self._receive(connection)
            while connection.open and wire.more:
                self._receive(connection)
        except FrameError as error:
            self._note(error.fault, connection.peer, f"{error} (to {connection.listener})")
            self._drop(connection)
        # Records of a byte each take 4 ms a chunk before anything of it is fed, and a handshake feeds nothing at all.
        connection.read_at = self._clock()
        connection.cost_s = max(connection.cost_s, connection.read_at - began)

    def _follow(self, connection: Connection) -> None:
        """Do what the stream's state asks for, after a chunk of the handshake or of the end."""
        stream = connection.stream
        if stream.error is not None:
            self._note(stream.error.fault, connection.peer, f"{stream.error} (to {connection.listener})")
            self._drop(connection)
            return
        if stream.replies and not self._reply(connection):
            return
        if stream.state is StreamState.STREAMING:
            connection.deadline = None
            how = "bidirectional" if stream.bidirectional else "unidirectional"
            text = "%s sends DNSTap to %s (%s)"
            self._log.log(logging.INFO, "start", text, connection.peer, connection.listener, how)
        elif stream.over and not stream.bidirectional:
            self._ended(connection, None)

    def _reply(self, connection: Connection) -> bool:
        """Send ACCEPT or FINISH; False: the sender doesn't take it (unbound leaves after STOP), and is dropped."""
        replies = connection.stream.replies
        try:
            sent = connection.wire.send(replies)
            reason = "" if sent == len(replies) else "no room for 58 bytes"
        except OSError as error:
            reason = error.strerror or "gone"
        if reason:
            self._ended(connection, reason)
            return False
        replies.clear()
        if connection.stream.over:
            connection.deadline = self._clock() + LINGER_S
            with contextlib.suppress(OSError):  # it is gone, which the next turn sees
                connection.wire.shutdown(socket.SHUT_WR)
        return True

    # -- how they end

    def _ended(self, connection: Connection, reason: str | None) -> None:
        """Take note that the sender has ended its connection, or that the network has, for a reason."""
        stream = connection.stream
        stream.ended()
        if stream.error is not None:
            self._note(stream.error.fault, connection.peer, reason or str(stream.error))
        elif connection.bytes:
            text = "%s ended its DNSTap stream after %d frames%s"
            suffix = f": {reason}" if reason else ""
            self._log.log(logging.INFO, "end", text, connection.peer, connection.frames, suffix)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.open = False
        if connection in self.connections:
            self.connections.discard(connection)
            self._of_listener[connection.listener] -= 1
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _note(self, kind: str, peer: str, text: str) -> None:
        times, _, _ = self._troubles.get(kind, (0, "", 0.0))
        last = f"{peer}: {text}"
        self._troubles[kind] = times + 1, last, self._clock()
        self._log.log(logging.WARNING, kind, "DNSTap sender %s", last)


def _charge(connection: Connection, began: float, now: float) -> None:
    """Note how long a chunk took, and have the next one be as long as is good for the others."""
    connection.read_at, connection.cost_s = now, now - began
    if connection.cost_s > HEAVY_TURN_S:
        connection.chunk_bytes = max(CHUNK_MIN_BYTES, connection.chunk_bytes // 2)
    elif connection.cost_s < HEAVY_TURN_S / 4:
        connection.chunk_bytes = min(BUFFER_BYTES, connection.chunk_bytes * 2)


def _sample(connections: list[Connection]) -> list[Connection]:
    """Take some of many, at random: looking at 4,096 for each newcomer of a flood would stall the tap."""
    return connections if len(connections) <= SAMPLE else random.sample(connections, SAMPLE)


def _first_silent(silent: Sequence[Connection]) -> Connection:
    """Choose among connections without a frame: where the most are, one without START, the oldest of these."""
    crowded = most_of(one.listener for one in silent)
    inside = [one for one in silent if one.listener == crowded]
    largest = most_of(one.owner for one in inside)
    return min(
        [one for one in inside if one.owner == largest],
        key=lambda one: (one.deadline is None, one.since),
    )
