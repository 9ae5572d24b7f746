"""What changes something: only on the control socket, whose file mode decides who may. In the thread "loop"."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from dnstap_bgp.core.routes.forgotten import FORGET_S
from dnstap_bgp.core.state.records import prefix_text
from dnstap_bgp.core.status.why import duration_text, name_text
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process import logs
from dnstap_bgp.workers.web.answers import json_response
from dnstap_bgp.workers.web.view import Packed, View, read_address, read_target

SAVE_S = 30.0
"""A snapshot of 1,000,000 routes takes 6 s."""

POLL_S = 0.02

TTL_MAX_S = 10 * 366 * 86_400.0
"""As in the configuration."""

_Body = dict[str, Any]


class Steering:
    """The handlers."""

    def __init__(self, view: View) -> None:
        self._view = view

    def add_to(self, app: web.Application) -> None:
        """Give an application their places."""
        steps: dict[str, Callable[[_Body], Awaitable[dict[str, Any]]]] = {
            "/v1/forget": self._forget,
            "/v1/add": self._add,
            "/v1/save": self._save,
            "/v1/log-level": self._log_level,
        }
        for path, step in steps.items():
            app.router.add_post(path, _handler(step))

    async def _forget(self, body: _Body) -> dict[str, Any]:
        target = read_target(_text(body, "target"))
        keeper = self._view.parts.keeper
        if isinstance(target, Packed):
            ended = keeper.forget(target.address, is_name=False)
            shown = prefix_text(target.address)
        else:
            ended = keeper.forget(target, is_name=True)
            shown = name_text(target)
        if self._view.parts.store is not None:
            self._view.parts.store.save()  # or a restart would bring back what has just ended
        text = f"{shown}: {ended} claims ended; for {duration_text(FORGET_S)} only a new answer brings it back"
        return {"message": text, "ended": ended}

    async def _add(self, body: _Body) -> dict[str, Any]:
        address, list_name = read_address(_text(body, "address")), _text(body, "list")
        keeper = self._view.parts.keeper
        policy = keeper.table.policies.by_list.get(list_name)
        if policy is None:
            known = ", ".join(keeper.table.policies.by_list)
            raise CommandError(f"there is no list {list_name!r}; there are: {known}")
        ttl_s = body.get("ttl_s", policy.ttl_s)
        if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float):
            raise CommandError("ttl_s is a number of seconds")
        if not 1 <= ttl_s <= TTL_MAX_S:
            raise CommandError("the ttl is from 1 s to ten years")
        refused = keeper.add(address, list_name, float(ttl_s))
        if refused is not None:
            why = self._view.why(prefix_text(address)).reasons
            raise CommandError(f"{prefix_text(address)} is refused: {why[0] if why and refused != 'full' else refused}")
        text = f"{prefix_text(address)} is a route of the list {list_name} for {duration_text(ttl_s)}"
        return {"message": text}

    async def _save(self, _: _Body) -> dict[str, Any]:
        store = self._view.parts.store
        if store is None:
            raise CommandError("no `cache` is set, so there is no state file")
        ticket, loop = store.save(), asyncio.get_running_loop()
        deadline = loop.time() + SAVE_S
        while not ticket.wait(0):
            if loop.time() > deadline or store.status.error is not None:
                raise CommandError(f"not saved: {store.status.error or 'it takes too long'}")
            await asyncio.sleep(POLL_S)
        status = store.status
        return {"message": f"saved: {status.path}, {status.size} bytes", "size": status.size}

    async def _log_level(self, body: _Body) -> dict[str, Any]:
        logs.set_level(_text(body, "level"))
        return {"message": f"the log's level is {logs.level()} until the next reload"}


def _handler(step: Callable[[_Body], Awaitable[dict[str, Any]]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read() or b"{}")
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise CommandError("the body is no JSON object")
        return json_response(await step(body))

    return handle


def _text(body: _Body, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise CommandError(f"{key} is missing")
    return value
