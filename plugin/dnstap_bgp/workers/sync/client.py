"""Client of a peer: finds out which protocol the peer speaks, and follows it; in the thread "loop".

Strategy: ask for our own stream first; who answers 404 is a Go program, which is pulled and pushed to in its own
protocol, and asked again now and then, since it may be replaced by one of ours. Each peer has a task of its own, so a
dead or slow one costs the others nothing. After a failure the peer is tried again at growing intervals, and at once
when it knocks; a fault of ours that a peer provokes is such a failure, and ends this one conversation.
"""

import asyncio
import logging
import random
import socket
from contextlib import suppress

import aiohttp

from dnstap_bgp.core.sync import delta
from dnstap_bgp.core.sync.delta import Claims, Hello, Inflater, Reached
from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.errors import PeerError
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import heed_cancellation
from dnstap_bgp.workers.sync.go_peer import GoPeer
from dnstap_bgp.workers.sync.http_session import CONNECT_S, RETRY_FIRST_S, HttpSession
from dnstap_bgp.workers.sync.hub import Hub
from dnstap_bgp.workers.sync.peer import Peer

logger = logging.getLogger(__name__)

SILENCE_S = 100.0
"""Two beats of a stream (`listener.BEAT_S`), and some."""

RETRY_MAX_S = 5.0
"""A dead peer costs a SYN in 5 s, and one that is back is found within that."""

RENEW_S, RENEW_POOR_S = 3600.0, 30.0
"""A stream is asked for anew, from where it is, to measure the clocks again: quartz differs by 0.1 s in an hour at
worst. Sooner where the first measure was poor."""

POOR_S = 0.25

SELF_S = 600.0
"""Between two looks whether the address that is ourselves still is."""

REDISCOVER_S = 60.0
"""Between two looks whether a Go program has become one of ours."""

FRAMES_AT_ONCE = 50
"""Of one chunk: 64 KB of it may inflate to 9 million empty frames, half a minute's work; who sends news has a few."""

KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVE_TRIES = 5, 2, 3
"""The kernel asks whether an idle stream's other end is still there: a network that is cut is noticed within 11 s, so
that what changed meanwhile comes as soon as it is mended. 55 bytes each way, and none of them wakes us."""


class NotOursError(PeerError):
    """A peer has no `/v1/changes`."""


class RefusedError(PeerError):
    """A peer does not let us in."""


