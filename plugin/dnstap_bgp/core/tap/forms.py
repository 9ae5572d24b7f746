"""The usual form of an answer, learnt from one message and recognised in the next by one struct and one comparison.

An answer for a name mostly begins with the same CNAME records as the last time, or with none, and goes on with a run of
address records of one owner. A *form* is that beginning: its bytes must be the same, but for the TTLs. It may be learnt
only where the records were walked one by one, and no name in them is spelled with bytes that the comparison leaves out:
else a TTL could hide a record, or the end of a name.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from dnstap_bgp.core.dns.answer import (
    AAAA,
    ADDRESSES_MAX,
    CNAME,
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
    TTL_MAX_S,
    A,
    Answer,
    check_rest,
)
from dnstap_bgp.core.dns.labels import read_name, skip_name, spans
from dnstap_bgp.core.dns.service import hints
from dnstap_bgp.core.model import Name, Sighting
from dnstap_bgp.errors import DnsError

TAIL_MAX_BYTES = 64
"""What follows an answer section is mostly the same few bytes, an OPT record: up to this length checked once."""

CNAME_IN = QUESTION.pack(CNAME, IN)
_WIDTHS = {QUESTION.pack(A, IN): 4, QUESTION.pack(AAAA, IN): 16, QUESTION.pack(HTTPS, IN): 0}
_POINTER_TO_QUESTION = b"\xc0\x0c"
_ANSWERS = struct.Struct("!H")  # ANCOUNT, from offset 6
_header = HEADER.unpack_from
_TTL_SKIPPED, _TTL_READ = "4x", "i"  # signed: what is beyond TTL_MAX_S shows as negative

Claims: TypeAlias = tuple[tuple[str, Name, int], ...]
"""(list, name, position in the chain) of the names of a chain that are on a list."""
Unpack: TypeAlias = Callable[..., tuple[Any, ...]]
Skeleton: TypeAlias = tuple[Unpack, tuple[bytes, ...], int]
"""What is compared, of the bytes behind the question's name: (their struct, what it must give, how far it reaches)."""
Form: TypeAlias = tuple[Unpack, tuple[bytes, ...], int, bytes, Claims]
"""How the answers for a listed name begin: (unpack, fixed, size, owner, claims).

`unpack` takes apart the CNAME records behind the question into fixed bytes and TTLs, in turn, `fixed` is what the fixed
bytes must be, and `size` how far all that reaches from the end of the question's name; `owner` is how the owner of the
records behind is spelled, and `claims` says who claims their addresses."""


def read(
    forms: tuple[Form, ...], lists: tuple[str, ...], name: Name, wire: bytes, rest: bytes
) -> list[Sighting] | None:
    """Read an answer that has one of the forms, or no CNAMEs and is written as every resolver does that.

    Args:
        forms: Those learnt of the question's name.
        lists: Those that it is on.
        name: The name.
        wire: The message; its question's name is whole.
        rest: What follows that name.

    Returns:
        Its sightings, or None: the exact parser must say.

    Raises:
        DnsError: What follows the answer section is cut or lying.
    """
    if len(wire) < HEADER_BYTES:
        return None
    flags, questions, answers, authority, additional = _header(wire, 2)
    if flags & REPLY_MASK != REPLY or not answers:
        return []
    kind = rest[:4]  # type and class of the question, and so of all records
    width = _WIDTHS.get(kind)
    if width is None or questions != 1 or flags & TRUNCATED or answers > ADDRESSES_MAX:
        return None
    for form in forms:
        try:
            found = _fit(form, rest, form[3] + kind, width, answers)
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
    """Read an answer section without CNAMEs, whose form need not be learnt."""
    if not width:
        claims = tuple([(list_name, name, 0) for list_name in lists])
        return _fit_service(rest, QUESTION.size, start, claims, ()) if count == 1 else None
    layout = _layout(len(start), width)
    end = QUESTION.size + count * layout.size
    found = [
        (address, list_name, name, ttl_s)
        for list_name in lists
        for begins, ttl_s, length, address in layout.iter_unpack(rest[QUESTION.size : end])
        if begins == start and length == width and ttl_s >= 0
    ]
    return (found, end) if found and len(found) == count * len(lists) else None


