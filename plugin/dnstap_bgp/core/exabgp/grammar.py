"""The grammar of ExaBGP 5 towards an api process: values -> command lines; a line of stdin -> answer, event or row.

Strategy: every route travels as `announce attributes ... nlri ...` or `withdraw attributes ... nlri ...`, one family
and one attribute set a line. ExaBGP keeps what is pending in buckets by attribute set and doesn't take a prefix out of
an older bucket, so a withdraw names the very attributes of its announce: a bare one may overtake it and leave a ghost.
Both encoders are understood, `json` and `text`. Lines are ASCII without exception: one other byte and ExaBGP kills us.

An answer is exactly `done` or `error`; an event says so in its first characters; anything else is a row of a query.
"""

import enum
import ipaddress
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from dnstap_bgp.core.model import UNKNOWN_ATTRIBUTES, Attributes, Prefix

MAJOR = 5
"""The major version whose dialect this is."""

IPV4 = "ipv4 unicast"
IPV6 = "ipv6 unicast"
FAMILIES = (IPV4, IPV6)

OPENING = b"enable-ack\nenable-ack\nversion\n"
"""The first line may be eaten: ExaBGP may put it behind the half line that a dead process left. With a letter first it
makes that half line an error, whatever it is; an empty one would announce the /3 that is left of a /32."""
SHOW_NEIGHBORS = b"show neighbor json\n"
LATER_LINE = b"# later line\n"
"""Does nothing but be answered: whatever was answered before it was sent has left the pending bucket by then."""

# Two queries that go through the same queue as routes and are told apart by their answers: the first has a header row.
# No neighbor has this name, so neither has other rows.
BARRIER_HEADED = b"show neighbor nobody summary\n"
BARRIER_BARE = b"show neighbor nobody extensive\n"
BARRIER_HEADER = b"Peer "

EVENT_TYPE_BYTES = 1024
"""How far into a JSON event its type is looked for: version, time, host name (at most 255) and two pids precede it."""
EVENT_MAX_BYTES = 65_536
"""The events that we read take less than 2 KiB."""
UNUSABLE = "unusable"
"""Stands in a line in place of what must never be said: ExaBGP answers `error`, and the prefixes are given up."""

_ATTRIBUTES_TEXT = re.compile(
    r"next-hop [0-9a-f.:]+( local-preference [0-9]+)?( med [0-9]+)?"
    r"( community \[[ 0-9a-z:-]+\])?( large-community \[[ 0-9:]+\])?"
)
_ADDRESS_TEXT = re.compile(r"[0-9a-f.:]+")
_EVENTS = tuple(b'"type": "%s"' % kind for kind in (b"state", b"negotiated", b"signal", b"notification"))


class Verb(enum.Enum):
    """Verb of a command line: announce or withdraw its prefixes."""

    ANNOUNCE = "announce"
    WITHDRAW = "withdraw"


class CommandAnswer(enum.Enum):
    """ExaBGP's answer to one command: it was processed, or refused as a whole."""

    DONE = "done"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """Which BGP session something is about: ExaBGP keeps one Adj-RIB-Out for each of these.

    Attributes:
        address: The neighbor's address; commands name it.
        local: Our end's address in text, as ExaBGP tells it.
        local_as: Our AS number.
        peer_as: The neighbor's AS number.
        router_id: Ours.
    """

    address: str
    local: str
    local_as: int
    peer_as: int
    router_id: str


@dataclass(frozen=True, slots=True)
class StateEvent:
    """A session has changed: `up`, `connected` or `down`.

    Attributes:
        address: The neighbor's.
        state: The word.
        session: Which; None with the text encoder, which doesn't tell.
        counter: Numbers the events of one reading of ExaBGP's configuration, from 1; 0 with the text encoder.
    """

    address: str
    state: str
    session: SessionIdentity | None = None
    counter: int = 0


@dataclass(frozen=True, slots=True)
class FamiliesEvent:
    """Families that an OPEN negotiated, told before `up`; `counter` as in `StateEvent`."""

    session: SessionIdentity
    families: frozenset[str]
    counter: int


class SignalEvent:
    """ExaBGP has had a signal, perhaps to read its configuration again; told only if its `api` section has `signal`."""


class Shutdown:
    """ExaBGP ends: there is nobody to talk to any more."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a query's answer."""

    text: bytes


Item: TypeAlias = CommandAnswer | StateEvent | FamiliesEvent | SignalEvent | Shutdown | Row


