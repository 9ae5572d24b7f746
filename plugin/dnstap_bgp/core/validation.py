"""Validation of addresses, names, list names and BGP attributes: one for configuration, state file, sync and by hand.

Whatever may later stand in a line for ExaBGP, in a log or on a terminal is checked here, by strict ASCII patterns and
ranges, wherever it comes from. A file that somebody could write to, and a peer that lies, are no better than the wire.
No error has anything in it of what was refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeAlias

from dnstap_bgp.core.dns.names import NAME_MAX
from dnstap_bgp.core.model import Address, Attributes, Name
from dnstap_bgp.errors import BadNameError, BadValueError, PeerError

PRESENTATION_MAX = 1012
"""Bytes of a `Name`: `NAME_MAX` octets, each as four characters at most (RFC 1035, 5.1)."""

_ADDRESS_TEXT_MAX = 64
"""The longest form of an IPv6 address has 45 characters."""

IPAddress: TypeAlias = IPv4Address | IPv6Address

WELL_KNOWN_COMMUNITIES = frozenset({"no-export", "no-advertise", "no-export-subconfed", "blackhole"})
"""Communities that ExaBGP knows by these names (RFC 1997, RFC 7999)."""

COMMUNITIES_MAX, LARGE_COMMUNITIES_MAX = 64, 32
"""Communities of a route: 64 of 4 bytes and 32 of 12 leave room in an UPDATE message of 4,096 bytes (RFC 4271, 4)."""

NEIGHBORS_MAX = 4_096
"""Neighbors that a list may name: more than ExaBGP serves."""

LIST_NAME_MAX = 63
"""Characters of a list's name: it is part of file names and of metrics' labels."""

UINT32_MAX = (1 << 32) - 1

_OCTET = rb"(?:[!-\-/-\[\]-~]|\\(?:[01][0-9]{2}|2[0-4][0-9]|25[0-5]))"
_PRESENTATION = re.compile(rb"%(o)s{1,63}(?:\.%(o)s{1,63})*" % {b"o": _OCTET})
_MAPPED = bytes(10) + b"\xff\xff"
_LIST_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LIST_NAME_MAX - 1}}}", re.ASCII)
_NUMBERS = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})+", re.ASCII)

INSTANT_MAX_S = 1e11
"""The year 5138: no clock of a file, a peer or a server that tells more is right, and no text of it has 300 digits."""


def clean_address(address: object) -> Address:
    """Check a packed address and bring it into its one form: an IPv4 address mapped into IPv6 has 4 bytes.

    Raises:
        BadValueError: It is none.
    """
    if not isinstance(address, bytes) or len(address) not in (4, 16):
        raise BadValueError("no address")
    return address[12:] if address.startswith(_MAPPED) and len(address) == 16 else address


def clean_name(name: object) -> Name:
    """Check a name in presentation format (RFC 1035, 5.1), as peers and files give it; lower it, without trailing dot.

    Args:
        name: Text or bytes; msgpack and JSON may have given anything.

    Raises:
        BadNameError: It is no name; the message has nothing of it.
    """
    if isinstance(name, str):
        if not name.isascii():
            raise BadNameError("a name with characters beyond ASCII")
        name = name.encode("ascii")
    if not isinstance(name, bytes):
        raise BadNameError("no domain name")
    name = name.lower().removesuffix(b".")
    octets = len(name) - 3 * name.count(b"\\")
    if len(name) > PRESENTATION_MAX or octets > NAME_MAX or not _PRESENTATION.fullmatch(name):
        raise BadNameError("no domain name")
    return name


def is_prefix(prefix: object) -> bool:
    """Tell whether a value is a prefix as `model` has it: an address, or a network without host bits and its length."""
    if not isinstance(prefix, bytes) or len(prefix) not in (4, 5, 16, 17):
        return False
    if len(prefix) in (4, 16):
        return True
    size = (len(prefix) - 1) * 8
    length = prefix[-1]
    return length <= size and not int.from_bytes(prefix[:-1]) & ((1 << size - length) - 1)


def is_list_name(name: object) -> bool:
    """Tell whether a value may be a list's name: it stands in messages, in the state file and on terminals."""
    return isinstance(name, str) and bool(_LIST_NAME.fullmatch(name))


def community(written: str) -> str | None:
    """Bring a community (RFC 1997) into canonical form, `65001:100` or a well-known name; None: it is none."""
    written = written.lower()
    return written if written in WELL_KNOWN_COMMUNITIES else _numbers(written, count=2, largest=0xFFFF)


def large_community(written: str) -> str | None:
    """Bring a large community (RFC 8092) into canonical form, `65001:1:2`; None: it is none."""
    return _numbers(written, count=3, largest=UINT32_MAX)


