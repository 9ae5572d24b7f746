"""The addresses in HTTPS and SVCB records: browsers connect to them without asking for A or AAAA (RFC 9460, 7.3).

dnspython reads these records, in 90 us each; what they mostly look like (no other target, nothing but protocols, hints
and a key for encrypted hellos) is read here, in 3 us, and the same record the next time is remembered.
"""

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from dnstap_bgp.core.model import Address
from dnstap_bgp.errors import DnsError

if TYPE_CHECKING:
    from dns.rdtypes.svcbbase import IPv4HintParam, IPv6HintParam, SVCBBase

REMEMBERED_MAX_BYTES = 256
"""Longer data is read each time, so that a flood of records takes at most 3 MB."""

_PARAM = struct.Struct("!HH")
_ALPN, _IPV4HINT, _ECH, _IPV6HINT = 1, 4, 5, 6  # RFC 9460, 14.3.2; RFC 9848, 3
_HINT_BYTES = {_IPV4HINT: 4, _IPV6HINT: 16}
_USUAL_START = 3  # after a priority and the target `.`


def hints(rdtype: int, data: bytes) -> tuple[Address, ...]:
    """The address hints of a record, IPv4 first; none in AliasMode.

    Args:
        rdtype: 64 (SVCB) or 65 (HTTPS).
        data: Of the record; the target in it is never compressed (RFC 9460, 2.2), so it can be read by itself.

    Raises:
        DnsError: The data breaks its bounds.
    """
    return _remembered(rdtype, data) if len(data) <= REMEMBERED_MAX_BYTES else _read(rdtype, data)


def _read(rdtype: int, data: bytes) -> tuple[Address, ...]:
    usual = _read_usual(data)
    return _read_any(rdtype, data) if usual is None else usual


_remembered = lru_cache(maxsize=4096)(_read)


def _read_usual(data: bytes) -> tuple[Address, ...] | None:
    """Read what has nothing unusual; None: dnspython must say."""
    if data[:2] == b"\0\0" or data[2:_USUAL_START] != b"\0":
        return None
    found: list[Address] = []
    at, last_key = _USUAL_START, -1
    while at < len(data):
        if at + _PARAM.size > len(data):
            return None
        key, size = _PARAM.unpack_from(data, at)
        at += _PARAM.size
        value = data[at : at + size]
        at += size
        if key <= last_key or len(value) != size or not size:
            return None
        last_key = key
        if key in _HINT_BYTES:
            width = _HINT_BYTES[key]
            if size % width:
                return None
            found += [value[offset : offset + width] for offset in range(0, size, width)]
        elif not (_is_alpn(value) if key == _ALPN else key == _ECH and _is_ech(value)):
            return None
    return tuple(found)


def _is_alpn(value: bytes) -> bool:
    """Whether these are protocol names, each after its length (RFC 9460, 7.1.1)."""
    at = 0
    while at < len(value) and value[at]:
        at += value[at] + 1
    return at == len(value)


def _is_ech(value: bytes) -> bool:
    """Whether this can be a list of keys after its length (RFC 9849, 4)."""
    return len(value) >= 6 and value[0] << 8 | value[1] == len(value) - 2


def _read_any(rdtype: int, data: bytes) -> tuple[Address, ...]:
    import dns.exception  # noqa: PLC0415 - with the next ones 1.5 MB, which most processes never need
    import dns.ipv4  # noqa: PLC0415
    import dns.ipv6  # noqa: PLC0415
    import dns.rdata  # noqa: PLC0415
    from dns.rdataclass import RdataClass  # noqa: PLC0415
    from dns.rdatatype import RdataType  # noqa: PLC0415

    try:
        record = dns.rdata.from_wire(RdataClass.IN, RdataType(rdtype), data, 0, len(data))
    except dns.exception.DNSException as error:
        raise DnsError(f"a record of type {rdtype}, {len(data)} bytes: {error}") from error
    params = cast("SVCBBase", record).params
    ipv4 = cast("IPv4HintParam | None", params.get(_IPV4HINT))
    ipv6 = cast("IPv6HintParam | None", params.get(_IPV6HINT))
    return (
        *map(dns.ipv4.inet_aton, ipv4.addresses if ipv4 else ()),
        *map(dns.ipv6.inet_aton, ipv6.addresses if ipv6 else ()),
    )
