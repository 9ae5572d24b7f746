"""The listener: our stream and the Go program's requests, within limits; on the thread "loop".

    GET /v1/changes?node=N&seq=S&me=M    what changed since (N, S), while the follower M stays; see `core.sync.delta`
    GET /fetch                           all that is held, as the Go program writes it: of each address the latest name
    PUT /put                             one entry of the Go program

Nothing is believed before it is read to its end, and nothing is read without a limit and a deadline: a connection that
has not asked within `KEEP_ALIVE_S` is closed, so is one that stops within a body, or stops reading.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from urllib.parse import parse_qs

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.sync import delta, original
from dnstap_bgp.core.sync.clocks import Offset
from dnstap_bgp.core.sync.delta import Deflater
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync.door import Door, packed
from dnstap_bgp.workers.sync.followers import Followers
from dnstap_bgp.workers.sync.hub import BURST_BYTES, Hub

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 15.0
"""From the connection, or the end of a request, to the end of the next one's header."""

BODY_S = 5.0
"""For the body of a `PUT /put`: one packet."""

WRITE_S = 30.0
"""For a peer to read what is before it; one that can't is not following."""

UNACKED_MS = 10_000
"""TCP gives a connection up whose other end has not acknowledged for so long: then it is asked for anew where the
network is back, and not when a retransmission happens to come."""

SEND_BUFFER_BYTES = 1 << 18
"""What the kernel holds for one that doesn't read; enough for 5 MB/s across a continent."""

LINGER_S = 0.2
"""A refused body is read so long, for its sender to see the refusal."""

BEAT_S = 45.0
"""An idle stream says that it is alive: 80 times an hour, 20 bytes each."""

FOLLOWERS_MAX = 256
"""Streams: 128 KB each."""

FETCHES_MAX = 2
"""`/fetch` at a time: each is the whole table."""

FETCH_S = 300.0
"""For all of one: a slow reader of ours must not keep the others' from it. The Go program reads 10 MB/s."""

BACKLOG = 128
ACCEPT_RETRY_S = 0.25

FUTURE_MAX_S = 86_400.0
"""A time that is further ahead comes from no clock; less counts as now."""

STREAM_TYPE = "application/x-dnstap-bgp-changes"

_HANDSHAKE_S = 5.0

_faults = logging.getLogger(f"{__name__}.faults")
_faults.addFilter(lambda record: not _is_strangers(record))


def _is_strangers(record: logging.LogRecord) -> bool:
    """Whether a line of aiohttp is about bytes that are no request: no fault of ours, and they come by the thousand."""
    return record.exc_info is not None and isinstance(record.exc_info[1], HttpProcessingError)


_JSON = "application/json"


