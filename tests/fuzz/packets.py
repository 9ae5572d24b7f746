"""Packets off the wire: whatever comes, what is given is a DNSTap frame of an answer that was there, in bounded memory.

Whole UDP datagrams are held against a plain reading of their headers. An input is a sequence of packets: raw, or made
of choices: fragments in any order, TCP segments that overlap, are early, or come twice, of IPv4 and IPv6.
"""

import random
import struct
from collections.abc import Iterator

from dnstap_bgp.core.sniff import packets as module
from dnstap_bgp.core.sniff import tcp
from dnstap_bgp.core.sniff.answers import AnswerReader
from dnstap_bgp.core.sniff.packets import TCP, UDP, PacketReader
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from tests.fuzz.choices import Choices
from tests.property.whole_world import answer

COVERS = {
    "dnstap_bgp.core.sniff.answers": 0.9,
    "dnstap_bgp.core.sniff.packets": 0.95,
    "dnstap_bgp.core.sniff.tcp": 0.9,
}
SERVER4, CLIENT4 = bytes((192, 0, 2, 53)), bytes((192, 0, 2, 7))
SERVER6, CLIENT6 = bytes.fromhex("20010db8") + bytes(11) + b"\x53", bytes.fromhex("20010db8") + bytes(11) + b"\x07"
ANSWERS = [
    answer(b"a.example", [bytes((11, 0, 0, 1))], 60),
    answer(b"a.example", [bytes((11, 0, 0, number)) for number in range(90)], 60),
    answer(b"b.example", [bytes(15) + b"\1"], 60, alias=b"c.test"),
]


def one_input(data: bytes) -> None:
    dice = Choices(data)
    own = dice.choice([frozenset(), frozenset({SERVER4}), frozenset({SERVER4, SERVER6})])
    reader = AnswerReader(frozenset({SERVER4, SERVER6}), b"sniff", b"1", own)
    parts = b""  # everything that a packet has carried so far
    now = 100.0
    while dice:
        for packet in made(dice) if dice.random() < 0.8 else [dice.chunk()]:
            outgoing = leaves(packet, own) is (dice.random() < 0.9)
            parts += packet
            check_datagram(packet)
            for frame in reader.read(packet, now, outgoing=outgoing, interface=1 + (dice.random() > 0.9)):
                check_frame(frame)
                assert outgoing is (Frame.FromString(frame).message.response_address in own)
        now += dice.choice([0.0, 0.1, 1.0, 3.0, 10.0])
        check_memory(reader)
    assert reader.counters.answers <= reader.counters.packets + len(parts) // 14


def leaves(packet: bytes, own: frozenset[bytes]) -> bool:
    """Whether a packet leaves this host as a rule: answers of its own addresses, and questions to others."""
    version = packet[:1] and packet[0] >> 4
    source, target = (packet[8:24], packet[24:40]) if version == 6 else (packet[12:16], packet[16:20])
    return source in own if source in {SERVER4, SERVER6} else target not in own


def check_frame(payload: bytes) -> None:
    frame = Frame.FromString(payload)
    assert frame.type == 1
    assert frame.message.type == 6
    assert frame.message.response_address in (SERVER4, SERVER6)
    _, flags, _, answers = struct.unpack_from("!4H", frame.message.response_message)
    assert flags & 0x8000
    assert answers


def check_datagram(packet: bytes) -> None:
    """Read one packet that is no fragment as RFC 791, 8200 and 768 say it."""
    reader = PacketReader()
    found = reader.read(packet, 0.0, 1)
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != UDP:
        return
    size, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    if int.from_bytes(packet[6:8], "big") & 0x3FFF or size < 20 or not size + 8 <= total <= len(packet):
        return
    length = int.from_bytes(packet[size + 4 : size + 6], "big")
    if not 8 <= length <= total - size:
        assert found is None
        return
    source_port, target_port = struct.unpack_from("!HH", packet, size)
    data = packet[size + 8 : size + length]
    assert found == (UDP, packet[12:16], source_port, packet[16:20], target_port, data)


