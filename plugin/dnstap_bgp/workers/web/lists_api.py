"""Requests that steer lists: switch one on or off, add and remove names of a managed one, and show its names.

For the control socket, and for [http] where a token guards it. In the thread "loop"; the main thread makes the change.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from dnstap_bgp.config.settings import managed_file
from dnstap_bgp.core.lists.managed import EditRequest, make_edit
from dnstap_bgp.core.lists.switches import SwitchRequest
from dnstap_bgp.core.timing import DURATION_MAX_S
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.lists.steering import read_managed
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits
from dnstap_bgp.workers.process.mailbox import Change, Errand, Kind
from dnstap_bgp.workers.web.control_api import read_asked, text_of
from dnstap_bgp.workers.web.inspector import Inspector
from dnstap_bgp.workers.web.middleware import json_response, no_other_keys

BODY_MAX_BYTES = 1 << 20
"""A change of a managed list has 30,000 names at most; more is several changes."""

_Body = dict[str, Any]


class ListsApi:
    """Handlers of the requests on lists."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def add_to(self, app: web.Application, limits: ConnectionLimits, who: Callable[[web.Request], str]) -> None:
        """Add the routes to an application.

        Args:
            app: Of a listening socket.
            limits: Of its connections.
            who: Names who asks.
        """

        async def switch(request: web.Request) -> web.Response:
            return await self._switch(await read_asked(request, limits, BODY_MAX_BYTES), who(request))

        async def edit(request: web.Request) -> web.Response:
            return await self._edit(await read_asked(request, limits, BODY_MAX_BYTES), who(request))

        app.router.add_post("/v1/lists/switch", switch)
        app.router.add_post("/v1/lists/edit", edit)
        app.router.add_get("/v1/lists/{name}/names", self._names)

    async def _switch(self, body: _Body, who: str) -> web.Response:
        no_other_keys(body, "list", "enabled", "for_s")
        enabled, for_s = body.get("enabled"), body.get("for_s")
        if not isinstance(enabled, bool):
            raise CommandError("enabled is true or false")
        if for_s is not None:
            if isinstance(for_s, bool) or not isinstance(for_s, int | float):
                raise CommandError("for_s is a number of seconds")
            if not 1 <= for_s <= DURATION_MAX_S:  # nor NaN, nor a whole number that is too large for a float
                raise CommandError("for_s is from 1 s to ten years")
        return await self._change("switch", SwitchRequest(text_of(body, "list"), enabled, for_s, who))

    async def _edit(self, body: _Body, who: str) -> web.Response:
        no_other_keys(body, "list", "add", "remove", "comment", "preview")
        comment, preview = body.get("comment", ""), body.get("preview", False)
        if not isinstance(comment, str) or not isinstance(preview, bool):
            raise CommandError("comment is text, and preview true or false")
        edit = make_edit(_texts(body, "add"), _texts(body, "remove"), who, comment)
        return await self._change("edit", EditRequest(text_of(body, "list"), edit, preview))

    async def _change(self, kind: Kind, change: Change) -> web.Response:
        errand = Errand(kind, change=change)
        self._inspector.send(errand)
        outcome = await asyncio.wrap_future(errand.outcome)
        return json_response(outcome.to_json())

    async def _names(self, request: web.Request) -> web.Response:
        name, config = request.match_info["name"], self._inspector.config
        found = next((one for one in config.all_lists if one.name == name), None)
        if found is None or not found.managed or config.cache is None:
            managed = ", ".join(one.name for one in config.all_lists if one.managed) or "none"
            raise CommandError(f"there is no managed list {name[:63]!r}; there are: {managed}")
        path = managed_file(config.cache, found.name)
        entries = await asyncio.get_running_loop().run_in_executor(None, read_managed, path)
        return json_response({"list": found.name, "names": [entry._asdict() for entry in entries.values()]})


def _texts(body: _Body, key: str) -> list[str]:
    found = body.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise CommandError(f"{key} is a list of names")
    return found
