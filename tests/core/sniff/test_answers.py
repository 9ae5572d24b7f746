"""Which answers count, and the frame of each as the tap reads it."""

import struct

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.sniff import answers
from dnstap_bgp.core.sniff.answers import AnswerReader, SniffCounters
from dnstap_bgp.core.tap import dnstap_pb2
from tests.core.sniff.wire import fragments4, ip, ipv4, ipv6, tcp, udp

CLIENT, SERVER, EVE = "192.0.2.1", "192.0.2.53", "203.0.113.6"
SERVER6, CLIENT6 = "2001:db8::53", "2001:db8::1"


def query(name: str = "www.example.com", number: int = 7) -> dns.message.Message:
    message = dns.message.make_query(name, "A")
    message.id = number
    return message


def answer(name: str = "www.example.com", number: int = 7, address: str = "11.1.0.1") -> bytes:
    message = dns.message.make_response(query(name, number))
    message.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "A", address))
    return message.to_wire()


LAN, WAN, TAGGED = 2, 3, 4
SERVERS = frozenset({ip(SERVER), ip(SERVER6)})


def reader() -> AnswerReader:
    """On the resolver's own machine."""
    return AnswerReader(SERVERS, b"me", b"v1", own=SERVERS)


def router() -> AnswerReader:
    """On a router between the clients and the servers."""
    return AnswerReader(SERVERS, b"me", b"v1", own=frozenset({ip("192.0.2.254")}))


def asked(
    found: AnswerReader,
    wire: bytes | None = None,
    now: float = 0.0,
    port: int = 1000,
    at: int = LAN,
    *,
    outgoing: bool = False,
) -> None:
    data = query().to_wire() if wire is None else wire
    assert found.read(ipv4(CLIENT, SERVER, 17, udp(port, 53, data)), now, outgoing=outgoing, interface=at) == []


def answered(
    found: AnswerReader,
    wire: bytes | None = None,
    now: float = 0.0,
    port: int = 1000,
    at: int = WAN,
    *,
    outgoing: bool = False,
) -> list[bytes]:
    data = answer() if wire is None else wire
    return found.read(ipv4(SERVER, CLIENT, 17, udp(53, port, data)), now, outgoing=outgoing, interface=at)


def passed(found: AnswerReader, wire: bytes | None = None, now: float = 0.0, port: int = 1000) -> None:
    """A router passes a question: it comes in and leaves."""
    asked(found, wire, now, port)
    asked(found, wire, now, port, at=WAN, outgoing=True)


def over_tcp(
    found: AnswerReader, at: int, *, answer_at: int, outgoing: bool = False, data: bytes | None = None
) -> list[bytes]:
    """A whole conversation over TCP through a router; the question comes in at one interface and leaves at `WAN`."""
    question, data = query().to_wire(), answer() if data is None else data
    frames = []
    for segment in (tcp(1000, 53, 5, flags=2), tcp(1000, 53, 6, struct.pack("!H", len(question)) + question)):
        frames += found.read(ipv4(CLIENT, SERVER, 6, segment), 0, outgoing=False, interface=at)
        frames += found.read(ipv4(CLIENT, SERVER, 6, segment), 0, outgoing=True, interface=WAN)
    for segment in (tcp(53, 1000, 9, flags=2), tcp(53, 1000, 10, struct.pack("!H", len(data)) + data)):
        frames += found.read(ipv4(SERVER, CLIENT, 6, segment), 0, outgoing=outgoing, interface=answer_at)
    return frames


def test_an_answer_that_was_asked_for():
    found = router()
    passed(found)
    [frame] = answered(found)
    read = dnstap_pb2.Frame.FromString(frame)
    assert (read.identity, read.type, read.message.type) == (b"me", 1, 6)
    assert (read.message.response_address, read.message.response_message) == (ip(SERVER), answer())
    assert dnstap_pb2.FrameSender.FromString(frame).version == b"v1"
    assert (found.counters.questions, found.counters.answers) == (2, 1), "each time that it passes"


def test_nothing_is_counted_before_a_packet_was_read():
    assert reader().counters == SniffCounters(0, 0, 0, 0, 0, 0, 0)


def test_an_answer_that_this_host_sends():
    assert len(answered(reader(), outgoing=True)) == 1


