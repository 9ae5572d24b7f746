"""One DNS response, read exactly and plainly: the names of its CNAME chain and the addresses at them.

Strategy. The whole message is walked, record by record, to its last byte: one that is cut, lies about a length, carries
bytes behind its end or loops raises DnsError and gives nothing. Names and the data of A, AAAA and CNAME are read here,
HTTPS and SVCB, which are richer, in service.py. Of records that can't give an address (other types and
classes, the authority and the additional section) only the bounds are checked. The fast path (screen.py, forms.py) must
agree with this reader; the property tests hold both to dnspython.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from dnstap_bgp.core.dns.labels import read_name, skip_name, to_name
from dnstap_bgp.core.dns.service import hints
from dnstap_bgp.core.model import Address, Name, Sighting
from dnstap_bgp.errors import DnsError

HEADER_BYTES = 12
"""RFC 1035, 4.1.1."""
MESSAGE_MAX_BYTES = 65_535
"""What the length before a message over TCP can say (RFC 1035, 4.2.2)."""
NAMES_MAX = 17
"""The question and 16 links: resolvers give up earlier (unbound after 11 restarts, BIND after 11 or 16)."""
ADDRESSES_MAX = 256
"""More than fits into the largest EDNS answer in use (4096 bytes: 254 A records): what is beyond is made to hurt."""
RECORDS_MAX = 512
"""In the answer section: all addresses, their chain and signatures. Each may cost 40 us if it is made to hurt."""
TTL_MAX_S = 0x7FFFFFFF
"""A TTL beyond means 0 (RFC 2181, 8)."""

IN = 1
A, CNAME, AAAA, SVCB, HTTPS = 1, 5, 28, 64, 65
QUESTION_TYPES = frozenset((A, AAAA, SVCB, HTTPS))
SERVICE_TYPES = frozenset((SVCB, HTTPS))
ADDRESS_BYTES = {A: 4, AAAA: 16}

TRUNCATED = 0x0200
"""The TC bit of the flags."""
REPLY_MASK, REPLY = 0xF80F, 0x8000
"""Flags of an answer that may give addresses: QR set, OPCODE QUERY, RCODE NOERROR."""

HEADER = struct.Struct("!5H")
"""From offset 2: flags, QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT."""
QUESTION = struct.Struct("!HH")
"""Behind the question's name: type, class."""
RECORD = struct.Struct("!HHIH")
"""Behind a record's owner: type, class, TTL, length of the data."""

Found: TypeAlias = tuple[Address, int, int]
"""(address, position of its owner in the chain, TTL in seconds)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response gives for its question; everything empty where it can't give an address.

    Attributes:
        names: The CNAME chain, the question first; at most NAMES_MAX.
        link_ttls_s: TTL of the CNAME from `names[i]` to `names[i + 1]`: one less than there are names.
        addresses: One for each record, or hint in it, that says so; at most ADDRESSES_MAX.
        truncated: TC is set: the rest was not sent, so nothing of it was read.
    """

    names: tuple[Name, ...] = ()
    link_ttls_s: tuple[int, ...] = ()
    addresses: tuple[Found, ...] = ()
    truncated: bool = False

    def sightings(self, lists: Callable[[Name], tuple[str, ...]]) -> list[Sighting]:
        """Each list that a name of the chain is on claims, for that name, every address.

        The TTL is the smallest on the way from the name to the address.

        Args:
            lists: The names of the lists that a name is on (`RuleSet.lists`).
        """
        return [
            (address, list_name, name, min((*self.link_ttls_s[start:owner], ttl_s)))
            for start, name in enumerate(self.names)
            for list_name in lists(name)
            for address, owner, ttl_s in self.addresses
        ]


class Record(NamedTuple):
    """One resource record, its data still in the message.

    Attributes:
        owner: Labels (see labels.py).
        rdtype: Type.
        rdclass: Class.
        ttl_s: Seconds, 0 to TTL_MAX_S.
        start: Offset of the data.
        end: Offset behind the data.
    """

    owner: bytes
    rdtype: int
    rdclass: int
    ttl_s: int
    start: int
    end: int


_NOTHING = Answer()
_TRUNCATED = Answer(truncated=True)


