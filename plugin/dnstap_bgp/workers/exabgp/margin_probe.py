"""Margin probe: announces a documentation prefix to one neighbor alone, so that its way into a table can be timed.

The prefix goes the way of every route (recorded before it is said, withdrawn with what was announced), so a process
that dies in the middle leaves nothing: its successor finds a prefix that nobody wants, and withdraws it. It carries
what the first list's routes carry, and `no-advertise`, so that the neighbor takes it as one of ours and hands it on to
nobody. One measurement at a time; one that nobody goes on with ends by itself. No thread of its own.
"""

import ipaddress
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace

from dnstap_bgp.core.exabgp.grammar import IPV4, IPV6
from dnstap_bgp.core.exabgp.neighbors import Neighbor
from dnstap_bgp.core.exabgp.views import View
from dnstap_bgp.core.model import Attributes, Change, Prefix
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper

LEASE_S = 20.0
"""A measurement that nobody goes on with for so long ends."""

NO_ADVERTISE = "no-advertise"
NETWORKS = {IPV4: ipaddress.ip_network("203.0.113.0/24"), IPV6: ipaddress.ip_network("2001:db8:ffff::/120")}
"""TEST-NET-3 (RFC 5737), and a piece of the documentation prefix (RFC 3849): nobody's traffic goes there."""


class MarginProbe:
    """The measurement of one neighbor, if any is under way; any thread may ask."""

    def __init__(self, keeper: Keeper, bgp: Bgp) -> None:
        self._keeper = keeper
        self._bgp = bgp
        self._id = ""
        self._lease_until = 0.0
        self._attributes: Attributes | None = None
        self._prefixes: Iterator[Prefix] = iter(())
        self._prefix: Prefix | None = None
        self._neighbor = ""

    @property
    def is_under_way(self) -> bool:
        """Tell whether a measurement is under way."""
        return bool(self._id)

    def begin(self, address: str, *, allow_external: bool) -> str:
        """Begin a measurement.

        Args:
            address: Of the neighbor, in text.
            allow_external: Whether it may be in another AS than ours.

        Returns:
            The measurement's id, for the other calls.

        Raises:
            CommandError: There is one under way, or the neighbor is none that can be measured; the message says why.
        """
        now = process_clock()
        with self._keeper.lock:
            if self._id and now < self._lease_until:
                raise CommandError(f"{self._neighbor} is being measured: one at a time")
            self._end()
            neighbor, view = self._found(address)
            if neighbor.session.peer_as != neighbor.session.local_as and not allow_external:
                raise CommandError(
                    f"{address} is in another AS ({neighbor.session.peer_as}): whoever runs it sees"
                    f" {NETWORKS[IPV4]} announced for moments. Is that all right? Then say --yes"
                )
            kind, attributes = self._carried(neighbor, view)
            own = dict.fromkeys((*attributes.communities, NO_ADVERTISE))
            self._attributes = replace(attributes, communities=tuple(own), neighbors=(neighbor.address,))
            self._prefixes = itertools.cycle([host.packed for host in NETWORKS[kind].hosts()])
            self._id, self._neighbor, self._lease_until = os.urandom(8).hex(), neighbor.address, now + LEASE_S
            return self._id

    def choose(self, measurement: str) -> str:
        """Choose the next prefix, which is announced by nobody; returns its text."""
        with self._keeper.lock:
            self._renew(measurement)
            views = self._keeper.views
            for prefix in itertools.islice(self._prefixes, 256):
                if prefix != self._prefix and views.announced(prefix) is None and views.progress(prefix) == "none":
                    self._prefix = prefix
                    return f"{ipaddress.ip_address(prefix)}/{8 * len(prefix)}"
        raise CommandError("every documentation prefix is in use already")

    def announce(self, measurement: str) -> None:
        """Announce the chosen prefix to the neighbor."""
        with self._keeper.lock:
            self._renew(measurement)
            view = self._keeper.views.of(self._neighbor)
            if self._prefix is None or view is None:
                raise CommandError("nothing is chosen to be announced")
            view.reconciler.put([Change(self._prefix, self._attributes)])
            self._keeper.turn()

    def withdraw(self, measurement: str) -> None:
        """Withdraw the prefix."""
        with self._keeper.lock:
            self._renew(measurement)
            self._take_back()

    def is_done(self, measurement: str) -> bool:
        """Tell whether ExaBGP has acknowledged what was said last of the prefix."""
        with self._keeper.lock:
            self._renew(measurement)
            return self._prefix is None or self._keeper.views.progress(self._prefix) not in ("waiting", "unanswered")

    def end(self, measurement: str) -> None:
        """End a measurement, and take back what it has announced."""
        with self._keeper.lock:
            if measurement == self._id:
                self._end()

    def expire(self) -> None:
        """End a measurement that nobody goes on with; called now and then."""
        if self._id and process_clock() >= self._lease_until:
            with self._keeper.lock:
                self._end()

    # -- with the keeper's lock

    def _found(self, address: str) -> tuple[Neighbor, View]:
        """Find a neighbor that can be measured, and its view."""
        tasks = self._bgp.tasks
        known = tasks.neighbors if tasks is not None else ()
        found = [one for one in known if one.address == address]
        if not found:
            names = ", ".join(sorted(one.address for one in known)) or "none yet"
            raise CommandError(f"ExaBGP has no neighbor {address}; it has: {names}")
        neighbor, view = found[0], self._keeper.views.of(address)
        if not neighbor.up or neighbor.foreign:
            raise CommandError(f"{address} is down, or not ours to announce to")
        if view is None:
            raise CommandError(f"{address} gets the routes of no list")
        if self._keeper.views.paused:
            raise CommandError("dry_run is on: nothing is announced")
        return neighbor, view

    def _carried(self, neighbor: Neighbor, view: View) -> tuple[str, Attributes]:
        """Find what our routes carry there, by the first family that both have."""
        families = neighbor.negotiated or frozenset()
        for policy in self._keeper.table.policies.by_list.values():
            for kind, attributes in ((IPV4, policy.ipv4), (IPV6, policy.ipv6)):
                own = view.own(attributes) if attributes is not None else None
                if own is not None and kind in families:
                    return kind, own
        raise CommandError(f"no list announces anything that {neighbor.address} takes")

    def _renew(self, measurement: str) -> None:
        if not self._id or measurement != self._id:
            raise CommandError("this measurement is over: nobody has gone on with it in time")
        self._lease_until = process_clock() + LEASE_S

    def _take_back(self) -> None:
        if self._prefix is not None:
            for view in self._keeper.views:
                if view.reconciler.progress(self._prefix) != "none":
                    view.reconciler.put([Change(self._prefix, None)])
            self._keeper.turn()

    def _end(self) -> None:
        self._take_back()
        self._id, self._prefix, self._attributes = "", None, None
