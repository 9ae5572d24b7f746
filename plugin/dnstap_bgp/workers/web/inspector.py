"""Inspector of the parts at work: status, why, states of prefixes; no thread of its own.

A call holds the keeper's lock for moments at most.
"""

import ipaddress
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from dnstap_bgp import __version__
from dnstap_bgp.config import Config
from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.switches import Switches
from dnstap_bgp.core.model import Address, Name, Prefix
from dnstap_bgp.core.routes.explain import (
    CLAIMS_MAX,
    EXCEPTED_MAX,
    PAST_MAX,
    AddressFacts,
    Facts,
    Rules,
    ViewFacts,
    Why,
    of_address,
    of_name,
)
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.status import report as shown
from dnstap_bgp.core.status.rates import Rates
from dnstap_bgp.core.status.report import Finding, Status
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.core.validation import clean_name
from dnstap_bgp.errors import BadNameError, CommandError
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.exabgp.margin_probe import MarginProbe
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.mailbox import Errand
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.tap.tap import Tap


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of the program that the inspector looks at."""

    keeper: Keeper
    tap: Tap
    bgp: Bgp
    store: Store | None
    list_manager: ListManager


@dataclass(frozen=True, slots=True)
class AddressTarget:
    """An address that was asked for, as opposed to a name: both are bytes."""

    address: Address


class Inspector:
    """Asked by any thread.

    Attributes:
        parts: What it looks at.
        config: What is in force; replaced as a whole.
        restored: Whether what the state file had is back.
        rates: Counters over time.
        peers: Gives the instances that we sync with.
        hold: Gives how the hold service stands; None: there is none.
        refresh: Gives how the active refresh stands; None: there is none.
        margin_probe: Measures the margin of a neighbor.
        switch_hold: Has that service hold answers, or reply to everything at once.
        findings: Gives what is wrong: the doctor's.
        web: Gives who asks.
        switches: Gives the switches of lists.
        send: Puts an errand into the main thread's queue.
    """

    def __init__(self, parts: Parts, config: Config, web: Callable[[], shown.WebStatus]) -> None:
        self.parts = parts
        self.config = config
        self.restored = False
        self.rates = Rates()
        self.peers: Callable[[], Sequence[shown.PeerStatus]] = tuple
        self.hold: Callable[[], shown.HoldStatus | None] = _no_hold
        self.refresh: Callable[[], shown.RefreshStatus | None] = _no_refresh
        self.margin_probe = MarginProbe(parts.keeper, parts.bgp)
        self.switch_hold: Callable[[bool], None] = _no_switch
        self.findings: Callable[[], tuple[Finding, ...]] = tuple
        self.web = web
        self.switches: Callable[[], Switches] = Switches
        self.send: Callable[[Errand], None] = _nobody
        self._began = process_clock()

    def sample(self, now: float) -> None:
        """Take a sample for the rates, if it is time; for one thread.

        None while claims are coming back from the state file: those aren't learnt.
        """
        if not self.restored or not self.rates.is_due(now):
            return
        tap, claims = self.parts.tap.ingest.counters, self.parts.keeper.table.claims
        host = self.parts.bgp.status()
        self.rates.take(
            now,
            {
                "frames": tap.frames,
                "matched": tap.matched,
                "ended": claims.ended,
                "learnt": len(claims) + claims.ended,
            },
            {"routes": claims.routes, "backlog": host.waiting if host is not None else 0},
        )

    # -- status

    def status(self) -> Status:
        """Put the status of all parts together."""
        listed = self.parts.list_manager.status
        config = self.config
        return Status(
            version=__version__,
            pid=os.getpid(),
            config=str(config.path),
            now=time.time(),
            uptime_s=round(process_clock() - self._began, 3),
            dry_run=config.dry_run,
            restored=self.restored,
            lists_loaded=self.parts.list_manager.loaded is not None and not self.parts.keeper.unknown,
            tap=self._tap(),
            routes=self._routes(),
            lists=self._lists(),
            lists_refused=listed.refused if listed is not None else None,
            exabgp=self.parts.bgp.status(),
            state=self.parts.store.status if self.parts.store is not None else None,
            peers=tuple(self.peers()),
            web=self.web(),
            findings=self.findings(),
            hold=self.hold(),
            refresh=self.refresh(),
        )

    def _tap(self) -> shown.TapStatus:
        frames, matched = self.rates.rate("frames"), self.rates.rate("matched")
        return replace(
            self.parts.tap.status(),
            frames_per_s=None if frames is None else round(frames, 3),
            matched_per_s=None if matched is None else round(matched, 3),
            match_share=round(matched / frames, 6) if frames and matched is not None else None,
        )

    def _routes(self) -> shown.RoutesStatus:
        with self.parts.keeper.lock:
            table = self.parts.keeper.table
            return shown.RoutesStatus(
                routes=len(table),
                ipv4=len(table) - table.claims.routes_ipv6,
                ipv6=table.claims.routes_ipv6,
                claims=len(table.claims),
                static=len(table.policies.statics),
                max=table.policies.caps.routes_max,
                ended=table.claims.ended,
                refused=dict(table.admission.refusals.refused),
                evicted=dict(table.admission.refusals.evicted),
            )

    def _lists(self) -> tuple[shown.ListStatus, ...]:
        keeper, listed = self.parts.keeper, self.parts.list_manager.status
        known = {one.name: one for one in listed.lists} if listed is not None else {}
        found = []
        switches, now = self.switches(), time.time()
        off = switches.off({one.name: one.enabled for one in self.config.all_lists}, now)
        standing = switches.at(now).by_list
        for listed_config in self.config.all_lists:
            name, one, switch = listed_config.name, known.get(listed_config.name), standing.get(listed_config.name)
            with keeper.lock:
                routes, ipv6 = keeper.table.claims.routes_of(name), keeper.table.claims.ipv6_routes_of(name)
            found.append(
                shown.ListStatus(
                    name=name,
                    rules=keeper.rules.counts.get(name, 0),
                    prefixes=one.prefixes if one is not None else 0,
                    routes=routes,
                    ipv4=routes - ipv6,
                    ipv6=ipv6,
                    max=listed_config.max_routes,
                    sources=one.sources if one is not None else (),
                    enabled=name not in off,
                    is_managed=listed_config.managed,
                    switched=switch is not None,
                    switched_until=switch.until if switch is not None else None,
                    switched_by=switch.who if switch is not None else "",
                )
            )
        return tuple(found)

    # -- why

    def why(self, text: str) -> Why:
        """Explain why an address or a name is routed, or isn't; also a static prefix, as `routes` shows it.

        Raises:
            CommandError: The text is none of them.
        """
        network = read_network(text)
        if network is not None:
            return self._why_static(network)
        target = read_target(text)
        return self._why_address(target) if isinstance(target, AddressTarget) else self._why_name(target)

    def _why_address(self, target: AddressTarget) -> Why:
        keeper, address, now = self.parts.keeper, target.address, process_clock()
        with keeper.lock:
            table, views = keeper.table, keeper.views
            policies, claims = table.policies, table.claims.of_address(address)
            wanted, told = table.wanted(address), views.announced(address)
            of_views = self.views_of(address, [claim.list for claim in claims])
            facts = Facts(
                now=now,
                claims=claims,
                states={address: self.state_of(address)},
                rules={},
                past=table.history.of_address(address, PAST_MAX),
                forgotten_until=table.admission.forgotten.address_until(address, now),
                muted=views.paused,
                off=self._off(),
            )
        rules = {claim.name: keeper.rules.explain(claim.name) for claim in claims}
        facts = replace(facts, rules=rules, cut=self._cut(rules), excepted=self._excepted_at(address))
        decides = policies.first([claim.list for claim in claims]) if claims else None
        refusals = {policies.refusal(address, name) for name in policies.by_list}
        guard = None if None in refusals or wanted is not None else next(iter(sorted(map(str, refusals))), None)
        block = policies.guard.block(address) if guard not in {None, "protected", "resolver", "family"} else None
        covering = policies.covering(address, [claim.list for claim in claims]) if wanted is None else []
        is_everywhere = all(view.decision.covered_by is not None for view in of_views)
        more = AddressFacts(
            list=decides.list if decides is not None else None,
            wanted=wanted,
            told=told,
            guard=guard,
            block=None if block is None else str(block),
            covered_by=covering[0] if len(covering) == 1 and is_everywhere else None,
            static=address in policies.statics.announced,
            views=of_views,
        )
        return of_address(address, facts, more)

    def _why_static(self, prefix: Prefix) -> Why:
        keeper = self.parts.keeper
        with keeper.lock:
            policies, views = keeper.table.policies, keeper.views
            wanted, told = policies.statics.announced.get(prefix), views.announced(prefix)
            state, of_views = self.state_of(prefix), self.views_of(prefix, ())
        if wanted is None:
            text = prefix_text(prefix)
            raise CommandError(f"{text} is no static prefix; `dnstap-bgp routes --prefix {text}` lists what lies in it")
        facts = Facts(process_clock(), (), {prefix: state}, {}, (), None, views.paused)
        owner = policies.static_owners()[prefix]
        more = AddressFacts(owner, wanted, told, None, None, None, static=True, views=of_views)
        return of_address(prefix, facts, more)

    def _why_name(self, name: Name) -> Why:
        keeper, now = self.parts.keeper, process_clock()
        with keeper.lock:
            table = keeper.table
            claims = table.claims.of_name(name, CLAIMS_MAX)
            facts = Facts(
                now=now,
                claims=claims,
                states={claim.address: self.state_of(claim.address) for claim in claims},
                rules={},
                past=table.history.of_name(name, PAST_MAX),
                forgotten_until=table.admission.forgotten.name_until(name, now),
                muted=keeper.views.paused,
                off=self._off(),
            )
        facts = replace(facts, rules={name: keeper.rules.explain(name)}, cut=self._cut([name]))
        addresses = self.parts.tap.ingest.excepted.get(name)
        if addresses is not None:
            with keeper.lock:
                shared = {address: keeper.table.claims.of_address(address) for address in addresses}
                states = {address: self.state_of(address) for address in addresses}
            facts = replace(facts, shared=shared, states={**facts.states, **states})
        return of_name(name, facts)

    def _off(self) -> dict[str, str]:
        """Tell by whom lists are switched off that are."""
        return self.switches().off_texts({one.name: one.enabled for one in self.config.all_lists}, time.time())

    def _excepted_at(self, address: Address) -> dict[Name, Rules]:
        """Find the names that were seen at an address and that an exception keeps off a list."""
        explain = self.parts.keeper.rules.explain
        seen = list(self.parts.tap.ingest.excepted.items())  # in one step: the tap thread goes on
        found = ((name, explain(name)) for name, addresses in reversed(seen) if address in addresses)
        excepted = ((name, rules) for name, rules in found if any(rule.exception for _, rule in rules))
        return dict(islice(excepted, EXCEPTED_MAX))

    def _cut(self, names: Iterable[Name]) -> frozenset[Name]:
        """Pick the names whose answers came truncated of late."""
        cut = self.parts.tap.ingest.cut_names
        return frozenset(name for name in names if name in cut)

    def views_of(self, prefix: Prefix, lists: Iterable[str]) -> list[ViewFacts]:
        """Tell for each view what is decided of a prefix, and how far it is; nothing where there is one view.

        Args:
            prefix: The prefix; the caller holds the keeper's lock.
            lists: The lists that claim it.
        """
        views, found = self.parts.keeper.views, []
        for decision in self.parts.keeper.table.policies.decisions(prefix, lists):
            state = "covered" if decision.covered_by is not None else "unrouted"
            if decision.wanted is not None:
                stage = views.progress(prefix, decision.number)
                state = "waiting" if stage == "none" else stage
            budget = views.budget_where_left_out(prefix, decision.number)
            found.append(ViewFacts(decision, views.announced(prefix, decision.number), state, budget))
        return found

    def state_of(self, prefix: Prefix) -> str:
        """Give the state of a prefix on its way to ExaBGP; the caller holds the keeper's lock. See `Facts.states`."""
        table, views = self.parts.keeper.table, self.parts.keeper.views
        wanted = _wanted(table, prefix)
        if wanted is not None:
            stage = views.progress(prefix)
            return "waiting" if stage == "none" else stage
        if len(prefix) in _HOST_BYTES and (claims := table.claims.of_address(prefix)):
            first = table.policies.first([claim.list for claim in claims])
            bare = first.attributes(prefix) if first is not None else None
            if bare is not None:
                return "covered"
        return "unrouted"


