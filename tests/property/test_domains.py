"""A rule set answers as the definition of matching does, taken literally."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet

# Few labels, one of which ends another, so that rules meet and label boundaries matter.
labels = st.sampled_from([b"a", b"b", b"ba", b"a-b", b"_x", b"\\032"])
names = st.lists(labels, min_size=1, max_size=4).map(b".".join)
rules = st.builds(Rule, names, st.sampled_from(RuleKind), st.booleans())
lists = st.lists(st.lists(rules, max_size=12), max_size=4).map(lambda ls: [(f"list{n}", r) for n, r in enumerate(ls)])


def speaks_for(rule: Rule, name: bytes) -> bool:
    if name == rule.domain:
        return rule.kind in (RuleKind.SUFFIX, RuleKind.EXACT)
    if not name.endswith(b"." + rule.domain):
        return False
    labels = name.count(b".") - rule.domain.count(b".")
    return rule.kind in (RuleKind.SUFFIX, RuleKind.SUBDOMAINS) or (rule.kind is RuleKind.CHILDREN and labels == 1)


def rank(rule: Rule) -> tuple[int, bool, int]:
    order = [RuleKind.SUFFIX, RuleKind.SUBDOMAINS, RuleKind.CHILDREN, RuleKind.EXACT]
    return rule.domain.count(b"."), rule.exception, order.index(rule.kind)


def deciding(rules: list[Rule], name: bytes) -> Rule | None:
    return max((rule for rule in rules if speaks_for(rule, name)), key=rank, default=None)


@settings(max_examples=400)
@given(lists, st.lists(names, min_size=1, max_size=20))
def test_matches_as_defined(lists: list[tuple[str, list[Rule]]], asked: list[bytes]):
    rule_set = RuleSet.build(lists)
    for name in asked + [rule.domain for _, rules in lists for rule in rules]:
        expected = [(list_name, rule) for list_name, rules in lists if (rule := deciding(rules, name))]
        assert rule_set.explain(name) == expected
        assert rule_set.lists(name) == tuple(list_name for list_name, rule in expected if not rule.exception)
    assert rule_set.counts == {list_name: len(set(rules)) for list_name, rules in lists}


# Children and exceptions are what sets names right below a domain apart from those further below.
few_labels = st.sampled_from([b"a", b"b", b"ba"])
domains = st.lists(few_labels, min_size=1, max_size=3).map(b".".join)
apart = st.sampled_from([RuleKind.SUFFIX, RuleKind.CHILDREN, RuleKind.CHILDREN])
rules_apart = st.lists(st.builds(Rule, domains, apart, st.booleans()), max_size=5)


@settings(max_examples=400)
@given(st.lists(rules_apart, max_size=2), domains)
def test_a_silent_domain_has_no_listed_name_at_any_depth(lists: list[list[Rule]], domain: bytes):
    """Names of labels that rules have, and of one that none has."""
    rule_set = RuleSet.build([(f"list{number}", rules) for number, rules in enumerate(lists)])
    beginnings = [
        b".".join(parts) + b"."
        for depth in (1, 2, 3)
        for parts in itertools.product((b"a", b"b", b"ba", b"z"), repeat=depth)
    ]
    for above in {domain, b"z." + domain, b"z.z." + domain}:
        named = any((b"." + rule.domain).endswith(b"." + above) for rules in lists for rule in rules)
        decided = [deciding(rules, first + above) for rules in lists for first in (b"", *beginnings)]
        listed = any(rule is not None and not rule.exception for rule in decided)
        assert rule_set.silent(above) == (not named and not listed)


def test_many_different_rows():
    """More kinds of answers than one byte numbers: every subset of ten lists."""
    domains = [b"d%d.example" % n for n in range(1024)]
    lists = [(f"l{bit}", [Rule(d) for n, d in enumerate(domains) if n >> bit & 1]) for bit in range(10)]
    rule_set = RuleSet.build(lists)
    for n, domain in enumerate(domains):
        assert rule_set.lists(b"www." + domain) == tuple(f"l{bit}" for bit in range(10) if n >> bit & 1)


@pytest.mark.parametrize("name", [b"", b".", b"com", b"xexample.com", b"example.com.x"])
def test_other_names_match_nothing(name: bytes):
    assert RuleSet.build([("default", [Rule(b"example.com")])]).lists(name) == ()
