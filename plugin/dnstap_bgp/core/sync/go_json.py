"""Wire format of the Go program: JSON objects with `IP`, `Domain` and `TS`, and arrays of them.

`TS` is the wall clock of whoever saw it last; what that means here is for `clock_offset` to say. Keys are matched
without regard to case, as Go does; other keys are passed over. An entry that is none is counted, and the rest of its
array counts; what is no array at all is an error.
"""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import NamedTuple

from dnstap_bgp.core.model import Address, Name
from dnstap_bgp.core.validation import PRESENTATION_MAX, peer_entry
from dnstap_bgp.errors import PeerError

ENTRY_MAX = 4096
"""Characters of an entry: a name of `PRESENTATION_MAX` with each character escaped is twice that, the rest has 150."""

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,20}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_SPACE = re.compile(r"[ \t\r\n]*")
_KEYS = ("IP", "Domain", "TS")

assert ENTRY_MAX > 2 * PRESENTATION_MAX + 200


class Entry(NamedTuple):
    """A sighting as one program tells it to another.

    Attributes:
        address: Packed.
        name: The name that was asked for.
        wall_s: When it was last seen, seconds since the epoch of the teller's wall clock; any number.
    """

    address: Address
    name: Name
    wall_s: float


def write(address: Address, name: Name, wall_s: float) -> str:
    """Write an entry as a JSON object, its time in UTC with microseconds."""
    text = json.dumps(name.decode("ascii", "backslashreplace"))
    return f'{{"IP":"{ip_address(address)}","Domain":{text},"TS":"{write_time(wall_s)}"}}'


def read(text: str | bytes) -> Entry:
    """Read an entry.

    Args:
        text: A JSON object, UTF-8, of at most `ENTRY_MAX` characters.

    Raises:
        PeerError: It is no entry: says why.
    """
    if len(text) > ENTRY_MAX:
        raise PeerError(f"an entry of {len(text)} characters, {ENTRY_MAX} are allowed")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PeerError("no JSON") from error
    return _entry(found)


class EntryReader:
    """Reader of an array of entries, piece by piece, as they come; holds one entry at most."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._json = json.JSONDecoder()
        self._rest = ""
        self._state = "begin"  # then "first" (after the bracket), "next" (after an entry), "end"

    def feed(self, piece: bytes) -> Iterator[Entry]:
        """Take the next piece.

        Raises:
            PeerError: It is no array of objects.
        """
        try:
            text = self._rest + self._decode(piece)
        except UnicodeDecodeError as error:
            raise PeerError("no UTF-8") from error
        at = 0
        while True:
            at = _past_space(text, at)
            following = self._structure(text, at)
            if following is not None:
                at = following
                continue
            if at == len(text) or self._state == "begin":
                break
            try:
                found, end = self._json.raw_decode(text, at)
            except (ValueError, RecursionError):  # the rest of it is still to come, unless it is too long already
                if len(text) - at > ENTRY_MAX:
                    raise PeerError("no JSON, or an entry too long") from None
                break
            if end - at > ENTRY_MAX:  # the same wherever the pieces end
                raise PeerError(f"an entry of {end - at} characters, {ENTRY_MAX} are allowed")
            at = end
            self._state = "next"
            with suppress(PeerError):  # an entry that is none, and the next may be one
                yield _entry(found)
        self._rest = text[at:]

    def end(self) -> None:
        """Check that nothing is missing, since nothing more comes.

        Raises:
            PeerError: Something is missing.
        """
        if self._state != "end":
            raise PeerError("the answer breaks off")

    def _structure(self, text: str, at: int) -> int | None:
        """Pass the array's own characters; None: an entry stands here, or nothing yet."""
        here = text[at : at + 1]
        match self._state, here:
            case (_, ""):
                return None
            case ("begin", "["):
                self._state = "first"
            case ("begin", _):
                return self._null(text, at)
            case ("first" | "next", "]"):
                self._state = "end"
            case ("next", ","):
                self._state = "item"
            case ("first" | "item", "{"):
                return None
            case _:
                raise PeerError("no array of entries")
        return at + 1

    def _null(self, text: str, at: int) -> int | None:
        """Pass the word `null`, which stands for an empty cache."""
        if text.startswith("null", at):
            self._state = "end"
            return at + 4
        if "null".startswith(text[at:]):
            return None
        raise PeerError("no array of entries")


def write_time(wall_s: float) -> str:
    """Write a time as RFC 3339 has it, in UTC with microseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def read_time(text: str) -> float:
    """Read seconds since the epoch from RFC 3339, with any offset and any number of digits.

    Raises:
        PeerError: It is no time.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise PeerError("no time as in RFC 3339")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = found.groups()[6:]
    try:
        whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    except ValueError as error:
        raise PeerError("no time as in RFC 3339") from error
    offset_s = 0 if sign is None else (int(offset_hours) * 60 + int(offset_minutes)) * (60 if sign == "+" else -60)
    return whole + float(f"0.{fraction or 0}") - offset_s


def _entry(found: object) -> Entry:
    if not isinstance(found, dict):
        raise PeerError("no JSON object")
    values = [found.get(key) for key in _KEYS]
    if None in values:
        folded = {str(key).lower(): value for key, value in found.items()}
        values = [folded.get(key.lower()) for key in _KEYS]
    ip, domain, seen = values
    if not (isinstance(ip, str) and isinstance(domain, str) and isinstance(seen, str)):
        raise PeerError("IP, Domain or TS is missing, or no text")
    return Entry(*peer_entry(ip, domain), read_time(seen))


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
