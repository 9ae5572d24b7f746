"""`dnstap-bgp reload`: have the running instance (`up`, or the plugin alone) read its files again; tell the outcome."""

import contextlib
import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

from dnstap_bgp import config as configuration
from dnstap_bgp.errors import CommandError, UnreachableError
from dnstap_bgp.workers.process import instance, runtime

TIMEOUT_S = 30.0
"""A list of a million names compiles in about 10 s."""

POLL_S = 0.05


def run(path: Path, *, force: bool = False, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Have the running instance reload.

    Args:
        path: The configuration file, for the runtime folder and the pidfile.
        force: Take a list that has lost more than half of its rules, too.
        timeout_s: How long to wait for the outcome.

    Returns:
        What the instance says of it, line by line.

    Raises:
        ConfigError: The file can't be used; the instance was not bothered.
        UnreachableError: Nothing runs or answers.
        CommandError: The reload failed: the reasons, line by line.
    """
    config = configuration.load(path)
    runtime_dir = config.runtime_dir
    up = instance.holder(runtime.up_pidfile(runtime_dir))
    plugin = instance.holder(config.pidfile)
    target = up or plugin
    if target is None:
        raise UnreachableError(
            f"no plugin is running: nobody holds {config.pidfile}, nor an `up` {runtime_dir};"
            " one that runs as another user may have them elsewhere, unless the file sets runtime_dir"
        )
    request = uuid.uuid4().hex
    awaited = [runtime.reload_result(runtime_dir)] + ([runtime.up_result(runtime_dir)] if up else [])
    try:
        ask = json.dumps({"id": request, "force": force})
        runtime.write_atomically(runtime.reload_request(runtime_dir), ask, 0o644)
        os.kill(target, signal.SIGHUP)
    except PermissionError as error:
        owner = runtime_dir.stat().st_uid
        raise UnreachableError(f"{runtime_dir} belongs to uid {owner}: reload as that user or as root") from error
    except OSError as error:
        raise CommandError(f"the request can't be made: {error}") from error
    try:
        outcomes = [await_answer(file, request, timeout_s) for file in awaited]
    finally:
        runtime.reload_request(runtime_dir).unlink(missing_ok=True)  # the next plain HUP is not ours
    return _told(outcomes)


def await_answer(file: Path, request: str, timeout_s: float) -> dict[str, Any]:
    """Wait for the answer to our request; a file may hold that to an earlier one.

    Raises:
        UnreachableError: None came.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            answer = json.loads(file.read_bytes())
            if isinstance(answer, dict) and answer.get("id") == request:
                return answer
        time.sleep(POLL_S)
    raise UnreachableError(f"no answer in {file}: the instance's log says what it is doing")


def _told(outcomes: list[dict[str, Any]]) -> list[str]:
    messages = [str(message) for outcome in outcomes for message in outcome.get("messages", ())]
    plugin = outcomes[0]
    in_force = f"{plugin.get('rules')} rules, {plugin.get('routes')} routes"
    if not plugin.get("ok"):
        raise CommandError("\n".join(["the reload failed; what ran before still runs:", *messages]))
    if not all(outcome.get("ok") for outcome in outcomes):
        raise CommandError("\n".join([f"reloaded: {in_force}; but not the sessions:", *messages]))
    return [*messages, f"reloaded: {in_force}"]
