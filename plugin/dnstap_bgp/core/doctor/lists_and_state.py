"""Listeners, lists, the state file, sync peers, and what was switched off on purpose."""

from collections.abc import Iterator

from dnstap_bgp.core.status.report import Finding, ListStatus, StateFileStatus, Status

_SOURCES = {
    "pending": ("was not fetched yet", ""),
    "stale": ("can't be fetched", ""),
    "held": ("is held back", "look at it: `dnstap-bgp diff --force LIST` tells what it would change"),
    "partial": ("is read in part only", "mend its lines, or name its `format`; `dnstap-bgp check` tells them"),
    "error": ("can't be used", "`dnstap-bgp check` tells every problem"),
}


def examine(status: Status) -> Iterator[Finding]:
    """Find what is wrong with what is kept open, in force and on disk."""
    for listener in status.tap.listeners:
        if listener.problem is not None:
            text = f"not listening for DNSTap on {listener.address}: {listener.problem}"
            yield Finding("error", "tap-listener", text, "it is tried again every few seconds", listener.address)
    for listener in status.web.listeners:
        if listener.problem is not None:
            text = f"nobody can ask this instance on {listener.address}: {listener.problem}"
            yield Finding("warning", "web-listener", text, "", listener.address)
    for one in status.lists:
        yield from _sources(one)
    if status.lists_refused:
        text = f"what the lists' sources have now is not in force: {status.lists_refused}"
        yield Finding("warning", "lists-refused", text, "mend the lists, or `dnstap-bgp reload --force`")
    yield from _state(status.state)
    for peer in status.peers:
        if peer.state != "ok":
            yield Finding("warning", "peer", f"peer {peer.address} is {peer.state}: {peer.why}", "", peer.address)
    if status.dry_run:
        text = "dry_run is on: everything is done but telling ExaBGP"
        yield Finding("note", "dry-run", text, "say dry_run = false and reload")


def _sources(one: ListStatus) -> Iterator[Finding]:
    for source in one.sources:
        if source.state in _SOURCES:
            what, advice = _SOURCES[source.state]
            text = f"list {one.name}: {source.source} {what}" + (f": {source.why}" if source.why else "")
            if source.why.startswith(f"list {one.name}"):
                text = source.why
            yield Finding("warning", f"list-{source.state}", text, advice, one.name)


def _state(state: StateFileStatus | None) -> Iterator[Finding]:
    if state is None:
        text = "without `cache`, what is learnt is lost with this process"
        yield Finding("note", "no-state-file", text, "set cache to a file in a folder that this user may write to")
    elif state.error is not None:
        text = f"the state file {state.path} can't be written: {state.error}"
        advice = "free the disk, or mend its permissions; routing goes on meanwhile"
        yield Finding("error", "state-file", text, advice)
    elif not state.durable:
        text = f"the disk of the state file {state.path} is too slow: routes are announced before they are recorded"
        yield Finding("warning", "state-late", text, "put cache on a faster disk")
