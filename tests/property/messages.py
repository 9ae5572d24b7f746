"""DNS responses and DNSTap frames of every kind, good and bad, and what they mean by the plainest reading of them.

Everything is drawn from one source of randomness, so that a seed is all that hypothesis or the fuzz target needs. The
oracle reads with dnspython, record by record and frame by frame, and shares no code with the readers under test.
"""

import itertools
import random
import struct
from collections.abc import Callable

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from google.protobuf.message import DecodeError

from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.dnstap_pb2 import Frame

Labels = tuple[bytes, ...]
Lists = Callable[[bytes], tuple[str, ...]]
Found = tuple[int, int, int, int, int]  # of a record: where its owner is, type, TTL, where its data starts and ends

A, CNAME, MX, TXT, AAAA, DNAME, OPT, RRSIG, SVCB, HTTPS = 1, 5, 15, 16, 28, 39, 41, 46, 64, 65
ACCEPTED = frozenset({6})


def rules() -> RuleSet:
    """Two lists with rules of each kind over the names of NAMES."""
    one = [
        Rule(b"listed.test"),
        Rule(b"not.listed.test", RuleKind.SUFFIX, exception=True),
        Rule(b"exact.test", RuleKind.EXACT),
        *(Rule(b"%s.cdn.example" % label) for label in (b"l", b"m", b"n", b"o")),  # a crowded pair of labels
        Rule(rb"a\046b.odd.test"),
        Rule(rb"n\000l.odd.test"),
    ]
    two = [Rule(b"below.test", RuleKind.SUBDOMAINS), Rule(b"www.listed.test")]
    return RuleSet.build([("one", one), ("two", two)])