class Listener:
    """Answers, while it is open."""

    def __init__(self, hub: Hub, door: Door, followers: Followers, *, compatible: bool) -> None:
        self._hub = hub
        self._door = door
        self._followers = followers
        self._log = BoundedLog(logger, process_clock)
        self._fetches = asyncio.Semaphore(FETCHES_MAX)
        self._handlers: dict[tuple[str, str], Callable[[web.BaseRequest, Address], Awaitable[web.StreamResponse]]] = {
            ("GET", "/v1/changes"): self._changes
        }
        if compatible:
            self._handlers |= {("GET", "/fetch"): self._fetch, ("PUT", "/put"): self._put, ("POST", "/put"): self._put}
        self._server = web.Server(self._answer, handler_cancellation=True)
        self._bound: list[socket.socket] = []

    async def open(self, host: str, port: int) -> None:
        """Listen, at every address that the host has here.

        Raises:
            OSError: It can't be had.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, address in dict.fromkeys((one[0], one[4]) for one in found):
                self._bound.append(socket.create_server(address, family=family, backlog=BACKLOG))
                self._bound[-1].settimeout(0)
        except OSError:
            self._unbind()
            raise

    async def serve(self, tls: ssl.SSLContext | None) -> None:
        """Answer whoever comes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sock in self._bound:
                group.create_task(self._accept(sock, tls, group))

    async def close(self) -> None:
        """Close all connections."""
        self._unbind()
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # a polite end of TLS waits for the other side
        await self._server.shutdown(0.1)

    def _unbind(self) -> None:
        for sock in self._bound:
            sock.close()
        self._bound.clear()

    # -- connections

    async def _accept(self, sock: socket.socket, tls: ssl.SSLContext | None, group: asyncio.TaskGroup) -> None:
        """Take connections in as far as the door has room, before TLS costs anything for them."""
        while True:
            try:
                client, (host, *_) = await asyncio.get_running_loop().sock_accept(sock)
            except OSError as error:  # it is gone already, or there are no descriptors left
                self._log.say(logging.WARNING, "accept", "sync: a connection can't be taken: %s", error)
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            key = self._door.enter(packed(host))
            if key is None:
                client.close()
            else:
                group.create_task(self._attend(client, key, tls))
            await asyncio.sleep(0)  # one that is there already is accepted without giving way

    async def _attend(self, sock: socket.socket, key: bytes, tls: ssl.SSLContext | None) -> None:
        """Hold the place of a connection, from before its TLS to its end."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        try:
            await loop.connect_accepted_socket(
                lambda: _Connection(self._server, gone, loop),
                sock,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE_S if tls else None,
            )
            await gone.wait()
        except OSError:  # no TLS, or none that will do
            pass
        finally:
            self._door.leave(key)

    # -- requests

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(request.protocol, _Connection):
            request.protocol.asks()
        try:
            address = packed(request.remote or "")
        except (ValueError, PeerError):
            return _text(400, "no address")
        refused = await self._door.refusal(address, request.headers.get("Authorization"))
        if refused is not None:
            status, why = refused
            self._log.say(logging.WARNING, f"refused {status}", "sync: %s asks and is refused: %s", request.remote, why)
            return _text(status, why)
        handler = self._handlers.get((request.method, request.path))
        if handler is None:
            return _text(404, "nothing here")
        try:
            return await handler(request, address)
        except PeerError as error:
            self._log.say(
                logging.WARNING, "bad", "sync: %s %s %s: %s", request.remote, request.method, request.path, error
            )
            return _text(400, str(error))

    async def _put(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        entry = original.read(await _body(request))
        peer = self._door.peer_at(address)
        wall_s = (peer.offset if peer is not None else Offset()).here(entry.wall_s)
        age_s = time.time() - wall_s
        if age_s < -FUTURE_MAX_S:
            raise PeerError(f"TS is {-age_s:.0f} s in the future")
        now = process_clock()
        seen = min(now, now - age_s)
        claim = Claim(entry.address, "", entry.name, seen, seen, 0.0)
        delivered = await self._hub.deliver(str(peer) if peer is not None else str(request.remote), [claim])
        if peer is not None:
            peer.came(delivered)
        return web.Response()

    async def _fetch(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        peer = self._door.peer_at(address)
        offset = peer.offset if peer is not None else Offset()
        async with self._fetches, asyncio.timeout(FETCH_S):
            response = web.StreamResponse(headers={"Content-Type": _JSON})
            response.enable_chunked_encoding()
            await response.prepare(request)
            behind_s = time.time() - process_clock()
            opening, given = "[", 0
            async for claims in self._hub.walk():
                latest = latest_of(claims)
                given += len(latest)
                text = ",".join(
                    original.write(claim.address, claim.name, offset.there(claim.seen + behind_s)) for claim in latest
                )
                async with asyncio.timeout(WRITE_S):
                    await response.write((opening + text).encode())
                opening = ","
            async with asyncio.timeout(WRITE_S):
                await response.write(b"]" if given else b"null")
                await response.write_eof()
            if peer is not None:
                peer.given += given
        return response

    async def _changes(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        try:
            asked = parse_qs(request.query_string, max_num_fields=8)
        except ValueError as error:
            raise PeerError("a query that is none of ours") from error
        node, seq, me = (asked.get(key, [""])[-1] for key in ("node", "seq", "me"))
        me = me if delta.is_node(me) else ""
        if len(self._followers) >= FOLLOWERS_MAX:
            return _text(503, "too many followers")
        journal = self._hub.journal
        position = int(seq) if node == self._hub.node and seq.isascii() and seq.isdigit() and len(seq) < 20 else None
        if position is not None and not journal.reaches(position):
            position = None
        response = web.StreamResponse(headers={"Content-Type": STREAM_TYPE, "Cache-Control": "no-store"})
        response.enable_chunked_encoding()
        with self._followers.joined(str(request.remote), address, me) as follower:
            await response.prepare(request)
            stream = _Stream(response)
            await stream.burst([delta.encode_hello(self._hub.node, process_clock(), resumed=position is not None)])
            while True:
                if position is None or not journal.reaches(position):
                    position = await self._everything(stream, follower.give)
                elif journal.seq > position:
                    position = await self._news(stream, position, me, follower.give)
                elif not await self._hub.changed(position, BEAT_S):
                    await stream.burst([delta.encode_reached(position, process_clock())])

    async def _everything(self, stream: "_Stream", give: Callable[[int], None]) -> int:
        """Send all that is held; the place in the journal to go on from."""
        position = self._hub.journal.seq
        async for claims in self._hub.walk():
            now = process_clock()
            for start in range(0, len(claims), delta.CLAIMS_MAX):
                part = claims[start : start + delta.CLAIMS_MAX]
                await stream.send([delta.encode_claims(part, now)])
                give(len(part))
        await stream.burst([delta.encode_reached(position, process_clock())])
        return position

    async def _news(self, stream: "_Stream", position: int, me: str, give: Callable[[int], None]) -> int:
        """Send what came after a place in the journal, but not what the follower told; the place after it."""
        records = self._hub.journal.after(position, BURST_BYTES)
        wanted = [record.payload for record in records if not record.source or record.source != me]
        if wanted:
            await stream.burst(wanted)
            give(sum(record.claims for record in records if not record.source or record.source != me))
        return position + len(records)


class _Stream:
    """Frames on their way to a follower."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._deflater = Deflater()

    async def burst(self, payloads: Sequence[bytes]) -> None:
        """Send frames that are to be seen at once."""
        await self._write(self._deflater.burst(payloads))

    async def send(self, payloads: Sequence[bytes]) -> None:
        """Send frames that more will follow."""
        data = self._deflater.more(payloads)
        if data:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_S):
            await self._response.write(data)


