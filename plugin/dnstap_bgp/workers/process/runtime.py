"""The runtime folder of one instance: what lies in it, under which name, and for whom.

up.pid           locked by the `up` that runs
exabgp.conf      what ExaBGP was started with
exabgp.env       empty: keeps ExaBGP from a file of settings that is not ours
run/exabgp/      the FIFOs of ExaBGP's own client; EXABGP_ROOT points at the runtime folder
lists.json       what each list has and where from, kept by the plugin
reload.request   of `dnstap-bgp reload`; the answers are reload.result (plugin) and up.result (`up`)
diff.request     of `dnstap-bgp diff`; the answer is diff.result (plugin)
"""

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dnstap_bgp.errors import CommandError

logger = logging.getLogger(__name__)

FOLDER_MODE = 0o711
"""Others may pass, not look: a resolver of another user must reach a DNSTap socket in here; each file has its mode."""


def up_pidfile(runtime_dir: Path) -> Path:
    """The file that a running `up` holds locked."""
    return runtime_dir / "up.pid"


def host_file(runtime_dir: Path) -> Path:
    """The rendered ExaBGP configuration."""
    return runtime_dir / "exabgp.conf"


def lists_file(runtime_dir: Path) -> Path:
    """What each list of the running plugin has: `liststatus.Status` as JSON."""
    return runtime_dir / "lists.json"


def reload_request(runtime_dir: Path) -> Path:
    """JSON {"id": str, "force": bool}: what `dnstap-bgp reload` asks for."""
    return runtime_dir / "reload.request"


def reload_result(runtime_dir: Path) -> Path:
    """JSON {"id", "ok", "messages", "rules", "routes"}: what came of it in the plugin."""
    return runtime_dir / "reload.result"


def up_result(runtime_dir: Path) -> Path:
    """JSON {"id", "ok", "messages"}: what came of it in ExaBGP's own configuration."""
    return runtime_dir / "up.result"


def diff_request(runtime_dir: Path) -> Path:
    """JSON, as of a reload: what `dnstap-bgp diff` asks for, with USR1; too late, it only has counts logged."""
    return runtime_dir / "diff.request"


def diff_result(runtime_dir: Path) -> Path:
    """JSON {"id", "ok", "messages"}: what a reload would do."""
    return runtime_dir / "diff.result"


@dataclass(frozen=True, slots=True)
class Request:
    """What a `dnstap-bgp reload` asks for; `id` names the answer that it waits for."""

    id: str
    force: bool


def read_request(runtime_dir: Path) -> Request | None:
    """The request that lies there; None: none, so that a HUP is a plain one."""
    return _read(reload_request(runtime_dir))


def read_diff_request(runtime_dir: Path) -> Request | None:
    """The request that lies there; None: none, so that a USR1 is a plain one."""
    return _read(diff_request(runtime_dir))


def _read(file: Path) -> Request | None:
    try:
        request = json.loads(file.read_bytes())
        return Request(str(request["id"]), request.get("force") is True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s can't be read: %s", file, error)
        return None


def answer(file: Path, request: Request, *, ok: bool, messages: Sequence[str], **counts: int) -> None:
    """Answer a request in one of the result files; a failure is logged, since nobody here can mend it."""
    text = json.dumps({"id": request.id, "ok": ok, "messages": list(messages), **counts})
    try:
        write_atomically(file, text, 0o644)
    except OSError as error:
        logger.warning("the request can't be answered in %s: %s", file, error)


def pipe_name(runtime_dir: Path) -> str:
    """The name of this instance's FIFOs.

    ExaBGP looks in /run/exabgp and /run before it looks under EXABGP_ROOT, so the name must be no other instance's.
    """
    return "dnstap-bgp-" + hashlib.sha256(os.fsencode(runtime_dir)).hexdigest()[:8]


def fifos(runtime_dir: Path) -> tuple[Path, Path]:
    """The FIFO for commands and the FIFO for answers."""
    folder = runtime_dir / "run" / "exabgp"
    name = pipe_name(runtime_dir)
    return folder / f"{name}.in", folder / f"{name}.out"


def ensure_folder(runtime_dir: Path) -> None:
    """Make the runtime folder of a plugin that runs without `up`, or take the one that its operator has made.

    Raises:
        CommandError: It can't be made; or, as the default below the temporary folder can, it belongs to another user,
            who could have us write through links.
    """
    try:
        _make_folder(runtime_dir)
        is_folder, owners = runtime_dir.is_dir(), {runtime_dir.lstat().st_uid, runtime_dir.stat().st_uid}
    except OSError as error:
        raise CommandError(f"runtime_dir {runtime_dir} can't be made: {error.strerror}") from error
    if not is_folder:
        raise CommandError(f"runtime_dir {runtime_dir} is no folder")
    if strangers := owners - {0, os.geteuid()}:
        raise CommandError(f"runtime_dir {runtime_dir} belongs to uid {max(strangers)}, who is neither us nor root")


def prepare_folder(runtime_dir: Path, uid: int, gid: int) -> None:
    """Make the runtime folder, or check the one that is there, for `up`.

    Raises:
        CommandError: It can't be made, or it belongs to somebody else, who could then replace what is in it.
    """
    try:
        _make_folder(runtime_dir)
        found = runtime_dir.lstat()
        if os.geteuid() == 0 != uid and stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022:
            _give(runtime_dir, uid, gid)  # just made, or by systemd, or left by an `up` of root
            found = runtime_dir.lstat()
    except OSError as error:
        raise CommandError(
            f"runtime_dir {runtime_dir} can't be made: {error.strerror}; set runtime_dir to a folder of this user"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise CommandError(f"runtime_dir {runtime_dir} is no folder")
    if found.st_uid != uid or found.st_mode & 0o022:
        raise CommandError(
            f"runtime_dir {runtime_dir} must belong to uid {uid} and be writable by nobody else, "
            f"but it belongs to uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}"
        )


def _make_folder(runtime_dir: Path) -> None:
    runtime_dir.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        runtime_dir.mkdir(mode=0o700)
        runtime_dir.chmod(FOLDER_MODE)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Make a folder of root's, which only root could write to, another user's, with all that is in it."""
    for path, _, files in os.walk(folder):
        for name in (".", *files):
            os.chown(Path(path, name), uid, gid, follow_symlinks=False)


def make_fifos(runtime_dir: Path) -> None:
    """Make the FIFOs of ExaBGP's client anew: a dead instance may have left unread answers in them."""
    remove_fifos(runtime_dir)
    for fifo in fifos(runtime_dir):
        for folder in (fifo.parent.parent, fifo.parent):  # one by one: `parents` would leave the mode to the umask
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        os.mkfifo(fifo, 0o600)


def remove_fifos(runtime_dir: Path) -> None:
    """Take the FIFOs away, so that a client says "not running" at once instead of waiting."""
    for fifo in fifos(runtime_dir):
        fifo.unlink(missing_ok=True)


def write_atomically(path: Path, text: str, mode: int) -> None:
    """Replace a file by a whole new one; a reader sees the old or the new, never a part.

    Args:
        path: The file to replace.
        text: Its new content.
        mode: Its mode, whatever the umask.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
