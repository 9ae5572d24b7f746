"""`dnstap-bgp status`: how the running plugin is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.core.status.why import duration_text

Found = dict[str, Any]
"""/v1/status, as it is."""

TROUBLES_MAX = 5


def read(path: Path) -> Found:
    """Ask the running plugin.

    Raises:
        ConfigError: The file can't be used.
        UnreachableError: The plugin can't be reached.
    """
    found: Found = Control(path).get("/v1/status")
    return found


def is_wrong(found: Found) -> bool:
    """Whether something is worth an alarm."""
    return not found["ready"] or any(one["level"] in ("error", "warning") for one in found["findings"])


def json_lines(found: Found) -> Iterator[str]:
    """As JSON, one object."""
    yield json_line(found)


def lines(found: Found) -> Iterator[str]:
    """As a person reads it."""
    ready = "ready" if found["ready"] else f"not ready: {', '.join(found['not_ready'])}"
    uptime = duration_text(found["uptime_s"])
    yield f"dnstap-bgp {found['version']}, pid {found['pid']}, up {uptime}, {ready}  ({found['config']})"
    yield from _tap(found["tap"])
    yield from _routes(found)
    yield from _exabgp(found["exabgp"])
    yield _state(found["state"])
    for peer in found["peers"]:
        yield _peer(peer)
    for one in found["findings"]:
        advice = f"; {one['advice']}" if one.get("advice") else ""
        yield f"{one['level'].upper()}: {one['text']}{advice}"
    if not found["findings"]:
        yield "nothing is wrong"


def _peer(peer: Found) -> str:
    when = "" if peer["synced_s_ago"] is None else f", heard {duration_text(peer['synced_s_ago'])} ago"
    lag = "" if peer["lag_s"] is None else f", its last change was {peer['lag_s']:.1f} s old"
    counts = ", ".join(f"{key} {peer[key]:,}" for key in ("given", "taken", "refused", "errors"))
    why = f" ({peer['why']})" if peer["why"] else ""
    return f"peer {peer['address']}: {peer['state']} by {peer['carrier']}{when}{lag}; {counts}{why}"


def _tap(tap: Found) -> Iterator[str]:
    rate = "-" if tap["frames_per_s"] is None else f"{tap['frames_per_s']:,.1f}"
    share = "" if tap["match_share"] is None else f", {tap['match_share']:.1%} for names on lists"
    counters = tap["counters"]
    yield f"tap: {rate} frames/s{share}; {counters['frames']:,} frames, {counters['matched']:,} matched"
    for one in tap["connections"]:
        who = " ".join(text for text in (one["identity"], one["version"]) if text)
        known = f" ({who})" if who else ""
        for_s = duration_text(one["age_s"])
        yield f"  {one['peer']}{known}: {one['state']} for {for_s}, {one['frames']:,} frames, to {one['listener']}"
    for one in tap["troubles"][:TROUBLES_MAX]:
        yield f"  {one['count']} times {one['kind']}, {duration_text(one['age_s'])} ago: {one['last']}"


def _routes(found: Found) -> Iterator[str]:
    routes = found["routes"]
    static = f", {routes['static']} static prefixes" if routes["static"] else ""
    yield (
        f"routes: {routes['routes']:,} ({routes['ipv4']:,} IPv4, {routes['ipv6']:,} IPv6){static},"
        f" held by {routes['claims']:,} claims"
    )
    for one in found["lists"]:
        states = {source["state"] for source in one["sources"]} - {"ok"}
        odd = f" ({', '.join(sorted(states))})" if states else ""
        most = "" if one["max"] is None else f" of at most {one['max']:,}"
        yield (
            f"  {one['name']}: {one['rules']:,} rules{odd}, {one['routes']:,} routes{most}"
            f" ({one['ipv4']:,} IPv4, {one['ipv6']:,} IPv6)"
        )
    for what in ("refused", "evicted"):
        counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(routes[what].items()))
        if counts:
            yield f"  {what}: {counts}"


def _exabgp(host: Found | None) -> Iterator[str]:
    if host is None:
        yield "exabgp: not started yet"
        return
    told = f"{host['told_ipv4']:,} IPv4 and {host['told_ipv6']:,} IPv6 routes told"
    yield f"exabgp: {host['version'] or 'unknown'}, {host['stage']}; {told}, {host['waiting']:,} waiting"
    for one in host["neighbors"]:
        state = "up" if one["up"] else "down"
        families = f", {', '.join(one['families'])}" if one["families"] else ""
        more = ", being told all" if one["replaying"] else ""
        yield f"  neighbor {one['address']} AS {one['peer_as']}: {state}{families}{more}"


def _state(state: Found | None) -> str:
    if state is None:
        return "state file: none"
    durable = "durable" if state["durable"] else "not durable"
    synced = "" if state["synced_s_ago"] is None else f", on disk {duration_text(state['synced_s_ago'])} ago"
    return f"state file: {state['path']}, {state['size']:,} bytes, {durable}{synced}"
