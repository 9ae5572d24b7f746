import random

import pytest

from dnstap_bgp.core.lists.formats.plain import PLAIN
from dnstap_bgp.core.lists.lines import Complaint, read_lines
from dnstap_bgp.core.lists.rules import (
    FAST_TRIE_MAX_BYTES,
    PublicSuffixes,
    Rule,
    RuleBatch,
    RuleKind,
    RuleSet,
    size_text,
    skipped_text,
)


def rule_set(*lines: str, **more: list[str]) -> RuleSet:
    lists = {"default": list(lines)} | more
    return RuleSet.build([(name, rules_of(lines)) for name, lines in lists.items()])


def rules_of(lines: list[str]) -> list[Rule]:
    rules = list(read_lines((line.encode() for line in lines), PLAIN))
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
        ("=*.foo.com", ["x.foo.com", "y.foo.com"], ["foo.com", "a.x.foo.com", "xfoo.com", "com"]),
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
        # Children: the names with exactly one label more, whatever longer domains have rules for others.
        (["=*.foo.com", "!*.foo.com"], "x.foo.com", "!*.foo.com"),
        (["=*.foo.com", "*.foo.com"], "x.foo.com", "=*.foo.com"),
        (["=*.foo.com", "foo.com"], "a.x.foo.com", "foo.com"),
        (["=*.foo.com", "!*.x.foo.com"], "x.foo.com", "=*.foo.com"),
        (["=*.foo.com", "*.x.foo.com"], "a.x.foo.com", "*.x.foo.com"),
        (["foo.com", "!=*.foo.com"], "x.foo.com", "!=*.foo.com"),
    ],
)
def test_who_decides(lines: list[str], name: str, deciding: str):
    for order in (lines, lines[::-1]):
        rules = rule_set(*order)
        assert [str(rule) for _, rule in rules.explain(name.encode())] == [deciding]
        assert rules.lists(name.encode()) == (() if deciding.startswith("!") else ("default",))


def test_what_a_domain_says_of_children_reaches_one_label_and_not_two():
    """Also where a longer domain has a rule that doesn't speak for itself."""
    rules = rule_set("=*.foo.com", "*.a.foo.com", "*.c.b.foo.com", second=["!=*.net", "=*.x.net", "=z.y.x.net"])
    on = {b"a.foo.com": True, b"x.a.foo.com": True, b"b.foo.com": True, b"c.b.foo.com": False, b"d.c.b.foo.com": True}
    assert {name: bool(rules.lists(name)) for name in on} == on
    alike = rule_set("=*.foo.com", "=*.a.foo.com")
    assert [bool(alike.lists(name)) for name in (b"foo.com", b"a.foo.com", b"c.b.foo.com")] == [False, True, False]
    on = {b"x.net": False, b"y.x.net": True, b"z.y.x.net": True, b"w.y.x.net": False, b"q.z.y.x.net": False}
    assert {name: bool(rules.lists(name)) for name in on} == on


def test_whether_any_rule_is_an_exception():
    assert not RuleSet.build([]).has_exceptions
    assert not rule_set("foo.com", "=bar.com", "*.x.com", "=*.y.com", second=["net"]).has_exceptions
    for line in ("!foo.com", "!=foo.com", "!*.foo.com", "!=*.foo.com"):
        assert rule_set(line).has_exceptions
        assert rule_set("foo.com", second=["net", line], third=["foo.com"]).has_exceptions


