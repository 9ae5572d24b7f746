"""A preview tells rules, routes and networks by list, with examples; that its counts come true, property tests show."""

import ipaddress
from dataclasses import replace

from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import Pattern, PatternKind
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.model import Attributes, Claim, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.reload_diff import EXAMPLES_MAX, ReloadDiff

A, B = bytes((11, 0, 0, 1)), bytes((11, 0, 0, 2))
NETWORK = ipaddress.ip_address("12.0.0.0").packed + b"\x08"


def policy(name: str, hop: int = 1) -> Policy:
    return Policy(name, Attributes(bytes((192, 0, 2, hop))), None, 100.0)


def rule_set(**lists: list[Rule]) -> RuleSet:
    return RuleSet.build(list(lists.items()))


def claim(address: bytes, list_name: str, name: bytes) -> Claim:
    return Claim(address, list_name, name, seen=0.0, first=0.0, ttl_s=100.0)


def test_rules_by_list():
    before = rule_set(one=[Rule(b"a.example"), Rule(b"b.example")], two=[Rule(b"a.example", RuleKind.EXACT)])
    after = rule_set(
        two=[Rule(b"a.example", RuleKind.EXACT), Rule(b"c.example", RuleKind.SUBDOMAINS, exception=True)],
        one=[Rule(b"b.example")],
        three=[Rule(b"b.example")],
    )
    preview = ReloadDiff(Policies([], Guard()), Policies([], Guard()))
    list(preview.take_rules(before, after))
    told = {name: found.examples for name, found in preview.rules.items()}
    assert told == {
        "one": {"+": [], "-": ["a.example"], "~": []},
        "two": {"+": ["!*.c.example"], "-": [], "~": []},
        "three": {"+": ["b.example"], "-": [], "~": []},
    }


def test_patterns_by_list():
    kept, gone, new = (Pattern(text, PatternKind.KEYWORD) for text in ("kept", "gone", "new"))
    before = with_patterns(rule_set(one=[], old=[]), [(0, kept), (0, gone), (1, gone)])
    after = with_patterns(rule_set(young=[], one=[]), [(0, new), (1, kept), (1, new)])
    preview = ReloadDiff(Policies([], Guard()), Policies([], Guard()))
    list(preview.take_rules(before, after))
    assert {name: found.examples for name, found in preview.rules.items()} == {
        "one": {"+": [str(new)], "-": [str(gone)], "~": []},
        "old": {"+": [], "-": [str(gone)], "~": []},
        "young": {"+": [str(new)], "-": [], "~": []},
    }


def test_many_rules_are_counted_and_some_told():
    after = rule_set(one=[Rule(b"n%d.example" % number) for number in range(1000)])
    preview = ReloadDiff(Policies([], Guard()), Policies([policy("one")], Guard()))
    list(preview.take_rules(rule_set(one=[]), after))
    assert preview.rules["one"].counts["+"] == 1000
    lines = preview.lines()
    assert lines[0] == "list one: rules: 1000 added, 0 withdrawn"
    assert len(lines) == 1 + EXAMPLES_MAX + 1
    assert lines[-1] == "  + ... 1000 in all"


def test_routes_and_networks_by_list():
    before = Policies([policy("one"), policy("two", 2)], Guard(), prefixes={"one": [NETWORK]})
    after = Policies([policy("two", 2), policy("one")], Guard(), prefixes={"two": [NETWORK[:1] + b"\1\0\0\x10"]})
    preview = ReloadDiff(before, after)
    names = {b"both.example": ("two", "one"), b"gone.example": ()}
    preview.take_claims(
        [claim(A, "one", b"both.example"), claim(A, "two", b"both.example")], lambda name: names[name], 1.0
    )
    preview.take_claims([claim(B, "one", b"gone.example")], lambda name: names[name], 1.0)
    preview.take_statics()
    assert preview.lines() == [
        "list one: routes: 0 added, 2 withdrawn",
        "  - 11.0.0.2",
        "  - 12.0.0.0/8",
        "list two: routes: 1 added, 0 withdrawn, 1 changed",
        "  + 12.1.0.0/16",
        "  ~ 11.0.0.1",
    ]


def test_claims_of_a_list_whose_rules_are_not_known_yet_stay():
    for unknown, told in ((frozenset({"one"}), []), (frozenset({"two"}), ["  - 11.0.0.1"])):
        preview = ReloadDiff(Policies([policy("one")], Guard()), Policies([policy("one")], Guard()), unknown)
        preview.take_claims([claim(A, "one", b"a.example")], lambda _: (), 1.0)
        assert preview.lines()[1:] == told


