"""/metrics: the figures of a status in Prometheus' text format, in the thread "loop".

Imported with the first scrape, and made when they are asked for: nothing is counted for it beside what the parts count
for themselves. Labels are bounded: lists, neighbors and peers by the configuration, reasons and kinds by the code.
"""

import platform
import time
from collections.abc import Iterable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dnstap_bgp.core.model import Audience
from dnstap_bgp.core.status.report import (
    ExabgpStatus,
    HoldStatus,
    ListStatus,
    NeighborStatus,
    RefreshStatus,
    StateFileStatus,
    Status,
    TapStatus,
    ViewStatus,
    not_ready,
)
from dnstap_bgp.workers.web.inspector import Inspector

_P = "dnstap_bgp_"

SKIPPED = ("undecodable", "empty", "truncated", "malformed", "costly", "foreign", "rewritten", "unread")
"""Counters of the tap for frames and messages that could not count."""


class Metrics:
    """Handler of /metrics."""

    def __init__(self, inspector: Inspector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Ours(inspector))
        ProcessCollector(registry=self._registry)

    def answer(self, request: web.Request) -> web.Response:
        """Give all figures, in the form that the asker wants."""
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # it trips on versions that are none
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


class _Ours(Collector):
    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def collect(self) -> Iterator[Metric]:
        """All figures of now."""
        return collect(self._inspector.status())


def collect(status: Status) -> Iterator[Metric]:
    """All figures of a status."""
    build = {"version": status.version, "python": platform.python_version()}
    yield _info("build", "What runs", build)
    yield _gauge("start_time_seconds", "When the plugin started, wall clock", status.now - status.uptime_s)
    yield _gauge("ready", "Whether lists, state and ExaBGP are there", not not_ready(status))
    yield _gauge("dry_run", "Whether ExaBGP is told nothing, by configuration", status.dry_run)
    yield from _of_tap(status.tap)
    yield from _of_routes(status)
    yield from _of_lists(status)
    if status.exabgp is not None:
        yield from _of_exabgp(status.exabgp)
    if status.state is not None:
        yield from _of_state(status.state, status.now)
    yield from _of_peers(status)
    if status.hold is not None:
        yield from _of_hold(status.hold)
    if status.refresh is not None:
        yield from _of_refresh(status.refresh)
    levels = [one.level for one in status.findings]
    found = {level: levels.count(level) for level in ("error", "warning", "note")}
    yield _gauges("findings", "What `dnstap-bgp status` warns of", "level", found)
    yield _gauge("watchers", "Who follows the live events", status.web.watchers)
    yield _counter("events_lost", "Events that a watcher was too slow for", status.web.events_lost)
    yield _counters("http_refused", "Requests and connections turned away", "reason", status.web.refused)


def _of_tap(tap: TapStatus) -> Iterator[Metric]:
    counters = tap.counters
    yield _counter("tap_frames", "DNSTap data frames received", counters["frames"])
    yield _counter("tap_messages", "Frames of a message type that counts", counters["messages"])
    yield _counter("tap_matched_messages", "Messages that gave a sighting", counters["matched"])
    yield _counter("tap_truncated_messages", "Of these, truncated ones: addresses that came whole", counters["cut"])
    yield _counter("tap_sightings", "Addresses seen for names on lists", counters["sightings"])
    skipped = {reason: counters[reason] for reason in SKIPPED}
    yield _counters("tap_skipped", "Frames and messages that could not count", "reason", skipped)
    yield _gauge("tap_open_connections", "DNSTap connections that are open", len(tap.connections))
    yield _counter("tap_connections", "DNSTap connections since the start", tap.accepted)
    is_open = [one.problem is None for one in tap.listeners]
    listeners = {"open": is_open.count(True), "closed": is_open.count(False)}
    yield _gauges("tap_listeners", "DNSTap listeners", "state", listeners)
    troubles = {one.kind: one.count for one in tap.troubles}
    yield _counters("tap_troubles", "What senders got wrong", "kind", troubles)


def _of_routes(status: Status) -> Iterator[Metric]:
    routes = status.routes
    yield _gauges("routes", "Addresses with live claims", "family", {"ipv4": routes.ipv4, "ipv6": routes.ipv6})
    yield _gauge("claims", "Names that hold an address, list by list", routes.claims)
    yield _gauge("routes_max", "The most addresses that may be held", routes.max)
    yield _gauge("static_prefixes", "Static prefixes announced", routes.static)
    yield _counter("claims_ended", "Claims that are no more", routes.ended)
    yield _counters("refused_sightings", "Sightings that could not become a claim", "reason", routes.refused)
    yield _counters("evicted_claims", "Claims that had to go", "reason", routes.evicted)


