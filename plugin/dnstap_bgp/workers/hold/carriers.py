"""Carriers of questions by connections: what they share, and sequenced packets.

All of it runs in the hold thread, and nothing blocks.

Whoever can write to a socket is not trusted with more than asking: a reply is one small message, sent at once or
dropped and counted, to whoever has asked and nobody else.
"""

import contextlib
import socket
from collections.abc import Callable, Hashable
from typing import Protocol

from dnstap_bgp.core.hold.message import QUESTION_MAX_BYTES

Ask = Callable[[bytes, "Asker"], None]
"""Takes a message, and whom a reply goes to."""


class Asker(Protocol):
    """Whoever has asked, and is waiting for the reply.

    Attributes:
        owner: Who that is, for fair shares.
    """

    owner: Hashable

    def reply(self, data: bytes) -> bool:
        """Send a reply at once, or not at all; tells whether it was sent."""


class HookConnection(Asker, Protocol):
    """A hook's connection.

    Attributes:
        sock: Its socket.
        asked: Messages that came.
        is_open: False once it is closed.
        deadline: The time at which it is closed, process clock; None: never.
        problem: Why it was ended, for the log; empty: by itself.
    """

    sock: socket.socket
    asked: int
    is_open: bool
    deadline: float | None
    problem: str

    @property
    def has_more(self) -> bool:
        """Tell whether a message is here that no selector tells of."""

    @property
    def is_shaking_hands(self) -> bool:
        """Tell whether what comes next is a step of a handshake, which costs as much as many questions."""

    def receive(self) -> None:
        """Take some of what has come."""


class PacketConnection:
    """A hook's connection of sequenced packets (unix(7)): each packet is a question or a reply.

    Attributes:
        sock: Its socket.
        owner: Who has connected; see `fair_share.owner_of`.
        asked: Packets that came.
        is_open: False once it is closed.
        deadline: None: it may be silent for days.
        problem: Empty: it ends by itself.
        is_shaking_hands: False: there is no handshake.
    """

    __slots__ = (
        "_ask",
        "_on_end",
        "asked",
        "deadline",
        "has_more",
        "is_open",
        "is_shaking_hands",
        "owner",
        "problem",
        "sock",
    )

    def __init__(
        self, sock: socket.socket, owner: Hashable, ask: Ask, on_end: Callable[["PacketConnection"], None]
    ) -> None:
        self.sock = sock
        self.owner = owner
        self.asked = 0
        self.is_open = True
        self.deadline: float | None = None
        self.problem = ""
        self.has_more = self.is_shaking_hands = False
        self._ask = ask
        self._on_end = on_end

    def receive(self) -> None:
        """Take one packet."""
        if not self.is_open:  # closed earlier in this round of the selector, to make room
            return
        try:
            data = self.sock.recv(QUESTION_MAX_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_end(self)
            return
        self.asked += 1
        self._ask(data, self)

    def reply(self, data: bytes) -> bool:
        """Send a reply at once, or not at all; tells whether it was sent."""
        if not self.is_open:
            return False
        with contextlib.suppress(OSError):  # it is gone, which its next turn finds; or it does not read
            return self.sock.send(data) == len(data)
        return False
