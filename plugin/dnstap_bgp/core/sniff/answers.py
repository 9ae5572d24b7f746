"""Answers that count among all DNS messages on the wire, and the DNSTap frame of each.

Anybody can write a server's address into a packet, into a question and into its answer alike. So of a configured
server that is

    this host    an answer counts if it leaves this host and was not seen to come in; over IPv6, which routers pass on
                 without a look at its source, only where its question was seen to come in
    elsewhere    an answer counts if it comes in by an interface where its question (the same address and port, the
                 same ID and question) was seen to leave shortly before, and was not seen to come in

Who sends both from one side of a router reaches nothing by it. Who sends answers from the server's side has to guess
the port and the ID of a question within seconds, as with any resolver; who can send on both sides has not. At a port
that mirrors a switch questions and answers come in by one interface: there anybody in it can forge both.

An answer that is seen on several interfaces (a bridge and its ports, a tunnel and what it goes through) counts once.
"""

import struct
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dnstap_bgp.core.sniff.packets import DNS_PORT, TCP, UDP, Packet, PacketReader
from dnstap_bgp.core.sniff.tcp import TcpMessages

QUESTION_S = 5.0
"""A resolver that takes longer has been given up by its client."""

QUESTIONS_MAX = 262_144
"""50,000 a second for 5 s, in 45 MB; of more the newest are there. Each is kept as its hash, whose key nobody knows."""

PLACES_MAX = 16
"""Interfaces of one question: a bridge, its ports, a VLAN and a tunnel, in and out, are fewer. Whoever may send tags
has millions, and each question would take longer than the one before."""

REPEAT_S = 2.0
"""What comes twice within this is the same answer on another interface, or a repeated one, which tells nothing new."""

REPEATS_MAX = 131_072

CAME_IN_MAX = 16_384
"""Answers in this host's name that came in; a router sends them on within microseconds."""

_HEADER_BYTES = 12
_FLAGS = struct.Struct("!HHHH")  # ID, flags, questions, answers (RFC 1035, 4.1.1)
_RESPONSE, _OPCODE, _RCODE = 0x8000, 0x7800, 0x000F
_NAME_MAX = 255

# Fields of dnstap.proto: the key of each, a field's number and its wire type.
_TYPE, _FAMILY, _PROTOCOL = b"\x08\x06", b"\x10", b"\x18"  # Message.type = CLIENT_RESPONSE
_QUERY_ADDRESS, _RESPONSE_ADDRESS, _QUERY_PORT, _RESPONSE_PORT = b"\x22", b"\x2a", b"\x30", b"\x38"
_RESPONSE_MESSAGE, _MESSAGE, _IS_MESSAGE = b"\x72", b"\x72", b"\x78\x01"
_IDENTITY, _VERSION = b"\x0a", b"\x12"
_ADDRESS_4, _ADDRESS_16 = _QUERY_ADDRESS + b"\x04", _QUERY_ADDRESS + b"\x10"
_AROUND_BYTES = 2 + 1 + 3 + 1 + 3
"""Of a frame's message: keys and lengths of the client's address, its port and the DNS message."""


@dataclass(slots=True)
class SniffCounters:
    """Counts of what was seen.

    Attributes:
        packets: All that came through the kernel's filter.
        questions: To a configured server.
        answers: That were sent on.
        empty: Answers without any address or alias, which nobody needs.
        unasked: Answers in a server's name that this host has not sent, and whose question did not leave by the
            interface where they came in; of an IPv6 address of this host, whose question did not come in where they
            leave.
        passed_on: Answers of a server elsewhere that leave this host, which count when they come in.
        repeated: Answers that were seen before.
    """

    packets: int = 0
    questions: int = 0
    answers: int = 0
    empty: int = 0
    unasked: int = 0
    passed_on: int = 0
    repeated: int = 0


class _Recent:
    """Set of what was added within some seconds, in bounded memory: two generations, of which the older is dropped."""

    __slots__ = ("_began", "_generation_s", "_new", "_old", "_size")

    def __init__(self, within_s: float, size: int) -> None:
        self._generation_s, self._size = within_s, size // 2
        self._new: dict[int, float] = {}
        self._old: dict[int, float] = {}
        self._began = 0.0

    def add(self, key: int, now: float) -> None:
        if len(self._new) >= self._size or now - self._began > self._generation_s:
            self._old = self._new if now - self._began <= 2 * self._generation_s else {}
            self._new, self._began = {}, now
        self._new[key] = now

    def has(self, key: int, now: float) -> bool:
        at = self._new.get(key)
        if at is None:
            at = self._old.get(key)
        return at is not None and now - at <= self._generation_s