def test_in_the_name_of_this_host_nothing_counts_that_comes_in():
    """Who forges the question with its answer has guessed nothing."""
    found = reader()
    for at in (LAN, WAN):
        asked(found)
        assert answered(found, at=at) == []
    assert found.counters.unasked == 2
    assert over_tcp(found, LAN, answer_at=WAN) == []
    assert all(flow[0] == ip(CLIENT) for flow in found.streams._streams), "they take no place"
    true = answer(address="11.1.0.2")
    assert len(over_tcp(found, LAN, answer_at=LAN, outgoing=True, data=true)) == 1


def asked6(found: AnswerReader, at: int) -> None:
    found.read(ipv6(CLIENT6, SERVER6, 17, udp(9, 53, query().to_wire())), 0, outgoing=False, interface=at)


def answered6(found: AnswerReader, at: int, *, outgoing: bool = True) -> list[bytes]:
    packet = ipv6(SERVER6, CLIENT6, 17, udp(53, 9, answer()))
    return found.read(packet, 0, outgoing=outgoing, interface=at)


def test_what_a_router_passes_on_in_its_own_name_does_not_count():
    """Linux drops such packets of IPv4, and passes on those of IPv6."""
    found = reader()
    assert answered6(found, WAN) == [], "its first sight was lost in a flood"
    asked6(found, LAN)
    assert answered6(found, WAN) == [], "the same, and its question"
    asked6(found, WAN)
    assert answered6(found, WAN, outgoing=False) == []
    assert answered6(found, WAN) == [], "it came in where it leaves"
    assert answered(found, at=LAN) == answered(found, outgoing=True) == [], "where IPv4 is let through"
    for outgoing in (False, True):
        assert over_tcp(found, LAN, answer_at=WAN, outgoing=outgoing) == []


def test_an_ipv6_answer_of_this_host_counts_where_it_was_asked():
    for at in (LAN, WAN):
        found = reader()
        asked6(found, at)
        assert len(answered6(found, at)) == 1


@pytest.mark.parametrize(("at", "outgoing"), [(LAN, False), (LAN, True), (WAN, False)])
def test_fragments_of_another_interface_complete_no_answer(at: int, outgoing: bool):
    """Who forges the rest of an answer needs neither the port nor the ID, which are in the first fragment."""
    found = reader()
    wire = big()
    true, forged = (fragments4(SERVER, CLIENT, udp(53, 1000, one), 1480) for one in (wire, wire[:-4] + ip("11.66.6.6")))
    assert found.read(forged[-1], 0, outgoing=outgoing, interface=at) == []
    frames = [frame for piece in true for frame in found.read(piece, 0, outgoing=True, interface=WAN)]
    assert [dnstap_pb2.Frame.FromString(frame).message.response_message for frame in frames] == [wire]


def big() -> bytes:
    """An answer of more than one packet."""
    message = dns.message.make_response(query())
    texts = [f"11.2.{number >> 8}.{number & 255}" for number in range(200)]
    message.answer.append(dns.rrset.from_text_list("www.example.com.", 300, "IN", "A", texts))
    return message.to_wire()


def test_loopback_addresses_are_this_hosts():
    found = AnswerReader(frozenset({ip("127.0.0.53")}), b"me", b"v1")
    packet = ipv4("127.0.0.53", "127.0.0.1", 17, udp(53, 9, answer()))
    assert len(found.read(packet, 0, outgoing=True, interface=1)) == 1
    assert found.read(packet, 0, outgoing=False, interface=1) == []
    other = ipv4("127.0.0.53", "127.0.0.1", 17, udp(53, 9, answer(number=8)))
    assert found.read(other, 0, outgoing=False, interface=1) == []


def test_an_answer_that_this_host_only_passes_on_counts_where_it_comes_in():
    """A router sends it on: anybody may have written it."""
    found = router()
    passed(found)
    assert answered(found, at=LAN, outgoing=True) == []
    assert found.counters.passed_on == 1
    assert len(answered(found)) == 1


