"""Sync listener: our own stream and the Go program's requests, within limits; in the thread "loop".

    GET /v1/changes?node=N&seq=S&me=M    what changed since (N, S), while the follower M stays; see `core.sync.delta`
    GET /fetch                           all that is held, as the Go program writes it: of each address the latest name
    PUT /put                             one entry of the Go program

Nothing is believed before it is read to its end, and nothing is read without a limit and a deadline: a connection that
has not asked within `REQUEST_S` is closed, so is one that stops within a body, or stops reading.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

from aiohttp import HttpVersion11, web

from dnstap_bgp.core.model import Address, Claim
from dnstap_bgp.core.sync import delta, go_json
from dnstap_bgp.core.sync.clock_offset import Offset
from dnstap_bgp.core.sync.delta import Deflater
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits
from dnstap_bgp.workers.net.http_server import PROTOCOL_OPTIONS, BodyError, HttpServer, read_body, send
from dnstap_bgp.workers.net.listeners import listen_tcp
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.sync.access import SyncAccess, packed
from dnstap_bgp.workers.sync.hub import BURST_BYTES, Hub
from dnstap_bgp.workers.sync.peer import Followers

logger = logging.getLogger(__name__)

REQUEST_S = 15.0
"""From the connection, or the end of a request, to the end of the next one's header."""

WRITE_S = 30.0
"""For a peer to read what is before it; one that can't is not following."""

UNACKED_MS = 10_000
"""TCP gives a connection up whose other end has not acknowledged for so long: then it is asked for anew where the
network is back, and not when a retransmission happens to come."""

SEND_BUFFER_BYTES = 1 << 18
"""What the kernel holds for one that doesn't read; enough for 5 MB/s across a continent."""

BEAT_S = 45.0
"""An idle stream says that it is alive: 80 times an hour, 20 bytes each."""

FOLLOWERS_MAX = 256
"""Streams: 128 KB each."""

FETCHES_MAX = 2
"""`/fetch` at a time: each is the whole table. Of one address there is one at a time, so that nobody has all places."""

FETCH_S = 300.0
"""For all of one: a slow reader of ours must not keep the others' from it. The Go program reads 10 MB/s."""

FUTURE_MAX_S = 86_400.0
"""A time that is further ahead comes from no clock; less counts as now."""

STREAM_TYPE = "application/x-dnstap-bgp-changes"

_JSON = "application/json"

_Handler = Callable[[web.BaseRequest, Address], Awaitable[web.StreamResponse]]


