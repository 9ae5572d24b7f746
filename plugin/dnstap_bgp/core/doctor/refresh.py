"""Active refresh that can't do its work: a silent resolver, answers that no tap shows, more names than questions."""

from collections.abc import Iterator

from dnstap_bgp.core.status.report import Finding, RefreshStatus
from dnstap_bgp.core.text import count_text, duration_text

LATE_S = 30.0
"""Late by this much: a client asks for a record of the usual TTLs before we do."""


def examine(refresh: RefreshStatus | None) -> Iterator[Finding]:
    """Find what keeps names from being asked in time, or in vain."""
    if refresh is None:
        return
    if refresh.silent:
        text = f"{refresh.resolver} doesn't answer the questions of the active refresh: {refresh.problem}"
        advice = "refresh.resolver must be the resolver that sends the tap, at an address where it answers this machine"
        yield Finding("warning", "refresh-silent", text, advice)
    elif refresh.blind:
        text = (
            f"{refresh.resolver} answers the questions of the active refresh, and the tap doesn't show these answers:"
            f" {refresh.answered} answered, {refresh.returned} seen"
        )
        advice = (
            "refresh.resolver must be the resolver that sends the tap, itself and not what stands in front of it, and"
            " what it answers to clients (client_response) must be in its tap"
        )
        yield Finding("warning", "refresh-unseen", text, advice)
    elif refresh.late_s > LATE_S:
        text = f"names are asked again {duration_text(refresh.late_s)} after their TTL is over"
        yield Finding("note", "refresh-late", text, "raise refresh.queries_per_second, or lower refresh.max_names")
    if refresh.left_out:
        text = f"{count_text(refresh.left_out, 'exact name')} of refreshed lists are never asked for"
        yield Finding("note", "refresh-left-out", text, "raise refresh.max_names")