def test_an_answer_that_comes_in_where_its_question_did_is_forged():
    """A router sees the forged question go out to the server, too."""
    found = router()
    asked(found)
    asked(found, at=WAN, outgoing=True)
    assert answered(found, at=LAN) == []
    assert answered(found, at=WAN, outgoing=True) == []
    assert (found.counters.unasked, found.counters.passed_on) == (1, 1)
    assert len(answered(found, at=WAN)) == 1
    assert over_tcp(router(), LAN, answer_at=LAN) == []
    assert len(over_tcp(router(), LAN, answer_at=WAN)) == 1


def test_of_one_interface_towards_the_server_questions_go_out():
    found = router()
    asked(found, at=WAN, outgoing=True)
    assert len(answered(found, at=WAN)) == 1


def test_a_question_that_was_seen_to_leave_nowhere_has_no_answer():
    """The copy that came in may be lost in a flood: what leaves decides, too."""
    found = router()
    asked(found, at=WAN, outgoing=True)
    assert answered(found, at=LAN) == []
    assert len(answered(found, at=WAN)) == 1
    asked(found, query(number=8).to_wire(), at=LAN)
    assert answered(found, answer(number=8), at=WAN) == []


def test_a_router_of_vlans_on_one_interface():
    """All comes in by the interface below and again by that of its VLAN, and leaves by both."""
    found, below, clients, servers = router(), LAN, TAGGED, WAN
    asked(found, at=below)
    asked(found, at=clients)
    asked(found, at=servers, outgoing=True)
    asked(found, at=below, outgoing=True)
    assert answered(found, at=below) + answered(found, at=clients) == []
    assert len(answered(found, at=servers)) == 1


@pytest.mark.parametrize("others", range(0, 120, 17))
@pytest.mark.parametrize("later", range(0, 120, 17))
def test_where_a_question_came_in_is_known_as_long_as_the_question(
    monkeypatch: pytest.MonkeyPatch, others: int, later: int
):
    """However many questions come before it leaves by the same interface, and after that."""
    monkeypatch.setattr(answers, "QUESTIONS_MAX", 100)
    found = router()
    asked(found)
    for number in range(others):
        asked(found, query(number=1000 + number).to_wire())
    asked(found, at=LAN)
    asked(found, at=LAN, outgoing=True)
    for number in range(later):
        asked(found, query(number=2000 + number).to_wire())
    assert answered(found, at=LAN) == []


def test_a_question_in_every_vlan_is_known_in_few_and_stays_forged():
    """The attack: each place made the next one costlier, 3 ms a packet after 20,000 of them."""
    found = router()
    asked(found, at=WAN)
    for vlan in range(1, 200):
        asked(found, at=WAN | vlan << 32)
    asked(found, at=WAN, outgoing=True)
    (places,) = found._asked._new.values()
    assert len(places) < 50
    assert answered(found, at=WAN) == []
    passed(found, query(number=8).to_wire())
    assert len(answered(found, answer(number=8))) == 1


def test_segments_of_another_interface_do_not_mix_with_a_connection():
    found = router()
    passed(found)
    framed = struct.pack("!H", len(answer())) + answer()
    syn, first, rest = tcp(53, 1000, 9, flags=2), tcp(53, 1000, 10, framed[:-4]), framed[-4:]
    for segment in (syn, first):
        found.read(ipv4(SERVER, CLIENT, 6, segment), 0, outgoing=False, interface=LAN)
    last = tcp(53, 1000, 10 + len(framed) - 4, rest)
    assert found.read(ipv4(SERVER, CLIENT, 6, last), 0, outgoing=False, interface=WAN) == []


def test_at_a_mirror_port_both_come_in_by_one_interface():
    found = AnswerReader(SERVERS, b"me", b"v1", is_mirror=True)
    assert answered(found, at=LAN) == []
    asked(found)
    assert len(answered(found, at=LAN)) == 1
    assert len(over_tcp(found, LAN, answer_at=LAN, data=answer(address="11.1.0.2"))) == 1


def test_an_answer_that_nobody_asked_for_is_counted_and_dropped():
    found = router()
    assert answered(found) == []
    passed(found)
    for forged in (
        answer(number=8),
        answer("www.example.org"),
    ):
        assert answered(found, forged) == []
    assert answered(found, port=1001) == [], "another port"
    assert answered(found, now=5.5) == [], "too late"
    assert found.counters.unasked == 5
    passed(found, now=10.0)
    assert len(answered(found, now=15.0)) == 1, "just in time"


