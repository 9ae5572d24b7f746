"""Errands from outside for an instance's main thread: by the control socket, or as files of the runtime folder.

The socket is the usual way (`Errand`). Files beside a signal (`Mailbox`) are for what the socket can't do:

- `up` has none, and `dnstap-bgp reload` needs its answer first: sessions before routes;
- a plugin has none while its configuration can't be used, or while it starts;
- a reload by systemd costs no memory: what serves the socket (asyncio, aiohttp) takes 27 MB with its first client.

    errand    request file      signal   answer files
    reload    reload.request    HUP      up.result (of `up`, which then sends HUP to the plugin), reload.result (plugin)
    diff      diff.request      USR1     diff.result (plugin)

A request is JSON `{"id": str, "force": bool or [list name]}`, an answer `{"id", "ok": bool, "messages": [str], ...}`
with the counts of `Outcome`, and `"in_part": true` where that is so. Names and formats are those of 0.1.0, but for
list names and `in_part`: after an upgrade an old `up` or plugin runs on with new commands. They lie in a folder that
only root and the instance's user can write to.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from dnstap_bgp.core.lists.managed import EditRequest
from dnstap_bgp.core.lists.source import Force
from dnstap_bgp.core.lists.switches import SwitchRequest
from dnstap_bgp.errors import UnreachableError
from dnstap_bgp.workers.process.runtime import write_atomically

logger = logging.getLogger(__name__)

POLL_S = 0.05

Kind = Literal["reload", "diff", "switch", "edit"]

Change = SwitchRequest | EditRequest


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answer to an errand.

    Attributes:
        ok: Whether all of it was done, or would be.
        messages: What there is to say, one line each.
        counts: Figures of what is in force then, such as rules and routes; not of a diff.
        in_part: Where it is not `ok`: whether all was done but for what the messages name; else nothing was.
    """

    ok: bool
    messages: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    in_part: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the outcome as one JSON object."""
        in_part = {"in_part": True} if self.in_part else {}
        return {"ok": self.ok, **in_part, "messages": list(self.messages), **self.counts}


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """Errand that came by the control socket: put into the main thread's queue, answered through `outcome`.

    Attributes:
        kind: `reload`: the plugin's part of it; `diff`: what that would do; `switch` and `edit`: `change` is made.
        force: The lists that take what they would hold back.
        change: Of a list, for `switch` and `edit`.
        outcome: Whoever waits may cancel it, as a client that has left; the main thread sets it.
    """

    kind: Kind
    force: Force = False
    change: Change | None = None
    outcome: Future[Outcome] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Request:
    """Request as its file has it; `id` names the answer that somebody waits for."""

    id: str
    force: Force


@dataclass(frozen=True, slots=True)
class Box:
    """File names of one errand for one of its two readers."""

    request: str
    answer: str


RELOAD_UP: Final = Box("reload.request", "up.result")
RELOAD_PLUGIN: Final = Box("reload.request", "reload.result")
DIFF_PLUGIN: Final = Box("diff.request", "diff.result")


class Mailbox:
    """Reader's side of a box: each request is taken once, however often its signal comes."""

    def __init__(self, runtime_dir: Path, box: Box) -> None:
        self._request = runtime_dir / box.request
        self._answer = runtime_dir / box.answer
        self._answered: Request | None = None

    def take(self) -> Request | None:
        """Read the request that lies there.

        Returns:
            None: there is none, or it was answered before and its sender has not cleared it away yet: then the signal
            that had us look is a plain one.
        """
        request = self._read()
        return None if request == self._answered else request

    def answer(self, request: Request, outcome: Outcome) -> None:
        """Answer a request; a failure is logged, since nobody here can mend it."""
        self._answered = request
        text = json.dumps({"id": request.id, **outcome.to_json()})
        try:
            write_atomically(self._answer, text, 0o644)
        except OSError as error:
            logger.warning("the request can't be answered in %s: %s", self._answer, error)

    def clear(self) -> None:
        """Remove what an earlier instance has left.

        Raises:
            OSError: That is not possible.
        """
        for file in (self._request, self._answer):
            file.unlink(missing_ok=True)

    def _read(self) -> Request | None:
        try:
            found = json.loads(self._request.read_bytes())
            return Request(str(found["id"]), read_force(found.get("force")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            logger.warning("%s can't be read: %s", self._request, error)
            return None


def read_force(value: object) -> Force:
    """Read what a request forces: True, or names of lists; no list, if it is anything else."""
    if isinstance(value, list):
        return frozenset(filter(lambda name: isinstance(name, str), value))
    return value is True


def force_value(force: Force) -> bool | list[str]:
    """Give what a request forces as JSON has it. What knows no names of lists takes them for False."""
    return force if isinstance(force, bool) else sorted(force)


@contextlib.contextmanager
def posted(runtime_dir: Path, box: Box, *, force: Force) -> Iterator[str]:
    """Put a request into a box for as long as its sender waits: the next plain signal must not find it.

    Yields:
        The request's id, for `await_answer`. The signal is for the caller to send.

    Raises:
        OSError: The folder can't be written to.
    """
    request = os.urandom(16).hex()
    file = runtime_dir / box.request
    try:
        write_atomically(file, json.dumps({"id": request, "force": force_value(force)}), 0o644)
        yield request
    finally:
        file.unlink(missing_ok=True)


def await_answer(runtime_dir: Path, box: Box, request: str, timeout_s: float) -> dict[str, Any]:
    """Wait for the answer to a request; until then the file may hold that to an earlier one.

    Raises:
        UnreachableError: None came.
    """
    file = runtime_dir / box.answer
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(file.read_bytes())
            if isinstance(found, dict) and found.get("id") == request:
                return found
        time.sleep(POLL_S)
    raise UnreachableError(f"no answer in {file}: the instance's log says what it is doing")
