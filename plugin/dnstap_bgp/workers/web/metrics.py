"""/metrics: the figures of a status in Prometheus' text format, in the thread "loop".

Imported with the first scrape, and made when they are asked for: nothing is counted for it beside what the parts count
for themselves. Labels are bounded: lists, neighbors and peers by the configuration, reasons and kinds by the code.
"""

import platform
import time
from collections.abc import Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dnstap_bgp.core.status.health import not_ready
from dnstap_bgp.core.status.status import Host, List, State, Status, Tap
from dnstap_bgp.workers.web.view import View

_P = "dnstap_bgp_"

SKIPPED = ("undecodable", "empty", "truncated", "malformed", "foreign", "rewritten")
"""Counters of the tap for frames and messages that could not count."""


class Metrics:
    """The handler."""

    def __init__(self, view: View) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Ours(view))
        ProcessCollector(registry=self._registry)

    def answer(self, request: web.Request) -> web.Response:
        """Give all figures, in the form that the asker wants."""
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # it trips on versions that are none
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


class _Ours(Collector):
    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """All figures of now."""
        return collect(self._view.status())


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
    levels = [one.level for one in status.findings]
    found = {level: levels.count(level) for level in ("error", "warning", "note")}
    yield _gauges("findings", "What `dnstap-bgp status` warns of", "level", found)
    yield _gauge("watchers", "Who follows the live events", status.web.watchers)
    yield _counter("events_lost", "Events that a watcher was too slow for", status.web.events_lost)
    yield _counters("http_refused", "Requests and connections turned away", "reason", status.web.refused)


def _of_tap(tap: Tap) -> Iterator[Metric]:
    counters = tap.counters
    yield _counter("tap_frames", "DNSTap data frames received", counters["frames"])
    yield _counter("tap_messages", "Frames of a message type that counts", counters["messages"])
    yield _counter("tap_matched_messages", "Messages that gave a sighting", counters["matched"])
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
    sources = GaugeMetricFamily(f"{_P}list_sources", "Sources of a list", labels=("list", "state"))
    checked = GaugeMetricFamily(
        f"{_P}list_checked_timestamp_seconds", "When the least fresh URL of a list was last confirmed", labels=("list",)
    )
    for one in status.lists:
        routes.add_metric((one.name, "ipv4"), one.ipv4)
        routes.add_metric((one.name, "ipv6"), one.ipv6)
        rules.add_metric((one.name,), one.rules)
        for state, count in _states(one).items():
            sources.add_metric((one.name, state), count)
        times = [source.checked for source in one.sources if source.checked is not None]
        if times:
            checked.add_metric((one.name,), min(times))
    yield from (routes, rules, sources, checked)


def _states(one: List) -> dict[str, int]:
    states = [source.state for source in one.sources]
    return {state: states.count(state) for state in ("ok", "pending", "stale", "held", "error")}


def _of_exabgp(host: Host) -> Iterator[Metric]:

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


def _of_state(state: State, now: float) -> Iterator[Metric]:
    yield _gauge("state_durable", "Whether announces are in the state file before they are made", state.durable)
    yield _gauge("state_file_bytes", "Size of the state file", state.size)
    yield _counter("state_written_bytes", "Bytes written to the state file", state.written_bytes)
    yield _gauge("state_queued_records", "Records that wait to be written", state.queued)
    yield _counter("state_failures", "Tries to write that failed", state.failures)
    if state.synced_s_ago is not None:
        yield _gauge("state_synced_timestamp_seconds", "When the disk last had everything", now - state.synced_s_ago)


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
