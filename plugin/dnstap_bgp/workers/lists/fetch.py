"""One HTTP request for a list, with every limit; runs in the thread "loop", the only one to import it.

The server is a stranger: it may be slow, endless, or point anywhere. What it gives goes piece by piece into a file, and
nothing of it is believed before it is whole.
"""

import asyncio
import hashlib
import ipaddress
import re
import socket
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp

from dnstap_bgp import __version__
from dnstap_bgp.core.lists.inflate import ACCEPTED, Inflate
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.url_cache import shown_url, without_secrets
from dnstap_bgp.workers.process.loop import in_executor

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

TOTAL_S = 300.0
"""Seconds for all of one fetch: 25 MB at 100 KB/s. A server that drips is left after that."""

CONNECT_S = 15.0
IDLE_S = 30.0
"""Seconds between two pieces; a server that is silent for so long is stuck."""

REDIRECTS_MAX = 5
"""Redirects of one fetch; a list that moved has one or two."""

PIECE_BYTES = 1 << 16

AROUND_SHARE, AROUND_BYTES = 4, 1 << 20
"""A fetch may bring as many times the bytes that its content may have, and as many more: with headers, TLS and chunks
of a line each it is twice as much. Extensions of chunks (RFC 9112, 7.1.1) may go on for ever and are no content."""

_REDIRECTS = (301, 302, 303, 307, 308)
_OK = 200
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Conditions:
    """Tags of the version that we have, which the server need not send again. None: it never named one."""

    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def sendable(cls, etag: object, last_modified: object) -> "Conditions":
        """Keep of two tags what can be sent back: 1 to 256 printable ASCII characters (RFC 9110, 8.8), else None.

        A tag that aiohttp refuses to send would end each further request before it began, also after a restart.
        """
        return cls(*(tag if isinstance(tag, str) and _TAG.fullmatch(tag) else None for tag in (etag, last_modified)))


_TAG = re.compile(r"[ -~]{1,256}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched version of a list.

    Attributes:
        digest: SHA-256 of the content, hexadecimal.
        html: It is a page for people: an error or a login.
        conditions: For the next time.
    """

    digest: str
    html: bool
    conditions: Conditions


@dataclass(slots=True)
class _Incoming:
    """Budget of a fetch for all that its connections bring, whatever of it is content.

    Attributes:
        limit: Bytes in all.
        came: Bytes so far.
    """

    limit: int
    came: int = 0

    @property
    def is_spent(self) -> bool:
        """Tell whether more has come than may."""
        return self.came > self.limit

    def count(self, size: int) -> None:
        """Take note of what has come.

        Raises:
            OSError: It is too much.
        """
        self.came += size
        if self.is_spent:
            raise OSError(f"more than {self.limit} bytes came")


class _CountedSocket(socket.socket):
    """Socket that charges what it receives to the fetch that it was made for: asyncio calls no other methods for it."""

    incoming: _Incoming

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.incoming.count(len(data))
        return data

    def recv_into(self, buffer: "Buffer", size: int = 0, flags: int = 0) -> int:
        received = super().recv_into(buffer, size, flags)
        self.incoming.count(received)
        return received


@dataclass(slots=True)
class _Hop:
    """A request on the way of redirects, and the addresses that it may go to.

    Attributes:
        incoming: The budget of the fetch.
        zones: Zones (see `_zone`) of the addresses tried so far.
        allowed: Zones that may be tried; None: any, as at the configured URL itself.
        refused: Addresses that were not tried.
    """

    incoming: _Incoming
    zones: set[str] = field(default_factory=set)
    allowed: frozenset[str] | None = None
    refused: list[str] = field(default_factory=list)


_hop: ContextVar[_Hop] = ContextVar("_hop")  # of the fetch that the current task is at


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Make the socket for one address, unless a redirect leads to where the source itself is not.

    Raises:
        OSError: The address is refused.
    """
    family, kind, protocol, _, address = info
    hop = _hop.get()
    zone = _zone(str(address[0]))
    if hop.allowed is not None and zone not in hop.allowed:
        hop.refused.append(f"{address[0]} ({zone})")
        raise OSError(f"{address[0]} is a {zone} address")
    hop.zones.add(zone)
    made = _CountedSocket(family, kind, protocol)
    made.incoming = hop.incoming
    return made


def _from_there(zones: set[str]) -> frozenset[str]:
    """Tell the zones that a source may lead to, by those of its addresses that were tried.

    Which one of them has answered is nowhere to be seen: one public address among them makes it a public source, or its
    owner could name an address inside that refuses the connection, and be taken for a source that is there.
    """
    return frozenset({"public"} if "public" in zones else {"public", *zones})


def _zone(address: str) -> str:
    """Tell the part of the address space that an address is in: `public`, or one that others must not send us to."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    reason = _SPECIAL.refusal(ip.packed)
    return "public" if reason is None else _ZONES.get(reason, "private")


_SPECIAL = Guard(strict=True)  # not of the configuration: what it opens for routes is no place for a list
_ZONES = {"loopback": "loopback", "unspecified": "loopback", "link-local": "link-local"}
"""By the guard's reason; to connect to 0.0.0.0 is to connect to this machine."""


def session() -> aiohttp.ClientSession:
    """Open the HTTP session that all requests share; to be closed."""
    return aiohttp.ClientSession(
        auto_decompress=False,  # aiohttp's own has no limit on what comes out
        cookie_jar=aiohttp.DummyCookieJar(),
        # Addresses are looked at when a socket is made, behind all resolution, so no connection is used twice.
        connector=aiohttp.TCPConnector(force_close=True, use_dns_cache=False, socket_factory=_socket),
        headers={"User-Agent": f"dnstap-bgp/{__version__}", "Accept-Encoding": ACCEPTED},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S),
    )


