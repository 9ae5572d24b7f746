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
from contextlib import contextmanager
from dataclasses import fields
from ipaddress import ip_address
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, TypeVar

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
"""A longer TTL, or an endless one, is written and read as this: a deadline beyond has no second in an expiry wheel."""

NEIGHBORS_MAX = 1_000
"""Neighbors that the records of a file may name: each may make a view of its own, with a table of its own."""

_ADDRESS_BYTES = frozenset({4, 16})
_COLUMNS, _COLUMNS_OF_VIEWS = 10, 12
_PAYLOAD_OF_VIEWS = bytes((0x90 + _COLUMNS_OF_VIEWS,))  # an array of so many columns, as msgpack begins it
_NAME_BYTES = frozenset(range(1, NAME_MAX + 1))  # of a name without escapes
_LABEL_BYTES = frozenset(range(1, LABEL_MAX + 1))
# Of presentation format (RFC 1035, 5.1) without escapes: names are lower-case.
_NAME_CHARACTERS = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("\\") and not 0x41 <= byte <= 0x5A)
_TIME_MAX_MS = 1000 * 366 * 86_400_000  # of ages and lifetimes: ten times `STATE_TTL_MAX_S`
_FIELDS = fields(Attributes)

_Column: TypeAlias = Sequence[Any]  # as msgpack gave it

K = TypeVar("K", bound=Hashable)


class _Columns(NamedTuple):
    """Columns of a payload; the last two are of version 2 only."""

    sources: _Column
    addresses: _Column
    source_ids: _Column
    names: _Column
    ages: _Column
    since: _Column
    sets: _Column
    prefixes: _Column
    set_ids: _Column
    withdrawn: _Column
    audiences: _Column = ()
    announced_to: _Column | None = None

    @property
    def of_claims(self) -> tuple[_Column, _Column, _Column, _Column, _Column]:
        """Columns with a value for each claim."""
        return self.addresses, self.source_ids, self.names, self.ages, self.since


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

    def decode_told(self, payload: bytes) -> tuple[list[RibRecord], int]:
        """Read what one payload says of announcements and withdrawals; nothing of it is believed.

        A checksum proves that a block is whole, and not who wrote it: the file may have been put there. So names,
        addresses, lists and times are checked as if a stranger had sent them, and a block with one that fails is none:
        also for a claim's. An announcement whose attributes fail is kept, with attributes that are never said: ExaBGP
        may have it.

        Args:
            payload: What `encode` made.

        Returns:
            Prefixes that were announced or (None) withdrawn, in order, and how many have unknown attributes. Where the
            attributes are none that a configuration could give, `unknown_attributes` stand for them.

        Raises:
            StateFileError: It is none, though its checksum was right.
        """
        with _refusing():
            columns = _columns(payload)
            self._check(columns)
            _check_prefixes(columns.prefixes)
            _check_prefixes(columns.withdrawn)
            attributes = list(map(self._attributes_of, columns.sets))
            are_known = _are_known(columns, attributes)
            told: list[RibRecord]
            if columns.announced_to is not None:
                told = self._told_of_views(columns, columns.announced_to, attributes)
            else:
                found = zip(columns.prefixes, map(attributes.__getitem__, columns.set_ids), strict=True)
                told = list(found) if are_known else [(prefix, _of_family(prefix, one)) for prefix, one in found]
        unknown = 0 if are_known else sum(found in UNKNOWN_ATTRIBUTES for _, found in told)
        if columns.withdrawn:
            told = [*((prefix, None) for prefix in columns.withdrawn), *told]
        return told, unknown

    def decode_claims(self, payload: bytes, stamp_s: float) -> tuple[list[Claim], int]:
        """Read the claims of one payload, checked as in `decode_told`.

        Args:
            payload: What `encode` made.
            stamp_s: When the block was written, in the reader's process clock; may be negative.

        Returns:
            The claims before their deadline, and how many were not.

        Raises:
            StateFileError: It is none, though its checksum was right.
        """
        with _refusing():
            columns = _columns(payload)
            known = self._check(columns)
        now = self._now
        rows = zip(
            columns.addresses,
            map(known.__getitem__, columns.source_ids),
            columns.names,
            columns.ages,
            columns.since,
            strict=True,
        )
        claims = [
            Claim(address, list_name, name, stamp_s - age / 1000, stamp_s - (age + gap) / 1000, ttl_s)
            for address, (list_name, ttl_s), name, age, gap in rows
            if stamp_s - age / 1000 + ttl_s > now
        ]
        return claims, len(columns.addresses) - len(claims)

    def _check(self, columns: _Columns) -> list[tuple[str, float]]:
        """Check the columns of the claims; gives the (list, TTL) pairs that they index.

        Raises:
            ValueError: They are none; or another error of what is no column at all.
        """
        addresses, source_ids, names, ages, since = claims = columns.of_claims
        known = [self._source(*source) for source in columns.sources]
        for number in set(source_ids):
            known[number]
        if len(set(map(len, claims))) > 1:
            raise ValueError("columns of different lengths")
        _check_claims(addresses, names, ages, since)
        return known

    def _told_of_views(
        self, columns: _Columns, announced_to: _Column, attributes: Sequence[Attributes | None]
    ) -> list[RibRecord]:
        """Read the records of a payload of version 2.

        Raises:
            ValueError: The columns are none; or another error of what is no column at all.
        """
        audiences = enumerate(map(self._audience, columns.audiences))
        known: dict[int | None, Audience | None] = {None: None, **dict(audiences)}
        told: list[RibRecord] = []
        for prefix, number, to in zip(columns.prefixes, columns.set_ids, announced_to, strict=True):
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
        return self._lists.setdefault(list_name, list_name), min(ttl_ms / 1000, STATE_TTL_MAX_S)

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


