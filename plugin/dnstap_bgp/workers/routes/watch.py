"""Says in the log what the table refused or let go, and when it gets full, at a bounded rate; no thread of its own."""

import logging

from dnstap_bgp.core.exabgp.grammar import address_text
from dnstap_bgp.core.routes import remedies
from dnstap_bgp.core.routes.refusals import Refusal
from dnstap_bgp.workers.routes.keeper import Keeper

logger = logging.getLogger(__name__)

REPEAT_S = 60.0
"""A line for each reason, and how many more there were with the next: refusals come by the thousand."""

WARN_SHARE = 0.75
"""Of a cap: early enough to raise it, late enough to mean something."""

CALM_SHARE = 0.70
"""Below it a cap may be warned of again."""


class Watch:
    """For one thread, which calls `look` a few times a second."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._next: dict[tuple[str, bool], float] = {}
        self._held_back: dict[tuple[str, bool], Refusal] = {}
        self._warned: set[str] = set()
        self._warn_next: dict[str, float] = {}

    def look(self, now: float) -> None:
        """Say what is to be said now."""
        for refusal in self._keeper.refusals():
            kind = refusal.reason, refusal.evicted
            before = self._held_back.get(kind)
            if before is not None:
                refusal = before._replace(times=before.times + refusal.times)  # noqa: PLW2901 - the same, summed up
            self._held_back[kind] = refusal
        for kind in [kind for kind in self._held_back if self._next.get(kind, now) <= now]:
            self._next[kind] = now + REPEAT_S
            _tell(self._held_back.pop(kind))
        for name, held, most in self._keeper.fullness():
            self._warn(name, held, most, now)

    def _warn(self, name: str, held: int, most: int, now: float) -> None:
        if held < most * CALM_SHARE:
            self._warned.discard(name)
        elif held >= most * WARN_SHARE and name not in self._warned and self._warn_next.get(name, now) <= now:
            self._warned.add(name)
            self._warn_next[name] = now + REPEAT_S
            logger.warning("%s: %d of at most %d routes are held", name, held, most)


def _tell(refusal: Refusal) -> None:
    cause, remedy = remedies.told(refusal.reason, refusal.address)
    logger.warning(
        "%s %s: %s for %s of the list %s%s; %s",
        "let go" if refusal.evicted else "refused",
        cause,
        address_text(refusal.address),
        refusal.name.decode("ascii", "backslashreplace"),
        refusal.list,
        f" and {refusal.times - 1} more" if refusal.times > 1 else "",
        remedy,
    )
