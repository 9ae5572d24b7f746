"""DNSTap traffic for the benchmarks: seeded, so that two runs see the same bytes.

Names are Zipf-distributed over a universe of NAMES; each name has its own answer: 1-4 addresses, a third behind a CNAME
chain of 1-2 links, 15 % NXDOMAIN, questions for A, AAAA and HTTPS. A share of the names is on the list, spread evenly
over the ranks so that the same share of the frames matches. `plain` spells every name out and repeats an answer byte
for byte; `resolver` compresses as resolvers do, adds SOA and OPT, and varies order, IDs, TTLs, ports and times.
"""

import itertools
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dnstap_bgp.core.lists.rules import Rule

NAMES = 50_000
RULES = 20_000

A, CNAME, SOA, AAAA, OPT, HTTPS = 1, 5, 6, 28, 41, 65
CLIENT_QUERY, CLIENT_RESPONSE = 5, 6

_SYLLABLES = [a + b for a in "bcdfghklmnprstvz" for b in "aeiou"]
_ENDINGS = ["com", "com", "com", "net", "org", "de", "co.uk", "io"]
_HOSTS = [
    "www",
    "api",
    "cdn",
    "img",
    "static",
    "mail",
    "app",
    "login",
    "edge-7",
    "r3---sn-4g5e6n",
    "_dmarc",
    "eu.store",
]


@dataclass(frozen=True)
class Host:
    """A name of the universe and what is answered for it."""

    name: str
    chain: tuple[str, ...]
    rdtype: int
    data: tuple[bytes, ...]  # of the address or HTTPS records; empty: NXDOMAIN
    ttl_s: int


