"""What stands behind a key: one function for each kind of value, text or number in, validated value out.

Here the kinds that belong to no protocol; `addresses` and `bgp_values` have the others. Each function raises ValueError
with a sentence that says what is wrong and what would be right; the loader adds file and key.
"""

import re
from collections.abc import Collection, Iterable
from typing import TypeVar
from urllib.parse import urlsplit

from dnstap_bgp.core.durations import parse_duration

T = TypeVar("T")
Many = TypeVar("Many", bound=Collection[object])

UINT32_MAX = 2**32 - 1

MESSAGE_TYPES = {"resolver_response": 4, "client_response": 6, "forwarder_response": 8}
"""The dnstap Message.Type numbers that carry an answer for somebody, by their names in the file."""

_DURATION_MAX_S = 10 * 366 * 86400.0  # ten years: beyond any use, and no sum with a clock loses its microseconds

_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?|[0-9]{1,10}")
_LIST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_NETNS = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.@-]{1,255}")


def text(value: object) -> str:
    """Accept text without control characters."""
    if not isinstance(value, str):
        msg = f'must be text in quotes, not {value!r}: "{value}"'
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    if not value or any(ord(char) < 32 or ord(char) == 127 for char in value):
        msg = "must be text without control characters, and not empty"
        raise ValueError(msg)
    return value


def duration(value: object) -> float:
    """Seconds, from `24h`, `1h30m`, `500ms` or 0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        msg = f'a duration needs its unit: "{value}s"?'
        raise ValueError(msg)
    seconds = parse_duration(text(value))
    if seconds > _DURATION_MAX_S:
        msg = f"{value} is longer than ten years"
        raise ValueError(msg)
    return seconds


def file_mode(value: object) -> int:
    """A socket's permission bits, from octal text (`"0660"`) or a number (`0o660`)."""
    if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{3,4}", value):
        mode = int(value, 8)
    elif isinstance(value, int) and not isinstance(value, bool):
        mode = value
    else:
        mode = -1
    if not 0 <= mode <= 0o777:
        msg = f'{value!r} is no file mode: write it as "0660"'
        raise ValueError(msg)
    return mode


def account(value: object) -> str:
    """A user's or group's name or number."""
    written = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
    if not _ACCOUNT.fullmatch(written):
        msg = f"{written!r} is no name of a user or group"
        raise ValueError(msg)
    return written


def netns(value: object) -> str:
    """A network namespace's name, as `ip netns` lists it."""
    written = text(value)
    if not _NETNS.fullmatch(written):
        msg = f"{written!r} is no name of a network namespace (a name that `ip netns` lists, not a path)"
        raise ValueError(msg)
    return written


def http_host(value: object) -> str:
    """A name by which HTTP clients may call us, without port."""
    written = text(value).lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?", written):
        msg = f"{value!r} is no host name (without scheme and port)"
        raise ValueError(msg)
    return written


def message_type(value: object) -> int:
    """A dnstap message type's number, from its name."""
    number = MESSAGE_TYPES.get(text(value).lower())
    if number is None:
        msg = f"{value!r} is not one of {', '.join(sorted(MESSAGE_TYPES))}"
        raise ValueError(msg)
    return number


def list_name(value: object) -> str:
    """A list's name: it stands in messages, in file names and in metrics."""
    written = text(value)
    if not _LIST_NAME.fullmatch(written):
        msg = f"{written!r} is no name of a list: at most 63 letters, digits, `_`, `.` and `-`, a letter or digit first"
        raise ValueError(msg)
    return written


def sha256(value: object) -> str:
    """A SHA-256 digest, 64 hexadecimal digits."""
    written = text(value).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", written, re.ASCII):
        msg = f"{written!r} is no SHA-256: 64 hexadecimal digits"
        raise ValueError(msg)
    return written


def url(value: object) -> str:
    """The http or https URL of a list, as it is written."""
    written = text(value)
    scheme, _, rest = written.partition("://")
    if scheme not in ("http", "https"):
        msg = f"{scheme!r} is not fetched: only http:// and https://, or a path"
        raise ValueError(msg)
    try:
        parts = urlsplit(written)
        good = bool(parts.hostname) and (parts.port is None or parts.port > 0) and written.isascii() and " " not in rest
    except ValueError:
        good = False
    if not good:
        msg = "is no URL: https://host/path, in ASCII"
        raise ValueError(msg)
    return written


def token(value: object) -> str:
    """A secret that stands in a header: 16 to 256 characters of ASCII without spaces."""
    written = text(value)
    if not re.fullmatch(r"[!-~]{16,256}", written, re.ASCII):
        msg = "is no token: 16 to 256 ASCII characters without spaces, as `openssl rand -hex 32` gives"
        raise ValueError(msg)
    return written


def share(value: object) -> float:
    """A share, from `"50 %"` or 0.5; none is negative."""
    if isinstance(value, str) and (percent := re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?%", value)):
        return float(percent[1]) / 100
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6:
        return float(value)
    msg = f'{value!r} is no share: write it as "50 %" or 0.5'
    raise ValueError(msg)


def one_or_many(value: object) -> object:
    """A lone text stands for a list of one."""
    return [value] if isinstance(value, str) else value


def nonempty(values: Many) -> Many:
    """Refuse an empty list."""
    if not values:
        msg = "must not be empty"
        raise ValueError(msg)
    return values


def each_once(values: tuple[T, ...]) -> tuple[T, ...]:
    """The same values in their order, each once."""
    return tuple(dict.fromkeys(values))


def distinct(values: Iterable[object]) -> None:
    """Refuse what stands twice."""
    seen: set[object] = set()
    for value in values:
        if value in seen:
            msg = f"{value} stands here twice"
            raise ValueError(msg)
        seen.add(value)