def test_a_question_counts_from_when_it_was_seen_last():
    found = router()
    passed(found)
    passed(found, now=4.0)
    assert len(answered(found, now=9.0)) == 1


@pytest.mark.parametrize("flaw", ["short", "opcode", "no question", "two questions", "query"])
def test_what_is_no_answer_is_none_though_it_comes_from_a_server(flaw: str):
    found, wire = reader(), bytearray(answer())
    if flaw == "short":
        del wire[11:]
    elif flaw == "opcode":
        wire[2] |= 0x28  # UPDATE
    elif flaw == "query":
        wire[2] &= 0x7F
    else:
        wire[5] = 0 if flaw == "no question" else 2
    assert answered(found, bytes(wire), outgoing=True) == []
    assert (found.counters.answers, found.counters.empty, found.counters.unasked) == (0, 0, 0)
    assert found.counters.packets == 1


def test_the_server_s_own_questions_are_no_questions_to_it():
    found = router()
    data = query().to_wire()
    found.read(ipv4(SERVER, EVE, 17, udp(53, 53, data)), 0.0, outgoing=False, interface=LAN)
    found.read(ipv4(CLIENT, SERVER, 17, udp(1000, 54, data)), 0.0, outgoing=False, interface=LAN)
    assert found.counters.questions == 0


@pytest.mark.parametrize(("address", "is_own"), [("127.1.2.3", True), ("128.0.0.1", False), ("7f00::1", False)])
def test_what_is_this_host_s_own_without_being_told(address: str, is_own: bool):
    found = AnswerReader(frozenset({ip(address)}), b"me", b"v1")
    carry = ipv6 if ":" in address else ipv4
    client = CLIENT6 if ":" in address else CLIENT
    frames = found.read(carry(address, client, 17, udp(53, 9, answer())), 0, outgoing=True, interface=WAN)
    assert (len(frames), found.counters.passed_on) == ((1, 0) if is_own else (0, 1))


@pytest.mark.parametrize(
    ("source", "source_port", "target", "target_port"),
    [(EVE, 53, CLIENT, 9), (SERVER, 54, CLIENT, 9), (CLIENT, 9, EVE, 53), (CLIENT, 9, SERVER, 54)],
)
def test_connections_of_others_are_not_followed(source: str, source_port: int, target: str, target_port: int):
    found = router()
    data = struct.pack("!H", len(answer())) + answer()
    for segment in (tcp(source_port, target_port, 9, flags=2), tcp(source_port, target_port, 10, data)):
        assert found.read(ipv4(source, target, 6, segment), 0, outgoing=False, interface=WAN) == []
    assert not found.streams._streams


def test_upper_case_is_the_same_question():
    found = router()
    passed(found, query("WwW.eXample.com").to_wire())
    assert len(answered(found)) == 1


def test_a_frame_tells_all_that_the_tap_and_others_read_of_it():
    """As dnstap.proto numbers the fields; the message is longer than a datagram, so each length has its bytes."""
    found, wire = reader(), big() + bytes(30_000)
    segments = (
        tcp(53, 1000, 9, flags=2),
        *(
            tcp(53, 1000, 10 + at, (struct.pack("!H", len(wire)) + wire)[at : at + 1400])
            for at in range(0, 40_000, 1400)
        ),
    )
    frames = [
        frame
        for segment in segments
        for frame in found.read(ipv4(SERVER, CLIENT, 6, segment), 0, outgoing=True, interface=WAN)
    ]
    asked6(found, WAN)
    for frame, expected in (
        (frames[0], {1: [6], 2: [1], 3: [2], 4: [ip(CLIENT)], 5: [ip(SERVER)], 6: [1000], 7: [53], 14: [wire]}),
        (answered6(found, WAN)[0], {1: [6], 2: [2], 3: [1], 4: [ip(CLIENT6)], 5: [ip(SERVER6)], 6: [9], 7: [53]}),
    ):
        outer = fields(frame)
        assert (outer[1], outer[2], outer[15]) == ([b"me"], [b"v1"], [1])
        [message] = outer[14]
        assert isinstance(message, bytes)
        inner = fields(message)
        assert inner | expected == inner