class _Questions:
    """Questions of the last seconds, each with the interfaces where it was seen, in bounded memory as `_Recent`.

    An interface is positive where the question came in, and negative where it left. That it left is needed as well:
    the copy that came in may be among the packets that a flood has lost.
    """

    __slots__ = ("_began", "_new", "_old")

    def __init__(self) -> None:
        self._new: dict[int, tuple[float, *tuple[int, ...]]] = {}  # when it was seen last, and where
        self._old: dict[int, tuple[float, *tuple[int, ...]]] = {}
        self._began = 0.0

    def add(self, key: int, now: float, interface: int) -> None:
        # All that is known of a question stands in one value: it is never forgotten where it came in before it itself.
        known = self._new.get(key) or self._old.get(key) or (now,)
        if len(self._new) >= QUESTIONS_MAX // 2 or now - self._began > QUESTION_S:
            self._old = self._new if now - self._began <= 2 * QUESTION_S else {}
            self._new, self._began = {}, now
        places = known[1:]
        # Beyond the limit a newcomer is left out, and nothing that is known: without the place where a question came
        # in, it would seem to have only left there.
        is_known = interface in places or len(places) >= PLACES_MAX
        self._new[key] = (now, *places) if is_known else (now, *places, interface)

    def seen_at(self, key: int, now: float) -> tuple[int, ...]:
        """Give the interfaces where a question was seen; none: it was not asked."""
        found = self._new.get(key) or self._old.get(key)
        return () if found is None or now - found[0] > QUESTION_S else found[1:]


