"""Answer templates: how the answers for a name usually begin, learnt from one message and recognised by comparison.

An answer for a name mostly begins with the same CNAME records as the last time, or with none, and goes on with a run of
address records of one owner. A *template* is that beginning: its bytes must be the same, but for the TTLs. A template
may be learnt only where the records were walked one by one, and no name in them is spelled with bytes that the
comparison leaves out: else a TTL could hide a record, or the end of a name.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from dnstap_bgp.core.dns.answer import (
    AAAA,
    ADDRESSES_MAX,
    CNAME,
    DNS_TTL_MAX_S,
    HEADER,
    HEADER_BYTES,
    HTTPS,
    IN,
    NAMES_MAX,
    QUESTION,
    RECORD,
    REPLY,
    REPLY_MASK,
    TRUNCATED,
    A,
    Answer,
    Claims,
    check_rest,
)
from dnstap_bgp.core.dns.labels import WorkBudget, read_name, skip_name, spans
from dnstap_bgp.core.dns.svcb import address_hints
from dnstap_bgp.core.model import Name, Sighting
from dnstap_bgp.core.tap.tail_proofs import has_lengths
from dnstap_bgp.errors import DnsError

TAIL_MAX_BYTES = 64
"""Behind an answer section there are mostly the same few bytes, an OPT record: up to this length they are checked once
and the outcome is remembered."""
STRETCHES_MAX = 64
"""Stretches of bytes that the names of a template may be spelled with: compressors make two or three a name. Each is
compared with each TTL, so a message of pointers could make that long."""

CNAME_IN = QUESTION.pack(CNAME, IN)
_WIDTHS = {QUESTION.pack(A, IN): 4, QUESTION.pack(AAAA, IN): 16, QUESTION.pack(HTTPS, IN): 0}
_POINTER_TO_QUESTION = b"\xc0\x0c"
_FIRST_OF_USUAL = _POINTER_TO_QUESTION + CNAME_IN  # one object, for 50 bytes less a name
_END = b"\0"
_POINTER = 0xC0
TTL_BYTES = 4
_TTL = 4
_SIZE, _TARGET = 5, 6  # where the low byte of the length, and the data, stand behind a record's type and class
_ANSWERS = struct.Struct("!H")  # ANCOUNT, from offset 6
_header = HEADER.unpack_from

Unpack: TypeAlias = Callable[..., tuple[Any, ...]]
CnameTemplate: TypeAlias = tuple[bytes, ...]
"""The CNAME records behind an unlisted question's name, type and class: the pieces between their TTLs. The first ends
before the first TTL, the last one with the last target. Empty: there are none."""
AnswerTemplate: TypeAlias = tuple[Unpack, tuple[bytes, ...], int, bytes, Claims]
"""The beginning of the answers for a listed name: (unpack, fixed, size, owner, claims).

