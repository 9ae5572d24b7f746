"""The connections of DNSTap senders: admitted, received from, answered, closed; all of it in the tap thread.

A turn gives a connection that has something one `recv` of at most its buffer, so that eight that blast share fairly
and a slow one never waits long. What a chunk's frames gave goes to the keeper, once a chunk. Nothing blocks on a
sender: what we send to one is 58 bytes at most in its whole life, which any socket takes at once.

What senders get wrong is counted and kept by kind, with a text that says what to change.
"""

import contextlib
import functools
import logging
import selectors
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dnstap_bgp.config import DnstapConfig, ListenAddress, TcpAddress
from dnstap_bgp.core.doctor.clues import SAMPLE_MAX_BYTES
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.framestream import Feed, FrameStream, State
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.core.tap.introduction import introduction
from dnstap_bgp.errors import FrameError
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.tap.listeners import keep_alive, peer_address, peer_text
from dnstap_bgp.workers.tap.status import ConnectionStatus, Refusal, Trouble

if TYPE_CHECKING:
    from dnstap_bgp.workers.tap.tls import Tls, TlsWire

LINGER_S = 2.0
"""After FINISH the sender closes; closing first could destroy the FINISH that it waits for."""


class Wire(Protocol):
    """Where a connection's bytes come from and go to: its socket, or TLS on it. Neither call blocks."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """As that of a socket."""

    def send(self, data: bytearray, /) -> int:
        """As that of a socket."""

    def shutdown(self, how: int, /) -> None:
        """As that of a socket."""


class Connection:
    """One sender.

    Attributes:
        wire: Its socket, or the TLS on it.
        identity: What its frames say it is; None: it has sent none yet. `version` alike.
        sample: The first bytes of a chunk of frames; None: one is wanted, and taken with the next chunk.
        deadline: When it is closed, process clock: START must come before, or the end after FINISH. None: streaming.
        open: False once its socket is closed.
    """

    __slots__ = (
        "bytes",
        "deadline",
        "frames",
        "identity",
        "listener",
        "open",
        "peer",
        "sample",
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
        self.since = 0.0
        self.deadline: float | None = None
        self.open = True
        self.bytes = 0
        self.frames = 0
        self.identity: str | None = None
        self.version = ""
        self.sample: bytes | None = None

    def meet(
        self, feed: Feed[Sighting], buffer: bytearray, start: int, end: int, frame_max: int
    ) -> tuple[int, list[Sighting]]:
        """Look at the next frames before they are fed on: who the sender is, and a sample for the doctor."""
        met = introduction(buffer, start, end)
        if met is not None:
            self.identity, self.version = met
            self.sample = bytes(buffer[start : min(end, start + SAMPLE_MAX_BYTES)])
        return feed(buffer, start, end, frame_max)

    def status(self) -> ConnectionStatus:
        """A copy."""
        return ConnectionStatus(
            peer=self.peer,
            listener=self.listener,
            state=self.stream.state.value,
            bidirectional=self.stream.bidirectional,
            since=self.since,
            bytes=self.bytes,
            frames=self.frames,
            identity=self.identity or "",
            version=self.version,
        )


class Senders:
    """All connections.

    Attributes:
        config: Limits for what comes from now on; the tap replaces it.
        ingest: What reads the data frames; replaced as a whole by a reload, in force with the next chunk.
        tls: What encrypts connections from now on, where their listener speaks TLS.
        connections: Those that are open.
        accepted: Connections since the start, those turned away included.
        troubles: By kind.
    """

    def __init__(
        self,
        config: DnstapConfig,
        keeper: Keeper,
        ingest: Ingest,
        *,
        selector: selectors.BaseSelector,
        log: BoundedLog,
        clock: Callable[[], float],
    ) -> None:
        self.config = config
        self.ingest = ingest
        self.tls: Tls | None = None
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.troubles: dict[str, Trouble] = {}
        self._keeper = keeper
        self._selector = selector
        self._log = log
        self._clock = clock

    def admit(self, sock: socket.socket, listener: ListenAddress) -> None:
        """Take over a socket that was just accepted: register it, or close it."""
        self.accepted += 1
        try:
            sock.settimeout(0)
            peer = peer_text(sock)
            is_allowed = self._is_allowed(sock)
            if sock.family != socket.AF_UNIX:
                keep_alive(sock)
        except OSError:  # it is gone already
            sock.close()
            return
        if not is_allowed:
            self._note(Refusal.NOT_ALLOWED, peer, "refused: it is not within `allow` of [dnstap]")
        if not is_allowed or not self._make_room(peer):
            sock.close()
            return
        connection = Connection(sock, peer, listener, self.config.frame_max_bytes)
        connection.since = self._clock()
        connection.deadline = connection.since + self.config.handshake_timeout_s
        self.connections.add(connection)
        receive = functools.partial(self._receive, connection)
        if isinstance(listener, TcpAddress) and listener.tls:
            assert self.tls is not None, "the listener opened after it was made"
            connection.wire = wire = self.tls.wire(sock)
            receive = functools.partial(self._receive_tls, connection, wire)
        self._selector.register(sock, selectors.EVENT_READ, receive)

    def time_out(self, now: float) -> None:
        """Close the connections whose deadline has passed."""
        for connection in [one for one in self.connections if one.deadline is not None and one.deadline <= now]:
            if not connection.stream.over:
                seconds = f"{self.config.handshake_timeout_s:g} s"
                if connection.bytes or getattr(connection.wire, "began", False):
                    self._note(Refusal.SLOW, connection.peer, f"began, but did not send START within {seconds}")
                else:
                    self._note(Refusal.SILENT, connection.peer, f"connected and sent nothing for {seconds}")
            self._drop(connection)

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

    def _make_room(self, peer: str) -> bool:
        """At the limit, a newcomer takes the place of the one that has been longest without START, if there is one.

        So a flood of connections that say nothing keeps no sender out: its handshake takes less than a millisecond.
        """
        limit = self.config.connections_max
        if len(self.connections) < limit:
            return True
        waiting = [connection for connection in self.connections if connection.deadline is not None]
        if not waiting:
            self._note(Refusal.LIMIT, peer, f"refused: {limit} connections (connections_max) are streaming")
            return False
        oldest = min(waiting, key=lambda connection: connection.since)
        if not oldest.stream.over:
            self._note(Refusal.CROWDED, oldest.peer, "closed without a START, to make room for another connection")
        self._drop(oldest)
        return True

    # -- what they send

    def _receive(self, connection: Connection) -> None:
        """One turn of one connection: the hot path, per chunk."""
        if not connection.open:  # it was closed earlier in this turn, to make room
            return
        stream = connection.stream
        try:
            n = connection.wire.recv_into(stream.free())
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(connection, error.strerror)
            return
        if not n:
            self._ended(connection, None)
            return
        ingest = self.ingest
        before = ingest.counters.frames
        feed = ingest.feed if connection.sample is not None else functools.partial(connection.meet, ingest.feed)
        sightings = stream.received(n, feed)
        if sightings:
            self._keeper.observe(sightings, ingest.rules)
        connection.bytes += n
        connection.frames += ingest.counters.frames - before
        if stream.state is not State.STREAMING or connection.deadline is not None:
            self._follow(connection)

    def _receive_tls(self, connection: Connection, wire: "TlsWire") -> None:
        """The same where the selector can't tell of bytes that are decrypted already, of which a chunk gives 64 KiB."""
        try:
            self._receive(connection)
            while connection.open and wire.more:
                self._receive(connection)
        except FrameError as error:
            self._note(error.fault, connection.peer, f"{error} (to {connection.listener})")
            self._drop(connection)

    def _follow(self, connection: Connection) -> None:
        """Do what the stream's state asks for, after a chunk of the handshake or of the end."""
        stream = connection.stream
        if stream.error is not None:
            self._note(stream.error.fault, connection.peer, f"{stream.error} (to {connection.listener})")
            self._drop(connection)
            return
        if stream.replies and not self._reply(connection):
            return
        if stream.state is State.STREAMING:
            connection.deadline = None
            how = "bidirectional" if stream.bidirectional else "unidirectional"
            text = "%s sends DNSTap to %s (%s)"
            self._log.say(logging.INFO, "start", text, connection.peer, connection.listener, how)
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
        """The sender has ended the connection, or the network has, for a reason."""
        stream = connection.stream
        stream.ended()
        if stream.error is not None:
            self._note(stream.error.fault, connection.peer, reason or str(stream.error))
        elif connection.bytes:
            text = "%s ended its DNSTap stream after %d frames%s"
            suffix = f": {reason}" if reason else ""
            self._log.say(logging.INFO, "end", text, connection.peer, connection.frames, suffix)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.open = False
        self.connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _note(self, kind: str, peer: str, text: str) -> None:
        before = self.troubles.get(kind)
        last = f"{peer}: {text}"
        self.troubles[kind] = Trouble(kind, 1 + (before.count if before else 0), last, self._clock())
        self._log.say(logging.WARNING, kind, "DNSTap sender %s", last)