class Universe:
    """The names, in order of their rank, and the rules that cover a share of them."""

    def __init__(self, share: float, rules: int = RULES, seed: int = 1, names: int = NAMES) -> None:
        self.random = random.Random(seed)
        self.hosts = [self.host() for _ in range(names)]
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, names + 1)))
        step = round(1 / share)
        listed = self.hosts[_first_listed(names, step, share * self._weights[-1]) :: step]
        domains = {host.name.partition(".")[2] for host in listed[: rules // 2]}
        domains.update(host.name for host in listed)
        while len(domains) < rules:
            domains.add(self.domain())
        self.rules = [Rule(domain.encode()) for domain in sorted(domains)]

    def domain(self) -> str:
        """A random registered domain."""
        word = "".join(self.random.choices(_SYLLABLES, k=self.random.randint(2, 5)))
        return f"{word}{self.random.randrange(10_000)}.{self.random.choice(_ENDINGS)}"

    def host(self) -> Host:
        """A random name with its answer."""
        pick = self.random
        name = f"{pick.choice(_HOSTS)}.{self.domain()}"
        chain: tuple[str, ...] = ()
        if pick.random() < 1 / 3:
            chain = tuple(f"{pick.choice(_HOSTS)}.{self.domain()}" for _ in range(pick.randint(1, 2)))
        rdtype = pick.choices((A, AAAA, HTTPS), (60, 30, 10))[0]
        data: tuple[bytes, ...] = ()
        if pick.random() >= 0.15:
            data = tuple(_data(pick, rdtype) for _ in range(1 if rdtype == HTTPS else pick.randint(1, 4)))
        return Host(name, chain, rdtype, data, pick.choice((20, 60, 300, 3600)))

    def visits(self, count: int) -> list[Host]:
        """Which hosts are asked for, Zipf-distributed."""
        return self.random.choices(self.hosts, cum_weights=self._weights, k=count)


def _first_listed(names: int, step: int, weight: float) -> int:
    """Which of the first names must be listed so that every step-th from there makes up this weight of the visits."""
    return min(range(step), key=lambda first: abs(sum(1 / (at + 1) for at in range(first, names, step)) - weight))


def _data(pick: random.Random, rdtype: int) -> bytes:
    address = bytes((pick.randrange(11, 126), pick.randrange(256), pick.randrange(256), pick.randrange(1, 255)))
    if rdtype == A:
        return address
    if rdtype == AAAA:
        return b"\x2a\x02" + pick.randbytes(14)
    hints = b"\0\4\0\x08" + address + address[::-1] + b"\0\6\0\x10" + b"\x2a\x02" + pick.randbytes(14)
    return b"\0\1\0" + b"\0\1\0\6\2h3\2h2" + hints


class Message:
    """A DNS response in the making."""

    def __init__(self, *, compress: bool) -> None:
        self.wire = bytearray(12)
        self._seen: dict[str, int] | None = {} if compress else None

    def name(self, name: str) -> None:
        """Append a name, compressed if that is on."""
        while name:
            if self._seen is not None:
                if name in self._seen:
                    self.wire += (0xC000 | self._seen[name]).to_bytes(2)
                    return
                self._seen[name] = len(self.wire)
            label, _, name = name.partition(".")
            self.wire += bytes((len(label),)) + label.encode()
        self.wire += b"\0"

    def record(self, owner: str, rdtype: int, ttl_s: int, data: bytes | str, tail: bytes = b"") -> None:
        """Append a record; text data is a name."""
        self.name(owner)
        self.wire += struct.pack("!HHIH", rdtype, 1, ttl_s, 0)
        start = len(self.wire)
        if isinstance(data, str):
            self.name(data)
        else:
            self.wire += data
        self.wire += tail
        struct.pack_into("!H", self.wire, start - 2, len(self.wire) - start)


def response(host: Host, pick: random.Random | None = None) -> bytes:
    """The answer to a question for a host; varied as real ones are, if a source of randomness is given."""
    message = Message(compress=pick is not None)
    message.name(host.name)
    message.wire += struct.pack("!HH", host.rdtype, 1)
    left_s = host.ttl_s - pick.randrange(host.ttl_s) if pick else host.ttl_s
    links = list(itertools.pairwise((host.name, *host.chain)))
    for owner, target in links:
        message.record(owner, CNAME, left_s + 7, target)
    owner = host.chain[-1] if host.chain else host.name
    for data in pick.sample(host.data, len(host.data)) if pick else host.data:
        message.record(owner, host.rdtype, left_s, data)
    authority = additional = 0
    if pick:
        if not host.data:
            authority = 1
            zone = owner.partition(".")[2]
            numbers = struct.pack("!5I", pick.randrange(1 << 31), 7200, 3600, 1209600, 300)
            message.record(zone, SOA, left_s, "ns1." + zone, b"\nhostmaster\xc0\x0c" + numbers)
        additional = 1
        message.wire += struct.pack("!BHHIH", 0, OPT, 1232, 0, 0)
    flags = 0x8180 if host.data else 0x8183
    identity = pick.randrange(1 << 16) if pick else 4660
    struct.pack_into("!6H", message.wire, 0, identity, flags, 1, len(links) + len(host.data), authority, additional)
    return bytes(message.wire)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: int | bytes, *, fixed: bool = False) -> bytes:
    """One protobuf field."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    if fixed:
        return _varint(number << 3 | 5) + struct.pack("<I", value)
    return _varint(number << 3) + _varint(value)


def frame(wire: bytes, rdtype: int = CLIENT_RESPONSE, pick: random.Random | None = None) -> bytes:
    """A Dnstap payload as unbound writes it: every field that it knows, in order."""
    port = pick.randrange(1024, 65536) if pick else 40000
    nanoseconds = pick.randrange(10**9) if pick else 5 * 10**8
    client = bytes((192, 0, 2, pick.randrange(256) if pick else 9))
    message = field(1, rdtype) + field(2, 1) + field(3, 1) + field(4, client) + field(5, b"\xc0\0\2\1")
    message += field(6, port) + field(7, 53)
    if rdtype == CLIENT_RESPONSE:
        message += field(12, 1_760_000_000) + field(13, nanoseconds, fixed=True) + field(14, wire)
    else:
        message += field(8, 1_760_000_000) + field(9, nanoseconds, fixed=True) + field(10, wire)
    return field(1, b"resolver.example.net") + field(2, b"unbound 1.17.1") + field(14, message) + field(15, 1)


def plain(universe: Universe, count: int) -> list[bytes]:
    """Every name spelled out, each answer the same at every visit."""
    made: dict[str, bytes] = {}
    frames = []
    for host in universe.visits(count):
        if host.name not in made:
            made[host.name] = frame(response(host))
        frames.append(made[host.name])
    return frames


def resolver(universe: Universe, count: int) -> list[bytes]:
    """As a resolver compresses it, TTLs, IDs, ports and times varying."""
    pick = random.Random(2)
    return [frame(response(host, pick), pick=pick) for host in universe.visits(count)]


def water_torture(universe: Universe, count: int) -> list[bytes]:
    """Every question is new, a random label below one of 100 domains on no list; the answers as ever."""
    pick = random.Random(3)
    victims = [universe.domain() for _ in range(100)]
    hosts = (replace(host, name=f"{pick.randbytes(6).hex()}.{pick.choice(victims)}") for host in universe.visits(count))
    return [frame(response(host, pick), pick=pick) for host in hosts]


def new_names(universe: Universe, count: int) -> list[bytes]:
    """Every name is new, the domains and the targets of CNAMEs too: nothing can be remembered."""
    pick = random.Random(3)
    hosts = (universe.host() for _ in range(count))
    return [frame(response(host, pick), pick=pick) for host in hosts]


def half_queries(universe: Universe, count: int) -> list[bytes]:
    """Each response after its query."""
    pick = random.Random(4)

    def both() -> Iterator[bytes]:
        for host in universe.visits(count // 2):
            query = Message(compress=True)
            query.wire[:] = struct.pack("!6H", pick.randrange(1 << 16), 0x0100, 1, 0, 0, 0)
            query.name(host.name)
            yield frame(bytes(query.wire) + struct.pack("!HH", host.rdtype, 1), CLIENT_QUERY, pick)
            yield frame(response(host, pick), pick=pick)

    return list(both())


def stream(frames: list[bytes]) -> bytes:
    """Data frames as they stand in Frame Streams."""
    return b"".join(len(data).to_bytes(4) + data for data in frames)
