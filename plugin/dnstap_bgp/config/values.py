"""Values behind keys: one function for each kind of value, text or number in, validated value out.

Here the kinds that belong to no protocol; `addresses` and `bgp_values` have the others. Each function raises ValueError
with a sentence that says what is wrong and what would be right; the loader adds file and key. The first paragraph of
its docstring says how such a value is written, and stands in the manual (`reference`).
"""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dnstap_bgp.core.hold.margins import GIVE_UP_MOST_S
from dnstap_bgp.core.timing import DURATION_MAX_S, parse_duration
from dnstap_bgp.core.validation import is_list_name

T = TypeVar("T")
Many = TypeVar("Many", bound=Collection[object])

UINT32_MAX = 2**32 - 1

GIVE_UP_SHORTEST_S = 0.005
"""The way to ExaBGP's acknowledgment alone takes 2 to 3 ms."""

MESSAGE_TYPES = {"resolver_response": 4, "client_response": 6, "forwarder_response": 8}
"""The dnstap Message.Type numbers that carry an answer for somebody, by their names in the file."""

SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?|[0-9]{1,10}")
_SECRET_FILE_MAX_BYTES = 4096  # no secret has more than 256; what is larger is another file

_NETNS = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.@-]{1,255}")


def text(value: object) -> str:
    """Text without control characters."""
    if not isinstance(value, str):
        msg = f'must be text in quotes, not {value!r}: "{value}"'
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    if not value or any(ord(char) < 32 or ord(char) == 127 for char in value):
        msg = "must be text without control characters, and not empty"
        raise ValueError(msg)
    return value


def duration(value: object) -> float:
    """A duration, such as `"1h30m"`, or 0; at most ten years.

    Units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`.

    Returns:
        Seconds.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        msg = f'a duration needs its unit: "{value}s"?'
        raise ValueError(msg)
    seconds = parse_duration(text(value))
    if seconds > DURATION_MAX_S:
        msg = f"{value} is longer than ten years"
        raise ValueError(msg)
    return seconds


def size(value: object) -> int:
    """A size, such as `"8MB"` or `"512kB"`, or bytes as a plain number.

    Units are `kB`, `MB` and `GB`, of a thousand each, and `KiB`, `MiB` and `GiB` of 1,024.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = re.fullmatch(r"([0-9]{1,9})\s*([kMG]?B|[KMG]iB)", text(value))
    if found is None:
        msg = f'{value} is no size such as "8MB"'
        raise ValueError(msg)
    return int(found[1]) * SIZE_UNITS[found[2]]


def margin(value: object) -> float:
    """A duration, such as `"3ms"`; at most 200 ms.

    Returns:
        Seconds.
    """
    seconds = duration(value)
    if seconds > GIVE_UP_MOST_S:
        msg = f"{value} is longer than {GIVE_UP_MOST_S * 1000:g}ms, the longest that any answer is held"
        raise ValueError(msg)
    return seconds


def hold_bound(value: object) -> float:
    """A duration, such as `"80ms"`; 5 to 200 ms.

    Returns:
        Seconds.
    """
    seconds = margin(value)
    if seconds < GIVE_UP_SHORTEST_S:
        msg = f"{value} is shorter than {GIVE_UP_SHORTEST_S * 1000:g}ms: no route is there so soon"
        raise ValueError(msg)
    return seconds


def file_mode(value: object) -> int:
    """A file mode: octal text (`"0660"`) or a number (`0o660`)."""
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
    """A host name, without scheme and port."""
    written = text(value).lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?", written):
        msg = f"{value!r} is no host name (without scheme and port)"
        raise ValueError(msg)
    return written


def message_type(value: object) -> int:
    """A message type: `"client_response"`, `"resolver_response"` or `"forwarder_response"`.

    Returns:
        The number of that Message.Type (dnstap.proto).
    """
    number = MESSAGE_TYPES.get(text(value).lower())
    if number is None:
        msg = f"{value!r} is not one of {', '.join(sorted(MESSAGE_TYPES))}"
        raise ValueError(msg)
    return number


def list_name(value: object) -> str:
    """At most 63 letters, digits, `_`, `.` and `-`, a letter or digit first.

    It stands in messages, in file names and in metrics.
    """
    written = text(value)
    if not is_list_name(written):
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
    """A secret of 16 to 256 ASCII characters without spaces, such as `openssl rand -hex 32` gives."""
    written = text(value)
    if not re.fullmatch(r"[!-~]{16,256}", written, re.ASCII):
        msg = "is no token: 16 to 256 ASCII characters without spaces, as `openssl rand -hex 32` gives"
        raise ValueError(msg)
    return written


class NotRegularError(OSError):
    """Error of reading a pipe or a device where a file belongs; `strerror` says so."""


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read the beginning of a regular file, without waiting for anybody: opening a FIFO would wait for its other end.

    Args:
        path: The file; links are followed.
        max_bytes: Limit of what is read.

    Raises:
        NotRegularError: It is a pipe or a device.
        OSError: It can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to read a folder fails by itself
            raise NotRegularError(errno.EINVAL, "it is a pipe or a device, not a regular file", str(path))
        content = bytearray()
        while len(content) < max_bytes and (piece := os.read(fd, max_bytes - len(content))):
            content += piece
        return bytes(content)
    finally:
        os.close(fd)


def secret_in(path: Path) -> str:
    """Read the one line of a file that holds nothing but a secret.

    Raises:
        ValueError: The file can't be read, or holds more; no message shows any of it.
    """
    try:
        content = read_regular(path, _SECRET_FILE_MAX_BYTES + 1)
        lines = content.decode("ascii").splitlines()
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}"
        raise ValueError(msg) from None
    except UnicodeDecodeError:
        msg = f"{path} holds more than printable ASCII"
        raise ValueError(msg) from None
    if len(lines) != 1 or len(content) > _SECRET_FILE_MAX_BYTES:
        msg = f"{path} has to hold the secret alone, on one line of at most {_SECRET_FILE_MAX_BYTES} bytes"
        raise ValueError(msg)
    return lines[0]


def share(value: object) -> float:
    """A share: `"50 %"` or 0.5."""
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
    """Drop repeated values; the first of each keeps its place."""
    return tuple(dict.fromkeys(values))


def distinct(values: Iterable[object]) -> None:
    """Refuse what stands twice."""
    seen: set[object] = set()
    for value in values:
        if value in seen:
            msg = f"{value} stands here twice"
            raise ValueError(msg)
        seen.add(value)
