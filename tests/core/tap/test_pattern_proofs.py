"""Proofs that nothing speaks for a name, where there are patterns: never wrong, and mostly there."""

import random

from dnstap_bgp.core.dns.labels import to_name
from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import expression, keyword
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.tap import pattern_proofs
from dnstap_bgp.core.tap.pattern_proofs import PatternProofs
from dnstap_bgp.core.tap.tail_proofs import TailProofs
from dnstap_bgp.errors import DnsError

RULES = with_patterns(
    RuleSet.build([("l", [Rule(b"listed.example"), Rule(b"cn")])]),
    [(0, keyword("ads")), (0, expression(r"^r\d+\.")), (0, expression(r"\\0")), (0, expression("le.n"))],
)


def test_what_is_ruled_out_is_on_no_list(monkeypatch):
    monkeypatch.setattr(pattern_proofs, "PARENTS_MAX", 8)
    assert RULES.domain_tails is not None
    assert RULES.patterns is not None
    rules_out = PatternProofs(TailProofs(RULES.domain_tails).rules_out, RULES.patterns).rules_out
    pick = random.Random(1)
    proved = 0
    for _ in range(20_000):
        count = pick.randint(1, 4)
        labels = b"".join(
            bytes([len(label)]) + label
            for label in (bytes(pick.choices(b"adsr1l.\\e\x01-", k=pick.randint(1, 5))) for _ in range(count))
        )
        labels += pick.choice([b"", b"\7example", b"\6listed\7example", b"\2cn", b"\3net", b"\3le.\1n"])
        labels = labels[: pick.choice([len(labels), len(labels), len(labels) - 1])]
        if rules_out(labels):
            proved += 1
            try:
                assert RULES.lists(to_name(labels)) == (), labels
            except DnsError:
                continue
    assert proved > 500


def test_what_is_longer_than_a_name_is_not_remembered():
    """A sender may fill a frame with labels: 4,096 such domains would take a gigabyte."""
    assert RULES.domain_tails is not None
    assert RULES.patterns is not None
    proofs = PatternProofs(TailProofs(RULES.domain_tails).rules_out, RULES.patterns)
    parents = [size * b"\1a" + b"\3net" for size in (1, 124, 125, 126, 1000, 100_000)]
    assert all(proofs.rules_out(b"\1b" + parent) for parent in parents)
    assert list(proofs._ends) == parents[:3]


def test_a_set_that_has_failed_rules_nothing_out():
    made = with_patterns(RuleSet.build([("l", [])]), [(0, expression("^a"))])
    assert made.domain_tails is not None
    assert made.patterns is not None
    proofs = PatternProofs(TailProofs(made.domain_tails).rules_out, made.patterns)
    assert proofs.rules_out(b"\1b\3net")
    assert proofs.doubtful([b"\1b\3net"] * 20) == []
    made.patterns.find = lambda _: []
    made.patterns._has_lines = lambda _: True
    assert not proofs.rules_out(b"\1b\3net")
    assert proofs.doubtful([b"\1b\3net"] * 20) == list(range(20))


def test_many_names_at_once_are_as_one_by_one():
    assert RULES.domain_tails is not None
    assert RULES.patterns is not None
    proofs = PatternProofs(TailProofs(RULES.domain_tails).rules_out, RULES.patterns)
    pick = random.Random(2)
    for _ in range(200):
        names = []
        for _ in range(pick.randrange(60)):
            label = bytes(pick.choices(b"adsr1lxyzqwtuvop-" + b"\\.!" * (pick.random() < 0.1), k=pick.randint(1, 6)))
            names.append(bytes([len(label)]) + label + pick.choice([b"\3net", b"\7example", b"\3le.\1n", b"\1a\2cn"]))
        doubtful = proofs.doubtful(names)
        assert doubtful == sorted(doubtful)
        for place, labels in enumerate(names):
            has_pattern = RULES.patterns.match(to_name(labels)) != 0
            assert has_pattern <= (place in doubtful), labels
            if labels.translate(None, b".!\\") == labels:
                assert has_pattern == (place in doubtful), labels


def test_so_many_parents_are_remembered(monkeypatch):
    monkeypatch.setattr(pattern_proofs, "PARENTS_MAX", 2)
    assert RULES.patterns is not None
    proofs = PatternProofs(lambda _: True, RULES.patterns)
    counts = []
    for number in range(4):
        proofs.rules_out(b"\1b\2x%d" % number)
        counts.append(len(proofs._ends))
    assert counts == [1, 2, 1, 2]
