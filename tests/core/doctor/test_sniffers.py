"""Captures: what their counters tell, and what is too little to tell anything."""

import pytest

from dnstap_bgp.core.doctor import sniffers
from dnstap_bgp.core.doctor.sniffers import SnifferReport

GOOD = SnifferReport("eth0", 3.0, 1000, 990, 5, 0, 0)


def kinds(report: SnifferReport) -> list[str]:
    return [found.kind for found in sniffers.examine([report])]


@pytest.mark.parametrize(
    ("report", "found"),
    [
        (GOOD, []),
        (GOOD._replace(answered=0), ["sniff-no-answers"]),
        (GOOD._replace(answered=0, questions=20), ["sniff-no-answers"]),
        (GOOD._replace(answered=0, questions=19), []),
        (GOOD._replace(answered=0, age_s=30.0), ["sniff-no-answers"]),
        (GOOD._replace(answered=0, age_s=30.5), []),
        (GOOD._replace(lost_packets=7), ["sniff-lost"]),
        (GOOD._replace(lost_packets=7, lost_frames=1), ["sniff-lost", "sniff-lost"]),
    ],
)
def test_what_counters_tell(report: SnifferReport, found: list[str]):
    assert kinds(report) == found


def test_a_capture_that_has_ended_hides_no_other():
    [finding] = sniffers.examine([GOOD._replace(age_s=31.0), GOOD._replace(interface="eth1", answered=0)])
    assert finding.text == "the capture on eth1 sees 1000 questions and no answer"


def test_what_is_lost_is_told_by_where_it_is_lost():
    [packets, answers] = sniffers.examine([GOOD._replace(lost_packets=7, lost_frames=1)])
    assert (packets.text, "machine" in packets.advice) == (
        "the capture on eth0 has lost 7 packets since it began",
        True,
    )
    assert (answers.text, "tap" in answers.advice) == ("the capture on eth0 has lost 1 answer since it began", True)
    assert packets.subject != answers.subject