def check_memory(reader: AnswerReader) -> None:
    pieces = reader.packets._pieces
    assert reader.packets._held == sum(
        len(one) + module.PIECE_BYTES for found in pieces.values() for one in found.by_offset.values()
    )
    assert reader.packets._held <= module.FRAGMENTS_MAX_BYTES
    streams = reader.streams._streams.values()
    held = sum(len(one.begun) + sum(map(len, one.early.values())) for one in streams)
    assert reader.streams._held == held <= tcp.HELD_MAX_BYTES
    assert all(len(one.early) <= tcp.EARLY_MAX for one in streams)


def made(dice: Choices) -> list[bytes]:
    """A conversation, or some of its packets: question and answer over UDP or TCP, cut and shuffled."""
    is_ipv6 = dice.random() < 0.3
    client, server = (CLIENT6, SERVER6) if is_ipv6 else (CLIENT4, SERVER4)
    message, port = dice.choice(ANSWERS), dice.choice([4000, 4001])
    question = message[:2] + b"\1\0\0\1" + bytes(6) + message[12:30]
    protocol = UDP if dice.random() < 0.5 else TCP
    if protocol == UDP:
        asks = [struct.pack("!HHHH", port, 53, 8 + len(question), 0) + question]
        answers = [struct.pack("!HHHH", 53, port, 8 + len(message), 0) + message]
    else:
        asks = [segment(port, 53, 10, 0x18, len(question).to_bytes(2, "big") + question)]
        stream = (len(message).to_bytes(2, "big") + message) * dice.randrange(1, 3)
        size, first = dice.choice([2000, 1, 40, 200]), dice.choice([100, 0xFFFFFFF0])
        answers = [segment(53, port, first - 1, 0x12, b"")] if dice.random() < 0.7 else []
        cuts = range(0, len(stream), size)
        answers += [
            segment(53, port, first + at, 0x18, stream[at : at + size + dice.choice([0, 0, 3])]) for at in cuts
        ][:60]
        if dice.random() < 0.3:
            answers.append(segment(53, port, first + len(stream), 0x11, b""))
    packets = [packet for one in asks for packet in wrapped(dice, client, server, protocol, one)]
    found = [packet for one in answers for packet in wrapped(dice, server, client, protocol, one)]
    if dice.random() < 0.3:
        dice.shuffle(found)
    if found and dice.random() < 0.2:
        found.append(dice.choice(found))
    if found and dice.random() < 0.2:
        at = dice.randrange(len(found))
        place = dice.randrange(len(found[at]))
        found[at] = found[at][:place] + dice.randbytes(1) + found[at][place + 1 :]
    return packets + found if dice.random() < 0.8 else found


def segment(source: int, target: int, sequence: int, flags: int, data: bytes) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, sequence & 0xFFFFFFFF, 0, 5 << 4, flags, 0, 0, 0) + data


def wrapped(dice: Choices, source: bytes, target: bytes, protocol: int, data: bytes) -> Iterator[bytes]:
    """IP packets: one, or fragments."""
    size = dice.choice([0, 0, 0, 8, 64, 512]) if protocol == UDP else 0
    number = dice.randrange(4)
    cuts = list(range(0, len(data), size))[:70] if size else [0]
    for at in cuts:
        part = data[at : at + size] if size else data
        more = bool(size) and at + size < len(data)
        if len(source) == 4:
            offset = at // 8 | (0x2000 if more else 0)
            yield (
                struct.pack("!BxHHHBBH", 0x45, 20 + len(part), number, offset, 64, protocol, 0) + source + target + part
            )
        elif size:
            header = struct.pack("!BxHI", protocol, at | more, number)
            yield struct.pack("!IHBB", 6 << 28, 8 + len(part), 44, 64) + source + target + header + part
        else:
            options = dice.choice([b"", b"", bytes((protocol, 0)) + bytes(6)])
            following = 0 if options else protocol
            yield (
                struct.pack("!IHBB", 6 << 28, len(part) + len(options), following, 64)
                + source
                + target
                + options
                + part
            )


def seeds() -> Iterator[bytes]:
    for seed in range(150):
        yield random.Random(seed).randbytes(30 + 2 * seed)
