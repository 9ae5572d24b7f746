"""`dnstap-bgp status`: show the running plugin at a glance."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.commands.printing import say, view_text
from dnstap_bgp.core.text import duration_text

Found = dict[str, Any]
"""/v1/status, as it is."""

TROUBLES_MAX = 5

SO_FAR = "nothing is wrong so far"
"""Said as long as something is missing that may take a minute."""


@click.command("status")
@config_option
@json_option
@click.option("--check", is_flag=True, help="Exit with 1 when something is wrong, for monitoring.")
def command(config_path: Path, *, as_json: bool, check: bool) -> None:
    """Say how the running plugin is: is it working?

    What comes in, what is routed, who gets it, and below that everything that is wrong, with what to change.

    \b
    Exit status:
        0    answered (with --check: and all is well)
        1    with --check: something is wrong; the last lines say what
        2    the plugin can't be reached

    \b
    Examples:
        dnstap-bgp status
        dnstap-bgp status --check >/dev/null || echo trouble
        dnstap-bgp status --json | jq .routes
    """  # noqa: D301 - click wants a real \b
    found = read(config_path)
    for line in json_lines(found) if as_json else lines(found):
        say(line, as_is=as_json)
    sys.exit(1 if check and is_wrong(found) else 0)


def read(path: Path) -> Found:
    """Ask the running plugin.

    Raises:
        ConfigError: The file can't be used.
        UnreachableError: The plugin can't be reached.
    """
    found: Found = Control(path).get("/v1/status")
    return found


def is_wrong(found: Found) -> bool:
    """Tell whether a status is worth an alarm."""
    return not found["ready"] or any(one["level"] in ("error", "warning") for one in found["findings"])


def json_lines(found: Found) -> Iterator[str]:
    """Write the status as one JSON object."""
    yield json_line(found)


def lines(found: Found) -> Iterator[str]:
    """Write the status as a person reads it."""
    ready = "ready" if found["ready"] else f"not ready: {', '.join(found['not_ready'])}"
    uptime = duration_text(found["uptime_s"])
    yield f"dnstap-bgp {found['version']}, pid {found['pid']}, up {uptime}, {ready}  ({found['config']})"
    yield from _tap(found["tap"])
    yield from _routes(found)
    yield from _exabgp(found["exabgp"])
    yield _state(found["state"])
    for peer in found["peers"]:
        yield _peer(peer)
    if found.get("hold"):
        yield from _hold(found["hold"])
    if found.get("refresh"):
        yield _refresh(found["refresh"])
    for one in found["findings"]:
        advice = f"; {one['advice']}" if one.get("advice") else ""
        yield f"{one['level'].upper()}: {one['text']}{advice}"
    if not found["findings"]:
        missing = missing_yet(found)
        yield f"{SO_FAR}: {', '.join(missing)}" if missing else "nothing is wrong"


def missing_yet(found: Found) -> list[str]:
    """Name what a start waits for: a sender, ExaBGP, sessions. The doctor gives them a minute before a finding."""
    missing = []
    hooks = (found.get("hold") or {}).get("hooks", ())
    if not any(one["state"] == "streaming" for one in found["tap"]["connections"]) and not hooks:
        missing.append("no DNSTap sender is connected")
    host = found["exabgp"]
    if host is None or host["stage"] != "ready":
        return [*missing, "ExaBGP has not answered"]
    ours = [one for one in host["neighbors"] if not one["foreign"]]
    down = [one["address"] for one in ours if not one["up"]]
    if down and len(down) == len(ours):
        missing.append("no BGP session is up")
    elif down:
        missing.append(f"{len(down)} of {len(ours)} BGP sessions are down")
    return missing


def _peer(peer: Found) -> str:
    when = "" if peer["synced_s_ago"] is None else f", heard {duration_text(peer['synced_s_ago'])} ago"
    lag = "" if peer["lag_s"] is None else f", its last change was {peer['lag_s']:.1f} s old"
    counts = ", ".join(f"{key} {peer[key]:,}" for key in ("given", "taken", "refused", "errors"))
    why = f" ({peer['why']})" if peer["why"] else ""
    return f"peer {peer['address']}: {peer['state']} by {peer['carrier']}{when}{lag}; {counts}{why}"


def _hold(hold: Found) -> Iterator[str]:
    """Tell the hold service, and each hook."""
    if hold["is_on"]:
        yield f"hold: answers wait {hold['bound_s'] * 1000:g} ms at most; {hold['waiting']} wait now"
    else:
        yield "hold: switched off, everything is answered at once (`dnstap-bgp hold on`)"
    for one in hold["listeners"]:
        if one["problem"] is not None:
            yield f"  hooks can't ask at {one['address']}: {one['problem']}"
    for one in hold["hooks"]:
        verdicts = ", ".join(f"{word.replace('_', ' ')} {count:,}" for word, count in one["verdicts"].items() if count)
        waits = [
            f"p{percent} {one[key] * 1000:.1f} ms"
            for percent, key in ((50, "held_p50_s"), (99, "held_p99_s"))
            if one[key] is not None
        ]
        held = f"; held {', '.join(waits)}" if waits else ""
        share = one["stood_share"]
        stood = "" if share is None else f"; {share:.1%} of new routes stood before the answer left"
        told = f", {one['told']:,} only told" if one["told"] else ""
        yield f"  {one['hook']}: {one['asked']:,} asked{told}: {verdicts or 'nothing yet'}{held}{stood}"


def _refresh(refresh: Found) -> str:
    state = "silent" if refresh["silent"] else "unseen by the tap" if refresh["blind"] else "answers"
    late = f", {duration_text(refresh['late_s'])} late" if refresh["late_s"] >= 1 else ""
    counts = (
        f"{refresh['asked']:,} asked, {refresh['answered']:,} answered, {refresh['returned']:,} seen by tap or hook"
    )
    return (
        f"refresh: {refresh['names']:,} names ({refresh['exact']:,} exact){late};"
        f" {refresh['resolver']} {state}; {counts}"
    )


def _tap(tap: Found) -> Iterator[str]:
    rate = "-" if tap["frames_per_s"] is None else f"{tap['frames_per_s']:,.1f}"
    share = "" if tap["match_share"] is None else f", {tap['match_share']:.1%} for names on lists"
    counters = tap["counters"]
    yield f"tap: {rate} frames/s{share}; {counters['frames']:,} frames, {counters['matched']:,} matched"
    memo = tap.get("memo")  # a plugin of 0.1.0 has none
    if memo is not None and memo["asked"]:
        known, ruled_out = (memo[key] / memo["asked"] for key in ("recalled", "ruled_out"))
        memory = f"{memo['bytes'] / 1e6:.1f} of {memo['max_bytes'] / 1e6:g} MB"
        yield f"  memo: {memory}, {memo['names']:,} names; hits {known:.1%}, ruled out by last labels {ruled_out:.1%}"
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
            f"  {one['name']}: {one['rules']:,} rule{'s' * (one['rules'] != 1)}{odd}, {one['routes']:,} routes{most}"
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
    yield from _patches(host.get("patches", {}))
    for view in host.get("views", ()):
        who = view_text(view)
        refused = f", {view['refused']:,} refused" if view["refused"] else ""
        told = f"{view['told_ipv4']:,} IPv4 and {view['told_ipv6']:,} IPv6 routes told"
        yield f"  for {who}: {told}, {view['waiting']:,} waiting{refused}"
    for one in host["neighbors"]:
        state = "up" if one["up"] else "down"
        families = f", {', '.join(one['families'])}" if one["families"] else ""
        more = ", being told all" if one["replaying"] else ""
        yield f"  neighbor {one['address']} AS {one['peer_as']}: {state}{families}{more}{_budget(one.get('budget'))}"


def _budget(budget: Found | None) -> str:
    """Tell how full a neighbor's budget is; nothing where it has none."""
    if budget is None:
        return ""
    left_out = f", {budget['left_out']:,} left out" if budget["left_out"] else ""
    return f", {budget['used']:,} of at most {budget['max']:,} prefixes{left_out}"


def _patches(patches: dict[str, str]) -> Iterator[str]:
    """Tell the patches of ExaBGP, where `up` has started it."""
    in_force = [name for name, reason in patches.items() if not reason]
    if patches:
        yield f"  patches: {', '.join(in_force) or 'none'}"
    for name, reason in patches.items():
        if reason:
            yield f"  patch {name} is left out: {reason}"


def _state(state: Found | None) -> str:
    if state is None:
        return "state file: none"
    durable = "durable" if state["durable"] else "not durable"
    synced = "" if state["synced_s_ago"] is None else f", on disk {duration_text(state['synced_s_ago'])} ago"
    return f"state file: {state['path']}, {state['size']:,} bytes, {durable}{synced}"
