"""Middlewares of control socket and [http]: Host header, other sites' pages, security headers, errors as JSON.

A page of another site, in a browser that can reach us, may send requests here: by our own name or address, which
browsers then mark as cross-site, or by a name of its own that was made to point here (DNS rebinding), which stands in
the Host header. A page at another port or below the same domain is marked as same-site: nobody lets it read an answer
(there is no CORS), and what changes something is refused to it as well.
"""

import asyncio
import ipaddress
import json
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits
from dnstap_bgp.workers.net.http_server import BodyError
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog

logger = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


ASKED = web.RequestKey("asked", dict[str, Any])
"""A request's body, for the audit; whoever reads it sets it."""


class Failure(web.HTTPException):
    """An answer that says what is wrong, as JSON."""

    status_code = 500

    def __init__(self, status: int, text: str) -> None:
        """Make it.

        Args:
            status: Of HTTP.
            text: For a person.
        """
        self.status_code = status
        super().__init__(text=json.dumps({"error": text}), content_type="application/json")


def json_response(found: object) -> web.Response:
    """Make an answer of what JSON can say."""
    return web.Response(body=json.dumps(found).encode(), content_type="application/json")


def no_other_keys(body: dict[str, Any], *keys: str) -> None:
    """Refuse keys that nobody reads: a misspelt one would be a wish that silently doesn't count.

    Raises:
        CommandError: There is one: names it, and those that there are.
    """
    for key in body:
        if key not in keys:
            known = f"there are: {', '.join(keys)}" if keys else "there is none"
            raise CommandError(f"{key[:60]!a} is no key here; {known}")


def limited(limits: ConnectionLimits) -> Middleware:
    """Make the outermost middleware: the request's connection is busy until it has its answer."""

    @web.middleware
    async def busy(request: web.Request, handler: Handler) -> web.StreamResponse:
        with limits.answering(request.transport):
            return await handler(request)

    return busy


def same_site(refused: Counter[str], own_names: Callable[[], frozenset[str]]) -> Middleware:
    """Make the middleware that refuses what pages of other sites ask for.

    Args:
        refused: Counts `host` and `origin`.
        own_names: Gives the names that the Host header may have, lower-case.
    """

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_name(request.headers.get("Host", ""), own_names()):
            refused["host"] += 1
            raise Failure(421, "this is no name of ours; `hosts` in [http] names the others")
        asker = request.headers.get("Sec-Fetch-Site")
        only_reads = request.method in ("GET", "HEAD")
        if (asker == "cross-site" and request.path != "/") or (asker == "same-site" and not only_reads):
            refused["origin"] += 1
            raise Failure(403, "pages of other sites may not ask")
        return await handler(request)

    return checked


def host_names(configured: tuple[str, ...]) -> frozenset[str]:
    """Give the names under which we are asked."""
    return frozenset({"localhost", socket.gethostname().lower(), *configured})


def errors_as_json(limits: ConnectionLimits) -> Middleware:
    """Make the middleware around all handlers that turns what goes wrong into an answer; a fault of ours is logged."""
    log = RateLimitedLog(logger, process_clock)

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except CommandError as error:
            raise Failure(400, str(error)) from error
        except BodyError as error:
            raise Failure(error.status, str(error)) from error
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
            log.log(logging.ERROR, "fault", "%s %s failed", request.method, request.path)
            logger.debug("the fault", exc_info=True)
            limits.end_if_begun(request.transport)
            raise Failure(500, "a fault of ours; the log has it at level debug") from None

    return answered


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Set headers that keep browsers safe, where an answer has none of its own; for `on_response_prepare`."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def is_own_name(header: str, own: frozenset[str]) -> bool:
    """Say whether a Host header names us: a page elsewhere whose name was made to point here has that other name.

    An address can't be made to point elsewhere, so any address will do: it may be one of a forwarding in between.

    Args:
        header: `host`, `host:port`, `[v6]` or `[v6]:port`.
        own: Names, lower-case.
    """
    host = header.strip().lower()
    if host.startswith("["):
        host, bracket, port = host[1:].partition("]")
        return bool(bracket) and _is_address(host, 6) and _is_port(port)
    host, colon, port = host.partition(":")
    return _is_port(colon + port) and (host.rstrip(".") in own or _is_address(host, 4))


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    return not text or (text.startswith(":") and text[1:].isascii() and text[1:].isdecimal() and len(text) <= 6)
