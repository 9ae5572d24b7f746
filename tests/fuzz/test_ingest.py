"""DNS messages and DNSTap frames under mutation: nothing raises, and one long-lived reader agrees with a plain one.

The memo of the fast path is what makes this more than the property tests: here it has seen thousands of other messages,
good and bad, and in one of the rounds it is so small that names come and go all the time.
"""

import random

import pytest

from dnstap_bgp.core.dns.answer import parse
from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import expression, keyword
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.tap import prefilter
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.core.tap.memo import Memo
from dnstap_bgp.errors import DnsError
from tests.property.messages import ACCEPTED, draw_frame, draw_wires, expected, expected_of_frame, mutate, rules, stream

RULES = rules()
WITH_PATTERNS = with_patterns(
    RULES, [(0, keyword("plain1")), (0, expression(r"^a\.[a-z0-9]+\.test$")), (1, expression(r"\\046|\\000"))]
)
WITH_KEYWORDS = with_patterns(RULES, [(0, keyword("plain1")), (1, keyword("t.plain"))])
BATCH = 40


def check_messages(seed: int, batches: int, memo_max_bytes: int, rule_set: RuleSet = RULES) -> None:
    reader = prefilter.Prefilter(rule_set, memo_max_bytes)
    for number in range(batches):
        pick = random.Random(seed + number)
        wires = draw_wires(pick, BATCH)
        wires += [mutate(pick, wire) for wire in wires[:10]]
        found = {}
        for candidate in reader.scan(wires):
            try:
                found[candidate[0]] = reader.read(candidate) or []
            except DnsError:
                found[candidate[0]] = []
        for index, wire in enumerate(wires):
            wanted = sorted(expected(wire, rule_set.lists))
            where = f"seed {seed + number}, message {index}: {wire.hex()}"
            assert sorted(found.get(index, [])) == wanted, where
            try:
                assert sorted(parse(wire, rule_set.lists).sightings()) == wanted, where
            except DnsError:
                assert not wanted, where


def remember_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for share in ("KEPT_SHARE", "LOOKED_UP_SHARE"):
        monkeypatch.setattr(prefilter, share, 1)
    monkeypatch.setattr(Memo, "asked_again", lambda _, names: set(names))


@pytest.mark.parametrize("rule_set", [WITH_PATTERNS, WITH_KEYWORDS], ids=["patterns", "keywords"])
@pytest.mark.parametrize("memo_max_bytes", [prefilter.MEMO_MAX_BYTES, 1 << 12])
def test_messages_where_lists_have_patterns(monkeypatch: pytest.MonkeyPatch, rule_set: RuleSet, memo_max_bytes: int):
    remember_all(monkeypatch)
    check_messages(3, 60, memo_max_bytes, rule_set)


def check_frames(seed: int, batches: int) -> None:
    ingest = Ingest(RULES, ACCEPTED)
    for number in range(batches):
        pick = random.Random(seed + number)
        frames = [draw_frame(pick, wire) for wire in draw_wires(pick, BATCH)]
        frames += [mutate(pick, frame) or b"\0" for frame in frames[:3]]
        buffer = bytearray(stream(frames))
        consumed, sightings = ingest.feed(buffer, 0, len(buffer), 1 << 16)
        assert consumed == len(buffer)
        wanted = [sighting for frame in frames for sighting in expected_of_frame(frame, RULES.lists)]
        assert sorted(sightings) == sorted(wanted), f"seed {seed + number}"


@pytest.mark.parametrize("memo_max_bytes", [prefilter.MEMO_MAX_BYTES, 5000])
def test_messages(monkeypatch: pytest.MonkeyPatch, memo_max_bytes: int):
    remember_all(monkeypatch)
    check_messages(1, 100, memo_max_bytes)


def test_frames():
    check_frames(1, 100)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("memo_max_bytes", [prefilter.MEMO_MAX_BYTES, 5000])
def test_messages_for_long(monkeypatch: pytest.MonkeyPatch, memo_max_bytes: int):
    remember_all(monkeypatch)
    check_messages(random.randrange(1 << 32), 10_000, memo_max_bytes)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_frames_for_long():
    check_frames(random.randrange(1 << 32), 10_000)
