"""Active refresh as the rest of the program knows it: a service in the thread "loop", where a list is refreshed.

Nothing is imported or paid for where no list has `refresh = true`, and with `dry_run` nobody is asked.
"""

from concurrent.futures import Future
from typing import TYPE_CHECKING

from dnstap_bgp.config.settings import Config
from dnstap_bgp.core.refresh.asked_names import AskedNames
from dnstap_bgp.core.status.report import RefreshStatus
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.routes.keeper import Keeper

if TYPE_CHECKING:
    from dnstap_bgp.workers.refresh.questioner import Questioner


class ActiveRefresh:
    """Owner of the service; for the main thread; `status` for any."""

    def __init__(self, loop: Loop, keeper: Keeper) -> None:
        self._loop = loop
        self._keeper = keeper
        self._names: AskedNames | None = None
        self._questioner: Questioner | None = None
        self._runs: Future[None] | None = None

    def names_for(self, config: Config) -> AskedNames | None:
        """Give what those who read answers take notes with; None: no list is refreshed.

        Args:
            config: What is about to be in force.
        """
        lists = frozenset() if config.dry_run else config.refreshed_lists
        if not lists:
            self._names = None
        elif self._names is None or self._names.lists != lists:
            before, self._names = self._names, AskedNames(lists)
            self._names.returned = before.returned if before is not None else 0
        return self._names

    def configure(self, config: Config) -> None:
        """Put a configuration in force: the first, or after a reload.

        Args:
            config: As for `names_for`, which was called with it.
        """
        names = self.names_for(config)
        if names is None:
            if self._runs is not None:
                self._runs.cancel()
            self._runs = self._questioner = None
            return
        if self._questioner is not None:
            self._questioner.configure(config.refresh, names)
            return
        from dnstap_bgp.workers.refresh.questioner import Questioner  # noqa: PLC0415 - dnspython's asyncio takes 2 MB

        self._questioner = Questioner(config.refresh, names, self._keeper)
        self._runs = self._loop.run("refresh", self._questioner.run)

    def status(self) -> RefreshStatus | None:
        """Copy how the refresh stands; None: there is none."""
        questioner = self._questioner
        return None if questioner is None else questioner.status(process_clock())
