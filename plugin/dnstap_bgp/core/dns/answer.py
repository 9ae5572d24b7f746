"""One DNS response, read exactly and plainly: the names of its CNAME chain and the addresses at them.

Strategy. What costs little is done first, and what costs more only where it matters:

    1. The header and the question say whether the message can give an address at all.
    2. The answer section is walked by the records' bounds; only CNAME records are read, names and all. A message that
       is cut, lies about a length or carries bytes behind its end raises DnsError and gives nothing.
    3. The chain is followed from the question. Where no name of it is on a list, nothing else is read.
    4. Only then the owners of A, AAAA, HTTPS and SVCB records are read, and the data of those whose owner is in the
       chain. Of all other records (types, classes, the authority and the additional section) only the bounds count.

So whoever owns a domain on no list can't make us read the hundreds of HTTPS records in an answer. What is read is
charged to a budget of work, for whoever owns a listed one. The fast path (core/tap/prefilter.py and
answer_templates.py) must agree with this reader; the property tests hold both to dnspython.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from dnstap_bgp.core.dns.labels import (
    FIRST_POINTER,
    RECORD_UNITS,
    UNLIMITED_UNITS,
    WorkBudget,
    read_name,
    skip_name,
    to_name,
)
from dnstap_bgp.core.dns.svcb import address_hints
from dnstap_bgp.core.model import Address, Name, Sighting
from dnstap_bgp.errors import DnsError

HEADER_BYTES = 12
"""RFC 1035, 4.1.1."""
MESSAGE_MAX_BYTES = 65_535
"""The longest that the length before a message over TCP can say (RFC 1035, 4.2.2)."""
NAMES_MAX = 17
"""The question and 16 links: resolvers give up earlier (unbound after 11 restarts, BIND after 11 or 16)."""
ADDRESSES_MAX = 256
"""More than fits into the largest EDNS answer in use (4096 bytes: 254 A records): what is beyond is made to hurt."""
RECORDS_MAX = 512
"""In the answer section: all addresses, their chain and signatures."""
SVCB_MAX = 32
"""HTTPS and SVCB records of the chain: domains have one to three. Each may carry as many hints as fit."""
DNS_TTL_MAX_S = 0x7FFFFFFF
"""A TTL beyond means 0 (RFC 2181, 8)."""

IN = 1
A, CNAME, AAAA, SVCB, HTTPS = 1, 5, 28, 64, 65
QUESTION_TYPES = frozenset((A, AAAA, SVCB, HTTPS))
SVCB_TYPES = frozenset((SVCB, HTTPS))
ADDRESS_BYTES = {A: 4, AAAA: 16}
_READ_TYPES = frozenset((A, AAAA, SVCB, HTTPS, CNAME))

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

Lists: TypeAlias = Callable[[Name], tuple[str, ...]]
"""The names of the lists that a name is on (`RuleSet.lists`)."""
Claims: TypeAlias = tuple[tuple[str, Name, int], ...]
"""(list, name, position in the chain) of the names of a chain that are on a list."""
Found: TypeAlias = tuple[Address, int, int]
"""(address, position of its owner in the chain, TTL in seconds)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The addresses that a response gives for its question; everything is empty where it can't give any.

    Attributes:
        names: The CNAME chain, the question first; at most NAMES_MAX.
        link_ttls_s: TTL of the CNAME from `names[i]` to `names[i + 1]`: one less than there are names.
        addresses: One for each record, or hint in it, that says so; at most ADDRESSES_MAX.
        truncated: TC is set: some of the answer was not sent, and what is here is what came whole.
        claims: Each list that a name of the chain is on claims the addresses, for that name.
    """

    names: tuple[Name, ...] = ()
    link_ttls_s: tuple[int, ...] = ()
    addresses: tuple[Found, ...] = ()
    truncated: bool = False
    claims: Claims = ()

    def sightings(self) -> list[Sighting]:
        """Make a sighting of every claim and address, with the smallest TTL on the way from the name to the address."""
        return [
            (address, list_name, name, min((*self.link_ttls_s[start:owner], ttl_s)))
            for list_name, name, start in self.claims
            for address, owner, ttl_s in self.addresses
        ]


_Record: TypeAlias = tuple[int, int, int, int, int]
"""One resource record of class IN (RFC 1035, 4.1.3): (offset of the owner's name, type, TTL in seconds, offset of the
data, offset behind them). A plain tuple: a named one would make reading a tenth slower."""
_Links: TypeAlias = dict[bytes, tuple[bytes, int]]
"""Labels of a CNAME's owner -> (labels of its target, TTL in seconds)."""