class SyncListener:
    """Answers peers, from `open` to `close`."""

    def __init__(
        self, hub: Hub, access: SyncAccess, followers: Followers, *, tls: ssl.SSLContext | None, compatible: bool
    ) -> None:
        """Make it, in the loop's thread.

        Args:
            hub: Where what peers bring goes, and what they get comes from.
            access: Who may ask.
            followers: Where streams are noted.
            tls: What encrypts; None: plain.
            compatible: The Go program's requests are answered, too.
        """
        self._hub = hub
        self._access = access
        self._followers = followers
        self._log = RateLimitedLog(logger, process_clock)
        self._fetches = asyncio.Semaphore(FETCHES_MAX)
        self._fetchers: Counter[Address] = Counter()  # how many of each address fetch, or wait to
        self._turns: dict[Address, asyncio.Lock] = {}  # of these addresses
        self._handlers: dict[tuple[str, str], _Handler] = {("GET", "/v1/changes"): self._changes}
        if compatible:
            self._handlers |= {("GET", "/fetch"): self._fetch, ("PUT", "/put"): self._put, ("POST", "/put"): self._put}
        self._limits = ConnectionLimits(Counter(), access.room_of, request_s=lambda: REQUEST_S)
        protocols = web.Server(self._answer, **PROTOCOL_OPTIONS)
        self._server = HttpServer(self._limits, protocols, tls=tls, tune=_tune)
        self._bound: list[socket.socket] = []

    async def open(self, host: str, port: int) -> None:
        """Listen, at every address that the host has here.

        Raises:
            OSError: It can't be had.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        self._bound = listen_tcp((one[0], one[4]) for one in found)

    async def serve(self) -> None:
        """Answer whoever connects, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sock in self._bound:
                group.create_task(self._server.serve(sock))

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        for sock in self._bound:
            sock.close()
        self._bound = []
        await self._server.close()

    # -- requests

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, whatever happens in its handler: an exception ends the conversation, and is logged."""
        with self._limits.answering(request.transport):
            try:
                return await self._handle(request)
            except (PeerError, BodyError) as error:
                self._log_request(logging.WARNING, "bad", request, str(error))
                self._limits.end_if_begun(request.transport)
                return _text(400, str(error))
            except ConnectionResetError:
                raise
            except TimeoutError:  # a slow reader of /fetch
                self._limits.end_if_begun(request.transport)
                return _text(503, "it takes too long")
            except Exception as error:
                self._log_request(logging.ERROR, "fault", request, f"a fault of ours: {type(error).__name__}")
                logger.debug("the fault", exc_info=True)
                self._limits.end_if_begun(request.transport)
                return _text(500, "a fault of ours")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            address = packed(request.remote or "")
        except (ValueError, PeerError):
            return _text(400, "no address")
        refused = await self._access.refusal(address, request.headers.get("Authorization"))
        if refused is not None:
            status, why = refused
            self._log.log(logging.WARNING, f"refused {status}", "sync: %s asks and is refused: %s", request.remote, why)
            return _text(status, why)
        handler = self._handlers.get((request.method, request.path))
        if handler is None:
            return _text(404, "nothing here")
        return await handler(request, address)

    async def _begin(self, request: web.BaseRequest, headers: dict[str, str]) -> web.StreamResponse:
        """Begin an answer whose length is not known: in chunks, or for HTTP/1.0 to the connection's end."""
        response = web.StreamResponse(headers=headers)
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        self._limits.note_begun(request.transport)
        await response.prepare(request)
        return response

    def _log_request(self, level: int, kind: str, request: web.BaseRequest, text: str) -> None:
        self._log.log(level, kind, "sync: %s %s %s: %s", request.remote, request.method, request.path, text)

    async def _put(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        entry = go_json.read(await read_body(request, self._limits, go_json.ENTRY_MAX))
        peer = self._access.peer_at(address)
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
        peer = self._access.peer_at(address)
        offset = peer.offset if peer is not None else Offset()
        async with self._turn(address), self._fetches, asyncio.timeout(FETCH_S):
            response = await self._begin(request, {"Content-Type": _JSON})
            behind_s = time.time() - process_clock()
            opening, given = "[", 0
            async for claims in self._hub.walk():
                latest = latest_of(claims)
                given += len(latest)
                text = ",".join(
                    go_json.write(claim.address, claim.name, offset.there(claim.seen + behind_s)) for claim in latest
                )
                await send(request, response, (opening + text).encode(), WRITE_S)
                opening = ","
            await send(request, response, b"]" if given else b"null", WRITE_S)
            await response.write_eof()
            if peer is not None:
                peer.given += given
        return response

    @asynccontextmanager
    async def _turn(self, address: Address) -> AsyncIterator[None]:
        """Wait until no other `/fetch` of an address is under way."""
        self._fetchers[address] += 1
        try:
            async with self._turns.setdefault(address, asyncio.Lock()):
                yield
        finally:
            self._fetchers[address] -= 1
            if not self._fetchers[address]:
                del self._fetchers[address], self._turns[address]

    async def _changes(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        try:
            asked = parse_qs(request.query_string, max_num_fields=8)
        except ValueError as error:
            raise PeerError("a query that is none of ours") from error
        node, seq, me = (asked.get(key, [""])[-1] for key in ("node", "seq", "me"))
        me = me if delta.is_node(me) else ""
        if len(self._followers) >= FOLLOWERS_MAX:
            return _text(503, "too many followers")
        log = self._hub.replication_log
        position = int(seq) if node == self._hub.node and seq.isascii() and seq.isdigit() and len(seq) < 20 else None
        if position is not None and not log.reaches(position):
            position = None
        with self._followers.joined(str(request.remote), address, me) as follower:
            response = await self._begin(request, {"Content-Type": STREAM_TYPE, "Cache-Control": "no-store"})
            stream = _FrameStream(request, response)
            await stream.burst([delta.encode_hello(self._hub.node, process_clock(), resumed=position is not None)])
            while True:
                if position is None or not log.reaches(position):
                    position = await self._everything(stream, follower.give)
                elif log.seq > position:
                    position = await self._news(stream, position, me, follower.give)
                elif not await self._hub.changed(position, BEAT_S):
                    await stream.burst([delta.encode_reached(position, process_clock())])

    async def _everything(self, stream: "_FrameStream", give: Callable[[int], None]) -> int:
        """Send all that is held; the place in the replication log to go on from."""
        position = self._hub.replication_log.seq
        async for claims in self._hub.walk():
            now = process_clock()
            for start in range(0, len(claims), delta.CLAIMS_MAX):
                part = claims[start : start + delta.CLAIMS_MAX]
                await stream.send([delta.encode_claims(part, now)])
                give(len(part))
        await stream.burst([delta.encode_reached(position, process_clock())])
        return position

    async def _news(self, stream: "_FrameStream", position: int, me: str, give: Callable[[int], None]) -> int:
        """Send what came after a place in the replication log, but not what the follower told; the place after it."""
        records = self._hub.replication_log.after(position, BURST_BYTES)
        wanted = [record.payload for record in records if not record.source or record.source != me]
        if wanted:
            await stream.burst(wanted)
            give(sum(record.claims for record in records if not record.source or record.source != me))
        return position + len(records)


class _FrameStream:
    """Frames on their way to a follower."""

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self._request = request
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
        await send(self._request, self._response, data, WRITE_S)


def latest_of(claims: Sequence[Claim]) -> list[Claim]:
    """Of each address the claim that was seen last: the Go program knows one name an address."""
    latest: dict[Address, Claim] = {}
    for claim in claims:
        known = latest.get(claim.address)
        if known is None or claim.seen > known.seen:
            latest[claim.address] = claim
    return list(latest.values())


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)


def _text(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=f"{text}\n")
    response.force_close()
    return response