def _of_lists(status: Status) -> Iterator[Metric]:
    yield _gauge(
        "lists_refused", "Whether what the lists' sources have now is held back", status.lists_refused is not None
    )
    routes = GaugeMetricFamily(f"{_P}list_routes", "Addresses that a list holds", labels=("list", "family"))
    rules = GaugeMetricFamily(f"{_P}list_rules", "Rules of a list", labels=("list",))
    enabled = GaugeMetricFamily(f"{_P}list_enabled", "Whether a list counts", labels=("list",))
    sources = GaugeMetricFamily(f"{_P}list_sources", "Sources of a list", labels=("list", "state"))
    checked = GaugeMetricFamily(
        f"{_P}list_checked_timestamp_seconds", "When the least fresh URL of a list was last confirmed", labels=("list",)
    )
    for one in status.lists:
        routes.add_metric((one.name, "ipv4"), one.ipv4)
        routes.add_metric((one.name, "ipv6"), one.ipv6)
        rules.add_metric((one.name,), one.rules)
        enabled.add_metric((one.name,), float(one.enabled))
        for state, count in _states(one).items():
            sources.add_metric((one.name, state), count)
        times = [source.checked for source in one.sources if source.checked is not None]
        if times:
            checked.add_metric((one.name,), min(times))
    yield from (routes, rules, enabled, sources, checked)


def _states(one: ListStatus) -> dict[str, int]:
    states = [source.state for source in one.sources]
    return {state: states.count(state) for state in ("ok", "pending", "stale", "held", "partial", "error")}


def _of_exabgp(host: ExabgpStatus) -> Iterator[Metric]:

    yield _gauge("exabgp_up", "Whether ExaBGP answers", host.stage == "ready")
    yield _info("exabgp", "The ExaBGP that runs us", {"version": host.version})
    told = {"ipv4": host.told_ipv4, "ipv6": host.told_ipv6}
    yield _gauges("announced_routes", "Routes that ExaBGP was told", "family", told)
    yield _gauges("backlog_routes", "Prefixes that wait to be told", "kind", host.backlog)
    yield _counter("exabgp_lines", "Commands said to ExaBGP", host.lines)
    yield _counter("exabgp_errors", "Commands that it refused", host.errors)
    yield _gauge("exabgp_unanswered_lines", "Commands without an answer yet", host.unanswered)
    yield _gauge("exabgp_silent_seconds", "How long the oldest of them has waited", host.silent_s)
    up = GaugeMetricFamily(f"{_P}neighbor_up", "Whether a BGP session is established", labels=("neighbor",))
    lacking = GaugeMetricFamily(
        f"{_P}neighbor_lacking_family",
        "A family with routes that a neighbor doesn't take",
        labels=("neighbor", "family"),
    )
    for neighbor in {one.address: one for one in host.neighbors}.values():
        up.add_metric((neighbor.address,), float(neighbor.up))
        for family in neighbor.lacking:
            lacking.add_metric((neighbor.address, family), 1)
    yield from (up, lacking)
    yield from _of_budgets(host.neighbors)
    if host.views:
        yield from _of_views(host.views)


def _of_budgets(neighbors: Iterable[NeighborStatus]) -> Iterator[Metric]:
    """Figures of neighbors with a budget (`max_prefixes`); none where there is no budget."""
    found = {one.address: one.budget for one in neighbors if one.budget is not None}
    if not found:
        return
    most = GaugeMetricFamily(f"{_P}neighbor_budget_routes", "Most routes to announce to it", labels=("neighbor",))
    used = GaugeMetricFamily(f"{_P}neighbor_budget_used_routes", "Of these, those in use", labels=("neighbor",))
    left_out = GaugeMetricFamily(
        f"{_P}neighbor_left_out_routes", "Routes that a neighbor's budget has no room for", labels=("neighbor",)
    )
    displaced = CounterMetricFamily(
        f"{_P}neighbor_displaced_routes", "Routes that gave way to others in a neighbor's budget", labels=("neighbor",)
    )
    for address, budget in found.items():
        most.add_metric((address,), budget.max)
        used.add_metric((address,), budget.used)
        left_out.add_metric((address,), budget.left_out)
        displaced.add_metric((address,), budget.displaced)
    yield from (most, used, left_out, displaced)


def _of_views(views: Iterable[ViewStatus]) -> Iterator[Metric]:
    """Figures of neighbors that don't all get the same; few, since each set of them is named in the configuration."""
    told = GaugeMetricFamily(
        f"{_P}view_announced_routes", "Routes told to some of the neighbors", labels=("neighbors", "family")
    )
    waiting = GaugeMetricFamily(
        f"{_P}view_backlog_routes", "Prefixes that wait to be told to some of the neighbors", labels=("neighbors",)
    )
    for view in views:
        neighbors = str(Audience(view.neighbors, is_except=view.except_these))
        told.add_metric((neighbors, "ipv4"), view.told_ipv4)
        told.add_metric((neighbors, "ipv6"), view.told_ipv6)
        waiting.add_metric((neighbors,), view.waiting)
    yield from (told, waiting)