class PeerClient:
    """Follower of one peer."""

    def __init__(self, peer: Peer, hub: Hub, session: HttpSession, go_peer: GoPeer | None) -> None:
        """Make it.

        Args:
            peer: Whom to follow.
            hub: Where what it tells goes.
            session: With all peers.
            go_peer: Speaks the Go program's protocol; None: that is switched off.
        """
        self._peer = peer
        self._hub = hub
        self._session = session
        self._go_peer = go_peer
        self._position: tuple[str, int] | None = None
        self._stream: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow it until cancelled."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            began = process_clock()
            try:
                wait_s = await self._once()
            except Exception as error:  # noqa: BLE001 - whatever a peer provokes ends this conversation, never the process
                self._peer.failed_by_fault(logger, error)
                wait_s = None
            heed_cancellation()
            if wait_s is None:
                if process_clock() - began > RETRY_MAX_S:
                    backoff.reset()
                wait_s = backoff.next(random.random())  # noqa: S311 - spreads retries, hides nothing
            await self._wait(wait_s)

    def resync(self) -> None:
        """Ask for everything again, by the rules of now."""
        self._position = None
        if self._go_peer is not None:
            self._go_peer.resync()
        if self._stream is not None:
            self._stream.cancel()

    async def _once(self) -> float | None:
        """Follow it as long as it goes; give how long to wait then, None: as long as failures so far make it."""
        # How a stream ends, and what follows:
        #   by itself          it is asked for anew at once, to measure the clocks again
        #   it is ourselves    another look after SELF_S
        #   cancelled by us    `resync` wants everything: at once
        #   no such path       a Go program, or somebody else: its protocol, if that is switched on
        #   refused, failed    after a delay that grows
        peer = self._peer
        try:
            await peer.look_up()
            # a task of its own, so that `resync` can end the stream and not the client
            self._stream = asyncio.create_task(self._follow())
            await asyncio.wait({self._stream})
            if self._stream.cancelled():
                return 0.0
            self._stream.result()
        except NotOursError as error:
            if self._go_peer is None:
                peer.failed(str(error))
                return None
            return await self._speak_go()
        except RefusedError as error:
            peer.failed(str(error), "refused")
        except (PeerError, aiohttp.ClientError, OSError, TimeoutError) as error:
            peer.failed(self._session.error_text(error))
        else:
            return SELF_S if peer.state == "self" else 0.0
        finally:
            if self._stream is not None:
                self._stream.cancel()
        return None

    async def _wait(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._peer.knocked.wait()
        self._peer.knocked.clear()  # also of one that came while we failed: then we try once too often

    async def _follow(self) -> None:
        """Follow one stream, until it is time to measure the clocks again."""
        peer, context = self._peer, {"asked": process_clock()}
        params = {"me": self._hub.node}
        if self._position is not None:
            params |= {"node": self._position[0], "seq": str(self._position[1])}
        async with self._session.client.get(
            self._session.url(peer, "/v1/changes"),
            params=params,
            headers=self._session.headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENCE_S),
            allow_redirects=False,
            trace_request_ctx=context,
        ) as response:
            _check(response)
            _keep_alive(response)
            await self._read(response, context["asked"])

    async def _read(self, response: aiohttp.ClientResponse, asked: float) -> None:
        inflater, hello, offset_s = Inflater(), None, 0.0
        until = float("inf")
        async for chunk in response.content.iter_any():
            for number, payload in enumerate(inflater.feed(chunk)):
                # a chunk may inflate to millions of frames: others get their turn between
                if number % FRAMES_AT_ONCE == FRAMES_AT_ONCE - 1:
                    await asyncio.sleep(0)
                frame = delta.decode(payload)
                if isinstance(frame, Hello):
                    # The stamp was made between request and arrival. As of the request is the earliest that it can
                    # be on our clock, and what is earlier can't make a sighting younger (see `clock_offset`).
                    hello, offset_s = frame, asked - frame.stamp_s
                    poor = process_clock() - asked > POOR_S
                    until = process_clock() + (RENEW_POOR_S if poor else RENEW_S)
                    if not self._greet(hello):
                        return
                elif hello is None:
                    raise PeerError("the stream doesn't begin as it should")
                else:
                    await self._take(hello, frame, offset_s)
            if process_clock() > until and self._position is not None:  # or a long load would begin again and again
                return
        raise PeerError("the stream ended")

    def _greet(self, hello: Hello) -> bool:
        """Note who speaks; False: we do ourselves."""
        peer = self._peer
        peer.wire_format, peer.node = "delta", hello.node
        if hello.node == self._hub.node:
            peer.heard("self")
            return False
        if not hello.resumed:
            self._position = None
        peer.heard("following" if hello.resumed else "loading")
        return True

    async def _take(self, hello: Hello, frame: delta.Frame, offset_s: float) -> None:
        peer = self._peer
        if isinstance(frame, Claims):
            claims = [claim._replace(seen=claim.seen + offset_s, first=claim.seen + offset_s) for claim in frame.claims]
            peer.came(await self._hub.deliver(hello.node, claims))
            peer.lag_s = max(0.0, process_clock() - frame.stamp_s - offset_s)
            # Within a load (position None) news may come before all of the load has: only REACHED says that nothing is
            # left out, and a stream that breaks off before must begin again with everything.
            if frame.seq and self._position is not None:
                self._position = hello.node, frame.seq
        elif isinstance(frame, Reached):
            self._position = hello.node, frame.seq
            peer.heard("following")

    async def _speak_go(self) -> float:
        """Speak the Go program's protocol until it is one of ours."""
        assert self._go_peer is not None
        self._peer.wire_format = "compatible"
        speaking = asyncio.create_task(self._go_peer.run())
        speaking.add_done_callback(lambda _: self._peer.knocked.set())  # it ends by a fault only: see at once
        try:
            while not speaking.done():
                await self._wait(REDISCOVER_S)
                if await self._is_ours():
                    break
            else:
                speaking.result()
        finally:
            speaking.cancel()
        return 0.0

    async def _is_ours(self) -> bool:
        try:
            await self._peer.look_up()  # it may have moved: what it sends from there is to be let in
            async with self._session.client.get(
                self._session.url(self._peer, "/v1/changes"),
                headers=self._session.headers,
                timeout=aiohttp.ClientTimeout(total=CONNECT_S),
                allow_redirects=False,
                trace_request_ctx={},
            ) as response:
                _check(response)
        except (PeerError, aiohttp.ClientError, OSError, TimeoutError):
            return False
        return True


def _check(response: aiohttp.ClientResponse) -> None:
    """Check that the answer is a stream."""
    if response.status in (401, 403):
        raise RefusedError(_answer_text(response))
    if response.status in (404, 405):
        raise NotOursError("it does not speak our protocol")
    if response.status != 200:
        raise PeerError(_answer_text(response))
    if response.content_type != "application/x-dnstap-bgp-changes":
        raise NotOursError("it answers something else than changes")


def _answer_text(response: aiohttp.ClientResponse) -> str:
    return f"it answers {response.status}: {response.reason}"  # made printable where it is noted


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    connection = response.connection
    sock = None if connection is None or connection.transport is None else connection.transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_TRIES)
