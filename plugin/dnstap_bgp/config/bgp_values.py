"""Values of BGP.

Whatever may later stand in a line for ExaBGP matches a strict ASCII pattern here and is handed on in canonical form, so
that no text of the file can become a command.
"""

import re
from ipaddress import IPv4Address, IPv6Address

from dnstap_bgp.config.addresses import IPAddress, address, host_name, join_port, literal, split_port, table_by_address
from dnstap_bgp.config.values import UINT32_MAX, duration, text
from dnstap_bgp.core import validation
from dnstap_bgp.core.routes.policy import ROUTES_MAX
from dnstap_bgp.core.validation import WELL_KNOWN_COMMUNITIES, is_class_e, unusable_next_hop

_PASSWORD_MAX = 80  # TCP_MD5SIG_MAXKEYLEN of Linux

_RESERVED_AS = {0: "RFC 7607", 23456: "AS_TRANS, RFC 6793", UINT32_MAX: "RFC 7300"}


def source_address(value: object) -> IPAddress | None:
    """An address of this machine; 0.0.0.0 and :: count as unset."""
    found = address(value)
    if found.is_unspecified:
        return None
    _refuse(found, {"multicast": found.is_multicast, "reserved": is_class_e(found)})
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


def prefix_budget(value: object) -> int:
    """A number of prefixes, 1 to 1000000."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= ROUTES_MAX:
        msg = f"{value!r} is no number of prefixes: 1 to {ROUTES_MAX}"
        raise ValueError(msg)
    return value


def prefix_budgets(value: object) -> tuple[tuple[str, int], ...]:
    """A table of addresses and numbers of prefixes, 1 to 1000000: `{ "192.0.2.1" = 4000 }`."""
    return table_by_address(value, '{ "192.0.2.1" = 4000 }', prefix_budget)


def as_number(value: object) -> int:
    """An AS number of up to 32 bits, plain or in asdot (`"1.10"`, RFC 5396)."""
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
    """A community (RFC 1997): `"65001:100"`, or `"no-export"` and the other well-known names.

    They are those of `WELL_KNOWN_COMMUNITIES`.
    """
    canonical = validation.community(text(value))
    if canonical is None:
        names = ", ".join(sorted(WELL_KNOWN_COMMUNITIES))
        msg = f"{value!r} is no community: two numbers up to 65535 (`65001:100`), or one of {names}"
        raise ValueError(msg)
    return canonical


def large_community(value: object) -> str:
    """A large community (RFC 8092): `"65001:1:2"`."""
    canonical = validation.large_community(text(value))
    if canonical is None:
        msg = f"{value!r} is no large community: three numbers up to {UINT32_MAX} (`65001:1:2`)"
        raise ValueError(msg)
    return canonical


def neighbor_address(value: object) -> str:
    """An address, or a host name.

    Returns:
        The address in canonical text, or the name in lower case.
    """
    written = host_name(value)
    found = literal(written)
    if found is None:
        return written
    _refuse(
        found,
        {
            "unspecified": found.is_unspecified,
            "multicast": found.is_multicast,
            "reserved": is_class_e(found),
            "link-local (ExaBGP can't tell on which link)": found.is_link_local,
        },
    )
    return written


def neighbor_reference(value: object) -> str:
    """A neighbor as `[bgp] peers` names it: an address or a host name, with or without its port.

    Returns:
        `host`, `host:port` or `[IPv6]:port`, the host in canonical form; `addresses.split_port` takes it apart.
    """
    host, port = split_port(text(value))
    written = neighbor_address(host)
    return written if port is None else join_port(written, port)


def password(value: object) -> str:
    """Text of 1 to 80 printable ASCII characters.

    No message shows it.
    """
    if not isinstance(value, str) or not re.fullmatch(rf"[ -~]{{1,{_PASSWORD_MAX}}}", value):
        msg = f"a password has 1 to {_PASSWORD_MAX} printable ASCII characters"
        raise ValueError(msg)
    return value


def ttl_security(value: object) -> object:
    """A number of hops, `true` for 1, or `false`."""
    if isinstance(value, bool):
        return 1 if value else None
    return value


def multihop(value: object) -> object:
    """A number of hops, `true` for 255, or `false`."""
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


def _refuse(found: IPAddress, kinds: dict[str, bool]) -> None:
    wrong = ", ".join(kind for kind, applies in kinds.items() if applies)
    if wrong:
        msg = f"{found} is {wrong}"
        raise ValueError(msg)