HOSTS = [b"www", b"a", b"not", b"x" * 63, b"r3---sn", b"_dmarc", b"a.b", b"n\0l", b"\xc0\x0c", b"\5\0\1", b"l"]
DOMAINS = [
    b"listed.test",
    b"listed.test",
    b"listed.test",
    b"plain.test",
    b"exact.test",
    b"below.test",
    b"cdn.example",
    b"l.cdn.example",
    b"odd.test",
]
TTLS = [0, 1, 60, 300, 0x00050001, 0x05000100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def draw_name(pick: random.Random, *, plain: bool = False) -> Labels:
    """A name of the small pool, in any case; names meet again and again. plain: it is on no list."""
    labels = tuple((b"plain%d.test" % pick.randrange(40) if plain else pick.choice(DOMAINS)).split(b"."))
    for _ in range(pick.choice((0, 1, 1, 1, 2, 5))):
        labels = (pick.choice(HOSTS[:4] if pick.random() < 0.8 else HOSTS), *labels)
    if pick.random() < 0.2:
        labels = tuple(label.upper() if pick.random() < 0.5 else label for label in labels)
    while sum(map(len, labels)) + len(labels) + 1 > 255:
        labels = labels[1:]
    return labels


class Writer:
    """Writes a message; compresses as `pick` likes it."""

    def __init__(self, pick: random.Random) -> None:
        self.pick = pick
        self.wire = bytearray(12)
        self.compression = pick.choice((0.0, 1.0, 1.0, 0.5))
        self.seen: dict[Labels, int] = {}

    def name(self, labels: Labels) -> None:
        while labels:
            lowered = tuple(label.lower() for label in labels)
            if lowered in self.seen and self.pick.random() < self.compression:
                self.wire += struct.pack("!H", 0xC000 | self.seen[lowered])
                return
            if len(self.wire) < 0x4000:
                self.seen[lowered] = len(self.wire)
            self.wire += bytes((len(labels[0]),)) + labels[0]
            labels = labels[1:]
        self.wire += b"\0"

    def record(self, owner: Labels, rdtype: int, rdclass: int, ttl: int, data: Labels | bytes) -> None:
        self.name(owner)
        self.wire += struct.pack("!HHIH", rdtype, rdclass, ttl, 0)
        start = len(self.wire)
        if isinstance(data, bytes):
            self.wire += data
        else:
            self.name(data)
        struct.pack_into("!H", self.wire, start - 2, len(self.wire) - start)


def draw_message(pick: random.Random) -> bytes:
    """One response, well-formed; nearly every one is about A, AAAA or HTTPS."""
    rdtype = pick.choice((A, A, A, A, AAAA, AAAA, AAAA, HTTPS, HTTPS, SVCB, MX))
    plain = pick.random() < 0.5
    chain = [draw_name(pick, plain=plain) for _ in range(pick.choice((1, 1, 1, 2, 2, 3, 6)))]
    if pick.random() < 0.01:
        chain = [(b"%d" % number, b"plain", b"test") for number in range(pick.randint(15, 19))]
    answers: list[tuple[Labels, int, int, int, Labels | bytes]] = [
        (owner, CNAME, 1, _ttl(pick), target) for owner, target in itertools.pairwise(chain)
    ]
    answers += [(chain[-1], rdtype, 1, _ttl(pick), _data(pick, rdtype)) for _ in range(pick.choice((0, 1, 1, 2, 4)))]
    while pick.random() < 0.2:  # something that does not belong there
        other = pick.choice((A, AAAA, CNAME, MX, TXT, DNAME, RRSIG, HTTPS))
        owner = pick.choice(chain) if pick.random() < 0.3 else draw_name(pick, plain=plain)
        data = draw_name(pick, plain=plain and pick.random() < 0.9) if other in (CNAME, DNAME) else _data(pick, other)
        answers.append((owner, other, pick.choice((1, 1, 3)), _ttl(pick), data))
    if pick.random() < 0.25:
        pick.shuffle(answers)
    writer = Writer(pick)
    writer.name(chain[0])
    writer.wire += struct.pack("!HH", rdtype, pick.choice((1,) * 50 + (3,)))
    for record in answers:
        writer.record(*record)
    additional = pick.choice((0, 1, 1, 1))
    authority = pick.choice((0, 0, 0, 1))
    for _ in range(authority):
        writer.record(draw_name(pick), CNAME, 1, _ttl(pick), draw_name(pick))
    for _ in range(additional):
        writer.record((), OPT, 1232, 0, pick.choice((b"", b"", b"\0\x0a\0\x08cookie!!")))
    flags = pick.choice((0x8180,) * 40 + (0x8183, 0x8380, 0x8380, 0x0100, 0x8580, 0x8182, 0xA180))
    struct.pack_into("!6H", writer.wire, 0, pick.randrange(65536), flags, 1, len(answers), authority, additional)
    if flags & 0x0200 and pick.random() < 0.5:  # cut where the room for it ended
        del writer.wire[pick.randrange(20, len(writer.wire) + 1) :]
    return bytes(writer.wire)


def _ttl(pick: random.Random) -> int:
    return pick.choice(TTLS) if pick.random() < 0.1 else pick.randrange(4000)


def _data(pick: random.Random, rdtype: int) -> bytes:
    if rdtype in (A, AAAA):
        return pick.randbytes(4 if rdtype == A else 16)
    if rdtype in (HTTPS, SVCB):
        return draw_svcb(pick)
    return pick.choice((b"\0\5\0\1\0", b"\0\1\0", pick.randbytes(pick.randrange(20))))


def draw_svcb(pick: random.Random) -> bytes:
    """The data of a HTTPS record, now and then a wrong one."""
    data = struct.pack("!H", pick.choice((0, 1, 1, 1, 1, 1, 1, 2)))
    data += pick.choice((b"\0",) * 20 + (b"\3svc\4test\0", b"\3svc\4test\0", b"\xc0\x0c", b"\xc0\0"))
    params = {
        0: b"\0\4",
        1: b"\2h2\2h3",
        2: b"",
        3: b"\1\xbb",
        4: pick.randbytes(4 * pick.choice((0,) + (1, 2, 3) * 10)),
        5: b"\0\4abcd",
        6: pick.randbytes(16 * pick.choice((0,) + (1, 2) * 15)),
        7: b"/dns-query{?dns}",
        99: b"?",
    }
    keys = sorted(pick.sample(list(params), pick.randint(0, 4)) if pick.random() < 0.2 else [1, 4, 6])
    if pick.random() < 0.05:
        pick.shuffle(keys)
    for key in keys:
        value = params[key] + (b"!" if pick.random() < 0.01 else b"")
        data += struct.pack("!HH", key, len(value)) + value
    return data[: len(data) - (pick.random() < 0.02)]


def mutate(pick: random.Random, data: bytes) -> bytes:
    """The same bytes, a little wrong."""
    spoiled = bytearray(data)
    for _ in range(pick.choice((1, 1, 2, 5))):
        at = pick.randrange(len(spoiled)) if spoiled else 0
        kind = pick.randrange(7)
        if kind == 0:
            del spoiled[at:]
        elif kind == 1:
            spoiled[at:at] = pick.randbytes(pick.randint(1, 4))
        elif kind == 2:
            del spoiled[at : at + pick.randint(1, 4)]
        elif kind == 3 and spoiled:
            spoiled[at] = pick.choice((0, 1, 5, 12, 0x3F, 0x40, 0xC0, 0xFF, pick.randrange(256)))
        elif kind == 4 and len(spoiled) > 11:  # the counts
            spoiled[pick.randrange(2, 12)] = pick.choice((0, 1, 2, 3, 0x80, 0x81))
        elif kind == 5:
            spoiled[at : at + 2] = struct.pack("!H", 0xC000 | pick.randrange(64))
        else:
            spoiled[at : at + 4] = b"\0\5\0\1"
    return bytes(spoiled)


def draw_wires(pick: random.Random, count: int) -> list[bytes]:
    """Messages as a tap sees them: many come again, with other TTLs or another ID, and some are spoiled."""
    wires: list[bytes] = []
    for _ in range(count):
        wire = draw_message(pick) if not wires or pick.random() < 0.4 else pick.choice(wires)
        if pick.random() < 0.3 and len(wire) > 1:
            wire = pick.randbytes(2) + wire[2:]
        wires.append(mutate(pick, wire) if pick.random() < 0.3 else wire)
    return wires


# -- frames


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def field(number: int, value: int | bytes) -> bytes:
    """A protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def draw_frame(pick: random.Random, wire: bytes) -> bytes:
    """A Dnstap payload: as senders write it, in another order, with fields twice or missing, or spoiled."""
    rdtype = pick.choice((6, 6, 6, 6, 5, 4))
    message = [field(1, rdtype), field(2, 1), field(4, pick.randbytes(4)), field(6, 53)]
    message.append(field(14, wire) if rdtype != 5 else field(10, wire))
    frame = [field(1, b"resolver"), field(14, b""), field(15, 1)]
    if pick.random() < 0.1:
        message.append(pick.choice((field(1, 6), field(1, 5), field(14, b""), field(14, draw_message(pick)))))
    if pick.random() < 0.1:
        message.append(pick.choice((field(15, b"policy"), b"\x73\x74", field(99, 1), field(1, b"\6\6"), field(14, 9))))
    for parts in (message, frame):
        if pick.random() < 0.05:
            pick.shuffle(parts)
        if pick.random() < 0.05:
            parts.pop(pick.randrange(len(parts)))
    if pick.random() < 0.03:  # the message in two halves, which merge
        cut = pick.randrange(len(message))
        frame.append(field(14, b"".join(message[cut:])))
        message = message[:cut]
    payload = b"".join(frame).replace(field(14, b""), field(14, b"".join(message)), 1)
    payload = payload or b"\x78\x01"
    return (mutate(pick, payload) or b"\0") if pick.random() < 0.05 else payload


def stream(frames: list[bytes]) -> bytes:
    """Data frames as they stand in Frame Streams."""
    return b"".join(struct.pack("!I", len(frame)) + frame for frame in frames)


# -- the oracle


class UnreadableError(Exception):
    """The message gives nothing."""


def expected_of_frame(payload: bytes, lists: Lists) -> list[Sighting]:
    """The sightings of one frame."""
    try:
        frame = Frame.FromString(payload)
    except DecodeError:
        return []
    if frame.type != 1 or frame.message.type not in ACCEPTED:
        return []
    return expected(frame.message.response_message, lists)


def expected(wire: bytes, lists: Lists) -> list[Sighting]:
    """The sightings of one message."""
    try:
        return _expected(wire, lists)
    except (UnreadableError, dns.exception.DNSException, struct.error, IndexError):
        return []


def _expected(wire: bytes, lists: Lists) -> list[Sighting]:
    _, flags, questions, answers, authority, additional = struct.unpack_from("!6H", wire)
    if flags & 0xF80F != 0x8000 or questions != 1:
        return []
    question, at = _name(wire, 12)
    rdtype, rdclass = struct.unpack_from("!HH", wire, at)
    if rdclass != 1 or rdtype not in (A, AAAA, HTTPS, SVCB):
        return []
    if answers > 512:  # made to hurt
        return []
    is_cut = bool(flags & 0x0200)  # TC: what came whole counts
    records, at = _walk(wire, at + 4, answers, may_be_cut=is_cut)
    if not is_cut and _walk(wire, at, authority + additional)[1] != len(wire):
        return []
    return _claimed(wire, question, records, lists)


def _walk(wire: bytes, at: int, count: int, *, may_be_cut: bool = False) -> tuple[list[Found], int]:
    """The records of class IN in one section, and where it ends."""
    records = []
    for _ in range(count):
        try:
            fixed = _plain_end(wire, at)
            rdtype, rdclass, ttl, size = struct.unpack_from("!HHIH", wire, fixed)
        except (UnreadableError, struct.error, IndexError):
            if may_be_cut:
                break
            raise
        end = fixed + 10 + size
        if end > len(wire):
            if may_be_cut:
                break
            raise UnreadableError
        if rdclass == 1:
            records.append((at, rdtype, ttl if ttl < 1 << 31 else 0, end - size, end))
        at = end
    return records, at


def _claimed(wire: bytes, question: Labels, records: list[Found], lists: Lists) -> list[Sighting]:
    links: dict[Labels, tuple[Labels, int]] = {}
    for owner_at, rdtype, ttl, start, end in records:
        if rdtype == CNAME:
            owner = _name(wire, owner_at)[0]
            target, target_end = _name(wire, start)
            if target_end != end or links.setdefault(owner, (target, ttl))[0] != target:
                raise UnreadableError
    chain = [question]
    ttls: list[int] = []
    while chain[-1] in links:
        target, ttl = links[chain[-1]]
        if target in chain or len(chain) == 17:
            raise UnreadableError
        chain.append(target)
        ttls.append(ttl)
    claims = [(position, name, found) for position, name in enumerate(map(spell, chain)) for found in lists(name)]
    sightings: list[Sighting] = []
    for owner_at, rdtype, ttl, start, end in records if claims else []:
        if rdtype in (A, AAAA, HTTPS, SVCB) and (owner := _name(wire, owner_at)[0]) in chain:
            for address in addresses_in(rdtype, wire[start:end]):
                sightings += [
                    (address, list_name, name, min([*ttls[position : chain.index(owner)], ttl]))
                    for position, name, list_name in claims
                ]
    return sightings


def addresses_in(rdtype: int, data: bytes) -> list[bytes]:
    """The addresses in the data of one record, by dnspython."""
    if rdtype not in (A, AAAA, HTTPS, SVCB):
        return []
    record = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType(rdtype), data, 0, len(data))
    if rdtype in (A, AAAA):
        return [data]
    addresses: list[bytes] = []
    for key in (4, 6):
        hint = record.params.get(key)  # type: ignore[attr-defined]  # only the record's own class has it
        addresses += (
            [dns.ipv4.inet_aton(text) if key == 4 else dns.ipv6.inet_aton(text) for text in hint.addresses]
            if hint
            else []
        )
    return addresses


def spell(labels: Labels) -> bytes:
    """Presentation format, as core/model.py says it."""
    return b".".join(
        b"".join(bytes((byte,)) if 0x21 <= byte <= 0x7E and byte not in b".\\" else b"\\%03d" % byte for byte in label)
        for label in labels
    )


def _name(wire: bytes, at: int) -> tuple[Labels, int]:
    """A name by dnspython, and where it ends; what a pointer leads to must lie wholly before it."""
    name, _ = dns.name.from_wire(wire, at)
    end = _plain_end(wire, at)
    limit, here = end, at
    while True:
        here_end = _plain_end(wire, here)
        if here_end > limit:
            raise UnreadableError
        if here_end - here < 2 or wire[here_end - 2] < 0xC0 or not _ends_with_pointer(wire, here):
            break
        limit = here_end - 2
        here = (wire[limit] & 0x3F) << 8 | wire[limit + 1]
    return tuple(label.lower() for label in name.labels[:-1]), end


def _plain_end(wire: bytes, at: int) -> int:
    """Where a name ends, without following pointers."""
    while wire[at]:
        if wire[at] >= 0xC0:
            return at + 2
        if wire[at] > 63:
            raise UnreadableError
        at += wire[at] + 1
    return at + 1


def _ends_with_pointer(wire: bytes, at: int) -> bool:
    while 0 < wire[at] < 64:
        at += wire[at] + 1
    return wire[at] >= 0xC0
