"""The file of the filter that hooks read: written anew with each change of the rules, removed where there is no filter.

A hook looks at the file some times a second. Until it has the new one it goes by the rules before: a name that has just
come into the lists isn't asked for, as if it had been answered a moment earlier. So that a hook never relies on rules
of yesterday, a file that can't be written anew is removed: without one, hooks ask for everything.
"""

import logging
from pathlib import Path

from dnstap_bgp.config import Config
from dnstap_bgp.core.hold.name_filter import pack
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.net.listeners import group_id
from dnstap_bgp.workers.process.runtime import write_atomically

logger = logging.getLogger(__name__)

_MODE = 0o640


def renew_filter(config: Config, rules: RuleSet | None) -> None:
    """Write the filter of the rules that have come into force, for the group of `[hold]`.

    Args:
        config: What is in force.
        rules: None: answers are not read now, so that hooks are to ask for everything.
    """
    path = config.hold_filter_file
    content = pack(rules) if config.hold is not None and rules is not None else None
    try:
        if config.hold is not None and content is not None:
            write_atomically(path, content, _MODE, gid=group_id(config.hold.group))
            return
    except (OSError, ListenerError) as error:
        logger.warning("hooks ask for every name: their filter %s can't be written: %s", path, error)
    _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("hooks may not ask for new rules' names: the filter %s can't be removed: %s", path, error)
