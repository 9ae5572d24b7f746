"""Tail proofs of many names at once: as one by one, whatever their bytes are and whatever came before."""

import random

import pytest

from dnstap_bgp.core.dns.labels import NAME_MAX_BYTES, to_name
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.lists.tail_table import CROWDED_MIN
from dnstap_bgp.core.tap import tail_proofs
from dnstap_bgp.core.tap.tail_proofs import TailProofs
from dnstap_bgp.errors import DnsError

WORDS = [b"a", b"bb", b"listed", b"test", b"com", b"co", b"uk", b"x" * 63, b"y" * 45, b"z" * 50, b"\1\1", b"\4test"]
SHOPS = [b"shop%d.co.uk" % number for number in range(CROWDED_MIN)]
LIKE_A_LETTER = b"-0123456789"  # lengths that a shape doesn't show


def spell(*labels: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels)


def proofs(*domains: bytes) -> TailProofs:
    return TailProofs(RuleSet.build([("list", [Rule(domain) for domain in domains])]).domain_tails)


def draw(pick: random.Random) -> bytes:
    name = spell(*pick.choices(WORDS, k=pick.randint(1, 5)))
    if pick.random() < 0.3:  # bytes that are no name, or another one
        at = pick.randrange(len(name))
        name = name[:at] + bytes((pick.choice((1, 4, 0x2D, 0x40, 0xC0)),)) + name[at + pick.randint(0, 1) :]
    return name


@pytest.mark.parametrize("shapes_max", [2048, 3])
def test_many_names_are_judged_as_one_by_one(monkeypatch: pytest.MonkeyPatch, shapes_max: int):
    monkeypatch.setattr(tail_proofs, "SHAPES_MAX", shapes_max)
    pick = random.Random(5)
    ruled_out = 0
    for _ in range(60):
        words = [b".".join(pick.choices([b"a", b"bb", b"listed", b"test", b"co", b"uk"], k=pick.randint(1, 3)))]
        rules = [Rule(word, pick.choice(list(RuleKind))) for word in (*words, *pick.choice(([], SHOPS)))]
        built = RuleSet.build([("list", rules)])
        made = TailProofs(built.domain_tails)
        for _ in range(8):
            names = [draw(pick) for _ in range(pick.randrange(60))]
            doubtful = made.doubtful(names)
            assert doubtful == sorted(set(doubtful))
            for place, name in enumerate(names):
                if place in doubtful:
                    assert not made.rules_out(name) or any(byte in name for byte in LIKE_A_LETTER)
                    continue
                assert made.rules_out(name)
                ruled_out += 1
                assert len(name) >= NAME_MAX_BYTES or not built.lists(to_name(name))
        assert len(made._shapes) <= shapes_max
    assert ruled_out > 3000


def test_what_is_no_name_is_not_ruled_out():
    made = proofs(b"listed.test")
    names = [b"", b"\3www", b"\3ww", b"\xc0\x0c", b"\x40" + b"x" * 64 + b"\3foo\4test", b"\1a\3com\5t", b"\1a\3com"]
    for _ in range(2):
        assert made.doubtful(names) == [0, 1, 2, 3, 4, 5]
    assert made.doubtful([]) == []


def test_a_shape_says_the_same_of_every_name_that_has_it():
    made = proofs(b"listed.test")
    same = [b"\3www\5plain\4test", b"\3w-w\0059l_in\4t3st", b"\3\xffW\x80\5pl\xe4in\4test"]
    assert made.doubtful(same) == []
    assert len(made._shapes) == 1
    # A length that looks like a letter is no length in a shape, and a byte that looks like a length is one.
    assert made.doubtful([b"\x2d" + b"x" * 45 + b"\3com", b"\3w\1w\5plain\4test"]) == [0]


def test_long_names_leave_no_shape():
    made = proofs(b"listed.test")
    assert made.doubtful([spell(b"x" * 60, b"x" * 61, b"test"), spell(b"x" * 60, b"listed", b"test")]) == [1]
    assert len(made._shapes) == 1


def test_a_domain_of_one_label_speaks_for_all_below():
    made = proofs(b"cn", b"listed.test")
    names = [spell(b"a", b"cn"), spell(b"a", b"com"), spell(b"w", b"a", b"cn"), spell(b"w", b"listed", b"test")]
    assert made.doubtful(names) == [0, 2, 3]


def test_below_a_crowded_pair_three_labels_decide():
    made = proofs(*SHOPS)
    names = [spell(b"other", b"co", b"uk"), spell(b"co", b"uk"), spell(b"shop1", b"co", b"uk"), spell(b"a", b"uk")]
    assert made.doubtful(names) == [2]


def test_without_a_table_nothing_is_proved():
    assert TailProofs(None).doubtful([b"\1a\3com"]) == [0]
    assert not TailProofs(None).rules_out(b"\1a\3com")


def test_whatever_is_ruled_out_is_a_whole_name():
    made = proofs(b"listed.test")
    pick = random.Random(4)
    names = [
        bytes(pick.choice((1, 2, 3, 0x2D, 0x3F, 0x40, 0x61, 0xC0)) for _ in range(pick.choice((3, 6, 9, 80, 140))))
        for _ in range(20_000)
    ]
    doubtful = set(made.doubtful(names))
    whole = 0
    for place, name in enumerate(names):
        if place not in doubtful:
            whole += 1
            try:
                to_name(name)
            except DnsError as error:
                raise AssertionError(name) from error
    assert whole > 100