class _Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_gone", "_silent")

    def __init__(self, server: web.Server, gone: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # as `web.Server` itself takes it
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
            logger=_faults,
            auto_decompress=False,  # nobody needs to send us a compressed body, and nobody's may explode
        )
        self._gone = gone
        self._silent: asyncio.TimerHandle | None = None

    def asks(self) -> None:
        """A request has come."""
        if self._silent is not None:
            self._silent.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        with suppress(OSError):  # it is gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)
        super().connection_made(transport)
        # aiohttp 3.14 does it itself; before, only from the second request on
        self._silent = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.asks()
        self._gone.set()


def latest_of(claims: Sequence[Claim]) -> list[Claim]:
    """Of each address the claim that was seen last: the Go program knows one name an address."""
    latest: dict[Address, Claim] = {}
    for claim in claims:
        known = latest.get(claim.address)
        if known is None or claim.seen > known.seen:
            latest[claim.address] = claim
    return list(latest.values())


async def _body(request: web.BaseRequest) -> bytes:
    """A small body, whole."""
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > original.ENTRY_MAX:
                    raise PeerError(f"a body of more than {original.ENTRY_MAX} bytes")
    except TimeoutError as error:
        raise PeerError(f"the body is not there within {BODY_S:.0f} s") from error
    return body


def _text(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=f"{text}\n")
    response.force_close()
    return response
