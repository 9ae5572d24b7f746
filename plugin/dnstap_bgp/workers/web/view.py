"""What can be asked of the parts at work; no thread of its own. A call holds the keeper's lock for moments at most."""

import ipaddress
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dnstap_bgp import __version__
from dnstap_bgp.config import Config
from dnstap_bgp.core.dns import names
from dnstap_bgp.core.model import Address, Name, Prefix
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.state.records import prefix_text
from dnstap_bgp.core.status import status as shown
from dnstap_bgp.core.status.findings import Finding
from dnstap_bgp.core.status.pace import Pace
from dnstap_bgp.core.status.status import Status
from dnstap_bgp.core.status.why import CLAIMS_MAX, PAST_MAX, AddressFacts, Facts, Why, of_address, of_name
from dnstap_bgp.core.sync.entries import clean_name
from dnstap_bgp.errors import BadNameError, CommandError, PeerError
from dnstap_bgp.workers.exabgp.bgp import Bgp, NeighborStatus
from dnstap_bgp.workers.lists.listing import Listing
from dnstap_bgp.workers.lists.status import SourceStatus
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store
from dnstap_bgp.workers.tap.tap import Tap


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts at work."""

    keeper: Keeper
    tap: Tap
    bgp: Bgp
    store: Store | None
    listing: Listing


@dataclass(frozen=True, slots=True)
class Packed:
    """An address that was asked for, as opposed to a name: both are bytes."""

    address: Address


class View:
    """Asked by any thread.

    Attributes:
        parts: What it looks at.
        config: What is in force; replaced as a whole.
        restored: Whether what the state file had is back.
        pace: Counters over time.
        peers: Gives the instances that we sync with.
        findings: Gives what is wrong: the doctor's.
        web: Gives who asks.
    """

    def __init__(self, parts: Parts, config: Config, web: Callable[[], shown.Web]) -> None:
        self.parts = parts
        self.config = config
        self.restored = False
        self.pace = Pace()
        self.peers: Callable[[], Sequence[shown.Peer]] = tuple
        self.findings: Callable[[], tuple[Finding, ...]] = tuple
        self.web = web
        self._began = process_clock()

    def sample(self, now: float) -> None:
        """Take a sample for the rates, if it is time; for one thread."""
        if not self.pace.is_due(now):
            return
        tap, table = self.parts.tap.ingest.counters, self.parts.keeper.table
        host = self.parts.bgp.status()
        self.pace.take(
            now,
            {"frames": tap.frames, "matched": tap.matched, "ended": table.ended, "learnt": table.claims + table.ended},
            {"routes": len(table), "backlog": host.waiting if host is not None else 0},
        )

    # -- status

    def status(self) -> Status:
        """Everything at a glance."""
        now, listed = process_clock(), self.parts.listing.status
        config = self.config
        return Status(
            version=__version__,
            pid=os.getpid(),
            config=str(config.path),
            now=time.time(),
            uptime_s=round(now - self._began, 3),
            dry_run=config.dry_run,
            restored=self.restored,
            lists_loaded=self.parts.listing.loaded is not None and not self.parts.keeper.unknown,
            tap=self._tap(now),
            routes=self._routes(),
            lists=self._lists(),
            lists_refused=listed.refused if listed is not None else None,
            exabgp=self._host(),
            state=self._state(now),
            peers=tuple(self.peers()),
            web=self.web(),
            findings=self.findings(),
        )

    def _tap(self, now: float) -> shown.Tap:
        tap = self.parts.tap.status()
        frames, matched = self.pace.rate("frames"), self.pace.rate("matched")
        return shown.Tap(
            frames_per_s=None if frames is None else round(frames, 3),
            matched_per_s=None if matched is None else round(matched, 3),
            match_share=round(matched / frames, 6) if frames and matched is not None else None,
            counters=asdict(self.parts.tap.ingest.counters),
            accepted=tap.accepted,
            listeners=tuple(shown.Listener(str(one.address), one.problem) for one in tap.listeners),
            connections=tuple(
                shown.Sender(
                    peer=one.peer,
                    listener=str(one.listener),
                    state=one.state,
                    bidirectional=one.bidirectional,
                    age_s=round(now - one.since, 3),
                    bytes=one.bytes,
                    frames=one.frames,
                    identity=one.identity,
                    version=one.version,
                )
                for one in tap.connections
            ),
            troubles=tuple(
                shown.Trouble(one.kind, one.count, one.last, round(now - one.at, 3)) for one in tap.troubles
            ),
        )

    def _routes(self) -> shown.Routes:
        with self.parts.keeper.lock:
            table = self.parts.keeper.table
            return shown.Routes(
                routes=len(table),
                ipv4=len(table) - table.size_ipv6,
                ipv6=table.size_ipv6,
                claims=table.claims,
                static=len(table.policies.statics),
                max=table.policies.caps.routes_max,
                ended=table.ended,
                refused=dict(table.refusals.refused),
                evicted=dict(table.refusals.evicted),
            )

    def _lists(self) -> tuple[shown.List, ...]:
        keeper, listed = self.parts.keeper, self.parts.listing.status
        known = {one.name: one for one in listed.lists} if listed is not None else {}
        found = []
        for policy in keeper.table.policies.by_list.values():
            name, one = policy.list, known.get(policy.list)
            with keeper.lock:
                routes, ipv6 = keeper.table.routes_of(name), keeper.table.ipv6_routes_of(name)
            found.append(
                shown.List(
                    name=name,
                    rules=keeper.rules.counts.get(name, 0),
                    prefixes=one.prefixes if one is not None else 0,
                    routes=routes,
                    ipv4=routes - ipv6,
                    ipv6=ipv6,
                    max=policy.routes_max,
                    sources=tuple(shown.Source(**_copied(source)) for source in one.sources) if one is not None else (),
                )
            )
        return tuple(found)

    def _host(self) -> shown.Host | None:
        host = self.parts.bgp.status()
        if host is None:
            return None
        return shown.Host(
            stage=host.stage,
            version=host.version,
            told_ipv4=host.told_ipv4,
            told_ipv6=host.told_ipv6,
            waiting=host.waiting,
            unanswered=host.unanswered,
            silent_s=round(host.silent_s, 3),
            stalled_s=round(host.stalled_s, 3),
            backlog=host.backlog._asdict(),
            lines=host.lines,
            acknowledged=host.acknowledged,
            errors=host.errors,
            stray=host.stray,
            neighbors=tuple(shown.Neighbor(**_copied(one)) for one in host.neighbors),
        )

    def _state(self, now: float) -> shown.State | None:
        if self.parts.store is None:
            return None
        found = self.parts.store.status
        return shown.State(
            path=str(found.path),
            durable=found.durable,
            error=found.error,
            size=found.size,
            written_bytes=found.written_bytes,
            queued=found.queued,
            snapshots=found.snapshots,
            synced_s_ago=None if found.synced is None else round(now - found.synced, 3),
            failures=found.failures,
        )

    # -- why

    def why(self, text: str) -> Why:
        """Why an address or a name is routed, or isn't; also for a static prefix, as `routes` shows it.

        Raises:
            CommandError: The text is none of them.
        """
        network = read_network(text)
        if network is not None:
            return self._why_static(network)
        target = read_target(text)
        return self._why_address(target) if isinstance(target, Packed) else self._why_name(target)

    def _why_address(self, target: Packed) -> Why:
        keeper, address, now = self.parts.keeper, target.address, process_clock()
        with keeper.lock:
            table, outbox = keeper.table, keeper.outbox
            policies, claims = table.policies, table.claims_of(address)
            wanted, told = table.wanted(address), outbox.told.get(address)
            facts = Facts(
                now=now,
                claims=claims,
                states={address: self.state_of(address)},
                rules={},
                past=table.past.of_address(address, PAST_MAX),
                forgotten_until=table.forgotten.address_until(address, now),
                muted=outbox.muted,
            )
        facts = replace(facts, rules={claim.name: keeper.rules.explain(claim.name) for claim in claims})
        decides = policies.first([claim.list for claim in claims]) if claims else None
        refusals = {policies.refusal(address, name) for name in policies.by_list}
        guard = None if None in refusals or wanted is not None else next(iter(sorted(map(str, refusals))), None)
        block = policies.guard.block(address) if guard not in {None, "protected", "resolver", "family"} else None
        bare = decides.attributes(address) if decides is not None else None
        covered = policies.statics.covering(address, bare) if wanted is None and (bare or not claims) else None
        more = AddressFacts(
            list=decides.list if decides is not None else None,
            wanted=wanted,
            told=told,
            guard=guard,
            block=None if block is None else str(block),
            covered_by=covered,
            static=address in policies.statics.announced,
        )
        return of_address(address, facts, more)

    def _why_static(self, prefix: Prefix) -> Why:
        keeper = self.parts.keeper
        with keeper.lock:
            policies, outbox = keeper.table.policies, keeper.outbox
            wanted, told = policies.statics.announced.get(prefix), outbox.told.get(prefix)
            state = self.state_of(prefix)
        if wanted is None:
            text = prefix_text(prefix)
            raise CommandError(f"{text} is no static prefix; `dnstap-bgp routes --prefix {text}` lists what lies in it")
        facts = Facts(process_clock(), (), {prefix: state}, {}, (), None, outbox.muted)
        more = AddressFacts(policies.static_owners()[prefix], wanted, told, None, None, None, static=True)
        return of_address(prefix, facts, more)

    def _why_name(self, name: Name) -> Why:
        keeper, now = self.parts.keeper, process_clock()
        with keeper.lock:
            table = keeper.table
            claims = table.claims_by(name, CLAIMS_MAX)
            facts = Facts(
                now=now,
                claims=claims,
                states={claim.address: self.state_of(claim.address) for claim in claims},
                rules={},
                past=table.past.of_name(name, PAST_MAX),
                forgotten_until=table.forgotten.name_until(name, now),
                muted=keeper.outbox.muted,
            )
        return of_name(name, replace(facts, rules={name: keeper.rules.explain(name)}))

    def state_of(self, prefix: Prefix) -> str:
        """What has become of a prefix; the caller holds the keeper's lock. See `Facts.states`."""
        table, outbox = self.parts.keeper.table, self.parts.keeper.outbox
        wanted = _wanted(table, prefix)
        if wanted is not None:
            stage = outbox.stage(prefix)
            return "waiting" if stage == "none" else stage
        if len(prefix) in _HOST_BYTES and (claims := table.claims_of(prefix)):
            first = table.policies.first([claim.list for claim in claims])
            bare = first.attributes(prefix) if first is not None else None
            if bare is not None:
                return "covered"
        return "unrouted"


_HOST_BYTES = frozenset({4, 16})


def read_target(text: str) -> Packed | Name:
    """An address or a name that a person wrote.

    Raises:
        CommandError: It is neither.
    """
    try:
        return Packed(read_address(text))
    except CommandError:
        pass
    try:
        return clean_name(text) if "\\" in text else names.from_text(text)  # escapes: as `routes` shows odd names
    except (BadNameError, PeerError) as error:
        raise CommandError(f"{text!r} is neither an address nor a name: {error}") from error


def read_network(text: str) -> Prefix | None:
    """A network that a person wrote, of more than one address; None: it is none."""
    try:
        found = ipaddress.ip_network(text.strip())
    except ValueError:
        return None
    if found.prefixlen == found.max_prefixlen:
        return None
    return found.network_address.packed + bytes([found.prefixlen])


def read_address(text: str) -> Address:
    """An address that a person wrote, packed; `/32` or `/128` may stand behind it.

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


def _copied(found: SourceStatus | NeighborStatus) -> dict[str, Any]:
    """The fields of a flat dataclass by name; `asdict` would copy what is inside as well."""
    return {one.name: getattr(found, one.name) for one in fields(found)}
