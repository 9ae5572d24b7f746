"""Carrier for resolvers on other machines: TLS with client certificates; imported only where a listener speaks it.

Each message has its length, 16 bits, in front. A reply that a hook does not take ends its connection, since half of one
would spoil all that follow.
"""

import contextlib
import socket
from collections.abc import Callable, Hashable

from dnstap_bgp.config import HoldConfig
from dnstap_bgp.core.hold.message import QUESTION_MAX_BYTES
from dnstap_bgp.errors import FrameError
from dnstap_bgp.workers.hold.carriers import Ask
from dnstap_bgp.workers.net.tls import server_context
from dnstap_bgp.workers.tap.tls_wire import TlsWire

HANDSHAKE_S = 5.0
"""The time from a connection to the end of its handshake, and from a message's first byte to its last."""
MESSAGES_PER_TURN = 16

_LENGTH_BYTES = 2


class HoldTls:
    """The service's certificate, and whom it trusts, as their files were when this was made."""

    def __init__(self, config: HoldConfig) -> None:
        """Read the files.

        Raises:
            ListenerError: One of them can't be used; the message names its key and path.
        """
        assert config.tls_cert is not None, "the configuration refuses a TLS endpoint without it"
        assert config.tls_client_ca is not None, "and without this"
        self._context = server_context(config.tls_cert, config.tls_key, ("tls_client_ca", config.tls_client_ca))

    def wire(self, sock: socket.socket) -> TlsWire:
        """TLS on a connection that was just accepted and doesn't block."""
        return TlsWire(sock, self._context)


class TlsConnection:
    """A hook's connection from another machine.

    Attributes:
        sock: Its socket.
        owner: Who has connected; see `fair_share.owner_of`.
        asked: Messages that came.
        is_open: False once it is closed.
        deadline: The time at which it is closed, process clock; None: nothing of it is under way.
        problem: Why it was ended, for the log; empty: by itself.
    """

    __slots__ = (
        "_ask",
        "_begun",
        "_clock",
        "_on_end",
        "_wire",
        "asked",
        "deadline",
        "is_open",
        "owner",
        "problem",
        "sock",
    )

    def __init__(
        self,
        sock: socket.socket,
        wire: TlsWire,
        owner: Hashable,
        *,
        ask: Ask,
        on_end: Callable[["TlsConnection"], None],
        clock: Callable[[], float],
    ) -> None:
        self.sock = sock
        self.owner = owner
        self.asked = 0
        self.is_open = True
        self.problem = ""
        self.deadline: float | None = clock() + HANDSHAKE_S
        self._wire = wire
        self._ask = ask
        self._on_end = on_end
        self._clock = clock
        self._begun = bytearray()

    @property
    def has_more(self) -> bool:
        """Tell whether the last turn has left a whole message or decrypted bytes, of which no selector tells."""
        return self._has_whole or self._wire.more

    @property
    def _has_whole(self) -> bool:
        begun = self._begun
        return len(begun) >= _LENGTH_BYTES and len(begun) >= _LENGTH_BYTES + int.from_bytes(begun[:_LENGTH_BYTES])

    @property
    def is_shaking_hands(self) -> bool:
        """Tell whether the handshake is not over: it takes some ms, of whoever connects."""
        return not self._wire.is_open

    def receive(self) -> None:
        """Take some of what has come: whole messages, and the beginning of one."""
        if not self.is_open:
            return
        asked = self.asked
        if not self._has_whole:
            self._read()
        self._take()
        if self.is_open and self._wire.is_open:
            if not self._begun:
                self.deadline = None
            elif self.deadline is None or self.asked > asked:  # what is left belongs to another message now
                self.deadline = self._clock() + HANDSHAKE_S

    def reply(self, data: bytes) -> bool:
        """Send a reply at once, or not at all; tells whether it was sent."""
        if not self.is_open:
            return False
        with contextlib.suppress(OSError):
            self._wire.send(len(data).to_bytes(_LENGTH_BYTES) + data)
            return True
        self.problem = "it does not take its replies"
        self._on_end(self)
        return False

    def _read(self) -> None:
        """Read until at least one message is whole, or nothing more is there."""
        chunk = memoryview(bytearray(QUESTION_MAX_BYTES))
        more = True
        while more and not self._has_whole:
            try:
                n = self._wire.recv_into(chunk)
            except BlockingIOError:
                return
            except (OSError, FrameError) as error:
                self.problem = str(error)
                n = 0
            if not n:
                self._on_end(self)
                return
            self._begun += chunk[:n]
            more = self._wire.more

    def _take(self) -> None:
        """Ask what is whole, so many messages at most."""
        begun, left = self._begun, MESSAGES_PER_TURN
        while self.is_open and left and self._has_whole:
            end = _LENGTH_BYTES + int.from_bytes(begun[:_LENGTH_BYTES])
            message = bytes(begun[_LENGTH_BYTES:end])
            del begun[:end]
            self.asked += 1
            left -= 1
            self._ask(message, self)