@dataclass(frozen=True, slots=True)
class NeighborRow:
    """One neighbor of `show neighbor json`.

    Attributes:
        session: Which.
        up: Whether it is established.
        age_s: How long it has been so.
        configured: Families of ExaBGP's configuration; only their routes are kept for it.
        negotiated: Families that the neighbor agreed to as well.
        updates: UPDATE messages sent in this session.
    """

    session: SessionIdentity
    up: bool
    age_s: int
    configured: frozenset[str]
    negotiated: frozenset[str]
    updates: int


class NeighborRows(NamedTuple):
    """Rows of `show neighbor json`.

    Attributes:
        rows: The neighbors that could be read.
        unread: Addresses of the others; empty where not even the address could be read.
    """

    rows: list[NeighborRow]
    unread: tuple[str, ...] = ()


# -- commands


def route_line(verb: Verb, attributes: Attributes, prefixes: Iterable[Prefix], neighbors: Sequence[str] = ()) -> bytes:
    """Write the line that announces or withdraws prefixes.

    Args:
        verb: Announce or withdraw.
        attributes: Of the announcement, also for its withdraw.
        prefixes: At least one, all of one family: mixed ones put a corrupt prefix on the wire.
        neighbors: Addresses of the only neighbors it is for; empty: all that ExaBGP has for us.
    """
    words = f"{_target(neighbors)}{verb.value} attributes {attributes_text(attributes)} nlri "
    return f"{words}{' '.join(map(nlri_text, prefixes))}\n".encode("ascii")


def probe_line(neighbors: Sequence[str]) -> bytes:
    """Write the line that tells whether ExaBGP takes anything for these neighbors, and changes nothing there.

    It withdraws the IPv4 dummy address (RFC 7600), which is never a route: refused with such a line, it is not the
    prefixes' fault.
    """
    dummy = UNKNOWN_ATTRIBUTES[0]
    return route_line(Verb.WITHDRAW, dummy, [dummy.next_hop], neighbors)


def end_of_rib_line(neighbor: str, family: str) -> bytes:
    """Write the line that sends End-of-RIB (RFC 4724, 2) to one neighbor."""
    return f"{_target((neighbor,))}announce eor {family}\n".encode("ascii")


def flush_line(neighbor: str) -> bytes:
    """Write the line that sends one neighbor the whole Adj-RIB-Out again, between the markers of RFC 7313."""
    return f"{_target((neighbor,))}flush adj-rib out\n".encode("ascii")


def family(prefix: Prefix) -> str:
    """Give the family of a prefix, by its size (see `model`)."""
    return IPV4 if len(prefix) < 16 else IPV6


def nlri_text(prefix: Prefix) -> str:
    """Write a prefix as ExaBGP reads it: `192.0.2.1/32`; IPv6 with all its zeros, which is quicker."""
    size = len(prefix)
    if size == 4:
        return "{}.{}.{}.{}/32".format(*prefix)
    if size == 16:
        return f"{prefix.hex(':', 2)}/128"
    return f"{address_text(prefix[:-1])}/{prefix[-1]}"


def address_text(address: bytes) -> str:
    """Write an address as people do."""
    return str(ipaddress.ip_address(address))


@lru_cache(maxsize=256)
def attributes_text(attributes: Attributes) -> str:
    """Write attributes in a fixed order, so that equal ones share ExaBGP's bucket.

    Their texts were checked where they came in (`core.validation`). This is the last line of defence, once for each
    set: what is not of this grammar becomes a word that ExaBGP refuses, because an exception here would end the plugin
    in the writer's turn.
    """
    words = [f"next-hop {address_text(attributes.next_hop)}"]
    if attributes.local_preference is not None:
        words.append(f"local-preference {attributes.local_preference}")
    if attributes.med is not None:
        words.append(f"med {attributes.med}")
    if attributes.communities:
        words.append(f"community [ {' '.join(attributes.communities)} ]")
    if attributes.large_communities:
        words.append(f"large-community [ {' '.join(attributes.large_communities)} ]")
    text = " ".join(words)
    return text if _ATTRIBUTES_TEXT.fullmatch(text) else UNUSABLE


def _target(neighbors: Sequence[str]) -> str:
    if not all(map(_ADDRESS_TEXT.fullmatch, neighbors)):
        return f"neighbor {UNUSABLE} "
    return f"{' , '.join(f'neighbor {address}' for address in neighbors)} " if neighbors else ""


# -- lines of stdin


def read_line(line: bytes) -> Item | None:
    """Read one line that ExaBGP sent, without its end.

    Returns:
        None for what says nothing to us: empty lines, events of other kinds, a broken one.
    """
    if line == b"done":
        return CommandAnswer.DONE
    if line == b"error":
        return CommandAnswer.ERROR
    if line.startswith(b'{ "exabgp"'):
        return _read_event(line)
    if line.startswith(b"neighbor "):
        return _read_text_event(line)
    if line.startswith(b"shutdown "):
        return Shutdown()
    return Row(line) if line else None


