"""Reload of a running ExaBGP's configuration, repeated until it has taken effect.

ExaBGP drops a reload silently while any neighbor has routes pending: one that is down, at a moment when a route was
just announced, is enough. So the effect is looked for, and the signal repeated; a neighbor that is down forgets its
pending routes at every attempt to connect, so patience wins.
"""

import logging
import signal
import subprocess

from dnstap_bgp.commands import host
from dnstap_bgp.core.timing import Backoff

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Each attempt is two lines in ExaBGP's log; a neighbor that is down is tried every 60 s at the latest."""

LONGEST_POLL_S = 0.3
"""A look at all processes of the system costs milliseconds, and it may go on for as long as a neighbor is down."""

SAY_AFTER_S = 10.0
"""A load of routes keeps neighbors busy for seconds; from here on an operator wants to know."""


class HostReload:
    """State of a reload: signals sent, and the proofs that are awaited of ExaBGP having read the file as it is now."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._proofs_wanted = 0
        self._client_pid: int | None = None
        self._began = self._next = 0.0
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._said = False

    @property
    def pending(self) -> bool:
        """True while ExaBGP may still run with an older file."""
        return self._proofs_wanted > 0

    @property
    def poll_s(self) -> float:
        """Seconds until `step` should be called again."""
        return min(self._backoff.delay_s / 10, LONGEST_POLL_S)

    def begin(self, now: float) -> None:
        """Begin a reload: the file was replaced."""
        # A reload that is on its way may have read the file that was just replaced: it proves nothing.
        self._proofs_wanted = 2 if self.pending else 1
        self._client_pid = host.client_pid(self._process.pid)
        self._began = self._next = now
        self._backoff.reset()
        self._said = False

    def step(self, now: float) -> None:
        """Look for the reload's effect; signal again where it is time."""
        if not self.pending:
            return
        current = host.client_pid(self._process.pid)
        if current is not None and current != self._client_pid:
            if self._client_pid is not None:  # else ExaBGP was just starting, and this is its first
                self._proofs_wanted -= 1
            self._client_pid = current
            if not self.pending:
                logger.info("ExaBGP runs with its new configuration")
                return
        if self._client_pid is not None and now >= self._next:
            self._process.send_signal(signal.SIGUSR1)
            self._next = now + self._backoff.next()
        if not self._said and now - self._began > SAY_AFTER_S:
            self._said = True
            logger.warning(
                "ExaBGP has not read its new configuration yet: it refuses while a neighbor has routes pending, most "
                "often one that is down; it is asked again every %.0f s, and a restart would force it",
                LONGEST_PAUSE_S,
            )
