"""Text for people: prefixes, names, durations, counts and foreign text as terminals, logs and JSON show them.

Each of these has one form in the whole program. What ExaBGP reads is written by `core.exabgp.grammar` instead.
"""

import ipaddress
from typing import Final

from dnstap_bgp.core.model import Name, Prefix

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_ADDRESS_BYTES: Final = frozenset({4, 16})


def prefix_text(prefix: Prefix) -> str:
    """Write a prefix: a host route as its bare address, `192.0.2.1`; a static network with its length, `10.0.0.0/8`.

    Args:
        prefix: 4 or 16 bytes of an address, or 5 or 17 bytes, the last of which is the length.
    """
    if len(prefix) in _ADDRESS_BYTES:
        return str(ipaddress.ip_address(prefix))
    return f"{ipaddress.ip_address(prefix[:-1])}/{prefix[-1]}"


def name_text(name: Name) -> str:
    """Write a domain name in presentation format (RFC 1035, 5.1), as it is kept; bytes beyond ASCII as escapes."""
    return name.decode("ascii", "backslashreplace")


def duration_text(seconds: float, units: int = 2) -> str:
    """Write a duration in its largest units, rounded to seconds: `2 h 5 min`, `3 d`, `0 s`.

    Args:
        seconds: A negative duration, from clocks that were set, counts as 0.
        units: How many units at most.
    """
    left = max(0, round(seconds))
    parts = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:units]) or "0 s"


def duration_column(seconds: float) -> str:
    """Write a duration without blanks for a table's column: `2d03h`, `5h07m`, `12m09s`, `8s`, or `-8s` if over."""
    left, counts = int(abs(seconds)), []
    for size, _ in _UNITS:
        count, left = divmod(left, size)
        counts.append(count)
    first = next((index for index, count in enumerate(counts) if count), len(_UNITS) - 1)
    shown = [f"{counts[first]}{_UNITS[first][1][0]}"]
    if first + 1 < len(_UNITS):
        shown.append(f"{counts[first + 1]:02}{_UNITS[first + 1][1][0]}")
    return ("-" if seconds < 0 else "") + "".join(shown)


def count_text(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: `1 rule`, `2 rules`.

    Args:
        count: How many.
        one: The noun's singular.
        many: Its plural, where that is not formed with an s.
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def one_line(text: str, chars_max: int) -> str:
    """Make foreign text safe for a terminal and a log line: what is not printable is escaped, what is too long is cut.

    Args:
        text: Of any origin.
        chars_max: Characters of `text` that are kept; at least 4. An escape may take up to 10 for one of them.
    """
    if len(text) > chars_max:
        text = text[: chars_max - 4] + " ..."
    return printable(text)


def printable(text: str) -> str:
    r"""Escape the characters of a text that are no letter, digit, sign or blank: `\x1b`, `\n`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
