"""The lists as `resolver-conf` gives them to a resolver."""

from dnstap_bgp.commands.resolver_conf import _steered
from dnstap_bgp.commands.resolver_writers import SteeredList
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet


def steered(rules: list[Rule]) -> SteeredList:
    servers = ("2001:db8::53", "192.0.2.53:5353")
    return _steered(RuleSet.build([("l", rules)]), "l", servers, without_ipv6=True)


def test_what_a_list_is_for_a_resolver():
    rules = [Rule(b"b.example"), Rule(b"a.example", RuleKind.EXACT), Rule(b"x.b.example", exception=True)]
    found = steered(rules)
    assert found == SteeredList(
        "l", ("a.example", "b.example"), ("x.b.example",), (("2001:db8::53", 53), ("192.0.2.53", 5353)), True, 1
    )


def test_names_that_would_break_out_of_a_configuration_are_left_out():
    odd = [b"a'); os.execute('x", b'a" {', b"a\\n.example", b"a;b", b"a/b", b"a b"]
    assert steered([*(Rule(name) for name in odd), Rule(b"good.example")]).domains == ("good.example",)
