"""Records of the state file: claims, and what was announced to ExaBGP; also as JSON objects, for people and peers.

A payload is one msgpack array of columns:

    [sources, address, source, name, age, since, attributes, announced, announced_with, withdrawn]

`sources` lists the (list, TTL) pairs and `attributes` the attribute sets of this block, each once; the columns `source`
and `announced_with` index them. Times are whole milliseconds: `age` from the sighting to the block's stamp, `since`
from the first to the last sighting. Columns, because zip and msgpack then do in C what would be a Python loop over
rows: 1.0 us a claim to write and 1.3 us to read (tests/bench/store.py).

Where there is more than one view of neighbors, a record says whom it is about, and the payload (of a file of version 2)
has two columns more:

    [..., audiences, announced_to]

`audiences` lists the sets of neighbors, as (addresses, whether it is everyone except these), each once; the other one
indexes them for each prefix; null: a record as of version 1, about all neighbors. Such records may overlap, and then
their order counts: so `announced` has all of them, those withdrawn with null as their attributes, and `withdrawn` none.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import msgpack

from dnstap_bgp.core.dns.names import LABEL_MAX, NAME_MAX
from dnstap_bgp.core.model import (
    BY_HAND,
    UNKNOWN_ATTRIBUTES,
    Attributes,
    Audience,
    Claim,
    Prefix,
    RibKey,
    RibRecord,
    ViewPrefix,
    is_of_views,
    unknown_attributes,
)
from dnstap_bgp.core.state.blocks import BlockKind, frame
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.text import name_text, prefix_text
from dnstap_bgp.core.validation import clean_name, is_list_name, is_prefix, read_attributes
from dnstap_bgp.errors import BadNameError, BadValueError, StateFileError

RECORDS_MAX = 1024
"""Records of one kind in a block: one call of msgpack holds the interpreter for about 0.2 ms."""

STATE_TTL_MAX_S = 100 * 365 * 86_400.0
"""A longer TTL, or an endless one, is written as this."""

NEIGHBORS_MAX = 1_000
"""Neighbors that the records of a file may name: each may make a view of its own, with a table of its own."""

_ADDRESS_BYTES = frozenset({4, 16})
_PAYLOAD_OF_VIEWS = bytes((0x90 + 12,))  # an array of twelve columns, as msgpack begins it
_NAME_BYTES = frozenset(range(1, NAME_MAX + 1))  # of a name without escapes
_LABEL_BYTES = frozenset(range(1, LABEL_MAX + 1))
# Of presentation format (RFC 1035, 5.1) without escapes: names are lower-case.
_NAME_CHARACTERS = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("\\") and not 0x41 <= byte <= 0x5A)
_TIME_MAX_MS = 1000 * 366 * 86_400_000  # of ages and lifetimes: ten times `STATE_TTL_MAX_S`
_FIELDS = fields(Attributes)

_Column: TypeAlias = Sequence[Any]  # as msgpack gave it

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Records:
    """Content of one block, in the clock of the process that reads it.

    Attributes:
        claims: Those before their deadline.
        expired: How many were not.
        told: Prefixes that were announced or (None) withdrawn, in order. Where the attributes are none that a
            configuration could give, `unknown_attributes` stand for them.
        unknown: How many of them have unknown attributes.
    """

    claims: list[Claim]
    expired: int
    told: list[RibRecord]
    unknown: int = 0


NOTHING = Records([], 0, [])


def encode(claims: Sequence[Claim], records: Sequence[RibRecord], stamp_s: float) -> bytes:
    """Write one payload.

    Args:
        claims: At most `RECORDS_MAX`.
        records: At most `RECORDS_MAX` of each kind. Unless one says whom it is about, none that is withdrawn may be
            announced, too: those withdrawn are read first.
        stamp_s: The block's stamp, process clock.
    """
    sources: dict[tuple[str, float], int] = {}
    columns: list[Sequence[object]] = [(), (), (), (), ()]
    if claims:
        addresses, lists, names, seen, first, ttls = zip(*claims, strict=True)
        pairs = list(zip(lists, ttls, strict=True))
        sources = _numbered(pairs)
        columns = [
            addresses,
            list(map(sources.__getitem__, pairs)),
            names,
            [round((stamp_s - last) * 1000) for last in seen],
            [round((last - begin) * 1000) for last, begin in zip(seen, first, strict=True)],
        ]
    withdrawn: list[RibKey] = []
    view_columns: list[Sequence[object]] = []
    if is_of_views(map(itemgetter(0), records)):
        view_columns = _view_columns(records)
    else:
        withdrawn = [key for key, attributes in records if attributes is None]
        records = [record for record in records if record[1] is not None] if withdrawn else records
    # By identity: hashing an attribute set takes ten times as long, and equal ones are nearly always one object.
    sets = {id(attributes): attributes for _, attributes in records if attributes is not None}
    numbers: dict[int, int | None] = {id(None): None, **_numbered(sets)}
    payload: bytes = msgpack.packb(
        [
            [(name, round(min(ttl_s, STATE_TTL_MAX_S) * 1000)) for name, ttl_s in sources],
            *columns,
            [_attributes_object(attributes) for attributes in sets.values()],
            [key if isinstance(key, bytes) else key.prefix for key, _ in records],
            [numbers[id(attributes)] for _, attributes in records],
            withdrawn,
            *view_columns,
        ]
    )
    return payload


def is_payload_of_views(payload: bytes) -> bool:
    """Tell whether a payload is of version 2, by the number of its columns."""
    return payload[:1] == _PAYLOAD_OF_VIEWS


def _view_columns(records: Sequence[RibRecord]) -> list[Sequence[object]]:
    """Make the columns of version 2."""
    audiences = _numbered(key.audience for key, _ in records if not isinstance(key, bytes))
    return [
        [(audience.names, audience.is_except) for audience in audiences],
        [None if isinstance(key, bytes) else audiences[key.audience] for key, _ in records],
    ]


def frames(kind: BlockKind, claims: Sequence[Claim], records: Sequence[RibRecord], stamp: Stamp) -> Iterator[bytes]:
    """Write any number of records as whole blocks, at least one; arguments as for `encode`."""
    announced, withdrawn = records, list[RibRecord]()
    if not is_of_views(map(itemgetter(0), records)):
        withdrawn = [record for record in records if record[1] is None]
        announced = [record for record in records if record[1] is not None] if withdrawn else records
    for start in range(0, max(1, len(claims), len(announced), len(withdrawn)), RECORDS_MAX):
        part = slice(start, start + RECORDS_MAX)
        told = [*announced[part], *withdrawn[part]] if withdrawn else announced[part]
        yield frame(kind, stamp, encode(claims[part], told, stamp.boottime_s))


class Decoder:
    """Reader of payloads; equal lists and attribute sets of all blocks become one object."""

    def __init__(self, now: float) -> None:
        """Start.

        Args:
            now: The reader's process clock: claims with a deadline before it are left out.
        """
        self._now = now
        self._lists: dict[str, str] = {}
        self._audiences: dict[Audience, Audience] = {}
        self._neighbors: frozenset[str] = frozenset()  # that some audience names
        self._attributes: dict[Attributes, Attributes] = {}

    def decode(self, payload: bytes, stamp_s: float) -> Records:
        """Read one payload; nothing of it is believed.

        A checksum proves that a block is whole, and not who wrote it: the file may have been put there. So names,
        addresses, lists and times are checked as if a stranger had sent them, and a block with one that fails is none.
        An announcement whose attributes fail is kept, with attributes that are never said: ExaBGP may have it.

        Args:
            payload: What `encode` made.
            stamp_s: When the block was written, in the reader's process clock; may be negative.

        Raises:
            StateFileError: It is none, though its checksum was right.
        """
        try:
            columns = msgpack.unpackb(payload, use_list=False)
            sources, addresses, source_ids, names, ages, since, sets, prefixes, set_ids, withdrawn, *views = columns
            known = [self._source(*source) for source in sources]
            rows = zip(addresses, map(known.__getitem__, source_ids), names, ages, since, strict=True)
            _check_claims(addresses, names, ages, since)
            _check_prefixes(prefixes)
            _check_prefixes(withdrawn)
            now = self._now
            claims = [
                Claim(address, list_name, name, stamp_s - age / 1000, stamp_s - (age + gap) / 1000, ttl_s)
                for address, (list_name, ttl_s), name, age, gap in rows
                if stamp_s - age / 1000 + ttl_s > now
            ]
            attributes = list(map(self._attributes_of, sets))
            told: list[RibRecord] = (
                self._told_of_views(prefixes, set_ids, attributes, *views)
                if views
                else [
                    (prefix, _of_family(prefix, found))
                    for prefix, found in zip(prefixes, map(attributes.__getitem__, set_ids), strict=True)
                ]
            )
        except (ValueError, TypeError, IndexError, KeyError, RecursionError, msgpack.UnpackException) as error:
            # Nothing of the content may come into a message: it would go to logs and terminals.
            msg = f"the block's checksum is right, but its content is not ({type(error).__name__})"
            raise StateFileError(msg) from None
        unknown = sum(found in UNKNOWN_ATTRIBUTES for _, found in told)
        told = [*((prefix, None) for prefix in withdrawn), *told]
        return Records(claims, len(addresses) - len(claims), told, unknown)

    def _told_of_views(
        self,
        prefixes: Sequence[Prefix],
        set_ids: Sequence[int | None],
        attributes: Sequence[Attributes | None],
        audiences: Sequence[Any],
        announced_to: Sequence[int | None],
    ) -> list[RibRecord]:
        """Read the records of a payload of version 2.

        Raises:
            ValueError: The columns are none; or another error of what is no column at all.
        """
        known: dict[int | None, Audience | None] = {None: None, **dict(enumerate(map(self._audience, audiences)))}
        told: list[RibRecord] = []
        for prefix, number, to in zip(prefixes, set_ids, announced_to, strict=True):
            audience = known[to]
            key = prefix if audience is None else ViewPrefix(prefix, audience)
            told.append((key, None if number is None else _of_family(prefix, attributes[number])))
        return told

    def _audience(self, values: Sequence[Any]) -> Audience:
        """Read a set of neighbors; equal ones of all blocks become one object.

        Raises:
            ValueError: It is none, or the file names more neighbors than there can be.
        """
        names, is_except = values
        if not isinstance(is_except, bool) or not all(isinstance(name, str) and "%" not in name for name in names):
            raise TypeError("no audience")
        found = Audience(tuple(dict.fromkeys(str(ip_address(name)) for name in names)), is_except=is_except)
        self._neighbors |= frozenset(found.names)
        if len(self._neighbors) > NEIGHBORS_MAX:
            raise ValueError("too many neighbors")
        return self._audiences.setdefault(found, found)

    def _source(self, list_name: object, ttl_ms: object) -> tuple[str, float]:
        """Read a (list, TTL) pair.

        Raises:
            TypeError: It is none.
        """
        if not isinstance(list_name, str) or not is_list_name(list_name):
            raise TypeError("no list's name")
        if not isinstance(ttl_ms, int) or not 0 <= ttl_ms <= _TIME_MAX_MS:
            raise TypeError("no TTL")
        return self._lists.setdefault(list_name, list_name), ttl_ms / 1000

    def _attributes_of(self, values: object) -> Attributes | None:
        """Read an attribute set; None: it has something that no configuration could give."""
        try:
            return self._intern(read_attributes(values))
        except BadValueError:
            return None

    def _intern(self, attributes: Attributes) -> Attributes:
        return self._attributes.setdefault(attributes, attributes)


def claim_object(claim: Claim, now: float) -> dict[str, object]:
    """Write a claim as a JSON object; times as ages, since clocks differ between processes and machines.

    Args:
        claim: The claim.
        now: The process clock of its times.
    """
    return {
        "address": prefix_text(claim.address),
        "list": claim.list,
        "name": name_text(claim.name),
        "seen_s_ago": round(now - claim.seen, 3),
        "first_s_ago": round(now - claim.first, 3),
        "ttl_s": claim.ttl_s,
    }


def attributes_object(attributes: Attributes) -> dict[str, object]:
    """Write attributes as a JSON object, without those that are not said."""
    return _attributes_object(attributes) | {"next_hop": prefix_text(attributes.next_hop)}


def audience_object(audience: Audience) -> dict[str, object]:
    """Write a set of neighbors as a JSON object."""
    return {"neighbors": list(audience.names), "except_these": audience.is_except}


def _attributes_object(attributes: Attributes) -> dict[str, Any]:
    """Give the fields that differ from their defaults, by name."""
    values = ((field.name, getattr(attributes, field.name), field.default) for field in _FIELDS)
    return {name: value for name, value, default in values if value != default}


def _numbered(values: Iterable[K]) -> dict[K, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _check_claims(addresses: _Column, names: _Column, ages: _Column, since: _Column) -> None:
    """Refuse columns that hold anything but addresses, names and times; 0.3 us a row."""
    are_addresses = set(map(type, addresses)) <= {bytes} and set(map(len, addresses)) <= _ADDRESS_BYTES
    if not (are_addresses and _are_names(names) and _are_times(ages) and _are_times(since)):
        raise TypeError("an address, a name or a time is none")


def _check_prefixes(prefixes: _Column) -> None:
    """Refuse a column that holds anything but prefixes."""
    if not all(map(is_prefix, prefixes)):
        raise TypeError("a prefix is none")


def _are_names(names: _Column) -> bool:
    """Tell whether all values are names in their one form (`clean_name`), or `BY_HAND`.

    Nearly every block has names without escapes only. Those are looked at all together, as one text, in C (0.2 us each
    instead of 1.2), and each for itself only where that fails.
    """
    if not set(map(type, names)) <= {bytes}:
        return False
    text = b".".join(names)
    if not text.translate(None, _NAME_CHARACTERS) and set(map(len, names)) <= _NAME_BYTES:
        return not names or set(map(len, text.split(b"."))) <= _LABEL_BYTES
    return all(name == BY_HAND or _is_name(name) for name in names)


def _is_name(name: bytes) -> bool:
    try:
        return clean_name(name) == name
    except BadNameError:
        return False


def _are_times(times: _Column) -> bool:
    return set(map(type, times)) <= {int} and (not times or -_TIME_MAX_MS <= min(times) <= max(times) <= _TIME_MAX_MS)


def _of_family(prefix: Prefix, attributes: Attributes | None) -> Attributes:
    """Give the attributes of a prefix; those of the other family, or none, are unknown."""
    size = 16 if len(prefix) >= 16 else 4
    return attributes if attributes is not None and len(attributes.next_hop) == size else unknown_attributes(prefix)