_NOTHING = Answer()


def parse(wire: bytes, lists: Lists | None = None, work: WorkBudget | None = None) -> Answer:
    """Read the addresses that a DNS response gives for its question.

    The CNAME chain is followed from the question in whatever order the records come (RFC 1034, 3.6.2); a DNAME needs no
    care, its synthesized CNAME comes along (RFC 6672, 3.1). Records outside the chain are ignored. Of a message with TC
    set (RFC 1035, 4.1.1) the records before the cut count: a client that doesn't ask again over TCP uses them as well.

    Args:
        wire: One whole DNS message, 12 to 65,535 bytes.
        lists: The lists that a name is on; with it, the addresses are read only if a name of the chain is on one.
        work: Charged for what is read; None: there is no limit.

    Returns:
        Empty for what is no NOERROR response to a question of class IN for A, AAAA, HTTPS or SVCB.

    Raises:
        DnsError: The message is cut, lies about its counts or lengths, or its chain loops or forks.
        WorkExceededError: The budget of work is spent; nothing is known of the message.
    """
    work = work or WorkBudget(UNLIMITED_UNITS)
    if not HEADER_BYTES <= len(wire) <= MESSAGE_MAX_BYTES:
        raise DnsError(f"{len(wire)} bytes are no message: {HEADER_BYTES} to {MESSAGE_MAX_BYTES} are")
    flags, questions, answers, authority, additional = HEADER.unpack_from(wire, 2)
    if flags & REPLY_MASK != REPLY:
        return _NOTHING
    if questions != 1:
        raise DnsError(f"{questions} questions; 1 is right")
    question, offset = read_name(wire, HEADER_BYTES, work)
    if offset + QUESTION.size > len(wire):
        raise DnsError(f"the question is cut at {len(wire)}")
    rdtype, rdclass = QUESTION.unpack_from(wire, offset)
    if rdclass != IN or rdtype not in QUESTION_TYPES:
        return _NOTHING
    if answers > RECORDS_MAX:
        raise DnsError(f"{answers} answers; at most {RECORDS_MAX} are read")
    truncated = bool(flags & TRUNCATED)
    cnames, records, offset = _walk_answers(wire, offset + QUESTION.size, answers, work, may_be_cut=truncated)
    if not truncated:
        check_rest(wire, offset, authority + additional)
    chain, ttls_s = _follow(question, _read_links(wire, cnames, work) if cnames else {})
    names = tuple(map(to_name, chain))
    claims: Claims = ()
    if lists is not None:
        claims = tuple([(list_name, name, at) for at, name in enumerate(names) for list_name in lists(name)])
        if not claims:
            return Answer(names, tuple(ttls_s), (), truncated)
    return Answer(names, tuple(ttls_s), _read_addresses(wire, records, chain, work), truncated, claims)


def is_truncated(wire: bytes) -> bool:
    """Look at the TC bit of a message that `parse` accepted."""
    return bool(wire[2] << 8 & TRUNCATED)


def check_rest(wire: bytes, offset: int, count: int) -> None:
    """Walk `count` records for their bounds alone.

    Raises:
        DnsError: The message does not end where the records do.
    """
    for _ in range(count):
        offset = _read_fixed_part(wire, skip_name(wire, offset))[4]
    if offset != len(wire):
        raise DnsError(f"the message ends at {offset}, {len(wire) - offset} bytes follow")


