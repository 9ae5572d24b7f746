"""Requests that change something, in the thread "loop".

They come by the control socket, whose file mode decides who may; some also over [http], for who has its token.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from dnstap_bgp.core.routes.forgotten import FORGET_S
from dnstap_bgp.core.text import count_text, duration_text, name_text, prefix_text
from dnstap_bgp.core.timing import DURATION_MAX_S
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.exabgp.margin_probe import LEASE_S, MarginProbe
from dnstap_bgp.workers.net.connection_limits import ConnectionLimits
from dnstap_bgp.workers.net.http_server import read_body
from dnstap_bgp.workers.process import logs
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.mailbox import Errand, Kind, read_force
from dnstap_bgp.workers.web.inspector import AddressTarget, Inspector, read_address, read_target
from dnstap_bgp.workers.web.middleware import ASKED, json_response, no_other_keys

BODY_MAX_BYTES = 4096
"""A command is one address or name, and a few words."""

SAVE_S = 30.0
"""A snapshot of 1,000,000 routes takes 6 s."""

POLL_S = 0.02

ACKNOWLEDGED_S = 5.0
"""ExaBGP answers within milliseconds, and within a second or two while it has bulk to do."""
ACKNOWLEDGED_POLL_S = 0.0005
"""So exactly a margin is measured; a few times for each."""

_Body = dict[str, Any]
_Step = Callable[[_Body], Awaitable[dict[str, Any]]]


class ControlApi:
    """Handlers of POST requests, but for those that steer lists."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def add_to(self, app: web.Application, limits: ConnectionLimits, *, only: frozenset[str] | None = None) -> None:
        """Add the routes to an application.

        Args:
            app: Of the control socket, or of [http] where a token guards it.
            limits: Of its connections.
            only: These paths; None: all.
        """
        steps: dict[str, tuple[_Step, tuple[str, ...]]] = {
            "/v1/forget": (self._forget, ("target",)),
            "/v1/add": (self._add, ("address", "list", "ttl_s")),
            "/v1/save": (self._save, ()),
            "/v1/log-level": (self._log_level, ("level",)),
            "/v1/hold": (self._hold, ("on",)),
            "/v1/margin": (self._margin, ("step", "neighbor", "yes", "measurement")),
            "/v1/reload": (partial(self._errand, "reload"), ("force",)),
            "/v1/diff": (partial(self._errand, "diff"), ("force",)),
        }
        for path, (step, keys) in steps.items():
            if only is not None and path not in only:
                continue
            app.router.add_post(path, _handler(step, keys, limits))

    async def _forget(self, body: _Body) -> dict[str, Any]:
        target = read_target(text_of(body, "target"))
        keeper = self._inspector.parts.keeper
        is_restoring = keeper.is_restoring
        if isinstance(target, AddressTarget):
            ended = keeper.forget(target.address, is_name=False)
            shown = prefix_text(target.address)
        else:
            ended = keeper.forget(target, is_name=True)
            shown = name_text(target)
        if self._inspector.parts.store is not None:
            self._inspector.parts.store.save()  # or a restart would bring back what has just ended
        nothing = "no claim of it was back from the state file yet" if is_restoring else "nothing is held of it"
        what = f"{count_text(ended, 'claim')} ended" if ended else nothing
        text = f"{shown}: {what}; for {duration_text(FORGET_S)} only a new answer brings it back"
        return {"message": text, "ended": ended}

    async def _add(self, body: _Body) -> dict[str, Any]:
        address, list_name = read_address(text_of(body, "address")), text_of(body, "list")
        keeper = self._inspector.parts.keeper
        policy = keeper.table.policies.by_list.get(list_name)
        if policy is None:
            known = ", ".join(keeper.table.policies.by_list)
            raise CommandError(f"there is no list {list_name!r}; there are: {known}")
        ttl_s = body.get("ttl_s", policy.ttl_s)
        if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float):
            raise CommandError("ttl_s is a number of seconds")
        if not 1 <= ttl_s <= DURATION_MAX_S:
            raise CommandError("the ttl is from 1 s to ten years")
        refused = keeper.add(address, list_name, float(ttl_s))
        if refused == "restoring":
            raise CommandError("the state file is still being read, so whether there is room isn't known: try again")
        if refused is not None:
            why = self._inspector.why(prefix_text(address)).reasons
            reason = why[0] if why and refused != "full" else f"it is refused: {refused}"
            raise CommandError(f"{prefix_text(address)}: {reason}")
        text = f"{prefix_text(address)} is a route of the list {list_name} for {duration_text(ttl_s)}"
        return {"message": text}

    async def _save(self, _: _Body) -> dict[str, Any]:
        store = self._inspector.parts.store
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
        logs.set_level(text_of(body, "level"))
        return {"message": f"the log's level is {logs.level()} until the next reload"}

    async def _hold(self, body: _Body) -> dict[str, Any]:
        is_on = body.get("on")
        if not isinstance(is_on, bool):
            raise CommandError("on is true or false")
        self._inspector.switch_hold(is_on)
        if is_on:
            return {"message": "answers are held until their routes are there"}
        return {"message": "everything is answered at once, until `dnstap-bgp hold on` or a restart"}

    async def _margin(self, body: _Body) -> dict[str, Any]:
        """Take one step of a measurement; the one who measures is a command, which looks at the router's table."""
        probe, step = self._inspector.margin_probe, text_of(body, "step")
        if step == "begin":
            found = probe.begin(text_of(body, "neighbor"), allow_external=body.get("yes") is True)
            asyncio.get_running_loop().call_later(LEASE_S + 1, self._expire, probe)
            return {"measurement": found}
        measurement = text_of(body, "measurement")
        if step == "choose":
            return {"prefix": probe.choose(measurement)}
        if step in ("announce", "withdraw"):
            (probe.announce if step == "announce" else probe.withdraw)(measurement)
            return {"acknowledged_at": await self._acknowledged(probe, measurement)}
        if step == "end":
            probe.end(measurement)
            return {}
        raise CommandError(f"{step!r} is no step of a measurement")

    async def _acknowledged(self, probe: MarginProbe, measurement: str) -> float:
        """Wait for ExaBGP's acknowledgment; gives the last moment when it was not there yet, process clock."""
        deadline = process_clock() + ACKNOWLEDGED_S
        before = process_clock()
        while not probe.is_done(measurement):
            before = process_clock()
            if before > deadline:
                raise CommandError(f"ExaBGP has not acknowledged a route within {ACKNOWLEDGED_S:.0f} s")
            await asyncio.sleep(ACKNOWLEDGED_POLL_S)
        return before

    def _expire(self, probe: MarginProbe) -> None:
        """End a measurement that nobody goes on with; look again while one is under way."""
        probe.expire()
        if probe.is_under_way:
            asyncio.get_running_loop().call_later(LEASE_S / 4, self._expire, probe)

    async def _errand(self, kind: Kind, body: _Body) -> dict[str, Any]:
        """Have the main thread reload, or say what that would do; it takes as long as compiling the lists does."""
        force = body.get("force", False)
        if not isinstance(force, bool) and not (isinstance(force, list) and all(isinstance(one, str) for one in force)):
            raise CommandError("force is true, false or names of lists")
        errand = Errand(kind, read_force(force))
        self._inspector.send(errand)
        outcome = await asyncio.wrap_future(errand.outcome)
        return outcome.to_json()


def _handler(
    step: _Step, keys: tuple[str, ...], limits: ConnectionLimits
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        body = await read_asked(request, limits, BODY_MAX_BYTES)
        no_other_keys(body, *keys)
        return json_response(await step(body))

    return handle


async def read_asked(request: web.Request, limits: ConnectionLimits, bytes_max: int) -> _Body:
    """Read the JSON object that a request asks with, and keep it for the audit.

    Raises:
        BodyError: It is too long, or not there in time.
        CommandError: It is no JSON object.
    """
    content = await read_body(request, limits, bytes_max)
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise CommandError("the body is no JSON object")
    request[ASKED] = body
    return body


def text_of(body: _Body, key: str) -> str:
    """Give a key's text.

    Raises:
        CommandError: It is missing, empty or no text.
    """
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise CommandError(f"{key} is missing")
    return value
