"""What the state file's blocks hold: claims, and what the host was told; also as JSON objects, for people and peers.

A payload is one msgpack array of columns:

    [sources, address, source, name, age, since, attributes, told, told with, untold]

`sources` lists the (list, TTL) pairs and `attributes` the attribute sets of this block, each once; the columns `source`
and `told with` index them. Times are whole milliseconds: `age` from the sighting to the block's stamp, `since` from the
first to the last sighting. Columns, because zip and msgpack then do in C what would be a Python loop over rows: 1.0 us
a claim to write and 1.3 us to read (tests/bench/store.py).
"""

import ipaddress
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import msgpack

from dnstap_bgp.core.model import Attributes, Claim, Prefix
from dnstap_bgp.core.state.blocks import Kind, frame
from dnstap_bgp.core.state.stamps import Stamp
from dnstap_bgp.errors import StateFileError

RECORDS_MAX = 1024
"""Records of one kind in a block: one call of msgpack holds the interpreter for about 0.2 ms."""

TTL_MAX_S = 100 * 365 * 86_400.0
"""A longer TTL, or an endless one, is written as this."""

_ADDRESS_BYTES = frozenset({4, 16})
_PREFIX_BYTES = frozenset({4, 5, 16, 17})
_NAME_BYTES = frozenset(range(1017))  # 254 octets, each as four characters at most
_FIELDS = fields(Attributes)

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Records:
    """What one block holds, for the process that reads it.

    Attributes:
        claims: Those before their deadline.
        expired: How many were not.
        told: What the host was told, and in this block not untold after it.
        untold: What was withdrawn, and in this block not told after it.
    """

    claims: list[Claim]
    expired: int
    told: list[tuple[Prefix, Attributes]]
    untold: list[Prefix]


NOTHING = Records([], 0, [], [])


def encode(
    claims: Sequence[Claim], told: Sequence[tuple[Prefix, Attributes]], untold: Sequence[Prefix], stamp_s: float
) -> bytes:
    """Write one payload.

    Args:
        claims: At most `RECORDS_MAX`.
        told: At most `RECORDS_MAX`; no prefix twice, and none that is in `untold`.
        untold: At most `RECORDS_MAX`.
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
    # By identity: hashing an attribute set takes ten times as long, and equal ones are nearly always one object.
    sets = {id(attributes): attributes for _, attributes in told}
    numbers = _numbered(sets)
    payload: bytes = msgpack.packb(
        [
            [(name, round(min(ttl_s, TTL_MAX_S) * 1000)) for name, ttl_s in sources],
            *columns,
            [_attributes_object(attributes) for attributes in sets.values()],
            [prefix for prefix, _ in told],
            [numbers[id(attributes)] for _, attributes in told],
            untold,
        ]
    )
    return payload


def frames(
    kind: Kind,
    claims: Sequence[Claim],
    told: Sequence[tuple[Prefix, Attributes]],
    untold: Sequence[Prefix],
    stamp: Stamp,
) -> Iterator[bytes]:
    """Write any number of records as whole blocks, at least one; arguments as for `encode`."""
    for start in range(0, max(1, len(claims), len(told), len(untold)), RECORDS_MAX):
        part = slice(start, start + RECORDS_MAX)
        yield frame(kind, stamp, encode(claims[part], told[part], untold[part], stamp.boottime_s))


class Decoder:
    """Reads payloads; equal lists and attribute sets of all blocks become one object."""

    def __init__(self, now: float) -> None:
        """Start.

        Args:
            now: The reader's process clock: claims with a deadline before it are left out.
        """
        self._now = now
        self._lists: dict[str, str] = {}
        self._attributes: dict[Attributes, Attributes] = {}

    def decode(self, payload: bytes, stamp_s: float) -> Records:
        """Read one payload.

        Args:
            payload: What `encode` made.
            stamp_s: When the block was written, in the reader's process clock; may be negative.

        Raises:
            StateFileError: It is none, though its checksum was right.
        """
        try:
            columns = msgpack.unpackb(payload, use_list=False)
            sources, addresses, source_ids, names, ages, since, sets, prefixes, set_ids, untold = columns
            _check(addresses, _ADDRESS_BYTES)
            _check(prefixes, _PREFIX_BYTES)
            _check(untold, _PREFIX_BYTES)
            _check(names, _NAME_BYTES)
            known = [(self._lists.setdefault(name, name), ttl_ms / 1000) for name, ttl_ms in sources]
            rows = zip(addresses, map(known.__getitem__, source_ids), names, ages, since, strict=True)
            now = self._now
            claims = [
                Claim(address, list_name, name, stamp_s - age / 1000, stamp_s - (age + gap) / 1000, ttl_s)
                for address, (list_name, ttl_s), name, age, gap in rows
                if stamp_s - age / 1000 + ttl_s > now
            ]
            attributes = [self._intern(Attributes(**values)) for values in sets]
            told = list(zip(prefixes, map(attributes.__getitem__, set_ids), strict=True))
        except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            msg = f"the block's checksum is right, but its content is not: {error}"
            raise StateFileError(msg) from error
        return Records(claims, len(addresses) - len(claims), told, list(untold))

    def _intern(self, attributes: Attributes) -> Attributes:
        return self._attributes.setdefault(attributes, attributes)


def claim_object(claim: Claim, now: float) -> dict[str, object]:
    """A claim as a JSON object; times as ages, since clocks differ between processes and machines.

    Args:
        claim: The claim.
        now: The process clock of its times.
    """
    return {
        "address": prefix_text(claim.address),
        "list": claim.list,
        "name": claim.name.decode("ascii", "backslashreplace"),
        "seen_s_ago": round(now - claim.seen, 3),
        "first_s_ago": round(now - claim.first, 3),
        "ttl_s": claim.ttl_s,
    }


def attributes_object(attributes: Attributes) -> dict[str, object]:
    """Attributes as a JSON object: what was said, no more."""
    return _attributes_object(attributes) | {"next_hop": prefix_text(attributes.next_hop)}


def prefix_text(prefix: Prefix) -> str:
    """An address as people write it; a static network with its length."""
    if len(prefix) in _ADDRESS_BYTES:
        return str(ipaddress.ip_address(prefix))
    return f"{ipaddress.ip_address(prefix[:-1])}/{prefix[-1]}"


def _attributes_object(attributes: Attributes) -> dict[str, Any]:
    """The fields that differ from their defaults, by name."""
    values = ((field.name, getattr(attributes, field.name), field.default) for field in _FIELDS)
    return {name: value for name, value, default in values if value != default}


def _numbered(values: Iterable[K]) -> dict[K, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _check(column: Sequence[bytes], lengths: frozenset[int]) -> None:
    if not (set(map(type, column)) <= {bytes} and set(map(len, column)) <= lengths):
        msg = "a name or an address is none"
        raise TypeError(msg)
