"""Values of BGP.

Whatever may later stand in a line for ExaBGP matches a strict ASCII pattern here and is handed on in canonical form, so
that no text of the file can become a command.
"""

import re
from ipaddress import IPv4Address, IPv6Address

from dnstap_bgp.config.addresses import IPAddress, address, host_name, literal
from dnstap_bgp.config.values import UINT32_MAX, duration, text

WELL_KNOWN_COMMUNITIES = frozenset({"no-export", "no-advertise", "no-export-subconfed", "blackhole"})
"""Those that ExaBGP knows by these names (RFC 1997, RFC 7999)."""

_PASSWORD_MAX = 80  # TCP_MD5SIG_MAXKEYLEN of Linux

_RESERVED_AS = {0: "RFC 7607", 23456: "AS_TRANS, RFC 6793", UINT32_MAX: "RFC 7300"}


def source_address(value: object) -> IPAddress | None:
    """An address of our own to speak from; 0.0.0.0 and :: mean that the system chooses."""
    found = address(value)
    if found.is_unspecified:
        return None
    _refuse(found, {"multicast": found.is_multicast, "reserved": _is_class_e(found)})
    return found


def router_id(value: object) -> IPv4Address:
    """A BGP identifier (RFC 6286): any IPv4 address but 0.0.0.0."""
    found = _ipv4(value)
    if found.is_unspecified:
        msg = "0.0.0.0 is no BGP identifier (RFC 6286, 2.1)"
        raise ValueError(msg)
    return found


def next_hop(value: object) -> IPv4Address:
    """An IPv4 address that a router can forward to."""
    found = _ipv4(value)
    refusal = unusable_next_hop(found)
    if refusal:
        raise ValueError(refusal)
    return found


def next_hop_ipv6(value: object) -> IPv6Address:
    """An IPv6 address that a router can forward to."""
    found = address(value)
    if not isinstance(found, IPv6Address):
        msg = f"{found} is an IPv4 address; it belongs to `next_hop`"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    refusal = unusable_next_hop(found)
    if refusal:
        raise ValueError(refusal)
    return found


def unusable_next_hop(found: IPAddress) -> str | None:
    """Say why a router can't forward to this address, or None where it can."""
    kinds = {
        "unspecified": found.is_unspecified,
        "a loopback address": found.is_loopback,
        "multicast": found.is_multicast,
        "link-local": found.is_link_local,
        "reserved": _is_class_e(found),
    }
    for kind, applies in kinds.items():
        if applies:
            return f"{found} is {kind}: no router can forward to it"
    return None


def as_number(value: object) -> int:
    """An autonomous system number of up to 32 bits, plain or in asdot (RFC 5396), the latter as text."""
    number = -1
    if isinstance(value, float):
        msg = f'{value}: asdot must be in quotes ("1.10"), lest it be read as a decimal fraction'
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
        number = int(value)
    elif isinstance(value, str) and (dotted := re.fullmatch(r"([0-9]{1,5})\.([0-9]{1,5})", value)):
        high, low = map(int, dotted.groups())
        number = (high << 16) + low if max(high, low) <= 0xFFFF else -1
    if not 0 <= number <= UINT32_MAX:
        msg = f'{value!r} is no AS number: 1 to {UINT32_MAX - 1}, or "1.10"'
        raise ValueError(msg)
    if number in _RESERVED_AS:
        msg = f"AS {number} is reserved ({_RESERVED_AS[number]})"
        raise ValueError(msg)
    return number


def community(value: object) -> str:
    """A community (RFC 1997): `65001:100` or a well-known name."""
    written = text(value).lower()
    if written in WELL_KNOWN_COMMUNITIES:
        return written
    canonical = _numbers(written, count=2, largest=0xFFFF)
    if canonical is None:
        names = ", ".join(sorted(WELL_KNOWN_COMMUNITIES))
        msg = f"{value!r} is no community: two numbers up to 65535 (`65001:100`), or one of {names}"
        raise ValueError(msg)
    return canonical


def large_community(value: object) -> str:
    """A large community (RFC 8092): `65001:1:2`."""
    canonical = _numbers(text(value), count=3, largest=UINT32_MAX)
    if canonical is None:
        msg = f"{value!r} is no large community: three numbers up to {UINT32_MAX} (`65001:1:2`)"
        raise ValueError(msg)
    return canonical


def neighbor_address(value: object) -> str:
    """A BGP neighbor's address in canonical text, or its host name in lower case."""
    written = host_name(value)
    found = literal(written)
    if found is None:
        return written
    _refuse(
        found,
        {
            "unspecified": found.is_unspecified,
            "multicast": found.is_multicast,
            "reserved": _is_class_e(found),
            "link-local (ExaBGP can't tell on which link)": found.is_link_local,
        },
    )
    return written


def neighbor_ip(value: object) -> str:
    """A BGP neighbor's address in canonical text: ExaBGP's commands name neighbors by nothing else."""
    written = neighbor_address(value)
    if literal(written) is None:
        msg = f"{written!r} is a host name; a list's peers are addresses"
        raise ValueError(msg)
    return written


def password(value: object) -> str:
    """A TCP MD5 password (RFC 2385): 1 to 80 printable ASCII characters. The message never shows it."""
    if not isinstance(value, str) or not re.fullmatch(rf"[ -~]{{1,{_PASSWORD_MAX}}}", value):
        msg = f"a password has 1 to {_PASSWORD_MAX} printable ASCII characters"
        raise ValueError(msg)
    return value


def ttl_security(value: object) -> object:
    """Hops to a neighbor: a number, true for a directly connected one, false for unset."""
    if isinstance(value, bool):
        return 1 if value else None
    return value


def multihop(value: object) -> object:
    """Hops that packets may take: a number, true for as many as there can be, false for unset."""
    if isinstance(value, bool):
        return 255 if value else None
    return value


def hold_time(value: object) -> int:
    """Whole seconds, from a number or a duration in text: 0, or 3 to 65,535 (RFC 4271, 4.2)."""
    seconds = value if isinstance(value, int) and not isinstance(value, bool) else duration(value)
    if seconds != int(seconds) or not (seconds == 0 or 3 <= seconds <= 0xFFFF):
        msg = f"{value} is no hold time: whole seconds, 0 or 3 to 65535 (RFC 4271, 4.2)"
        raise ValueError(msg)
    return int(seconds)


def _ipv4(value: object) -> IPv4Address:
    found = address(value)
    if not isinstance(found, IPv4Address):
        msg = f"{found} is an IPv6 address; an IPv4 address belongs here"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    return found


def _is_class_e(found: IPAddress) -> bool:
    """Whether it is in 240.0.0.0/4; IPv6's `is_reserved` is another matter: most of it is merely unassigned."""
    return isinstance(found, IPv4Address) and found.is_reserved


def _refuse(found: IPAddress, kinds: dict[str, bool]) -> None:
    wrong = ", ".join(kind for kind, applies in kinds.items() if applies)
    if wrong:
        msg = f"{found} is {wrong}"
        raise ValueError(msg)


def _numbers(written: str, *, count: int, largest: int) -> str | None:
    """Bring `a:b[:c]` into canonical form, or None where it isn't `count` numbers up to `largest`."""
    if not re.fullmatch(r"[0-9]{1,10}(:[0-9]{1,10})+", written, re.ASCII):
        return None
    numbers = [int(part) for part in written.split(":")]
    if len(numbers) != count or max(numbers) > largest:
        return None
    return ":".join(map(str, numbers))
