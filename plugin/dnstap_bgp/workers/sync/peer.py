"""One configured peer: where it is, what is known of it, how it goes; for the thread "loop"."""

import asyncio
import logging
import socket
from ipaddress import ip_address

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.core.model import Address
from dnstap_bgp.core.sync.clocks import SKEW_TOLD_S, Offset
from dnstap_bgp.core.sync.entries import clean_address
from dnstap_bgp.workers.process.bounded_log import BoundedLog
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import one_line
from dnstap_bgp.workers.sync.carrier import PeerStatus, Protocols, State
from dnstap_bgp.workers.sync.hub import Delivered

logger = logging.getLogger(__name__)

LOOKUP_S = 5.0
"""For the addresses of a name: what a resolver takes that asks a dead server first."""

ADDRESSES_MAX = 16
"""Of one name; a host has one or two."""


class Peer:
    """What its client, the listener and the status share.

    Attributes:
        endpoint: As it is configured.
        addresses: Packed; of a name as it was looked up last.
        node: Its process, as it said last; "": not known.
        offset: Its wall clock.
        carrier: What it speaks: `delta`, `compatible`, or `unknown` as yet.
        knocked: Set when it was here: so trying it again is worth while.
        lag_s: See `PeerStatus`.
        given: See there.
    """

    def __init__(self, endpoint: TcpAddress, log: BoundedLog) -> None:
        ip = endpoint.ip
        self.endpoint = endpoint
        self.addresses = frozenset[Address]() if ip is None else frozenset({clean_address(ip.packed)})
        self.node = ""
        self.offset = Offset()
        self.carrier: Protocols = "unknown"
        self.knocked = asyncio.Event()
        self.lag_s: float | None = None
        self.given = 0
        self._log = log
        self._state: State = "connecting"
        self._contact: float | None = None
        self._taken = self._refused = self._errors = 0
        self._last_error = ""
        self._skew_told = False

    def __str__(self) -> str:
        return str(self.endpoint)

    @property
    def state(self) -> State:
        """See `PeerStatus`."""
        return self._state

    async def look_up(self) -> None:
        """Learn the addresses of its name, if it has one.

        Raises:
            OSError: It has none, or nobody knows.
        """
        if self.endpoint.ip is not None:
            return
        try:
            async with asyncio.timeout(LOOKUP_S):
                found = await asyncio.get_running_loop().getaddrinfo(
                    self.endpoint.host, self.endpoint.port, type=socket.SOCK_STREAM
                )
        except TimeoutError as error:
            raise OSError(f"{self.endpoint.host} is not looked up within {LOOKUP_S:.0f} s") from error
        except UnicodeError as error:
            raise OSError(f"{self.endpoint.host} can't be looked up") from error
        self.addresses = frozenset(clean_address(ip_address(row[4][0]).packed) for row in found[:ADDRESSES_MAX])

    # -- how it goes

    def heard(self, state: State | None = None) -> None:
        """It said something; it may be in another state by that."""
        self._contact = process_clock()
        if state is not None and state != self._state:
            if self._state == "failing" or state == "following":
                self._log.say(logging.INFO, f"state {self}", "sync: peer %s: %s (%s)", self, state, self.carrier)
            self._state = state

    def came(self, delivered: Delivered) -> None:
        """It brought something."""
        self._contact = process_clock()
        self._taken += delivered.taken
        self._refused += delivered.refused

    def failed(self, what: str, state: State = "failing") -> None:
        """A try came to nothing."""
        self._errors += 1
        self._last_error = one_line(what)[:200]  # its words: they come to a terminal
        if state != self._state:
            self._state = state
            self._log.say(logging.WARNING, f"state {self}", "sync: peer %s: %s: %s", self, state, self._last_error)

    def clock_is(self, offset: Offset) -> None:
        """Take note of its wall clock."""
        self.offset = offset
        skew_s = (offset.low_s + offset.high_s) / 2
        if abs(skew_s) < SKEW_TOLD_S:
            self._skew_told = False
        elif not self._skew_told:
            self._skew_told = True
            self._log.say(
                logging.WARNING,
                f"skew {self}",
                "sync: the clock of peer %s is %.0f s %s ours; its times are read by it, but somebody should look"
                " after NTP",
                self,
                abs(skew_s),
                "ahead of" if skew_s > 0 else "behind",
            )

    def status(self) -> PeerStatus:
        """How it is; any thread may ask."""
        return PeerStatus(
            str(self.endpoint),
            self.carrier,
            self._state,
            self._contact,
            self.lag_s,
            self.given,
            self._taken,
            self._refused,
            self._errors,
            self._last_error,
        )
