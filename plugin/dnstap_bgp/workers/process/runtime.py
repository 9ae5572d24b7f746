"""Runtime folder of one instance: the names, owners and modes of what lies in it.

up.pid           locked by the `up` that runs
exabgp.conf      what ExaBGP was started with
exabgp.env       empty: keeps ExaBGP from a file of settings that is not ours
run/exabgp/      the FIFOs of ExaBGP's own client; EXABGP_ROOT points at the runtime folder
starts           when the plugin was started, for the brake on crash loops (`instance`)
*.request        errands of commands, answered in *.result (`mailbox`)
control.sock     the control socket, where `[control]` names no other
"""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.errors import CommandError

PATCHES_VARIABLE = "DNSTAP_BGP_PATCHES"
"""The environment variable by which `up`'s ExaBGP tells the plugin of its patches: JSON, name -> why it is left out."""

FOLDER_MODE = 0o711
"""Others may pass, not look: a resolver of another user must reach a DNSTap socket in here; each file has its mode."""


def exabgp_patches(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Read our patches of the ExaBGP that has started this process: name -> why it is left out, empty: in force.

    Returns:
        Nothing where that ExaBGP was started without `up` or `dnstap-bgp exabgp`, or without patches.
    """
    try:
        found = json.loads(given.get(PATCHES_VARIABLE, "{}"))
        return {str(name): str(reason) for name, reason in found.items()}
    except (ValueError, AttributeError):
        return {}


def up_pidfile(runtime_dir: Path) -> Path:
    """Path of the file that a running `up` holds locked."""
    return runtime_dir / "up.pid"


def host_file(runtime_dir: Path) -> Path:
    """Path of the rendered ExaBGP configuration."""
    return runtime_dir / "exabgp.conf"


def pipe_name(runtime_dir: Path) -> str:
    """Name of this instance's FIFOs.

    ExaBGP looks in /run/exabgp and /run before it looks under EXABGP_ROOT, so the name must be no other instance's.
    """
    return "dnstap-bgp-" + sha256(os.fsencode(runtime_dir)).hexdigest()[:8]


def fifos(runtime_dir: Path) -> tuple[Path, Path]:
    """Paths of the FIFO for commands and the FIFO for answers."""
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
    # With its mode from the beginning, since one that is there keeps its own: a death before a `chmod` would close it
    before = os.umask(0o777 & ~FOLDER_MODE)
    try:
        with contextlib.suppress(FileExistsError):
            runtime_dir.mkdir(mode=FOLDER_MODE)
    finally:
        os.umask(before)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Make a folder of root's, which only root could write to, another user's, with all that is in it."""
    for path, _, files in os.walk(folder):
        for name in (".", *files):
            os.chown(Path(path, name), uid, gid, follow_symlinks=False)


def other_writers(status: os.stat_result) -> str | None:
    """Tell who beside root and our user can write to a file or folder, by its owner and mode; None: nobody can.

    What such a file says is not announced: whoever wrote it would decide about routes.
    """
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to the user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write to it, as its mode is {stat.S_IMODE(status.st_mode):04o}"
    return None


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


def write_atomically(path: Path, content: str | bytes, mode: int, *, gid: int = -1, durable: bool = False) -> None:
    """Replace a file by a whole new one; a reader sees the old or the new, never a part.

    Args:
        path: The file to replace.
        content: Its new content.
        mode: Its mode, whatever the umask.
        gid: Its group; -1: ours.
        durable: Wait until the disk has it.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if gid >= 0:
                os.fchown(file.fileno(), -1, gid)
            os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
        if durable:
            _sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