class AnswerReader:
    """Reader of packets that gives the DNSTap frames of the answers that count.

    Attributes:
        own: The addresses of this host, beside 127.0.0.0/8: what leaves it in another server's name is only passed on,
            as a router does, and anybody may have sent it.
        counters: What was seen.
        packets: Reads packets; has counters of its own.
        streams: Reads TCP; has counters of its own.
    """

    def __init__(
        self,
        servers: frozenset[bytes],
        identity: bytes,
        version: bytes,
        own: AbstractSet[bytes] = frozenset(),
        *,
        is_mirror: bool = False,
    ) -> None:
        """Start with nothing seen.

        Args:
            servers: Packed addresses of the resolvers.
            identity: The frames' identity: who has seen them.
            version: The frames' version text.
            own: See the attribute.
            is_mirror: Questions and answers of others come in by one interface, as at a port that mirrors a switch.
        """
        self.own = own
        self.counters = SniffCounters()
        self.packets = PacketReader()
        self.streams = TcpMessages()
        self._servers = servers
        self._is_mirror = is_mirror
        self._asked = _Questions()
        self._seen = _Recent(REPEAT_S, REPEATS_MAX)
        self._came_in = _Recent(REPEAT_S, CAME_IN_MAX)  # in this host's name: forged, but may be passed on and leave
        self._head = _bytes_field(_IDENTITY, identity) + _bytes_field(_VERSION, version) + _MESSAGE
        self._fixed: dict[tuple[bytes, int], bytes] = {}  # (server, protocol) -> the fields that these decide

    def read(self, packet: bytes, now: float, *, outgoing: bool, interface: int) -> list[bytes]:
        """Read one packet.

        Args:
            packet: From its IP header on.
            now: Seconds, never going back.
            outgoing: It leaves this host.
            interface: The number of the interface where it does, or where it comes in, VLAN included; from 1 on.

        Returns:
            The frames of the answers that count by it, mostly none or one.
        """
        self.counters.packets += 1
        found = self.packets.read(packet, now, -interface if outgoing else interface)
        if found is None:
            return []
        if found.protocol == UDP:
            frame = self._message(found, found.data, now, interface, outgoing=outgoing)
            return [] if frame is None else [frame]
        is_answer = found.source_port == DNS_PORT and found.source in self._servers
        if not is_answer and not (found.target_port == DNS_PORT and found.target in self._servers):
            return []
        frames = []
        if is_answer:
            is_own = self._is_own(found.source)
            same = hash(found[1:])
            if is_own and not outgoing:
                self._came_in.add(same, now)
            if outgoing is not is_own or self._came_in.has(same, now):
                return []  # none of them counts, so none takes the place of a connection
        for message in self.streams.read((*found[1:5], interface, outgoing), found.data):
            frame = self._message(found, message, now, interface, outgoing=outgoing)
            if frame is not None:
                frames.append(frame)
        return frames

    def _is_own(self, address: bytes) -> bool:
        return address in self.own or (len(address) == 4 and address[0] == 127)

    def _message(self, packet: Packet, message: bytes, now: float, interface: int, *, outgoing: bool) -> bytes | None:
        if len(message) < _HEADER_BYTES:
            return None
        number, flags, questions, _ = _FLAGS.unpack_from(message)
        if flags & _OPCODE or questions != 1:
            return None
        if flags & _RESPONSE and packet.source_port == DNS_PORT and packet.source in self._servers:
            return self._answer(packet, message, now, interface, outgoing=outgoing)
        if not flags & _RESPONSE and packet.target_port == DNS_PORT and packet.target in self._servers:
            self._note(packet, number, message, now, -interface if outgoing else interface)
        return None

    def _answer(self, packet: Packet, message: bytes, now: float, interface: int, *, outgoing: bool) -> bytes | None:
        number, flags, _, answers = _FLAGS.unpack_from(message)
        if not answers or flags & _RCODE:
            self.counters.empty += 1
            return None
        _, source, _, target, target_port, _ = packet
        same = hash((target, target_port, source, message))
        if self._seen.has(same, now):
            self.counters.repeated += 1
            return None
        # The cases, by the server:
        # this host, coming in   forged
        # this host, leaving     counts unless it has come in. Over IPv6 its question must have come in there, too: the
        #                        sight of the answer's own coming in may be lost in a flood
        # elsewhere, leaving     passed on: counts when it comes in
        # elsewhere, coming in   counts where its question left
        if self._is_own(source):
            if not outgoing:
                self._came_in.add(same, now)
            is_believed = (
                outgoing
                and not self._came_in.has(same, now)
                and (len(source) == 4 or interface in self._asked_at(packet, number, message, now))
            )
        elif outgoing:
            self.counters.passed_on += 1
            return None
        else:
            seen_at = self._asked_at(packet, number, message, now)
            is_believed = bool(seen_at) if self._is_mirror else -interface in seen_at and interface not in seen_at
        if not is_believed:
            self.counters.unasked += 1
            return None
        self._seen.add(same, now)
        self.counters.answers += 1
        return self._frame(packet, message)

    def _asked_at(self, packet: Packet, number: int, message: bytes, now: float) -> tuple[int, ...]:
        """Give the interfaces where the question of an answer was seen."""
        _, source, _, target, target_port, _ = packet
        return self._asked.seen_at(hash((target, target_port, source, number, _question(message))), now)

    def _note(self, packet: Packet, number: int, message: bytes, now: float, interface: int) -> None:
        self.counters.questions += 1
        _, source, source_port, target, _, _ = packet
        self._asked.add(hash((source, source_port, target, number, _question(message))), now, interface)

    def _frame(self, packet: Packet, message: bytes) -> bytes:
        protocol, source, _, target, target_port, _ = packet
        fixed = self._fixed.get((source, protocol))
        if fixed is None:
            fixed = self._fixed[source, protocol] = _fixed_fields(source, protocol)
        # All lengths are written in three bytes: then none of the parts need be joined before its length is known.
        size = len(fixed) + len(target) + len(message) + _AROUND_BYTES
        return b"".join(
            (
                self._head,
                _varint3(size),
                fixed,
                _ADDRESS_4 if len(target) == 4 else _ADDRESS_16,
                target,
                _QUERY_PORT,
                _varint3(target_port),
                _RESPONSE_MESSAGE,
                _varint3(len(message)),
                message,
                _IS_MESSAGE,
            )
        )


def _question(message: bytes) -> bytes:
    """Give the question as it stands on the wire, in lower case; what is no question compares like one of its bytes."""
    end = message.find(b"\0", _HEADER_BYTES, _HEADER_BYTES + _NAME_MAX)  # in a label, a zero only ends it earlier
    return message[_HEADER_BYTES : end + 5].lower()


def _fixed_fields(source: bytes, protocol: int) -> bytes:
    """Write the fields that a server and the way to it decide."""
    family = b"\x01" if len(source) == 4 else b"\x02"
    way = b"\x02" if protocol == TCP else b"\x01"
    port = _RESPONSE_PORT + _varint(DNS_PORT)
    return b"".join((_TYPE, _FAMILY, family, _PROTOCOL, way, _bytes_field(_RESPONSE_ADDRESS, source), port))


def _varint3(value: int) -> bytes:
    """Write a number below 2^21 in three bytes, as a varint may be padded."""
    return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(key: bytes, value: bytes) -> bytes:
    return key + _varint(len(value)) + value
