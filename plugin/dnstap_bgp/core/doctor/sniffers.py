"""Mistakes with captures (`dnstap-bgp sniff`), recognised by their counters."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dnstap_bgp.core.status.report import Finding
from dnstap_bgp.core.text import count_text

QUIET_QUESTIONS = 20
"""Questions without one answer before that is told: a resolver may be slow, but not to all."""

STALE_S = 30.0
"""A capture writes its counters every 5 s; older ones are of one that has ended."""


class SnifferReport(NamedTuple):
    """Counters of a capture, as its file has them; see `core.sniff.answers.SniffCounters`.

    Attributes:
        interface: What is captured.
        age_s: Seconds since they were written.
        questions: To the servers.
        answered: Answers of the servers, empty ones included.
        unasked: Answers in a server's name that were not believed.
        lost_packets: Packets that came faster than they were read.
        lost_frames: Answers that the tap was not given: it was away for too long, or did not take them in time.
    """

    interface: str
    age_s: float
    questions: int
    answered: int
    unasked: int
    lost_packets: int
    lost_frames: int


def examine(reports: Iterable[SnifferReport]) -> Iterator[Finding]:
    """Find what is wrong with captures."""
    for one in reports:
        if one.age_s > STALE_S:
            continue
        if one.questions >= QUIET_QUESTIONS and not one.answered:
            text = f"the capture on {one.interface} sees {count_text(one.questions, 'question')} and no answer"
            advice = "capture where answers come in: on `any`, or on the servers' side of a router; is --server right?"
            yield Finding("warning", "sniff-no-answers", text, advice)
        for count, what, advice in (
            (one.lost_packets, "packet", "packets come faster than this machine reads them: is it too busy?"),
            (one.lost_frames, "answer", "the tap was away for over a minute, or does not take them in time"),
        ):
            if count:
                text = f"the capture on {one.interface} has lost {count_text(count, what)} since it began"
                yield Finding("note", "sniff-lost", text, advice, f"{one.interface}, {what}s")