`unpack` takes apart the CNAME records behind the question into fixed bytes and TTLs, in turn; the fixed bytes must be
`fixed`, and all of it reaches `size` bytes from the end of the question's name. The records behind are of the owner
that is spelled `owner`; their addresses are claimed by `claims`."""


def read(
    templates: tuple[AnswerTemplate, ...], lists: tuple[str, ...], name: Name, wire: bytes, rest: bytes
) -> list[Sighting] | None:
    """Read an answer that fits a template, or has no CNAMEs and is written as every resolver writes it.

    Cases, in the order of the code:

        no NOERROR reply, or no records and no TC  no sightings
        an odd question, many records, or TC set   the exact parser
        a template fits                            its CNAMEs' TTLs, and the run of addresses behind
        none fits, and the records begin with the  the run of addresses, claimed for the question's name alone
        question's own name as a pointer
        else                                       the exact parser

    Args:
        templates: Learnt of the question's name.
        lists: The lists that the name is on.
        name: The question's name.
        wire: The message; its question's name is whole.
        rest: The bytes behind that name.

    Returns:
        The sightings, or None: the exact parser must say.

    Raises:
        DnsError: The authority or the additional section is cut or lying.
    """
    if len(wire) < HEADER_BYTES:
        return None
    flags, questions, answers, authority, additional = _header(wire, 2)
    if flags & REPLY_MASK != REPLY or not (answers or flags & TRUNCATED):
        return []
    kind = rest[:4]  # type and class of the question, and so of all records
    width = _WIDTHS.get(kind)
    if width is None or questions != 1 or flags & TRUNCATED or answers > ADDRESSES_MAX:
        return None
    for template in templates:
        try:
            found = _fit(template, rest, template[3] + kind, width, answers)
        except struct.error:  # it is shorter
            continue
        if found is not None:
            break
    else:
        try:
            found = _fit_direct(lists, name, rest, _POINTER_TO_QUESTION + kind, width=width, count=answers)
        except struct.error:
            return None
    if found is None:
        return None
    sightings, size = found
    _check_tail(rest[size:], authority + additional)
    return sightings


def _fit_direct(
    lists: tuple[str, ...], name: Name, rest: bytes, start: bytes, *, width: int, count: int
) -> tuple[list[Sighting], int] | None:
    """Read an answer section without CNAMEs; such a one needs no template.

    The run fits only if every record in it begins with `start` (owner, type, class), has an address of the right length
    and a TTL in bounds: fewer sightings than records mean that one was different, and the exact parser reads them all.
    """
    if not width:
        claims = tuple([(list_name, name, 0) for list_name in lists])
        return _fit_svcb(rest, QUESTION.size, start, claims, ()) if count == 1 else None
    layout = _layout(len(start), width)
    end = QUESTION.size + count * layout.size
    found = [
        (address, list_name, name, ttl_s)
        for list_name in lists
        for begins, ttl_s, length, address in layout.iter_unpack(rest[QUESTION.size : end])
        if begins == start and length == width and ttl_s >= 0
    ]
    return (found, end) if found and len(found) == count * len(lists) else None


def _fit(
    template: AnswerTemplate, rest: bytes, start: bytes, width: int, count: int
) -> tuple[list[Sighting], int] | None:
    """Read the answer section if it fits a template.

    The struct gives fixed bytes and TTLs in turn, so one comparison of every second field proves the CNAMEs, and the
    others are their TTLs. What follows is read as in `_fit_direct`; a claim of the chain's n-th name has the smallest
    TTL from there on.

    Args:
        template: The template.
        rest: The bytes behind the question's name.
        start: The bytes that each record of the run must begin with.
        width: Bytes of an address; 0: the records are HTTPS.
        count: Records in the answer section.

    Returns:
        The sightings and the size of the section; None: it doesn't fit.
    """
    unpack, fixed, offset, _, claims = template
    links: tuple[int, ...] = ()
    if fixed:
        fields = unpack(rest)
        links = fields[1::2]
        if fields[0::2] != fixed or min(links) < 0:
            return None
        count -= len(links)
    if not width:
        return _fit_svcb(rest, offset, start, claims, links) if count == 1 else None
    layout = _layout(len(start), width)
    end = offset + count * layout.size
    run = rest[offset:end]
    if links:
        bounds = [
            (list_name, name, min(links[position:], default=DNS_TTL_MAX_S)) for list_name, name, position in claims
        ]
        found = [
            (address, list_name, name, min(bound, ttl_s))
            for list_name, name, bound in bounds
            for begins, ttl_s, length, address in layout.iter_unpack(run)
            if begins == start and length == width and ttl_s >= 0
        ]
    else:
        found = [
            (address, list_name, name, ttl_s)
            for list_name, name, _ in claims
            for begins, ttl_s, length, address in layout.iter_unpack(run)
            if begins == start and length == width and ttl_s >= 0
        ]
    return (found, end) if found and len(found) == count * len(claims) else None


def _fit_svcb(
    rest: bytes, offset: int, start: bytes, claims: Claims, links: tuple[int, ...]
) -> tuple[list[Sighting], int] | None:
    """Read a run of one HTTPS record; there is seldom more than one."""
    layout = _layout(len(start), 0)
    begins, ttl_s, length, _ = layout.unpack_from(rest, offset)
    begin = offset + layout.size
    end = begin + length
    if begins != start or ttl_s < 0 or end > len(rest):
        return None
    addresses = address_hints(HTTPS, rest[begin:end])
    if len(addresses) > ADDRESSES_MAX:
        return None
    return [
        (address, list_name, name, min((*links[position:], ttl_s)))
        for list_name, name, position in claims
        for address in addresses
    ], end


def _check_tail(tail: bytes, count: int) -> None:
    """Check the bounds of the `count` records behind the answer section."""
    if len(tail) <= TAIL_MAX_BYTES:
        _check_usual_tail(tail, count)
    else:
        check_rest(tail, 0, count)


@lru_cache(maxsize=1024)
def _check_usual_tail(tail: bytes, count: int) -> None:
    check_rest(tail, 0, count)


@lru_cache(maxsize=1024)
def _layout(start: int, width: int) -> struct.Struct:
    """Make the struct of one record: its beginning (owner, type, class), TTL, length of the data, address."""
    return struct.Struct(f"!{start}siH{width}s")


@lru_cache(maxsize=1024)
def _unpacker(layout: str) -> Unpack:
    return struct.Struct(layout).unpack_from


def learn_template(wire: bytes, behind: int, answer: Answer, work: WorkBudget) -> AnswerTemplate | None:
    """Make a template of an answer that the exact parser has accepted.

    Args:
        wire: The message.
        behind: Offset behind its question's name.
        answer: The parser's answer; it has addresses and claims to them.
        work: Charged for the names.

    Returns:
        None: the answer is not of the usual kind.
    """
    links, end = _walk(wire, behind)
    owners = [*(link.owner for link in links), end]
    targets = [link.target for link in links]
    names = [HEADER_BYTES, *targets]
    if len(names) != len(answer.names) or end >= len(wire):
        return None
    try:
        for owner, name in zip(owners, names, strict=True):
            if read_name(wire, owner, work)[0] != read_name(wire, name, work)[0]:
                return None  # the records are not in the order of the chain
    except DnsError:  # of the records behind the CNAMEs the parser reads no owner where the type doesn't matter
        return None
    if not _is_steady(wire, behind, links, owners + targets):
        return None
    unpack = _unpacker(_layout_of(behind, links, end))
    return unpack, unpack(wire, behind)[0::2], end - behind, wire[end : skip_name(wire, end)], answer.claims


def read_targets(name: bytes, rest: bytes) -> list[bytes]:
    """Read the targets of all that may be CNAME records behind a question, if each is written as usual.

    That is in full, or with a pointer in the end, into the question's name or into a target before. The bytes may be no
    CNAME's at all. But where they are, its target is what is given here, or the exact parser refuses the message.

    Args:
        name: The labels of the question's name, as they are spelled.
        rest: The bytes behind that name.

    Returns:
        What are their labels, as they are spelled, unless a zero byte is in it. Nothing: one is written otherwise.
    """
    records = rest.split(CNAME_IN, NAMES_MAX)
    if len(records) > NAMES_MAX:
        return []
    first = len(records.pop(0))
    found: list[bytes] = []
    try:
        for record in records:
            size = record[_SIZE]  # no target has more bytes than one byte says
            target = record[_TARGET : _TARGET + size]
            if not target[-1]:  # in full; of what is cut short here the parser finds the end before the record's
                found.append(target[:-1])
                continue
            at = ((target[-2] - _POINTER) << 8 | target[-1]) - HEADER_BYTES
            labels = name[at:] if 0 <= at < len(name) else _pointed(at - len(name) - 1 - first, records, found)
            if not labels or len(target) != size:  # cut short, the bytes of a pointer may be those of a label
                return []
            found.append(target[:-2] + labels)
    except IndexError:
        return []
    return found


def _pointed(at: int, records: list[bytes], found: list[bytes]) -> bytes:
    """Give the labels in a target that was found, by their offset from the first record's type on; or nothing.

    Up to its zero byte or its pointer they must be whole. If that target is no CNAME's, nobody else looks whether what
    seems to be a pointer is a part of a label.
    """
    for record, labels in zip(records, found, strict=False):
        at -= len(CNAME_IN) + _TARGET
        end = record[_SIZE] - (2 if record[_TARGET + record[_SIZE] - 1] else 1)
        if 0 <= at < end:
            return labels[at:] if has_lengths(record[_TARGET + at : _TARGET + end]) else b""
        at -= len(record) - _TARGET
    return b""


def learn_cnames(name: bytes, rest: bytes, targets: list[bytes]) -> CnameTemplate | None:
    """Make a template of the CNAME records behind an unlisted question's name; None: they are not of the usual kind.

    Args:
        name: The labels of the name, as they are spelled.
        rest: The bytes behind it.
        targets: What `read_targets` gives of them, which are on no list.
    """
    first, *links = rest.split(CNAME_IN)
    owner = first[QUESTION.size :]
    if owner == _POINTER_TO_QUESTION:
        pieces = [_FIRST_OF_USUAL]
    elif owner == name + _END:
        pieces = [owner + CNAME_IN]
    else:
        return None
    # A target whose pointer leads into a label goes on behind the question's name, to TTLs that the template skips.
    if not targets or not all(map(has_lengths, targets)):
        return None
    last = links.pop()
    for record in links:
        end = _TARGET + record[_SIZE]
        owner = record[end:]
        if record[_TTL] or (owner != record[_TARGET:end] and (len(owner) != 2 or owner[0] < _POINTER)):
            return None
        pieces.append(record[_TTL:] + CNAME_IN)
    if last[_TTL]:
        return None
    pieces.append(last[_TTL : _TARGET + last[_SIZE]])
    return tuple(pieces)


class _Link(NamedTuple):
    """The offsets of the parts of a CNAME record."""

    owner: int
    ttl: int
    target: int


def _walk(wire: bytes, behind: int) -> tuple[list[_Link], int]:
    """Find the CNAME records that an answer section begins with, and the offset behind them."""
    links: list[_Link] = []
    owner = behind + QUESTION.size
    (answers,) = _ANSWERS.unpack_from(wire, 6)
    while len(links) < min(answers, NAMES_MAX):
        fixed = skip_name(wire, owner)
        target = fixed + RECORD.size
        if target > len(wire) or wire[fixed : fixed + 4] != CNAME_IN:
            break
        links.append(_Link(owner, fixed + 4, target))
        owner = target + (wire[target - 2] << 8 | wire[target - 1])
    return links, owner


def _is_steady(wire: bytes, behind: int, links: list[_Link], names: list[int]) -> bool:
    """Check that no name is spelled with bytes that a comparison leaves out.

    Left out are the header, the question's type and class, and the TTLs. A name that a pointer leads into one of these
    is another name in the next message, though all compared bytes are the same.
    """
    left_out = [(0, HEADER_BYTES), (behind, behind + QUESTION.size), *((link.ttl, link.ttl + 4) for link in links)]
    stretches: list[tuple[int, int]] = []
    for name in names:
        stretches += spans(wire, name)
        if len(stretches) > STRETCHES_MAX:
            return False
    return not any(start < last and first < end for start, end in stretches for first, last in left_out)


def _layout_of(behind: int, links: list[_Link], end: int) -> str:
    """Make the format of the struct that takes CNAME records apart into fixed bytes and TTLs, in turn.

    Args:
        behind: Offset behind the question's name.
        links: The message's CNAME records.
        end: Offset behind them.
    """
    layout = "!4x"  # the question's type and class
    offset = behind + QUESTION.size
    for link in links:
        layout += f"{link.ttl - offset}si"  # signed: what is beyond DNS_TTL_MAX_S shows as negative
        offset = link.ttl + 4
    if links:
        layout += f"{end - offset}s"
    return layout