def unusable_next_hop(found: IPAddress) -> str | None:
    """Say why a router can't forward to this address, or None where it can."""
    kinds = {
        "unspecified": found.is_unspecified,
        "a loopback address": found.is_loopback,
        "multicast": found.is_multicast,
        "link-local": found.is_link_local,
        "reserved": is_class_e(found),
    }
    for kind, applies in kinds.items():
        if applies:
            return f"{found} is {kind}: no router can forward to it"
    return None


def is_class_e(found: IPAddress) -> bool:
    """Tell whether an address is in 240.0.0.0/4; IPv6's `is_reserved` means what is unassigned."""
    return isinstance(found, IPv4Address) and found.is_reserved


def read_attributes(values: object) -> Attributes:
    """Make attributes of the fields that a file or a peer gives; what is missing has its default.

    Args:
        values: A mapping from field to value, sequences as lists or tuples; msgpack and JSON may have given anything.

    Raises:
        BadValueError: A field is unknown, or has no value that a configuration could give it.
    """
    if not isinstance(values, Mapping) or not all(key in _FIELDS for key in values) or "next_hop" not in values:
        raise BadValueError("no attributes")
    fields: dict[str, Any] = {key: _FIELDS[key](value) for key, value in values.items()}
    return Attributes(**fields)


def _next_hop(value: object) -> Address:
    if not isinstance(value, bytes) or len(value) not in (4, 16):
        raise BadValueError("no next-hop")
    if unusable_next_hop(ip_address(value)) is not None:
        raise BadValueError("a next-hop that no router can forward to")
    return value


def _communities(value: object) -> tuple[str, ...]:
    return _each(value, COMMUNITIES_MAX, community, "communities")


def _large_communities(value: object) -> tuple[str, ...]:
    return _each(value, LARGE_COMMUNITIES_MAX, large_community, "large communities")


def _neighbors(value: object) -> tuple[str, ...]:
    return _each(value, NEIGHBORS_MAX, _neighbor, "neighbors")


def _each(value: object, at_most: int, canonical: Callable[[str], str | None], what: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > at_most:
        raise BadValueError(f"no {what}, or more than {at_most}")
    if not all(isinstance(one, str) and canonical(one) == one for one in value):
        raise BadValueError(f"{what} that no configuration could give")
    return tuple(value)


def _neighbor(written: str) -> str | None:
    """Bring a neighbor's address into canonical text; None: it is none, or has a zone."""
    try:
        found = ip_address(written)
    except ValueError:
        return None
    return None if isinstance(found, IPv6Address) and found.scope_id is not None else str(found)


def _uint32(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= UINT32_MAX:
        raise BadValueError(f"no number from 0 to {UINT32_MAX}")
    return value


_FIELDS: Mapping[str, Callable[[object], object]] = {
    "next_hop": _next_hop,
    "communities": _communities,
    "large_communities": _large_communities,
    "local_preference": _uint32,
    "med": _uint32,
    "neighbors": _neighbors,
}


def _numbers(written: str, *, count: int, largest: int) -> str | None:
    """Bring `a:b[:c]` into canonical form, or None where it isn't `count` numbers up to `largest`."""
    if not _NUMBERS.fullmatch(written):
        return None
    numbers = [int(part) for part in written.split(":")]
    if len(numbers) != count or max(numbers) > largest:
        return None
    return ":".join(map(str, numbers))


# -- of peers: no error has anything in it of what was refused, which would go to logs and terminals


def peer_entry(address: object, name: object) -> tuple[Address, Name]:
    """Check the address and the name of an entry.

    Args:
        address: Packed, or in text; msgpack and JSON may have given anything.
        name: In presentation format, text or bytes; likewise.

    Raises:
        PeerError: One of them is none.
    """
    try:
        found = clean_name(name)
    except BadNameError as error:
        raise PeerError(str(error)) from None
    return read_peer_address(address) if isinstance(address, str) else packed_peer_address(address), found


def packed_peer_address(address: object) -> Address:
    """Check a packed address and bring it into its one form: an IPv4 address mapped into IPv6 has 4 bytes.

    Raises:
        PeerError: It is none; msgpack may have given anything.
    """
    try:
        return clean_address(address)
    except BadValueError as error:
        raise PeerError(str(error)) from None


def read_peer_address(text: str) -> Address:
    """Pack an address in text; see `packed_peer_address`.

    Raises:
        PeerError: It is none.
    """
    if len(text) > _ADDRESS_TEXT_MAX:
        raise PeerError("no address")
    try:
        address = ip_address(text)
    except ValueError:
        raise PeerError("no address") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise PeerError("an address with a zone")
    return packed_peer_address(address.packed)


def is_instant(seconds: float) -> bool:
    """Tell whether seconds from outside, since the epoch or the start of a machine, may be an instant on a clock.

    Those of a machine whose clock was never set may be a little below 0.
    """
    return abs(seconds) <= INSTANT_MAX_S  # False for what is no number
