import pytest

from dnstap_bgp.core.lists.domains import FAST_TRIE_MAX_BYTES, Rule, RuleKind, RuleSet
from dnstap_bgp.core.lists.lines import Complaint, read_rules


def rule_set(*lines: str, **more: list[str]) -> RuleSet:
    lists = {"default": list(lines)} | more
    return RuleSet.build([(name, rules_of(lines)) for name, lines in lists.items()])


def rules_of(lines: list[str]) -> list[Rule]:
    rules = list(read_rules(line.encode() for line in lines))
    assert not any(isinstance(rule, Complaint) for rule in rules)
    return [rule for rule in rules if isinstance(rule, Rule)]


@pytest.mark.parametrize(
    ("line", "on", "off"),
    [
        (
            "foo.com",
            ["foo.com", "x.foo.com", "a.b.foo.com"],
            ["xfoo.com", "foo.com.x", "com", "oo.com", "x.foobar.com"],
        ),
        ("=foo.com", ["foo.com"], ["x.foo.com", "com"]),
        ("*.foo.com", ["x.foo.com", "a.b.foo.com"], ["foo.com", "xfoo.com"]),
        ("com", ["com", "foo.com"], ["xcom", "net"]),
        ("r3---sn-x.googlevideo.com", ["r3---sn-x.googlevideo.com"], ["sn-x.googlevideo.com"]),
        ("_dmarc.foo.com", ["_dmarc.foo.com"], ["dmarc.foo.com"]),
    ],
)
def test_each_kind_speaks_for_its_names(line: str, on: list[str], off: list[str]):
    rules = rule_set(line)
    for name in on:
        assert rules.lists(name.encode()) == ("default",), name
        assert [str(rule) for _, rule in rules.explain(name.encode())] == [line]
    for name in off:
        assert rules.lists(name.encode()) == (), name
        assert rules.explain(name.encode()) == []


@pytest.mark.parametrize(
    ("lines", "name", "deciding"),
    [
        # The longest domain decides, whatever the kinds.
        (["foo.com", "!www.foo.com"], "a.www.foo.com", "!www.foo.com"),
        (["!foo.com", "www.foo.com"], "a.www.foo.com", "www.foo.com"),
        (["foo.com", "!www.foo.com", "a.www.foo.com"], "a.www.foo.com", "a.www.foo.com"),
        (["=www.foo.com", "!foo.com"], "www.foo.com", "=www.foo.com"),
        # A longer one that doesn't speak for the name decides nothing.
        (["foo.com", "!=www.foo.com"], "a.www.foo.com", "foo.com"),
        (["foo.com", "!*.www.foo.com"], "www.foo.com", "foo.com"),
        # At the same domain: exception, exact, subdomains, suffix.
        (["foo.com", "=foo.com", "!foo.com"], "foo.com", "!foo.com"),
        (["foo.com", "=foo.com", "!=foo.com"], "foo.com", "!=foo.com"),
        (["foo.com", "=foo.com", "!*.foo.com"], "foo.com", "=foo.com"),
        (["foo.com", "*.foo.com"], "x.foo.com", "*.foo.com"),
        (["foo.com", "*.foo.com"], "foo.com", "foo.com"),
        (["*.foo.com", "!foo.com"], "x.foo.com", "!foo.com"),
        (["foo.com", "!=foo.com"], "x.foo.com", "foo.com"),
    ],
)
def test_who_decides(lines: list[str], name: str, deciding: str):
    for order in (lines, lines[::-1]):
        rules = rule_set(*order)
        assert [str(rule) for _, rule in rules.explain(name.encode())] == [deciding]
        assert rules.lists(name.encode()) == (() if deciding.startswith("!") else ("default",))


def test_lists_are_apart_and_in_order():
    rules = rule_set("foo.com", "!x.foo.com", second=["x.foo.com", "net"], third=["*.foo.com", "!=y.foo.com"])
    assert rules.list_names == ("default", "second", "third")
    assert rules.counts == {"default": 2, "second": 2, "third": 2}
    assert len(rules) == 6
    assert rules.lists(b"foo.com") == ("default",)
    assert rules.lists(b"x.foo.com") == ("second", "third")
    assert rules.lists(b"y.foo.com") == ("default",)
    assert rules.lists(b"z.y.foo.com") == ("default", "third")
    assert rules.lists(b"a.net") == ("second",)
    assert [(name, str(rule)) for name, rule in rules.explain(b"x.foo.com")] == [
        ("default", "!x.foo.com"),
        ("second", "x.foo.com"),
        ("third", "*.foo.com"),
    ]


def test_repeated_rules_count_once():
    assert rule_set("foo.com", "FOO.com.", ".foo.com", "=foo.com").counts == {"default": 2}


def test_no_rules():
    for rules in (RuleSet.build([]), rule_set(), rule_set(second=[])):
        assert len(rules) == 0
        assert rules.lists(b"foo.com") == ()
        assert rules.explain(b"foo.com") == []


def test_names_with_escapes_stay_apart():
    rules = RuleSet.build([("default", [Rule(b"a\\046b.com")])])  # one label with a dot in it
    assert rules.lists(b"a\\046b.com") == ("default",)
    assert rules.lists(b"b.com") == ()


def test_a_large_set_takes_the_small_form():
    """Random names make the fast trie too large; the answers are the same."""
    state = 1
    domains = []
    for _ in range(350_000):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 128) - 1
        domains.append(b"%032x.%03d" % (state, state % 1000))
    rules = RuleSet.build([("default", map(Rule, domains))])
    assert len(rules.trie.tobytes()) < FAST_TRIE_MAX_BYTES * 1.2
    assert all(rules.lists(b"www." + domain) for domain in domains[::97])


def test_rules_print_as_they_are_written():
    for exception in (False, True):
        for kind in RuleKind:
            rule = Rule(b"foo.com", kind, exception)
            assert list(read_rules([str(rule).encode()])) == [rule]