async def fetch(
    web: aiohttp.ClientSession, url: str, known: Conditions, max_bytes: int, output: FileIO, *, disk: Executor
) -> Fetched | None:
    """Fetch a list.

    Args:
        web: See `session`.
        url: An http or https URL.
        known: Of the version that we have.
        max_bytes: Of the body, as it comes and as it is decompressed.
        output: Where the content goes.
        disk: Has the thread that unpacks, hashes and writes.

    Returns:
        What came; None: there is nothing newer.

    Raises:
        ListError: Nothing whole came: says why.
        OSError: The content can't be written.
    """
    hop = _Hop(_Incoming(AROUND_SHARE * max_bytes + AROUND_BYTES))
    try:
        async with asyncio.timeout(TOTAL_S):
            return await _follow(web, url, known, max_bytes, output, disk=disk, hop=hop)
    except TimeoutError as error:
        raise ListError(
            f"it takes too long: {CONNECT_S:.0f} s to connect, {IDLE_S:.0f} s without a byte, or {TOTAL_S:.0f} s in all"
        ) from error
    except (aiohttp.ClientError, ValueError) as error:  # ValueError: a URL or header that can't be one
        if hop.incoming.is_spent:
            text = f"{hop.incoming.limit} bytes came, and not yet all of a content of {max_bytes} at most (max_bytes)"
            raise ListError(text) from error
        raise ListError(without_secrets(f"{type(error).__name__}: {error}")[:300]) from error


async def _follow(
    web: aiohttp.ClientSession,
    url: str,
    known: Conditions,
    max_bytes: int,
    output: FileIO,
    *,
    disk: Executor,
    hop: _Hop,
) -> Fetched | None:
    """Follow redirects, to http and https only, never from https back to http, nor inwards.

    A list's server could have us ask the machine itself, or its neighbors, in its place. Only a source that is there
    itself may send us there.
    """
    headers = {}
    if known.etag is not None:
        headers["If-None-Match"] = known.etag
    if known.last_modified is not None:
        headers["If-Modified-Since"] = known.last_modified
    for _ in range(REDIRECTS_MAX + 1):
        _hop.set(hop)
        try:
            async with web.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _take(response, max_bytes, output, disk=disk, conditional=bool(headers))
                target = urljoin(url, response.headers.get("Location", ""))
        except aiohttp.ClientConnectorError as error:
            if not hop.refused:
                raise
            where = f"{shown_url(url)[:200]}, which is {', '.join(hop.refused[:3])}"
            raise ListError(f"it redirects to {where}: only a source that is there itself may do that") from error
        hop = _Hop(hop.incoming, allowed=_from_there(hop.zones) if hop.allowed is None else hop.allowed)
        scheme = urlsplit(target).scheme
        if scheme not in ("http", "https") or not urlsplit(target).hostname:
            raise ListError(f"it redirects to {shown_url(target)[:200]!r}, which is no http or https URL")
        if scheme == "http" and urlsplit(url).scheme == "https":
            raise ListError(f"it redirects from https to {shown_url(target)[:200]!r}, which anybody can forge")
        url = target
    raise ListError(f"it redirects more than {REDIRECTS_MAX} times")


async def _take(
    response: aiohttp.ClientResponse, max_bytes: int, output: FileIO, *, disk: Executor, conditional: bool
) -> Fetched | None:
    if response.status == _NOT_MODIFIED and conditional:
        return None
    if response.status != _OK:
        raise ListError(f"the server says {response.status} {(response.reason or '')[:100]!a}")
    if response.content_length is not None and response.content_length > max_bytes:
        raise ListError(f"it has {response.content_length} bytes, {max_bytes} are allowed (max_bytes)")
    content = _Content(Inflate(response.headers.get("Content-Encoding", ""), max_bytes), output)
    came = 0
    async for piece in response.content.iter_chunked(PIECE_BYTES):
        came += len(piece)
        if came > max_bytes:  # a compressed body of nothing
            raise ListError(f"it has more than {max_bytes} bytes (max_bytes)")
        await in_executor(disk, content.feed, piece)  # 64 KiB of it may unpack to max_bytes
    content.end()
    html = content.head == b"<" or response.content_type in ("text/html", "application/xhtml+xml")
    tags = Conditions.sendable(response.headers.get("ETag"), response.headers.get("Last-Modified"))
    return Fetched(content.digest.hexdigest(), html, tags)


class _Content:
    """Content on its way into a file: unpacked, hashed, written.

    Attributes:
        digest: SHA-256 so far.
        head: The first character that is no white space; b"": there was none.
    """

    def __init__(self, inflate: Inflate, output: FileIO) -> None:
        self.digest = hashlib.sha256()
        self.head = b""
        self._inflate = inflate
        self._output = output

    def feed(self, piece: bytes) -> None:
        """Take a piece as it came; blocks.

        Raises:
            ListError: It can't be unpacked, or unpacks to too much.
            OSError: It can't be written.
        """
        for content in self._inflate.feed(piece):
            self.digest.update(content)
            left = memoryview(content)
            while left:  # a disk that gets full takes a part, and says so only to the next call
                left = left[self._output.write(left) :]
            self.head = self.head or content.lstrip()[:1]

    def end(self) -> None:
        """Take note that this was all.

        Raises:
            ListError: It ends in the middle.
        """
        self._inflate.end()