def read_version(row: bytes) -> tuple[str, int | None] | None:
    """Read the row that answers `version`.

    Returns:
        The version's text and its major number (None: it can't be told), or None for another row.
    """
    if row.startswith(b"exabgp "):
        version = row[7:71].decode("ascii", "backslashreplace").strip()
    elif row.startswith(b"{") and len(row) < EVENT_MAX_BYTES:  # ExaBGP 6
        try:
            version = _text(json.loads(row)["version"])[:64]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
    else:
        return None
    major = version.split(".", 1)[0]
    return version, int(major) if major.isdecimal() and len(major) < 4 else None


def read_neighbors(row: bytes) -> NeighborRows | None:
    """Read the row that answers `show neighbor json`; None for another row."""
    if not row.startswith(b"["):
        return None
    try:
        entries = json.loads(row)
    except (ValueError, RecursionError):
        return None
    rows, unread = [], []
    for entry in entries:
        try:
            rows.append(_read_neighbor(entry))
        except (KeyError, TypeError, ValueError, AttributeError):
            unread.append(_read_address(entry))
    return NeighborRows(rows, tuple(unread))


def _read_address(entry: object) -> str:
    """Read the address of a neighbor of which nothing else is to be had; empty: nor is that."""
    try:
        return _address(entry["peer"]["address"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return ""


def _read_neighbor(entry: dict[str, Any]) -> NeighborRow:
    local, peer = entry["local"], entry["peer"]
    return NeighborRow(
        session=SessionIdentity(
            address=_address(peer["address"]),
            local=_text(local["address"]),
            local_as=_whole(local["as"] or 0),
            peer_as=_whole(peer["as"] or 0),
            router_id=_text(local["id"]),
        ),
        # `state` follows a duration in whole seconds, which is 0 in the first second
        up=entry["fsm"] == "ESTABLISHED",
        age_s=_whole(entry["duration"]),
        configured=frozenset(name for name, is_local in local["families"].items() if is_local),
        negotiated=frozenset(map(_text, entry["families"])),
        updates=_whole(entry["messages"]["sent"]["update"]),
    )


def _read_event(line: bytes) -> Item | None:
    head = line[:EVENT_TYPE_BYTES]
    if len(line) > EVENT_MAX_BYTES or not any(kind in head for kind in _EVENTS):
        return None
    try:
        event = json.loads(line)
        if event["type"] == "notification":
            return Shutdown() if event.get("notification") == "shutdown" else None
        return SignalEvent() if event["type"] == "signal" else _read_neighbor_event(event)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _read_neighbor_event(event: dict[str, Any]) -> StateEvent | FamiliesEvent:
    neighbor, counter = event["neighbor"], _whole(event["counter"])
    session = SessionIdentity(
        address=_text(neighbor["address"]["peer"]),
        local=_text(neighbor["address"]["local"]),
        local_as=_whole(neighbor["asn"]["local"]),
        peer_as=_whole(neighbor["asn"]["peer"]),
        router_id=_text(neighbor.get("router-id")),
    )
    if event["type"] == "state":
        return StateEvent(session.address, _text(neighbor["state"]), session, counter)
    return FamiliesEvent(session, frozenset(map(_text, neighbor["negotiated"]["families"])), counter)


def _text(value: object) -> str:
    """Check a text of the host's: what is nested would come into messages by `str`, and may not even be printed."""
    if value is not None and not isinstance(value, str | int):
        raise TypeError("no text")
    return str(value)


def _address(value: object) -> str:
    """Check a neighbor's address: one that no command could name would spoil the lines that name others, too."""
    if not isinstance(value, str) or not _ADDRESS_TEXT.fullmatch(value):
        raise TypeError("no address")
    return value


def _whole(value: object) -> int:
    """Check a whole number of the host's: JSON as Python reads it has `Infinity`, `NaN` and `1e999`."""
    if not isinstance(value, int | float | str):
        raise TypeError("no number")
    try:
        return int(value)
    except OverflowError:
        raise ValueError("an endless number") from None


def _read_text_event(line: bytes) -> Item | None:
    words = line.split(maxsplit=3)
    if len(words) < 3 or words[2] not in (b"up", b"connected", b"down"):
        return None
    address = words[1].decode("ascii", "backslashreplace")
    return StateEvent(address, words[2].decode("ascii"))
