"""Rule sets with patterns: precedence, owners, and what a compiled file keeps of them."""

import pytest

from dnstap_bgp.core.lists.compiled import pack, unpack
from dnstap_bgp.core.lists.pattern_rules import PatternRuleSet, with_patterns
from dnstap_bgp.core.lists.patterns import expression, keyword
from dnstap_bgp.core.lists.rules import PublicSuffixes, Rule, RuleKind, RuleSet

SUFFIXES = PublicSuffixes({"com", "co.uk", "uk", "ck"}.__contains__, ["com", "uk", "co.uk", "*.ck", "!www.ck"])
ONE = [
    Rule(b"example.com"),
    Rule(b"only.net", RuleKind.EXACT),
    Rule(b"ads.example.com", exception=True),
    Rule(b"ads.org", exception=True),
    Rule(b"not.org", RuleKind.EXACT, exception=True),
]


def made() -> RuleSet:
    two = [Rule(b"two.net"), Rule(b"google.org", exception=True)]
    rules = RuleSet.build([("one", ONE), ("two", two)], SUFFIXES)
    patterns = [(0, keyword("ads")), (0, expression("^r[0-9]")), (1, keyword("google")), (1, expression("^not"))]
    return with_patterns(rules, patterns, SUFFIXES)


@pytest.fixture(params=["built", "mapped"])
def rules(request) -> RuleSet:
    rules = made()
    return rules if request.param == "built" else unpack(memoryview(pack(rules, {}, "")))[0]


@pytest.mark.parametrize(
    ("name", "lists"),
    [
        ("www.example.com", "one"),
        ("ads.example.com", ""),  # the exception, not the keyword
        ("x.ads.example.com", ""),
        ("ads.org", ""),
        ("y.ads.org", ""),
        ("not.org", "two"),  # an exception of its own list only
        ("ads.net", "one"),
        ("r5.net", "one"),
        ("ar5.net", ""),
        ("google.net", "two"),
        ("google.org", ""),
        ("ads.google.org", "one"),
        ("adsgoogle.net", "one two"),
        ("google.example.com", "one two"),
        ("two.net", "two"),
        ("other.net", ""),
    ],
)
def test_precedence(rules: RuleSet, name: str, lists: str):
    assert rules.lists(name.encode()) == tuple(lists.split())


@pytest.mark.parametrize(
    ("name", "decides"),
    [
        ("ads.example.com", ["one !ads.example.com"]),
        ("www.example.com", ["one example.com"]),
        ("r5ads.net", ["one keyword:ads"]),
        ("r5.net", ["one regexp:^r[0-9]"]),
        ("not.org", ["one !=not.org", "two regexp:^not"]),
        ("x.net", []),
    ],
)
def test_what_decides_is_told(rules: RuleSet, name: str, decides: list[str]):
    assert [f"{list_name} {rule}" for list_name, rule in rules.explain(name.encode())] == decides


@pytest.mark.parametrize(
    ("list_name", "name", "owner"),
    [
        ("one", "a.b.example.com", "example.com"),
        ("one", "ads.a.b.net", "b.net"),
        ("one", "x.ads.co.uk", "ads.co.uk"),
        ("one", "ads.x.ck", "ads.x.ck"),
        ("one", "y.ads.www.ck", "www.ck"),
        ("one", "ads", "ads"),
        ("two", "google.a.net", "a.net"),
        ("two", "a.two.net", "two.net"),
        ("two", "none.net", "none.net"),
        ("two", "a.none.net", "a.none.net"),
        ("none", "ads.a.net", "ads.a.net"),
    ],
)
def test_owners(rules: RuleSet, list_name: str, name: str, owner: str):
    """The owner of a name that a pattern puts on a list is who registered it."""
    assert rules.owner(list_name, name.encode()) == owner.encode()


def test_a_set_with_patterns_proves_nothing_from_domains_alone(rules: RuleSet):
    assert isinstance(rules, PatternRuleSet)
    assert rules.tails is None
    assert rules.domain_tails is not None
    assert not rules.silent(b"nowhere.net")


def test_counts_and_lists_have_them(rules: RuleSet):
    assert rules.counts == {"one": 7, "two": 4}
    assert len(rules) == 11
    assert [str(pattern) for pattern in rules.patterns_of("two")] == ["keyword:google", "regexp:^not"]
    assert len(list(rules.of_list("one"))) == 5


def test_without_patterns_a_set_stays_as_it_is():
    rules = RuleSet.build([("one", ONE)])
    assert with_patterns(rules, []) is rules
    assert rules.patterns is None
    assert rules.patterns_of("one") == ()


def test_patterns_alone():
    rules = with_patterns(RuleSet.build([("one", [])]), [(0, keyword("ads"))])
    assert rules.lists(b"ads.net") == ("one",)
    assert rules.lists(b"net") == ()


def test_a_list_that_is_off_matches_nothing(rules: RuleSet):
    off = rules.without({"one", "other"})
    assert off.lists(b"adsgoogle.net") == ("two",)
    assert off.lists(b"www.example.com") == ()
    assert off.lists(b"ads.net") == ()
    assert off.patterns is rules.patterns
    assert off.domain_tails is rules.domain_tails
    assert rules.without({"other"}) is rules
    assert not off.is_excepted(b"ads.org")
    assert rules.is_excepted(b"ads.org")
