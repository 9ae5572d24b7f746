"""The addresses in HTTPS and SVCB records: browsers connect to them without asking for A or AAAA (RFC 9460, 7.3).

Strategy. A record is read to its end, parameter by parameter, in one pass over its bytes, and one that breaks the
format of a parameter that is known here gives nothing (RFC 9460, 2.2: such a record counts as malformed as a whole).
So nothing is imported or built for an odd record, and its cost is bounded by its length. The property tests hold this
reader to dnspython.
"""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache

from dnstap_bgp.core.dns.labels import LABEL_MAX_BYTES, NAME_MAX_BYTES
from dnstap_bgp.core.model import Address
from dnstap_bgp.errors import DnsError

REMEMBERED_MAX_BYTES = 256
"""Longer data is read each time, so that a flood of records takes at most 3 MB."""

_PARAM = struct.Struct("!HH")
"""Key and length of a parameter (RFC 9460, 2.2)."""
_PRIORITY_BYTES = 2
_ALIAS_MODE = b"\0\0"  # the priority that says it (RFC 9460, 2.4.2)
_MANDATORY, _ALPN, _NO_DEFAULT_ALPN, _PORT, _IPV4HINT, _ECH, _IPV6HINT = range(7)  # RFC 9460, 14.3.2; ECH: RFC 9848, 3
_OHTTP, _DOCPATH = 8, 10  # RFC 9540, 4; RFC 9953
_HINT_BYTES = {_IPV4HINT: 4, _IPV6HINT: 16}


def address_hints(rdtype: int, data: bytes) -> tuple[Address, ...]:
    """Read the address hints of a record, IPv4 first; there are none in AliasMode.

    Args:
        rdtype: 64 (SVCB) or 65 (HTTPS), for the message of an error.
        data: Of the record; the target in it is never compressed (RFC 9460, 2.2), so the data is read by itself.

    Raises:
        DnsError: The data breaks its bounds, or the format of a parameter.
    """
    return _remembered(rdtype, data) if len(data) <= REMEMBERED_MAX_BYTES else _read(rdtype, data)


def _read(rdtype: int, data: bytes) -> tuple[Address, ...]:
    at = _skip_target(data)
    if at is None:
        raise DnsError(f"a record of type {rdtype}, {len(data)} bytes: its target is cut, too long or compressed")
    if data[:_PRIORITY_BYTES] == _ALIAS_MODE:
        if at < len(data):
            raise DnsError(f"a record of type {rdtype}, {len(data)} bytes: parameters in AliasMode")
        return ()
    params: dict[int, bytes] = {}
    last_key = -1
    while at < len(data):
        start = at + _PARAM.size
        if start > len(data):
            raise DnsError(f"a record of type {rdtype}, {len(data)} bytes: a parameter is cut at {at}")
        key, size = _PARAM.unpack_from(data, at)
        at = start + size
        value = data[start:at]
        if key <= last_key or at > len(data) or (key in _CHECKS and not _CHECKS[key](value)):
            raise DnsError(f"a record of type {rdtype}, {len(data)} bytes: parameter {key} of {size} bytes at {start}")
        params[key] = value
        last_key = key
    if not _has_what_it_asks(params):
        raise DnsError(f"a record of type {rdtype}, {len(data)} bytes: a mandatory parameter is missing")
    return tuple(
        [
            params[key][offset : offset + width]
            for key, width in _HINT_BYTES.items()
            if key in params
            for offset in range(0, len(params[key]), width)
        ]
    )


_remembered = lru_cache(maxsize=4096)(_read)
"""A record is mostly the same as the last time. Without this, traffic of which 30 % is listed costs 0.15 of the decode
floor more (tests.bench ingest)."""


def _skip_target(data: bytes) -> int | None:
    """Give the offset of the parameters, behind priority and target; None: the target is no uncompressed name."""
    at = _PRIORITY_BYTES
    while at < len(data) and 0 < data[at] <= LABEL_MAX_BYTES:
        at += data[at] + 1
    is_name = at < len(data) and not data[at] and at + 1 - _PRIORITY_BYTES <= NAME_MAX_BYTES
    return at + 1 if is_name else None


def _has_what_it_asks(params: Mapping[int, bytes]) -> bool:
    """Check that no parameter asks for another one that is missing (RFC 9460, 7.1.1 and 8)."""
    mandatory = params.get(_MANDATORY, b"")
    return all(int.from_bytes(mandatory[at : at + 2]) in params for at in range(0, len(mandatory), 2)) and (
        _NO_DEFAULT_ALPN not in params or _ALPN in params
    )


def _are_keys(value: bytes) -> bool:
    """Check a list of mandatory keys: rising, and never the key of the list itself (RFC 9460, 8)."""
    keys = [int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2)]
    return bool(keys) and not len(value) % 2 and keys[0] != _MANDATORY and keys == sorted(set(keys))


def _are_strings(value: bytes) -> bool:
    """Check texts that stand each behind its length and are not empty (RFC 9460, 7.1.1); there may be none."""
    at = 0
    while at < len(value) and value[at]:
        at += value[at] + 1
    return at == len(value)


def _is_ech(value: bytes) -> bool:
    """Check that a value can be a list of keys behind its length (RFC 9849, 4)."""
    return len(value) >= 6 and value[0] << 8 | value[1] == len(value) - 2


_CHECKS: dict[int, Callable[[bytes], bool]] = {
    _MANDATORY: _are_keys,
    _ALPN: lambda value: bool(value) and _are_strings(value),
    _NO_DEFAULT_ALPN: lambda value: not value,
    _PORT: lambda value: len(value) == 2,
    _IPV4HINT: lambda value: bool(value) and not len(value) % 4,
    _ECH: _is_ech,
    _IPV6HINT: lambda value: bool(value) and not len(value) % 16,
    _OHTTP: lambda value: not value,
    _DOCPATH: _are_strings,
}
"""Parameter key -> whether a value has its format; of other keys any value is taken (RFC 9460, 8)."""