def _walk_answers(
    wire: bytes, offset: int, count: int, work: WorkBudget, *, may_be_cut: bool
) -> tuple[list[_Record], list[_Record], int]:
    """Find the CNAME records of the answer section, those that may give an address, and the offset behind all of them.

    Args:
        wire: The message.
        offset: Where the section starts.
        count: Records in it.
        work: Charged for each.
        may_be_cut: A record that is not whole is the section's end, and no error.

    Raises:
        DnsError: Fewer than `count` are there, or one is cut.
        WorkExceededError: The budget of work is spent.
    """
    work.left -= RECORD_UNITS * count
    work.check()
    cnames: list[_Record] = []
    records: list[_Record] = []
    for _ in range(count):
        try:
            rdtype, rdclass, ttl_s, start, end = _read_fixed_part(wire, skip_name(wire, offset))
        except DnsError:
            if not may_be_cut:
                raise
            break
        if rdclass == IN and rdtype in _READ_TYPES:
            record = offset, rdtype, ttl_s if ttl_s <= DNS_TTL_MAX_S else 0, start, end
            (cnames if rdtype == CNAME else records).append(record)
        offset = end
    return cnames, records, offset


def _read_fixed_part(wire: bytes, offset: int) -> tuple[int, int, int, int, int]:
    """Read type, class, TTL, start and end of the data of the record whose owner ends at `offset`."""
    start = offset + RECORD.size
    if start > len(wire):
        raise DnsError(f"a record is cut at {len(wire)}")
    rdtype, rdclass, ttl_s, size = RECORD.unpack_from(wire, offset)
    if start + size > len(wire):
        raise DnsError(f"a record of {size} bytes at {start} is cut at {len(wire)}")
    return rdtype, rdclass, ttl_s, start, start + size


def _read_links(wire: bytes, cnames: list[_Record], work: WorkBudget) -> _Links:
    """Read the CNAME records: labels of the owner -> (labels of the target, TTL)."""
    links: _Links = {}
    for owner_at, _, ttl_s, start, end in cnames:
        owner, _ = read_name(wire, owner_at, work)
        target, target_end = read_name(wire, start, work)
        if target_end != end:
            raise DnsError(f"the CNAME at {start} ends at {target_end}, its record at {end}")
        if links.setdefault(owner, (target, ttl_s))[0] != target:
            raise DnsError(f"the chain forks: two CNAMEs for one name, the second at {start}")
        work.check()
    return links


def _follow(question: bytes, links: _Links) -> tuple[dict[bytes, int], list[int]]:
    """Follow the chain: (labels of each name -> its position, TTL of each link)."""
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


def _read_addresses(
    wire: bytes, records: list[_Record], chain: dict[bytes, int], work: WorkBudget
) -> tuple[Found, ...]:
    """Read the addresses of the records whose owner is in the chain."""
    found: list[Found] = []
    svcb_records = 0
    owners: dict[bytes, int | None] = {}  # the bytes of a pointer -> the position: a run of records has one owner
    for owner_at, rdtype, ttl_s, start, end in records:
        pointer = wire[owner_at : owner_at + 2]
        if pointer in owners:
            position = owners[pointer]
        else:
            position = chain.get(read_name(wire, owner_at, work)[0])
            work.check()
            if pointer >= FIRST_POINTER:
                owners[pointer] = position
        if position is None:
            continue
        data = wire[start:end]
        if rdtype in SVCB_TYPES:
            svcb_records += 1
            if svcb_records > SVCB_MAX:
                raise DnsError(f"{svcb_records} HTTPS or SVCB records; at most {SVCB_MAX} are read")
            found += [(address, position, ttl_s) for address in address_hints(rdtype, data)]
        elif len(data) != ADDRESS_BYTES[rdtype]:
            raise DnsError(f"an address of {len(data)} bytes at {start}")
        else:
            found.append((data, position, ttl_s))
        if len(found) > ADDRESSES_MAX:
            raise DnsError(f"{len(found)} addresses; at most {ADDRESSES_MAX} are read")
    return tuple(found)
