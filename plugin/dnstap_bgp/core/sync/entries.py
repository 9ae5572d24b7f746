"""Names and addresses as peers send them: made what the rest of the program expects, or refused."""

import re
from ipaddress import IPv6Address, ip_address

from dnstap_bgp.core.model import Address, Name
from dnstap_bgp.errors import PeerError

NAME_MAX = 1016
"""Bytes of a `Name`: 254 octets, each as four characters at most (RFC 1035, 5.1)."""

_ADDRESS_TEXT_MAX = 64  # the longest form of an IPv6 address has 45 characters
_OCTET = rb"(?:[!-\-/-\[\]-~]|\\[0-9]{3})"
_NAME = re.compile(rb"%(o)s{1,63}(?:\.%(o)s{1,63})*" % {b"o": _OCTET})
_MAPPED = bytes(10) + b"\xff\xff"


def clean_name(name: str | bytes) -> Name:
    """A name as `Name`: lower case, without the trailing dot.

    Args:
        name: In presentation format.

    Raises:
        PeerError: It is none; msgpack and JSON may have given anything.
    """
    if isinstance(name, str):
        if not name.isascii():
            raise PeerError("a name with characters beyond ASCII")
        name = name.encode("ascii")
    if not isinstance(name, bytes):
        raise PeerError("no domain name")
    name = name.lower().removesuffix(b".")
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise PeerError("no domain name")
    return name


def clean_address(address: bytes) -> Address:
    """A packed address in its one form: an IPv4 address in IPv6's clothes has 4 bytes.

    Raises:
        PeerError: It is none; msgpack may have given anything.
    """
    if not isinstance(address, bytes):
        raise PeerError("no address")
    if len(address) == 16:
        return address[12:] if address.startswith(_MAPPED) else address
    if len(address) != 4:
        raise PeerError("no address")
    return address


def read_address(text: str) -> Address:
    """An address in text as it is packed; see `clean_address`.

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
    return clean_address(address.packed)
