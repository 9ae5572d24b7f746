"""Lists that people steer while the program runs: switches of lists and managed lists, each in files beside the state.

Each change is written before it is in force, whole and at once, so that a crash leaves the state before or after it.
"""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from dnstap_bgp.config import Config
from dnstap_bgp.core.lists import managed
from dnstap_bgp.core.lists.managed import Edit, ManagedName
from dnstap_bgp.core.lists.switches import Switch, Switches
from dnstap_bgp.errors import CommandError, ListError
from dnstap_bgp.workers.lists.files import foreign_file, opened
from dnstap_bgp.workers.process.runtime import other_writers, write_atomically

logger = logging.getLogger(__name__)

SWITCHES_MAX_BYTES = 256 << 10

MODE = 0o600


def switches_file(config: Config) -> Path:
    """Name the file of switches: beside the state file, to outlive a boot as it does."""
    return config.cache.with_name(config.cache.name + ".switches") if config.cache else config.runtime_dir / "switches"


class SwitchFile:
    """Switches of lists with the file that keeps them; for the main thread.

    Attributes:
        switches: What stands; any thread may read it.
    """

    def __init__(self, path: Path, *, only_ours: bool = False) -> None:
        """Read the file. One that can't be used is told, and counts for nothing until the next switch replaces it.

        Args:
            path: The file.
            only_ours: Refuse one that others can have written: for the process that goes by it.
        """
        self._path = path
        self.switches = Switches()
        try:
            self.switches = _read_switches(path, only_ours=only_ours)
        except (ListError, ValueError) as error:
            if not _is_missing(error):
                logger.warning("%s: the switches of lists can't be read, none counts: %s", path, error)

    def switch(self, name: str, switch: Switch, *, configured: bool) -> None:
        """Set the switch of one list.

        Args:
            name: The list.
            switch: What it is to be.
            configured: Its `enabled` in the configuration.

        Raises:
            CommandError: It can't be written, or there are too many.
        """
        changed = self.switches.at(time.time()).switched(name, switch, configured=configured)
        write(self._path, changed.to_json())
        self.switches = changed

    def undo_expired(self) -> list[str]:
        """Drop the switches whose time is over; returns their lists."""
        standing = self.switches.at(time.time())
        gone = [name for name in self.switches.by_list if name not in standing.by_list]
        if gone:
            self.switches = standing
            try:
                write(self._path, standing.to_json())
            except CommandError as error:  # after a restart they are over as well
                logger.warning("%s", error)
        return gone


def _read_switches(path: Path, *, only_ours: bool) -> Switches:
    """Read a file of switches.

    Raises:
        ListError: It can't be read or, with `only_ours`, be relied on.
        ValueError: It holds something else.
    """
    with opened(path) as file:
        if only_ours and (others := other_writers(os.fstat(file.fileno()))) is not None:
            raise ListError(others)
        return Switches.from_json(file.read(SWITCHES_MAX_BYTES).decode())


def read_managed(path: Path) -> dict[str, ManagedName]:
    """Read a managed list's file; none yet is an empty list.

    Raises:
        CommandError: It is there and can't be read.
    """
    try:
        with opened(path) as file:
            return managed.parse(file.read().decode(errors="replace"))
    except ListError as error:
        if _is_missing(error):
            return {}
        raise CommandError(f"{path}: {error}") from None


def edit_managed(path: Path, edit: Edit, target: Path | None = None) -> Mapping[str, ManagedName]:
    """Change a managed list's file.

    Args:
        path: The file; its folder is made if missing.
        edit: The change.
        target: Where to write it instead, as for a preview.

    Returns:
        Its names now.

    Raises:
        CommandError: The change is refused, or can't be written.
    """
    if (foreign := foreign_file(path)) is not None:
        raise CommandError(f"{path}: {foreign}; nothing is changed")
    entries = managed.edited(read_managed(path), edit, time.time())
    write(target or path, managed.write(entries.values()))
    return entries


def _is_missing(error: Exception) -> bool:
    """Tell whether a file can't be read because there is none; to look for it may fail in other ways again."""
    return isinstance(error.__cause__, FileNotFoundError)


def write(path: Path, text: str) -> None:
    """Replace a file, for this user alone, so that the disk has it.

    Raises:
        CommandError: That is not possible.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text, MODE, durable=True)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror or error}; nothing is changed") from None
