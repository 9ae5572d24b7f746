"""The HTTP application of control socket and [http]: routes, handlers, middlewares; in the thread "loop".

Both give the same answers to the same questions. What changes something is on the control socket, whose file mode
decides who may, and over [http] for who has its token. Each change is noted in the audit file.
"""

import asyncio
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from aiohttp import web

from dnstap_bgp.core.routes.explain import Why
from dnstap_bgp.core.status.rates import INTERVAL_S
from dnstap_bgp.core.status.report import Status, not_ready
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.net import connection_limits
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits, room_of_allowed, room_of_user
from dnstap_bgp.workers.net.http_server import PROTOCOL_OPTIONS, HttpServer
from dnstap_bgp.workers.web import middleware, page, token_access
from dnstap_bgp.workers.web.audit import AuditFile, audit_file
from dnstap_bgp.workers.web.control_api import ControlApi
from dnstap_bgp.workers.web.events import EventStreams
from dnstap_bgp.workers.web.feed import EventFeed
from dnstap_bgp.workers.web.inspector import Inspector
from dnstap_bgp.workers.web.lists_api import ListsApi
from dnstap_bgp.workers.web.middleware import json_response
from dnstap_bgp.workers.web.routes_api import RoutesApi

if TYPE_CHECKING:
    from dnstap_bgp.workers.web.metrics import Metrics

CONTROL_CONNECTIONS_MAX = 64
"""Of root and our own user on the control socket, and as many of all others: commands, and who watches."""

OVER_HTTP = frozenset({"/v1/add", "/v1/forget", "/v1/reload", "/v1/diff"})
"""What who has the token may do over [http], beside steering lists: neither logs nor disks are theirs."""

TARGET_MAX = 1024
"""A name with every byte escaped has 1,016 characters."""


class HttpApp:
    """All handlers, for any number of listening sockets."""

    def __init__(self, inspector: Inspector, feed: EventFeed, refused: Counter[str]) -> None:
        """Make it, in any thread."""
        self._inspector = inspector
        self._refused = refused
        self._metrics: Metrics | None = None
        self._routes = RoutesApi(inspector)
        self._events = EventStreams(inspector, feed)
        self._control = ControlApi(inspector)
        self._lists = ListsApi(inspector)
        self._audit = AuditFile(audit_file(inspector.config))
        self._disk = ThreadPoolExecutor(1, "audit")

    async def serve(self, listening: socket.socket, *, control: bool, tls: ssl.SSLContext | None = None) -> None:
        """Serve the clients of a listening socket until cancelled.

        Args:
            listening: Stays the caller's.
            tls: What encrypts; None: plain.
            control: It is the control socket: no Host header is looked at, and what changes something is served, too.
        """
        limits = self._limits(control=control)
        runner = web.AppRunner(self._app(limits, control=control), **PROTOCOL_OPTIONS)
        await runner.setup()
        assert runner.server is not None
        server = HttpServer(limits, runner.server, tls=tls)
        try:
            await server.serve(listening)
        finally:
            await server.close()
            await runner.cleanup()

    def _limits(self, *, control: bool) -> ConnectionLimits:
        http = self._inspector.config.http
        if control or http is None:
            room_of = room_of_user(CONTROL_CONNECTIONS_MAX)
        else:
            room_of = room_of_allowed(http.allow, http.connections_max)
        return ConnectionLimits(self._refused, room_of, request_s=lambda: connection_limits.REQUEST_S)

    def _app(self, limits: ConnectionLimits, *, control: bool) -> web.Application:
        http = self._inspector.config.http
        token = http.token if http is not None and not control else None
        who = token_access.unix_user if control else token_access.token_user
        middlewares = [middleware.limited(limits), middleware.errors_as_json(limits)]
        if not control:
            middlewares.insert(1, middleware.same_site(self._refused, self._own_names))
        if token is not None:
            middlewares.append(token_access.with_token(token, self._refused))
        middlewares.append(token_access.audited(self._note, who))
        app = web.Application(middlewares=middlewares)
        app.on_response_prepare.append(middleware.add_security_headers)
        app.on_response_prepare.append(_note_begun(limits))
        app.router.add_get("/", page.page)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._figures)
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/rates", self._rates)
        app.router.add_get("/v1/routes", self._routes.handle)
        app.router.add_get("/v1/why/{target}", self._why)
        app.router.add_get("/v1/events", self._events.handle)
        if control or token is not None:
            self._control.add_to(app, limits, only=None if control else OVER_HTTP)
            self._lists.add_to(app, limits, who)
            app.router.add_get("/v1/audit", self._entries)
        return app

    def _note(self, who: str, what: str, asked: object, outcome: str) -> None:
        """Have the disk's thread write an entry of the audit file."""
        asyncio.get_running_loop().run_in_executor(self._disk, self._audit.add, who, what, asked, outcome)

    def _own_names(self) -> frozenset[str]:
        http = self._inspector.config.http
        return middleware.host_names(http.hosts if http is not None else ())

    # -- handlers

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = not_ready(self._inspector.status())
        return web.Response(text="".join(f"{word}\n" for word in missing) or "ok\n", status=503 if missing else 200)

    async def _status(self, _: web.Request) -> web.Response:
        status = self._inspector.status()
        missing = not_ready(status)
        return json_response(_object(status) | {"ready": not missing, "not_ready": missing})

    async def _figures(self, request: web.Request) -> web.Response:
        if self._metrics is None:
            from dnstap_bgp.workers.web.metrics import Metrics  # noqa: PLC0415 - 1 MB, only where somebody scrapes

            self._metrics = Metrics(self._inspector)
        return self._metrics.answer(request)

    async def _rates(self, _: web.Request) -> web.Response:
        found = {"interval_s": INTERVAL_S, "now": time.time(), "samples": self._inspector.rates.series()}
        return json_response(found)

    async def _entries(self, _: web.Request) -> web.Response:
        found = await asyncio.get_running_loop().run_in_executor(self._disk, self._audit.tail)
        return json_response({"entries": found})

    async def _why(self, request: web.Request) -> web.Response:
        target = request.match_info["target"]
        if len(target) > TARGET_MAX:
            raise CommandError(f"this is no name: {len(target)} characters")
        return json_response(_object(self._inspector.why(target)))


def _object(found: Status | Why) -> dict[str, object]:
    """Write a status or an explanation as a JSON object; what differs between neighbors only where something does."""
    values = asdict(found)
    of_views = values["exabgp"] if isinstance(found, Status) else values["address"]
    if of_views is not None and not of_views["views"]:
        del of_views["views"]
    return values


def _note_begun(limits: ConnectionLimits) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def note(request: web.Request, _: web.StreamResponse) -> None:
        limits.note_begun(request.transport)

    return note