def fields(data: bytes) -> dict[int, list[int | bytes]]:
    """A protobuf message by the numbers of its fields: varints and bytes."""
    found: dict[int, list[int | bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        number = varint()
        if key & 7 == 2:
            found.setdefault(key >> 3, []).append(data[at : at + number])
            at += number
        else:
            found.setdefault(key >> 3, []).append(number)
    assert at == len(data)
    return found


def test_servers_of_others_do_not_count():
    found = reader()
    assert found.read(ipv4(EVE, CLIENT, 17, udp(53, 9, answer())), 0, outgoing=True, interface=WAN) == []
    assert found.read(ipv4(SERVER, CLIENT, 17, udp(54, 9, answer())), 0, outgoing=True, interface=WAN) == []


def test_an_answer_on_several_interfaces_counts_once():
    found = router()
    passed(found)
    assert len(answered(found)) == 1
    assert answered(found, at=TAGGED) == []
    assert answered(found, outgoing=True) == []
    assert found.counters.repeated == 2
    assert len(answered(found, answer(address="11.1.0.2"))) == 1, "another answer"


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 5.0])), max_size=30))
def test_what_was_seen_is_known_for_two_seconds_whatever_came_between(steps):
    found, seen, now = answers._Recent(2.0, 100), dict[int, float](), 0.0
    for key, pause in steps:
        now += pause
        assert [found.has(one, now) for one in range(6)] == [now - seen.get(one, -9.0) <= 2.0 for one in range(6)]
        found.add(key, now)
        seen[key] = now


def test_what_has_no_address_is_left_out():
    empty = dns.message.make_response(query()).to_wire()
    found = reader()
    asked(found)
    assert answered(found, empty) == []
    for rcode in range(1, 16):
        error = bytearray(answer())
        error[3] |= rcode
        assert answered(found, bytes(error), outgoing=True) == []
    assert answered(found, bytes((0, 7, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0)), outgoing=True) == [], "a header alone"
    assert found.counters.empty == 17


def test_fragments_ipv6_and_tcp():
    found = reader()
    wire = big()
    pieces = fragments4(SERVER, CLIENT, udp(53, 1000, wire), 1480)
    assert len(pieces) > 1
    frames = [frame for piece in pieces for frame in found.read(piece, 0, outgoing=True, interface=WAN)]
    assert [dnstap_pb2.Frame.FromString(frame).message.response_message for frame in frames] == [wire]
    asked6(found, WAN)
    assert len(answered6(found, WAN)) == 1
    syn, framed = tcp(53, 1000, 10, flags=2), struct.pack("!H", len(wire)) + wire
    found = reader()
    found.read(ipv4(SERVER, CLIENT, 6, syn), 0, outgoing=True, interface=WAN)
    frames = []
    for at in range(0, len(framed), 500):
        segment = tcp(53, 1000, 11 + at, framed[at : at + 500])
        frames += found.read(ipv4(SERVER, CLIENT, 6, segment), 0, outgoing=True, interface=WAN)
    assert len(frames) == 1


def test_questions_over_tcp_count_for_answers_over_tcp():
    assert len(over_tcp(router(), LAN, answer_at=WAN)) == 1


def test_a_flood_of_questions_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "QUESTIONS_MAX", 1000)
    found = router()
    for number in range(5000):
        passed(found, query(number=number).to_wire(), now=number / 1000)
        assert len(found._asked._new) + len(found._asked._old) <= 1000
    assert len(answered(found, answer(number=4999), now=5.0)) == 1, "the newest are there"


@given(st.binary(max_size=120), st.booleans())
def test_any_message(data: bytes, outgoing: bool):
    found = reader() if outgoing else router()
    for wire in (ipv4(SERVER, CLIENT, 17, udp(53, 9, data)), ipv4(CLIENT, SERVER, 17, udp(9, 53, data))):
        for frame in found.read(wire, 0, outgoing=outgoing, interface=LAN):
            assert dnstap_pb2.Frame.FromString(frame).message.response_message == data


@pytest.mark.parametrize(("value", "data"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2")])
def test_numbers_of_a_frame_take_no_more_bytes_than_they_need(value: int, data: bytes):
    assert answers._varint(value) == data
