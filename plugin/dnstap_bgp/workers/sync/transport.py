"""Transports of the sync: the interface of the hub's ways to peers, and how the sync with one peer goes; no thread."""

import logging
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from dnstap_bgp.core.model import Address
from dnstap_bgp.core.status.report import PeerStatus
from dnstap_bgp.core.text import one_line
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog

if TYPE_CHECKING:
    from dnstap_bgp.workers.sync.hub import Delivered  # brings asyncio, 10 MB

SyncState: TypeAlias = Literal["connecting", "loading", "following", "failing", "refused", "self"]
"""`loading`: everything is on its way. `following`: what is new comes. `failing`: tried again and again. `refused`: one
of the two doesn't let the other in. `self`: it is this very process."""

WireFormat: TypeAlias = Literal["delta", "compatible", "redis", "unknown"]
"""`delta`: our own stream. `compatible`: the Go program's protocol. `unknown`: nothing was heard yet."""

WELL = frozenset({"loading", "following", "self"})
"""States in which nobody has to do anything."""

ERROR_MAX_CHARS = 200
"""Of an error that the status shows."""


class Transport(Protocol):
    """A way to peers. `run` and `resync` are called in the loop, the others by any thread."""

    async def run(self) -> None:
        """Carry until cancelled; what goes wrong outside is handled here, an exception is a fault of ours."""

    def resync(self) -> None:
        """Load everything again: what was refused may be welcome by the rules of now."""

    def status(self) -> list[PeerStatus]:
        """Copy how the peers are."""

    def addresses(self) -> frozenset[Address]:
        """Give the peers' addresses: they must never become routes."""


class PeerProgress:
    """Progress of the sync with one peer.

    Attributes:
        shown: The peer as it is configured, without a password.
        wire_format: See `WireFormat`.
        state: See `SyncState`.
        lag_s: How old the last change was when it was taken; None: there was none.
        given: Claims that it got from us.
        taken: Claims of it that were news.
        refused: Claims of it that were not to be taken: on none of our lists, by guard or cap, expired, or no claims.
        errors: Failed tries.
        last_error: The last of them; "": there was none.
    """

    def __init__(self, shown: str, log: RateLimitedLog, wire_format: WireFormat = "unknown") -> None:
        self.shown = shown
        self.wire_format = wire_format
        self.state: SyncState = "connecting"
        self.lag_s: float | None = None
        self.given = self.taken = self.refused = self.errors = 0
        self.last_error = ""
        self._log = log
        self._contact: float | None = None

    def __str__(self) -> str:
        return self.shown

    def heard(self, state: SyncState | None = None) -> None:
        """Note that it said something, and perhaps that its state is another one by that."""
        self._contact = process_clock()
        if state is not None and state != self.state:
            if self.state == "failing" or state == "following":
                self._log.log(logging.INFO, f"state {self}", "sync: peer %s: %s (%s)", self, state, self.wire_format)
            self.state = state

    def came(self, delivered: "Delivered") -> None:
        """Count what it brought."""
        self._contact = process_clock()
        self.taken += delivered.taken
        self.refused += delivered.refused

    def failed(self, what: str, state: SyncState = "failing") -> None:
        """Note that a try came to nothing.

        Args:
            what: Why; may have words of the peer's, which are made safe for a terminal here.
            state: From now on.
        """
        self.errors += 1
        self.last_error = one_line(what, ERROR_MAX_CHARS)[:ERROR_MAX_CHARS]
        if state != self.state:
            self.state = state
            self._log.log(logging.WARNING, f"state {self}", "sync: peer %s: %s: %s", self, state, self.last_error)

    def failed_by_fault(self, logger: logging.Logger, error: BaseException) -> None:
        """Note that a try ended by a fault of ours: logged with its traceback, and tried again like any other.

        Args:
            logger: Of the transport.
            error: The fault.
        """
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._log.log(logging.ERROR, f"fault {self}", "sync: peer %s: a fault of ours: %s", self, type(error).__name__)
        logger.debug("the fault", exc_info=error)
        self.failed(f'a fault of ours: {type(error).__name__}; log.level = "debug" has its traceback')

    def status(self) -> PeerStatus:
        """Copy how it goes; any thread may ask."""
        is_well = self.state in WELL
        contact = self._contact
        return PeerStatus(
            address=self.shown,
            state="ok" if is_well else self.state,
            why="" if is_well else self.last_error or "not reached yet",
            synced_s_ago=None if contact is None else max(0.0, process_clock() - contact),
            carrier=self.wire_format,
            lag_s=self.lag_s,
            given=self.given,
            taken=self.taken,
            refused=self.refused,
            errors=self.errors,
        )
