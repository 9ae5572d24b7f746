"""Access by token to what steers over [http], and the audit of all that steers; middlewares, in the thread "loop"."""

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.net.fair_share import owner_of, peer_uid
from dnstap_bgp.workers.net.http_server import is_bearer, is_bearer_scheme
from dnstap_bgp.workers.net.listeners import peer_address, user_name
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.web.middleware import ASKED, Failure

FAILURE_S = 1.0
"""So long its address is not listened to after a wrong token: at this pace nobody guesses 16 characters."""

ADDRESSES_MAX = 1024
"""Addresses with a wrong token that are remembered; an IPv6 network of 64 bits is one."""


def with_token(token: str, refused: Counter[str]) -> Middleware:
    """Make the middleware that asks for the token where something is changed, or told of who changed it.

    It is compared in constant time, and comes in a header that no page of another site can set: there is no cookie.
    Who gives none has guessed nothing, and shuts nobody out: a page elsewhere can have a browser ask without one, or
    with the user and password of a URL.

    Args:
        token: The secret of `[http]`.
        refused: Counts `token`.
    """
    blocked: OrderedDict[Hashable, float] = OrderedDict()
    secret = token.encode()

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_guarded(request):
            return await handler(request)
        sender, now = _sender(request), process_clock()
        if blocked.get(sender, 0.0) > now:
            refused["token"] += 1
            raise Failure(429, "a wrong token came from this address: wait a second")
        given = request.headers.get("Authorization")
        if not is_bearer(given, secret):
            refused["token"] += 1
            if is_bearer_scheme(given):
                blocked[sender] = now + FAILURE_S
                blocked.move_to_end(sender)
                if len(blocked) > ADDRESSES_MAX:
                    blocked.popitem(last=False)
            raise Failure(401, "the token is missing or another one")
        return await handler(request)

    return checked


def audited(audit: Callable[[str, str, object, str], None], who: Callable[[web.Request], str]) -> Middleware:
    """Make the middleware that notes each change, and each try that was refused or has failed.

    Also of a client that has left before the answer: what the main thread has begun for it is done all the same.

    Args:
        audit: Takes who, path, what was asked, and what became of it; returns at once.
        who: Names who asks.
    """

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST":
            return await handler(request)
        asker = _asker(request, who)  # now: of a client that has left nothing is known any more
        try:
            response = await handler(request)
        except CommandError as error:
            _note(request, asker, str(error))
            raise
        except asyncio.CancelledError:
            _note(request, asker, LEFT)
            raise
        except Exception as error:
            _note(request, asker, f"a fault of ours: {type(error).__name__}")
            raise
        asked = request.get(ASKED)
        if not (isinstance(asked, dict) and request.path == "/v1/margin" and asked.get("step") in _MARGIN_BETWEEN):
            _note(request, asker, "done")
        return response

    def _note(request: web.Request, asker: str, outcome: str) -> None:
        asked = request.get(ASKED)
        if not isinstance(asked, dict) or request.path in _NO_CHANGES:
            return
        if request.path != "/v1/lists/edit" or asked.get("preview") is not True:
            audit(asker, request.path, asked, outcome)

    return noted


def _asker(request: web.Request, who: Callable[[web.Request], str]) -> str:
    """Name who asks; nobody, if they have left already."""
    try:
        return who(request)
    except OSError:
        return ""


LEFT = "it may be done: who asked has left before the answer"
"""What has become of a request, as far as anybody knows, whose client is gone: it was begun, or waits no more."""

_MARGIN_BETWEEN = frozenset({"choose", "announce", "withdraw"})
"""Steps of a measurement, a hundred in a row; its beginning and its end say that it took place."""

_NO_CHANGES = frozenset({"/v1/diff", "/v1/save", "/v1/log-level"})


def is_guarded(request: web.Request) -> bool:
    """Tell whether a request needs the token: it changes something, or names people."""
    return request.method not in ("GET", "HEAD") or request.path == "/v1/audit" or request.path.startswith("/v1/lists/")


def unix_user(request: web.Request) -> str:
    """Name the user at the other end of a unix socket (SO_PEERCRED, unix(7))."""
    sock = _socket(request)
    if sock is None:
        return ""
    uid = peer_uid(sock)
    return user_name(uid) or f"uid {uid}"


def token_user(request: web.Request) -> str:
    """Name who has the token: by address, which is all that is known."""
    sock = _socket(request)
    return f"token at {peer_address(sock)}" if sock is not None else "token"


def _sender(request: web.Request) -> Hashable:
    sock = _socket(request)
    try:
        return owner_of(sock) if sock is not None else None
    except OSError:  # it is gone already
        return None


def _socket(request: web.Request) -> socket.socket | None:
    transport = request.transport
    found: socket.socket | None = transport.get_extra_info("socket") if transport is not None else None
    return found