def _fit(form: Form, rest: bytes, start: bytes, width: int, count: int) -> tuple[list[Sighting], int] | None:
    """Read the answer section if it has this form; start: how each record of the run must begin."""
    unpack, fixed, offset, _, claims = form
    links: tuple[int, ...] = ()
    if fixed:
        fields = unpack(rest)
        links = fields[1::2]
        if fields[0::2] != fixed or min(links) < 0:
            return None
        count -= len(links)
    if not width:
        return _fit_service(rest, offset, start, claims, links) if count == 1 else None
    layout = _layout(len(start), width)
    end = offset + count * layout.size
    run = rest[offset:end]
    if links:
        bounds = [(list_name, name, min(links[position:], default=TTL_MAX_S)) for list_name, name, position in claims]
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


def _fit_service(
    rest: bytes, offset: int, start: bytes, claims: Claims, links: tuple[int, ...]
) -> tuple[list[Sighting], int] | None:
    """Read a run of one HTTPS record; mostly there is only one."""
    layout = _layout(len(start), 0)
    begins, ttl_s, length, _ = layout.unpack_from(rest, offset)
    begin = offset + layout.size
    end = begin + length
    if begins != start or ttl_s < 0 or end > len(rest):
        return None
    addresses = hints(HTTPS, rest[begin:end])
    if len(addresses) > ADDRESSES_MAX:
        return None
    return [
        (address, list_name, name, min((*links[position:], ttl_s)))
        for list_name, name, position in claims
        for address in addresses
    ], end


def _check_tail(tail: bytes, count: int) -> None:
    if len(tail) <= TAIL_MAX_BYTES:
        _check_usual_tail(tail, count)
    else:
        check_rest(tail, 0, count)


@lru_cache(maxsize=1024)
def _check_usual_tail(tail: bytes, count: int) -> None:
    check_rest(tail, 0, count)


@lru_cache(maxsize=1024)
def _layout(start: int, width: int) -> struct.Struct:
    """One record: how it begins (owner, type, class), TTL, length of the data, address."""
    return struct.Struct(f"!{start}siH{width}s")


@lru_cache(maxsize=1024)
def _unpacker(layout: str) -> Unpack:
    return struct.Struct(layout).unpack_from


def learn(wire: bytes, behind: int, answer: Answer, claims: Claims) -> Form | None:
    """Make a form of an answer that the exact parser has accepted.

    Args:
        wire: The message.
        behind: Where its question's name ends.
        answer: What the parser gave; it has addresses.
        claims: Who claims them.

    Returns:
        None: it is not of the usual kind.
    """
    links, end = _walk(wire, behind)
    owners = [*(link.owner for link in links), end]
    targets = [link.target for link in links]
    names = [HEADER_BYTES, *targets]
    if len(names) != len(answer.names) or end >= len(wire) or not _steady(wire, behind, links, owners + targets):
        return None
    if any(read_name(wire, owner)[0] != read_name(wire, name)[0] for owner, name in zip(owners, names, strict=True)):
        return None  # the records are not in the order of the chain
    unpack, fixed, size = _skeleton(wire, behind, links, end, _TTL_READ)
    return unpack, fixed[0::2], size, wire[end : skip_name(wire, end)], claims


def learn_links(wire: bytes, behind: int) -> Skeleton | None:
    """Make a skeleton of a message's CNAME records alone, its targets accepted by `read_name`; None: it can't be."""
    try:
        links, end = _walk(wire, behind)
    except DnsError:
        return None
    if not links or end > len(wire) or not _steady(wire, behind, links, [link.target for link in links]):
        return None
    return _skeleton(wire, behind, links, end, _TTL_SKIPPED)


class _Link(NamedTuple):
    """Where a CNAME record has what."""

    owner: int
    ttl: int
    target: int


def _walk(wire: bytes, behind: int) -> tuple[list[_Link], int]:
    """The CNAME records that an answer section begins with, and where they end."""
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


def _steady(wire: bytes, behind: int, links: list[_Link], names: list[int]) -> bool:
    """Whether no name is spelled with bytes that the comparison leaves out: header, question's type and class, TTLs."""
    left_out = [(0, HEADER_BYTES), (behind, behind + QUESTION.size), *((link.ttl, link.ttl + 4) for link in links)]
    return not any(
        first < to and start < last for name in names for start, to in spans(wire, name) for first, last in left_out
    )


def _skeleton(wire: bytes, behind: int, links: list[_Link], end: int, ttl: str) -> Skeleton:
    layout = "!4x"
    offset = behind + QUESTION.size
    for link in links:
        layout += f"{link.ttl - offset}s{ttl}"
        offset = link.ttl + 4
    if links:
        layout += f"{end - offset}s"
    unpack = _unpacker(layout)
    return unpack, unpack(wire, behind), end - behind