def _columns(payload: bytes) -> _Columns:
    """Unpack a payload.

    Raises:
        TypeError: It has other columns; or another error of msgpack's.
    """
    values = msgpack.unpackb(payload, use_list=False)
    if not isinstance(values, tuple) or len(values) not in (_COLUMNS, _COLUMNS_OF_VIEWS) or None in values:
        raise TypeError("other columns")
    return _Columns(*values)


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse a payload for whatever goes wrong while it is read.

    Raises:
        StateFileError: Something did.
    """
    try:
        yield
    except (ValueError, TypeError, IndexError, KeyError, RecursionError, msgpack.UnpackException) as error:
        # Nothing of the content may come into a message: it would go to logs and terminals.
        msg = f"the block's checksum is right, but its content is not ({type(error).__name__})"
        raise StateFileError(msg) from None


def _numbered(values: Iterable[K]) -> dict[K, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _check_claims(addresses: _Column, names: _Column, ages: _Column, since: _Column) -> None:
    """Refuse columns that hold anything but addresses, names and times; 0.3 us a row."""
    are_addresses = set(map(type, addresses)) <= {bytes} and set(map(len, addresses)) <= _ADDRESS_BYTES
    if not (are_addresses and _are_names(names) and _are_times(ages) and _are_times(since)):
        raise TypeError("an address, a name or a time is none")


def _check_prefixes(prefixes: _Column) -> None:
    """Refuse a column that holds anything but prefixes; mostly addresses, which are looked at in C."""
    are_addresses = set(map(type, prefixes)) <= {bytes} and set(map(len, prefixes)) <= _ADDRESS_BYTES
    if not are_addresses and not all(map(is_prefix, prefixes)):
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


def _are_known(columns: _Columns, attributes: Sequence[Attributes | None]) -> bool:
    """Tell whether all prefixes have attributes of their family, and such as a configuration can give.

    Of each (length, attribute set) one is looked at: to compare the attributes of every prefix would take ten times
    what all the rest of reading it does.
    """
    return all(
        number is None
        or (
            (found := attributes[number]) is not None
            and found not in UNKNOWN_ATTRIBUTES
            and len(found.next_hop) == _next_hop_bytes(length)
        )
        for length, number in set(zip(map(len, columns.prefixes), columns.set_ids, strict=True))
    )


def _next_hop_bytes(length: int) -> int:
    """Give the size of the next hop for prefixes of this many bytes."""
    return 16 if length >= 16 else 4


def _of_family(prefix: Prefix, attributes: Attributes | None) -> Attributes:
    """Give the attributes of a prefix; those of the other family, or none, are unknown."""
    is_known = attributes is not None and len(attributes.next_hop) == _next_hop_bytes(len(prefix))
    return attributes if attributes is not None and is_known else unknown_attributes(prefix)