def parse(wire: bytes) -> Answer:
    """Read the addresses that a DNS response gives for its question.

    The CNAME chain is followed from the question in whatever order the records come (RFC 1034, 3.6.2); a DNAME needs no
    care, its synthesized CNAME comes along (RFC 6672, 3.1). Records outside the chain are ignored.

    Args:
        wire: One whole DNS message, at most 65,535 bytes.

    Returns:
        Empty for what is no NOERROR response to a question of class IN for A, AAAA, HTTPS or SVCB.

    Raises:
        DnsError: The message is cut, lies about its counts or lengths, or its chain loops or forks.
    """
    if not HEADER_BYTES <= len(wire) <= MESSAGE_MAX_BYTES:
        raise DnsError(f"{len(wire)} bytes are no message: {HEADER_BYTES} to {MESSAGE_MAX_BYTES} are")
    flags, questions, answers, authority, additional = HEADER.unpack_from(wire, 2)
    if flags & REPLY_MASK != REPLY:
        return _NOTHING
    if questions != 1:
        raise DnsError(f"{questions} questions; 1 is right")
    question, offset = read_name(wire, HEADER_BYTES)
    if offset + QUESTION.size > len(wire):
        raise DnsError(f"the question is cut at {len(wire)}")
    rdtype, rdclass = QUESTION.unpack_from(wire, offset)
    if rdclass != IN or rdtype not in QUESTION_TYPES:
        return _NOTHING
    if flags & TRUNCATED:
        return _TRUNCATED
    if answers > RECORDS_MAX:
        raise DnsError(f"{answers} answers; at most {RECORDS_MAX} are read")
    records, offset = read_records(wire, offset + QUESTION.size, answers)
    check_rest(wire, offset, authority + additional)
    return _follow(wire, question, records)


def read_records(wire: bytes, offset: int, count: int) -> tuple[list[Record], int]:
    """The records of one section and the offset behind them.

    Raises:
        DnsError: Fewer than `count` are there, or one is cut.
    """
    records = []
    for _ in range(count):
        owner, offset = read_name(wire, offset)
        rdtype, rdclass, ttl_s, start, end = _fixed_part(wire, offset)
        records.append(Record(owner, rdtype, rdclass, ttl_s if ttl_s <= TTL_MAX_S else 0, start, end))
        offset = end
    return records, offset


def check_rest(wire: bytes, offset: int, count: int) -> None:
    """Walk `count` records for their bounds alone.

    Raises:
        DnsError: The message does not end where they do.
    """
    for _ in range(count):
        offset = _fixed_part(wire, skip_name(wire, offset))[4]
    if offset != len(wire):
        raise DnsError(f"the message ends at {offset}, {len(wire) - offset} bytes follow")


def _fixed_part(wire: bytes, offset: int) -> tuple[int, int, int, int, int]:
    """Type, class, TTL, start and end of the data of the record whose owner ends at `offset`."""
    start = offset + RECORD.size
    if start > len(wire):
        raise DnsError(f"a record is cut at {len(wire)}")
    rdtype, rdclass, ttl_s, size = RECORD.unpack_from(wire, offset)
    if start + size > len(wire):
        raise DnsError(f"a record of {size} bytes at {start} is cut at {len(wire)}")
    return rdtype, rdclass, ttl_s, start, start + size


def _follow(wire: bytes, question: bytes, records: list[Record]) -> Answer:
    """Put the records in the order of the chain."""
    links: dict[bytes, tuple[bytes, int]] = {}
    found: list[tuple[bytes, Address, int]] = []
    for record in records:
        if record.rdclass != IN:
            continue
        if record.rdtype == CNAME:
            target = _target(wire, record)
            if links.setdefault(record.owner, (target, record.ttl_s))[0] != target:
                raise DnsError(f"the chain forks: two CNAMEs for one name, the second at {record.start}")
        else:
            found += [(record.owner, address, record.ttl_s) for address in record_addresses(wire, record)]
    chain, ttls_s = _chain(question, links)
    addresses = tuple((address, chain[owner], ttl_s) for owner, address, ttl_s in found if owner in chain)
    if len(addresses) > ADDRESSES_MAX:
        raise DnsError(f"{len(addresses)} addresses; at most {ADDRESSES_MAX} are read")
    return Answer(tuple(map(to_name, chain)), tuple(ttls_s), addresses)


def _chain(question: bytes, links: dict[bytes, tuple[bytes, int]]) -> tuple[dict[bytes, int], list[int]]:
    """Follow the links: (labels of each name -> its position, TTL of each link)."""
    chain = {question: 0}
    ttls_s = []
    name = question
    while name in links:
        name, ttl_s = links[name]
        if name in chain:
            raise DnsError(f"the chain loops after {len(chain)} names")
        if len(chain) == NAMES_MAX:
            raise DnsError(f"the chain is longer than {NAMES_MAX} names")
        chain[name] = len(chain)
        ttls_s.append(ttl_s)
    return chain, ttls_s


def _target(wire: bytes, record: Record) -> bytes:
    target, end = read_name(wire, record.start)
    if end != record.end:
        raise DnsError(f"the CNAME at {record.start} ends at {end}, its record at {record.end}")
    return target


def record_addresses(wire: bytes, record: Record) -> Sequence[Address]:
    """The addresses in one record of class IN: its own, or its hints.

    Raises:
        DnsError: The data breaks its type's bounds.
    """
    data = wire[record.start : record.end]
    if record.rdtype in ADDRESS_BYTES:
        if len(data) != ADDRESS_BYTES[record.rdtype]:
            raise DnsError(f"an address of {len(data)} bytes at {record.start}")
        return [data]
    return hints(record.rdtype, data) if record.rdtype in SERVICE_TYPES else []