@pytest.mark.parametrize("keys", [1, 2, 3, 1_000])
def test_the_rules_of_a_list_come_in_steps(keys: int):
    """A step looks at so many domains of all lists, and gives none where none is of that list."""
    lines = ["a.com", "=a.com", "!b.com", "*.c.com"]
    rules = rule_set(*lines, second=["d.com", "e.com"])
    steps = list(rules.of_list_in_steps("default", keys))
    assert len(steps) == -(-5 // keys)
    assert sorted(str(rule) for step in steps for rule in step) == sorted(lines)
    assert sorted(str(rule) for rule in rules.of_list("second")) == ["d.com", "e.com"]
    assert len(rules.patterns_of("default")) == 0


def test_a_name_that_an_exception_keeps_off_a_list_is_told_unless_the_list_is_off():
    rules = rule_set("foo.com", "!x.foo.com", second=["net"])
    assert [rules.is_excepted(name) for name in (b"x.foo.com", b"foo.com", b"a.net", b"org")] == [True, *[False] * 3]
    off = rules.without({"default"})
    assert not off.is_excepted(b"x.foo.com")
    assert (off.lists(b"foo.com"), off.lists(b"net")) == ((), ("second",))
    assert off.without({"none"}).list_names == ("default", "second")
    assert rules.without(set()) is rules


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
            assert list(read_lines([str(rule).encode()], PLAIN)) == [rule]


SUFFIXES = PublicSuffixes(
    {"com", "uk", "co.uk", "io", "github.io", "ck", "x.ck", "jp", "kobe.jp", "b.kobe.jp"}.__contains__,
    ["com", "cdn.host.com", "uk", "co.uk", "io", "github.io", "*.ck", "!www.ck", "jp", "*.kobe.jp", "!city.kobe.jp"],
)


def owned(*lines: str) -> RuleSet:
    return RuleSet.build([("default", rules_of(list(lines)))], SUFFIXES)


@pytest.mark.parametrize(
    ("lines", "name", "owner"),
    [
        (["foo.com"], "foo.com", "foo.com"),
        (["foo.com"], "a.b.foo.com", "foo.com"),
        (["=a.foo.com"], "a.foo.com", "a.foo.com"),
        (["*.foo.com"], "a.b.foo.com", "foo.com"),
        (["=*.foo.com"], "b.foo.com", "foo.com"),
        # A longer rule is another owner only where it decides.
        (["foo.com", "b.foo.com"], "a.b.foo.com", "b.foo.com"),
        (["foo.com", "=b.foo.com"], "a.b.foo.com", "foo.com"),
        (["foo.com", "!c.foo.com"], "a.b.foo.com", "foo.com"),
        # Below a public suffix everybody is an owner.
        (["com"], "foo.com", "foo.com"),
        (["com"], "a.b.foo.com", "foo.com"),
        (["com"], "com", "com"),
        (["*.github.io"], "a.user.github.io", "user.github.io"),
        (["co.uk", "foo.com"], "a.b.co.uk", "b.co.uk"),
        (["co.uk", "foo.com"], "a.b.foo.com", "foo.com"),
        # Below a registry's own domain also the public suffixes count that no rule has.
        (["uk"], "a.b.co.uk", "b.co.uk"),
        (["uk"], "b.co.uk", "b.co.uk"),
        (["uk"], "co.uk", "co.uk"),
        (["uk"], "a.b.uk", "b.uk"),
        (["uk"], "uk", "uk"),
        (["*.uk"], "a.b.co.uk", "b.co.uk"),
        (["=*.uk"], "co.uk", "co.uk"),
        (["uk", "co.uk"], "a.b.co.uk", "b.co.uk"),
        (["uk", "!c.co.uk"], "a.b.co.uk", "b.co.uk"),
        (["uk", "b.co.uk"], "x.a.b.co.uk", "b.co.uk"),
        (["io"], "a.user.github.io", "user.github.io"),
        # The longest public suffix counts, also behind a domain that is none.
        (["com"], "a.b.cdn.host.com", "b.cdn.host.com"),
        (["com"], "a.b.host.com", "host.com"),
        # Of a wildcard suffix all domains right below are public suffixes, but for exceptions.
        (["ck"], "a.b.x.ck", "b.x.ck"),
        (["ck"], "x.ck", "x.ck"),
        (["ck"], "a.b.www.ck", "www.ck"),
        (["ck"], "www.ck", "www.ck"),
        (["x.ck"], "a.b.x.ck", "b.x.ck"),
        (["jp"], "a.b.c.kobe.jp", "b.c.kobe.jp"),
        (["jp"], "a.b.city.kobe.jp", "city.kobe.jp"),
        (["jp"], "kobe.jp", "kobe.jp"),
        (["kobe.jp"], "a.b.c.kobe.jp", "b.c.kobe.jp"),
        (["kobe.jp"], "a.b.city.kobe.jp", "city.kobe.jp"),
        (["uk"], "a." * 120 + "b.co.uk", "b.co.uk"),
    ],
)
def test_who_owns_a_names_addresses(lines: list[str], name: str, owner: str):
    rules = owned(*lines)
    assert rules.owner("default", name.encode()) == owner.encode()
    assert rules.owner("another", name.encode()) == name.encode()


def test_only_public_suffixes_below_listed_ones_are_kept():
    assert owned("foo.com", "github.io", "=b.kobe.jp", "foo.co.uk").suffixes == set()
    assert owned("uk", "foo.com").suffixes == {b"co.uk"}
    assert owned("jp").suffixes == {b"kobe.jp", b"*.kobe.jp", b"!city.kobe.jp"}
    assert rule_set("uk").suffixes == set()


def test_a_top_level_domain_that_the_public_suffixes_leave_out_is_one_wherever_its_rule_stands():
    suffixes = PublicSuffixes(lambda domain: "." not in domain, ["com"])
    rules = RuleSet.build([("default", rules_of(["aaa", "foo.com", "zzz"]))], suffixes)
    assert [rules.owner("default", b"a.b." + top) for top in (b"aaa", b"zzz")] == [b"b.aaa", b"b.zzz"]


def test_owners_are_those_of_each_list():
    rules = rule_set("foo.com", second=["b.foo.com"])
    assert rules.owner("default", b"a.b.foo.com") == b"foo.com"
    assert rules.owner("second", b"a.b.foo.com") == b"b.foo.com"


def test_public_suffixes_change_no_answer():
    lines = ["com", "!foo.com", "*.github.io", "co.uk", "=a.co.uk"]
    without, marked = RuleSet.build([("default", rules_of(lines))]), owned(*lines)
    for name in ("com", "a.com", "foo.com", "x.foo.com", "github.io", "x.github.io", "a.co.uk", "b.a.co.uk", "uk"):
        assert marked.lists(name.encode()) == without.lists(name.encode())
        assert marked.explain(name.encode()) == without.explain(name.encode())


def test_a_batch_of_nothing_gives_no_rule():
    rules = RuleSet.build([("list", [RuleBatch([]), RuleBatch((), RuleKind.EXACT)])])
    assert (len(rules), list(rules.of_list("list"))) == (0, [])


def test_rules_in_batches_are_the_same_rules():
    pick = random.Random(3)
    labels = [b"a", b"b", b"com", b"co", b"uk", b"x-1"]
    for _ in range(200):
        lists = []
        for number in range(pick.randint(1, 3)):
            kinds = [(kind, exception) for kind in RuleKind for exception in (False, True)]
            batches = [
                RuleBatch(
                    [b".".join(pick.choices(labels, k=pick.randint(1, 4))) for _ in range(pick.randint(1, 9))], *kind
                )
                for kind in pick.choices(kinds, k=pick.randint(1, 4))
            ]
            lists.append((f"l{number}", batches))
        alone = [
            (name, [Rule(domain, batch.kind, batch.exception) for batch in batches for domain in batch.domains])
            for name, batches in lists
        ]
        together, apart = RuleSet.build(lists, SUFFIXES), RuleSet.build(alone, SUFFIXES)
        assert together.counts == apart.counts
        assert together.suffixes == apart.suffixes
        assert together.tails == apart.tails
        for name, _ in lists:
            assert set(together.of_list(name)) == set(apart.of_list(name)) == set(dict(alone)[name])


def test_skipped_lines_are_told_by_kind():
    assert skipped_text({"keywords": 3, "directives": 0, "malformed": 1}) == "keywords 3, malformed 1"
    assert skipped_text({}) == ""


@pytest.mark.parametrize(
    ("rules", "prefixes", "text"),
    [
        (0, 0, "0 rules"),
        (1, 0, "1 rule"),
        (1000, 1, "1000 rules, 1 static prefix"),
        (2, 3, "2 rules, 3 static prefixes"),
    ],
)
def test_sizes_are_told_in_words(rules: int, prefixes: int, text: str):
    assert size_text(rules, prefixes) == text


def test_a_set_whose_rules_are_all_alike_has_no_number_for_each():
    alike = RuleSet.build([("l", [Rule(b"a.test"), Rule(b"b.test")])])
    assert (len(alike.rows), alike.row_ids) == (1, None)
    assert alike.lists(b"www.b.test") == ("l",)


def test_a_few_rules_unlike_many_others():
    rules = [*(Rule(b"d%d.test" % number) for number in range(300)), Rule(b"one.test", RuleKind.EXACT)]
    made = RuleSet.build([("l", rules)])
    assert made.row_ids is not None
    assert len(made.row_ids) == 301
    assert [made.lists(name) for name in (b"x.d299.test", b"one.test", b"x.one.test")] == [("l",), ("l",), ()]


def test_a_set_has_one_row_for_each_different_answer():
    made = RuleSet.build([("one", [Rule(b"net")]), ("two", [Rule(b"com"), Rule(b"x.com")])])
    assert len(made.rows) == 2
    assert [made.lists(name) for name in (b"com", b"x.com", b"net")] == [("two",), ("two",), ("one",)]