_HOST_BYTES = frozenset({4, 16})


def read_target(text: str) -> AddressTarget | Name:
    """Read an address or a name that a person wrote.

    Raises:
        CommandError: It is neither.
    """
    try:
        return AddressTarget(read_address(text))
    except CommandError:
        pass
    try:
        return clean_name(text) if "\\" in text else names.from_text(text)  # escapes: as `routes` shows odd names
    except BadNameError as error:
        raise CommandError(f"{text!r} is neither an address nor a name: {error}") from error


def read_network(text: str) -> Prefix | None:
    """Read a network of more than one address that a person wrote; None: it is none."""
    try:
        found = ipaddress.ip_network(text.strip())
    except ValueError:
        return None
    if found.prefixlen == found.max_prefixlen:
        return None
    return found.network_address.packed + bytes([found.prefixlen])


def read_address(text: str) -> Address:
    """Read an address that a person wrote into its packed form; `/32` or `/128` may stand behind it.

    Raises:
        CommandError: It is none.
    """
    written = text.strip()
    for length in ("/32", "/128"):
        if written.endswith(length) and ((":" in written) == (length == "/128")):
            written = written.removesuffix(length)
    try:
        found = ipaddress.ip_address(written)
    except ValueError:
        raise CommandError(f"{text!r} is no IP address") from None
    if getattr(found, "scope_id", None) is not None:
        raise CommandError(f"{text!r} has a zone")
    return found.packed


def _wanted(table: RouteTable, prefix: Prefix) -> object:
    if len(prefix) in _HOST_BYTES:
        return table.wanted(prefix)
    return table.policies.statics.announced.get(prefix)


def _nobody(errand: Errand) -> None:
    """Refuse an errand where no main thread waits for any."""
    errand.outcome.set_exception(CommandError("nobody is there to do it"))


def _no_hold() -> shown.HoldStatus | None:
    """Tell that nothing is held."""
    return None


def _no_refresh() -> shown.RefreshStatus | None:
    """Tell that no name is asked again."""
    return None


def _no_switch(_: bool) -> None:  # noqa: FBT001 - the only thing there is to say
    """Refuse to switch what isn't there."""
    raise CommandError("there is no [hold] in the configuration")
