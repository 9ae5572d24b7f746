"""One HTTP request for a list, with every limit; runs on the loop of the "refresh" thread, the only one to import it.

The server is a stranger: it may be slow, endless, or point anywhere. What it gives goes piece by piece into a file, and
nothing of it is believed before it is whole.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from io import FileIO
from urllib.parse import urljoin, urlsplit

import aiohttp

from dnstap_bgp import __version__
from dnstap_bgp.core.lists.inflate import ACCEPTED, Inflate
from dnstap_bgp.errors import ListError

TOTAL_S = 300.0
"""For all of one fetch: 25 MB at 100 KB/s. A server that drips is left after that."""

CONNECT_S = 15.0
IDLE_S = 30.0
"""Between two pieces; a server that has nothing to say for so long is stuck."""

REDIRECTS_MAX = 5
"""A list that moved has one or two."""

PIECE_BYTES = 1 << 16

_REDIRECTS = (301, 302, 303, 307, 308)
_OK = 200
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Conditions:
    """What we have: the server need not send it again. None: it never named one."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came.

    Attributes:
        digest: SHA-256 of the content, hexadecimal.
        html: It is a page for people: an error or a login.
        conditions: For the next time.
    """

    digest: str
    html: bool
    conditions: Conditions


def session() -> aiohttp.ClientSession:
    """Open what all requests share; to be closed."""
    return aiohttp.ClientSession(
        auto_decompress=False,  # aiohttp's own has no limit on what comes out
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"dnstap-bgp/{__version__}", "Accept-Encoding": ACCEPTED},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S),
    )


async def fetch(
    web: aiohttp.ClientSession, url: str, known: Conditions, max_bytes: int, output: FileIO
) -> Fetched | None:
    """Fetch a list.

    Args:
        web: See `session`.
        url: An http or https URL.
        known: Of the version that we have.
        max_bytes: Of the body, as it comes and as it is decompressed.
        output: Where the content goes.

    Returns:
        What came; None: there is nothing newer.

    Raises:
        ListError: Nothing whole came: says why.
        OSError: The content can't be written.
    """
    try:
        async with asyncio.timeout(TOTAL_S):
            return await _follow(web, url, known, max_bytes, output)
    except TimeoutError as error:
        raise ListError(
            f"it takes too long: {CONNECT_S:.0f} s to connect, {IDLE_S:.0f} s without a byte, or {TOTAL_S:.0f} s in all"
        ) from error
    except (aiohttp.ClientError, ValueError) as error:  # ValueError: a URL or header that can't be one
        raise ListError(f"{type(error).__name__}: {error}"[:300]) from error


async def _follow(
    web: aiohttp.ClientSession, url: str, known: Conditions, max_bytes: int, output: FileIO
) -> Fetched | None:
    """Go where redirects point, to http and https only, and never from https back to http."""
    headers = {}
    if known.etag is not None:
        headers["If-None-Match"] = known.etag
    if known.last_modified is not None:
        headers["If-Modified-Since"] = known.last_modified
    for _ in range(REDIRECTS_MAX + 1):
        async with web.get(url, headers=headers, allow_redirects=False) as response:
            if response.status not in _REDIRECTS:
                return await _take(response, max_bytes, output, conditional=bool(headers))
            target = urljoin(url, response.headers.get("Location", ""))
        scheme = urlsplit(target).scheme
        if scheme not in ("http", "https") or not urlsplit(target).hostname:
            raise ListError(f"it redirects to {target[:200]!r}, which is no http or https URL")
        if scheme == "http" and urlsplit(url).scheme == "https":
            raise ListError(f"it redirects from https to {target[:200]!r}, which anybody can forge")
        url = target
    raise ListError(f"it redirects more than {REDIRECTS_MAX} times")


async def _take(
    response: aiohttp.ClientResponse, max_bytes: int, output: FileIO, *, conditional: bool
) -> Fetched | None:
    if response.status == _NOT_MODIFIED and conditional:
        return None
    if response.status != _OK:
        raise ListError(f"the server says {response.status} {(response.reason or '')[:100]!a}")
    if response.content_length is not None and response.content_length > max_bytes:
        raise ListError(f"it has {response.content_length} bytes, {max_bytes} are allowed (max_bytes)")
    inflate = Inflate(response.headers.get("Content-Encoding", ""), max_bytes)
    digest, head, came = hashlib.sha256(), b"", 0
    async for piece in response.content.iter_chunked(PIECE_BYTES):
        came += len(piece)
        if came > max_bytes:  # a compressed body of nothing
            raise ListError(f"it has more than {max_bytes} bytes (max_bytes)")
        for content in inflate.feed(piece):
            digest.update(content)
            output.write(content)
            head = head or content.lstrip()[:1]
        await asyncio.sleep(0)  # other fetches, and the order to stop, come between
    inflate.end()
    html = head == b"<" or response.content_type in ("text/html", "application/xhtml+xml")
    tags = Conditions(response.headers.get("ETag"), response.headers.get("Last-Modified"))
    return Fetched(digest.hexdigest(), html, tags)
