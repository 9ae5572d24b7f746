"""`dnstap-bgp diff`: what a reload of the running plugin would add and withdraw now."""

import json
import os
import signal
import uuid
from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.reload import await_answer
from dnstap_bgp.errors import CommandError, UnreachableError
from dnstap_bgp.workers.process import instance, runtime

TIMEOUT_S = 60.0
"""A list of a million names compiles in about 10 s, and comparing it takes as long."""


def run(path: Path, *, force: bool = False, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Ask the running plugin what a reload would do; nothing changes by it.

    Args:
        path: The configuration file.
        force: What `reload --force` would do: with what is held back, or has lost or gained too much.
        timeout_s: How long to wait for the answer.

    Returns:
        What would come and go, line by line.

    Raises:
        ConfigError: The file can't be used.
        UnreachableError: No plugin runs or answers.
        CommandError: The reload would fail: the reasons, line by line.
    """
    config = configuration.load(path)
    runtime_dir = config.runtime_dir
    plugin = instance.holder(config.pidfile)
    if plugin is None:
        raise UnreachableError(
            f"no plugin is running (nobody holds {config.pidfile}), so there is nothing to compare with;"
            " `dnstap-bgp check` says whether the files are good"
        )
    request = uuid.uuid4().hex
    try:
        runtime.write_atomically(runtime.diff_request(runtime_dir), json.dumps({"id": request, "force": force}), 0o644)
        os.kill(plugin, signal.SIGUSR1)
        answer = await_answer(runtime.diff_result(runtime_dir), request, timeout_s)
    except PermissionError as error:
        owner = runtime_dir.stat().st_uid
        raise UnreachableError(f"{runtime_dir} belongs to uid {owner}: ask as that user or as root") from error
    except OSError as error:
        raise CommandError(f"the request can't be made: {error}") from error
    finally:
        runtime.diff_request(runtime_dir).unlink(missing_ok=True)
    messages = [str(message) for message in answer.get("messages", ())]
    if not answer.get("ok"):
        raise CommandError("\n".join(["the reload would fail, and what runs now would go on:", *messages]))
    return messages
