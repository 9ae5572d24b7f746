"""What is asked where: one aiohttp application for each listening socket, in the thread "loop".

The control socket and TCP give the same answers to the same questions; what changes something is only on the control
socket, whose file mode decides who may.
"""

import asyncio
import logging
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dnstap_bgp import __version__
from dnstap_bgp.core.status.health import not_ready
from dnstap_bgp.core.status.pace import INTERVAL_S
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.web import events, listing, page
from dnstap_bgp.workers.web.answers import Failure, json_response
from dnstap_bgp.workers.web.feed import Feed
from dnstap_bgp.workers.web.gate import REQUEST_S, Gate, is_own_name
from dnstap_bgp.workers.web.refused import Refused
from dnstap_bgp.workers.web.steering import Steering
from dnstap_bgp.workers.web.view import View

if TYPE_CHECKING:
    from dnstap_bgp.workers.web.metrics import Metrics

logger = logging.getLogger(__name__)

CONTROL_CONNECTIONS_MAX = 64
"""Of the control socket: commands, and who watches."""

BODY_MAX_BYTES = 4096
"""A steering command is one address or name, and a few words."""

TARGET_MAX = 1024
"""A name with every byte escaped has 1,016 characters."""

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_SILENT = logging.getLogger(f"{__name__}.requests")
"""Takes what aiohttp says of each broken request, with a traceback: strangers must not fill the log."""
_SILENT.disabled = True


class Site:
    """All handlers."""

    def __init__(self, view: View, feed: Feed, refused: Refused) -> None:
        """Make it, in any thread."""
        self._view = view
        self._feed = feed
        self._refused = refused
        self._log = BoundedLog(logger, process_clock)
        self._metrics: Metrics | None = None
        self._lister = listing.Lister(view)
        self._events = events.Events(view, feed)
        self._steering = Steering(view)

    async def serve(self, sock: socket.socket, *, steering: bool) -> None:
        """Serve the clients of a listening socket, which becomes ours, until cancelled."""
        runner: web.AppRunner | None = None
        server: asyncio.Server | None = None
        try:
            app, gates = self._app(steering=steering)
            runner = web.AppRunner(
                app,
                access_log=None,
                logger=_SILENT,
                keepalive_timeout=2 * REQUEST_S,
                handler_cancellation=True,
                auto_decompress=False,  # nobody needs to send us a compressed body, and nobody's may explode
                shutdown_timeout=0.1,
            )
            await runner.setup()
            gate = self._gate(runner, steering=steering)
            gates.append(gate)
            server = await asyncio.get_running_loop().create_server(gate.connect, sock=sock)
            await asyncio.Event().wait()
        finally:
            if server is not None:
                server.close()
            if runner is not None:
                await runner.cleanup()
            sock.close()

    def _gate(self, runner: web.AppRunner, *, steering: bool) -> Gate:
        assert runner.server is not None
        http = self._view.config.http
        if steering or http is None:
            return Gate(runner.server, self._refused, allow=(), at_most=CONTROL_CONNECTIONS_MAX)
        return Gate(runner.server, self._refused, allow=http.allow, at_most=http.connections_max)

    def _app(self, *, steering: bool) -> tuple[web.Application, list[Gate]]:
        gates: list[Gate] = []
        app = web.Application(
            middlewares=[self._guarded(gates, is_local=steering), self._in_words], client_max_size=BODY_MAX_BYTES
        )
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", page.page)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._figures)
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/rates", self._rates)
        app.router.add_get("/v1/routes", self._lister.handle)
        app.router.add_get("/v1/why/{target}", self._why)
        app.router.add_get("/v1/events", self._events.handle)
        if steering:
            self._steering.add_to(app)
        return app, gates

    # -- handlers

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = not_ready(self._view.status())
        return web.Response(text="".join(f"{word}\n" for word in missing) or "ok\n", status=503 if missing else 200)

    async def _status(self, _: web.Request) -> web.Response:
        status = self._view.status()
        missing = not_ready(status)
        return json_response(asdict(status) | {"ready": not missing, "not_ready": missing})

    async def _figures(self, request: web.Request) -> web.Response:
        if self._metrics is None:
            from dnstap_bgp.workers.web.metrics import Metrics  # noqa: PLC0415 - 1 MB, only where somebody scrapes

            self._metrics = Metrics(self._view)
        return self._metrics.answer(request)

    async def _rates(self, _: web.Request) -> web.Response:
        found = {"interval_s": INTERVAL_S, "now": time.time(), "samples": self._view.pace.series()}
        return json_response(found)

    async def _why(self, request: web.Request) -> web.Response:
        target = request.match_info["target"]
        if len(target) > TARGET_MAX:
            raise CommandError(f"this is no name: {len(target)} characters")
        return json_response(asdict(self._view.why(target)))

    # -- around all handlers

    def _guarded(self, gates: list[Gate], *, is_local: bool) -> Middleware:
        """What every request passes first: the clock, the Host header, who sent it here."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            transport = request.transport
            for gate in gates:
                gate.began(transport)
            try:
                if not is_local:
                    self._check_origin(request)
                return await handler(request)
            finally:
                for gate in gates:
                    gate.ended(transport)

        return guarded

    def _check_origin(self, request: web.Request) -> None:
        """Refuse what a page of another site asks for in a browser that can reach us.

        Raises:
            web.HTTPException: See above.
        """
        http = self._view.config.http
        own = frozenset({"localhost", socket.gethostname().lower(), *(http.hosts if http is not None else ())})
        if not is_own_name(request.headers.get("Host", ""), own):
            self._refused.count("host")
            raise Failure(421, "this is no name of ours; `hosts` in [http] names the others")
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.path != "/":
            self._refused.count("origin")
            raise Failure(403, "pages of other sites may not ask")

    @web.middleware
    async def _in_words(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn what goes wrong into an answer."""
        try:
            return await handler(request)
        except CommandError as error:
            raise Failure(400, str(error)) from error
        except web.HTTPException as error:
            if isinstance(error, Failure) or error.status < 400:
                raise
            failure = Failure(error.status, error.reason)
            if "Allow" in error.headers:
                failure.headers["Allow"] = error.headers["Allow"]
            raise failure from error
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception:
            self._log.say(logging.ERROR, "fault", "%s %s failed", request.method, request.path)
            logger.debug("the fault", exc_info=True)
            raise Failure(500, "a fault of ours; the log has it at level debug") from None


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    with suppress(KeyError):
        del response.headers["Server"]  # set below: whoever asks need not know what we are made of
    response.headers["Server"] = f"dnstap-bgp/{__version__}"
