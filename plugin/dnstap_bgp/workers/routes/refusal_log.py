"""Log of refusals and evictions, and warnings of a table that gets full, at a bounded rate; no thread of its own."""

import logging

from dnstap_bgp.core.exabgp.budget import BudgetFigures
from dnstap_bgp.core.routes import refusal_texts
from dnstap_bgp.core.routes.history import RefusalCount
from dnstap_bgp.core.text import name_text, prefix_text
from dnstap_bgp.workers.routes.keeper import Keeper

logger = logging.getLogger(__name__)

REPEAT_S = 60.0
"""A line for each reason, and how many more there were with the next: refusals come by the thousand."""

WARN_SHARE = 0.75
"""Of a cap: early enough to raise it, late enough to mean something."""

BUDGET_WARN_SHARE = 0.8
"""Of a neighbor's budget: a fuller one is well used, not broken, so it is told later than a cap."""

CALM_SHARE = 0.70
"""Below it a cap may be warned of again."""


class RefusalLog:
    """Logs what the route table refused or let go; for one thread, which calls `look` a few times a second."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._next: dict[tuple[str, bool], float] = {}
        self._held_back: dict[tuple[str, bool], RefusalCount] = {}
        self._warned: set[str] = set()
        self._warn_next: dict[str, float] = {}

    def look(self, now: float) -> None:
        """Log what is due, one line a minute for each reason."""
        for refusal in self._keeper.refusals():
            kind = refusal.reason, refusal.evicted
            before = self._held_back.get(kind)
            if before is not None:
                refusal = before._replace(times=before.times + refusal.times)  # noqa: PLW2901 - the same, summed up
            self._held_back[kind] = refusal
        for kind in [kind for kind in self._held_back if self._next.get(kind, now) <= now]:
            self._next[kind] = now + REPEAT_S
            _log(self._held_back.pop(kind))
        for name, held, most in self._keeper.fullness():
            self._warn(name, held, most, now)
        for budget in self._keeper.budgets():
            self._warn_of_budget(budget, now)

    def _warn_of_budget(self, budget: BudgetFigures, now: float) -> None:
        """Tell once that a neighbor's budget is nearly full, and once that it is: until it is calm again."""
        full, nearly = f"full {budget.neighbor}", f"nearly full {budget.neighbor}"
        if budget.admitted < budget.limit * CALM_SHARE:
            self._warned -= {full, nearly}
        elif budget.left_out and self._is_new(full, now):
            self._warned.add(nearly)
            logger.warning(
                "neighbor %s: its budget of %d prefixes is full: %d more have no place now, and are not announced "
                "there; max_prefixes of [bgp] raises it",
                budget.neighbor,
                budget.limit,
                budget.left_out,
            )
        elif budget.admitted >= budget.limit * BUDGET_WARN_SHARE and self._is_new(nearly, now):
            logger.warning(
                "neighbor %s: %d of its budget of %d prefixes are used; once it is full, the least recently seen give "
                "way there",
                budget.neighbor,
                budget.admitted,
                budget.limit,
            )

    def _is_new(self, name: str, now: float) -> bool:
        """Tell whether to warn of something now, and note that it was warned of."""
        if name in self._warned or self._warn_next.get(name, now) > now:
            return False
        self._warned.add(name)
        self._warn_next[name] = now + REPEAT_S
        return True

    def _warn(self, name: str, held: int, most: int, now: float) -> None:
        if held < most * CALM_SHARE:
            self._warned.discard(name)
        elif held >= most * WARN_SHARE and self._is_new(name, now):
            logger.warning("%s: %d of at most %d routes are held", name, held, most)


def _log(refusal: RefusalCount) -> None:
    cause, remedy = refusal_texts.refusal_text(refusal.reason, refusal.address)
    logger.warning(
        "%s %s: %s for %s of the list %s%s; %s",
        "let go" if refusal.evicted else "refused",
        cause,
        prefix_text(refusal.address),
        name_text(refusal.name),
        refusal.list,
        f" and {refusal.times - 1} more" if refusal.times > 1 else "",
        remedy,
    )
