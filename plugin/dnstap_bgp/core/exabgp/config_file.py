"""ExaBGP's own configuration, as text, for the sessions that our configuration describes.

Everything that comes in is checked again where it is written: a value that could end a line, a block or a quoted word
is refused, whatever the caller has validated before. The grammar is that of ExaBGP 5.0.15.
"""

import base64
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dnstap_bgp.errors import HostError

PROCESS = "dnstap"
"""What the plugin's process section is called."""

GRACEFUL_RESTART_S = 120
"""How long a router waits for ExaBGP to come back with our routes before it drops them."""

GTSM_TTL = 255
"""What both sides of a session with TTL security send with (RFC 5082, 3)."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=@%+~-]+")
# Printable ASCII but both quotes and the backslash: ExaBGP can't escape these.
_QUOTABLE_WORD = re.compile(r"[ !#-&(-\[\]-~]+")


@dataclass(frozen=True, slots=True)
class Session:
    """One BGP session of ExaBGP.

    Attributes:
        address: The neighbor's, in text.
        port: Where the neighbor listens; of a passive session, where we listen.
        local_as: Our AS number.
        peer_as: The neighbor's.
        router_id: Our BGP identifier.
        local_address: What we speak from, of the neighbor's family; None: as the system's routes say.
        password: For TCP MD5 (RFC 2385).
        hold_time_s: 0, or 3..65535 (RFC 4271, 4.2).
        ttl_least: The smallest TTL that we accept (RFC 5082); None: any.
        ttl_sent: The TTL that we send with; None: the system's.
        passive: The neighbor connects to us.
    """

    address: str
    port: int
    local_as: int
    peer_as: int
    router_id: str
    local_address: str | None = None
    password: str | None = field(default=None, repr=False)
    hold_time_s: int = 180
    ttl_least: int | None = None
    ttl_sent: int | None = None
    passive: bool = False


@dataclass(frozen=True, slots=True)
class Speaker:
    """Sessions and families of ExaBGP's configuration: all of it that depends on ours.

    Attributes:
        sessions: One for each neighbor.
        ipv4: Whether IPv4 routes may be announced.
        ipv6: Whether IPv6 routes may be announced.
        graceful_restart: Whether the routers keep our routes while ExaBGP restarts (RFC 4724).
    """

    sessions: tuple[Session, ...]
    ipv4: bool
    ipv6: bool
    graceful_restart: bool


def render(speaker: Speaker, run_command: Sequence[str]) -> str:
    """Write ExaBGP's configuration.

    Args:
        speaker: The sessions.
        run_command: What starts the plugin, word by word; the first is an executable file's absolute path.

    Returns:
        ASCII text. It holds the passwords: whoever writes it to a file gives that file to its reader alone.

    Raises:
        HostError: A word of the command, or another value, can't be said in ExaBGP's grammar.
    """
    run = " ".join(map(_word, run_command))
    lines = [
        f"process {PROCESS} {{",
        f"    run {run};",
        "    encoder json;",
        "}",
    ]
    for session in speaker.sessions:
        lines += [
            "",
            f"neighbor {_address(session.address)} {{",
            *("    " + line for line in _neighbor(session, speaker)),
            "}",
        ]
    return "\n".join(lines) + "\n"


def _neighbor(session: Session, speaker: Speaker) -> Iterator[str]:
    yield f"router-id {_address(session.router_id)};"
    yield f"local-address {'auto' if session.local_address is None else _address(session.local_address)};"
    yield f"local-as {session.local_as:d};"
    yield f"peer-as {session.peer_as:d};"
    yield f"hold-time {session.hold_time_s:d};"
    if session.passive:
        yield "passive true;"
        yield f"listen {session.port:d};"
    elif session.port != 179:
        yield f"connect {session.port:d};"
    if session.password is not None:
        yield "md5-base64 true;"  # lest any character of the password mean something to the parser
        yield f"md5-password {_password(session.password)};"
    if session.ttl_least is not None:
        yield f"incoming-ttl {session.ttl_least:d};"
    if session.ttl_sent is not None:
        yield f"outgoing-ttl {session.ttl_sent:d};"
    if speaker.graceful_restart:
        yield "manual-eor true;"  # the plugin says itself when all routes are there again
    yield from _capability(speaker)
    yield "family {"
    if speaker.ipv4:
        yield "    ipv4 unicast;"
    if speaker.ipv6:
        yield "    ipv6 unicast;"
    yield "}"
    events = ("neighbor-changes;", "negotiated;", "signal;")
    yield from ("api {", f"    processes [ {PROCESS} ];", *(f"    {event}" for event in events), "}")


def _capability(speaker: Speaker) -> Iterator[str]:
    yield "capability {"
    yield "    route-refresh enable;"
    if speaker.graceful_restart:
        yield f"    graceful-restart {GRACEFUL_RESTART_S};"
    yield "}"


def _address(text: str) -> str:
    try:
        if "%" not in text:  # a zone may hold anything
            return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    msg = f"{text!r} is no address; it can't stand in ExaBGP's configuration"
    raise HostError(msg)


def _password(text: str) -> str:
    if not text or not text.isascii():
        raise HostError("a password that is empty, or not ASCII, can't stand in ExaBGP's configuration")
    return base64.b64encode(text.encode("ascii")).decode("ascii")


def _word(word: str) -> str:
    if _PLAIN_WORD.fullmatch(word):
        return word
    if _QUOTABLE_WORD.fullmatch(word):
        return f'"{word}"'
    msg = f"{word!r} can't stand in ExaBGP's `run`: only printable ASCII without quotes and backslashes can"
    raise HostError(msg)