def test_what_budgets_would_leave_out():
    networks = [bytes((12, number, 0, 0, 16)) for number in range(3)]
    before, after = (
        Policies([policy("one")], Guard(), prefixes={"one": networks}, budgets=budgets)
        for budgets in ({"192.0.2.1": 4, "192.0.2.3": 1}, {"192.0.2.1": 2, "192.0.2.2": 4, "192.0.2.3": 1})
    )

    def lines(before: Policies, after: Policies) -> list[str]:
        preview = ReloadDiff(before, after)
        for address in (A, B):
            preview.take_claims([claim(address, "one", b"a.example")], lambda _: ("one",), 1.0)
        preview.take_statics()
        return preview.lines()

    told = "the least recently seen are not announced there"
    assert lines(before, after) == [
        "list one: no change",
        f"neighbor 192.0.2.1: 3 over max_prefixes = 2, 1 now: {told}",
        f"neighbor 192.0.2.2: 1 over max_prefixes = 4, 0 now: {told}",
    ]
    assert lines(after, before) == [
        "list one: no change",
        f"neighbor 192.0.2.1: 1 over max_prefixes = 4, 3 now: {told}",
    ]
    assert lines(after, Policies([policy("one")], Guard(), prefixes={"one": networks})) == ["list one: no change"]
    roomy = Policies([policy("one")], Guard(), prefixes={"one": networks}, budgets={"192.0.2.1": 100})
    assert lines(after, roomy)[1:] == [f"neighbor 192.0.2.1: 0 over max_prefixes = 100, 3 now: {told}"]


def test_what_caps_would_let_go():
    rules = rule_set(one=[Rule(b"example")])

    def lines(of_list: int, of_all: int, of_name: int) -> list[str]:
        caps = Caps(routes_max=of_all, name_routes_max=of_name)
        lowered = Policies([replace(policy("one"), routes_max=of_list)], Guard(), caps)
        preview = ReloadDiff(Policies([policy("one")], Guard()), lowered)
        for host in range(5):
            names = (b"a.example", b"b.example") if host == 4 else (b"a.example",)
            claims = [claim(bytes((11, 0, 0, host)), "one", name) for name in names]
            preview.take_claims(claims, rules.lists, 1.0)
        return preview.lines()

    assert lines(4, 3, 2) == [
        "list one: no change",
        "list one: 1 over max_routes = 4: the least recently seen go",
        "guard: 2 over max_routes = 3: the least recently seen go",
        "guard: 3 over max_routes_per_name = 2: the least recently seen of each name go",
    ]
    assert lines(5, 5, 5) == ["list one: no change"], "full, and nothing over it"


def test_nothing_changes():
    policies = Policies([policy("one")], Guard(), prefixes={"one": [NETWORK]})
    rules = rule_set(one=[Rule(b"a.example")])
    preview = ReloadDiff(policies, Policies([policy("one")], Guard(), prefixes={"one": [NETWORK]}))
    list(preview.take_rules(rules, rule_set(one=[Rule(b"a.example")])))
    preview.take_claims([claim(A, "one", b"a.example")], rules.lists, 1.0)
    preview.take_statics()
    assert preview.lines() == ["list one: no change"]
    assert not preview.routes["one"]


def test_rules_are_compared_in_steps():
    many = rule_set(one=[Rule(b"n%d.example" % number) for number in range(2001)])
    for before, after in ((many, rule_set(one=[])), (rule_set(one=[]), many)):
        preview = ReloadDiff(Policies([], Guard()), Policies([policy("one")], Guard()))
        assert len(list(preview.take_rules(before, after))) == 3
        assert sum(preview.rules["one"].counts.values()) == 2001
    assert list(ReloadDiff(Policies([], Guard()), Policies([], Guard())).take_rules(many, many)) == []


def test_a_claim_that_a_shorter_lifetime_ends_goes():
    after = Policies([replace(policy("one"), ttl_s=10.0)], Guard())
    for now, told in ((9.9, []), (10.0, ["  - 11.0.0.1"])):
        preview = ReloadDiff(Policies([policy("one")], Guard()), after)
        preview.take_claims([claim(A, "one", b"a.example")], lambda _: ("one",), now)
        assert preview.lines()[1:] == told