def _of_state(state: StateFileStatus, now: float) -> Iterator[Metric]:
    yield _gauge("state_durable", "Whether announces are in the state file before they are made", state.durable)
    yield _gauge("state_file_bytes", "Size of the state file", state.size)
    yield _counter("state_written_bytes", "Bytes written to the state file", state.written_bytes)
    yield _gauge("state_queued_records", "Records that wait to be written", state.queued)
    yield _counter("state_failures", "Tries to write that failed", state.failures)
    if state.synced_s_ago is not None:
        yield _gauge("state_synced_timestamp_seconds", "When the disk last had everything", now - state.synced_s_ago)


def _of_hold(hold: HoldStatus) -> Iterator[Metric]:
    yield _gauge("hold_on", "Whether answers are held, and not switched off by hand", hold.is_on)
    yield _gauge("hold_bound_seconds", "The longest that an answer is held", hold.bound_s)
    yield _gauge("hold_waiting", "Questions of hooks that wait now", hold.waiting)
    yield _gauge("hold_late_seconds", "The latest reply of a held question after its time, ever", hold.late_max_s)
    yield _gauge("hold_connections", "Hooks that are connected", hold.connections)
    yield _counters("hold_refused", "Messages and connections of hooks turned away", "reason", hold.refused)
    labels = ("hook", "verdict")
    replies = CounterMetricFamily(f"{_P}hold_replies", "Replies to hooks, by verdict", labels=labels)
    told = CounterMetricFamily(f"{_P}hold_told", "Answers that hooks only told", labels=("hook",))
    dropped = CounterMetricFamily(f"{_P}hold_dropped", "Replies that a hook did not take", labels=("hook",))
    waits = GaugeMetricFamily(
        f"{_P}hold_wait_seconds", "How long the last held questions of a hook waited", labels=("hook", "quantile")
    )
    stood = GaugeMetricFamily(
        f"{_P}hold_stood_share", "Share of new routes that stood before the answer left", labels=("hook",)
    )
    for hook in hold.hooks:
        for verdict, count in hook.verdicts.items():
            replies.add_metric((hook.hook, verdict), count)
        told.add_metric((hook.hook,), hook.told)
        dropped.add_metric((hook.hook,), hook.dropped)
        for quantile, wait_s in (("0.5", hook.held_p50_s), ("0.99", hook.held_p99_s)):
            if wait_s is not None:
                waits.add_metric((hook.hook, quantile), wait_s)
        if hook.stood_share is not None:
            stood.add_metric((hook.hook,), hook.stood_share)
    yield from (replies, told, dropped, waits, stood)


def _of_refresh(refresh: RefreshStatus) -> Iterator[Metric]:
    names = {"exact": refresh.exact, "seen": refresh.names - refresh.exact}
    yield _gauges("refresh_names", "Names that are asked again", "kind", names)
    questions = {"answered": refresh.answered, "unanswered": refresh.unanswered}
    yield _counters("refresh_questions", "Questions to the resolver, by what became of them", "outcome", questions)
    yield _counter("refresh_returned", "Answers for these that came by the tap or a hook", refresh.returned)
    yield _gauge("refresh_late_seconds", "How long the first of the names has been due", refresh.late_s)
    working = not refresh.silent and not refresh.blind
    yield _gauge("refresh_working", "Whether the resolver answers, and the tap shows that", working)


def _of_peers(status: Status) -> Iterator[Metric]:
    up = GaugeMetricFamily(f"{_P}peer_up", "Whether syncing with a peer works", labels=("peer",))
    synced = GaugeMetricFamily(
        f"{_P}peer_synced_timestamp_seconds", "When a peer last gave us all it has", labels=("peer",)
    )
    for peer in {one.address: one for one in status.peers if one.is_configured}.values():
        up.add_metric((peer.address,), float(peer.state == "ok"))
        if peer.synced_s_ago is not None:
            synced.add_metric((peer.address,), time.time() - peer.synced_s_ago)
    yield from (up, synced)
    others = sum(not one.is_configured for one in status.peers)  # no label for each: they come from anywhere
    yield _gauge("peer_followers", "Who follows us and is no configured peer", others)


def _gauge(name: str, what: str, value: float) -> Metric:

    return GaugeMetricFamily(_P + name, what, value=float(value))


def _gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:

    found = GaugeMetricFamily(_P + name, what, labels=(label,))
    for value, count in values.items():
        found.add_metric((value,), count)
    return found


def _counter(name: str, what: str, value: int) -> Metric:

    return CounterMetricFamily(_P + name, what, value=value)


def _counters(name: str, what: str, label: str, values: Mapping[str, int]) -> Metric:

    found = CounterMetricFamily(_P + name, what, labels=(label,))
    for value, count in values.items():
        found.add_metric((value,), count)
    return found


def _info(name: str, what: str, values: dict[str, str]) -> Metric:

    return InfoMetricFamily(_P + name, what, value=values)
