"""What `resolver-conf` prints of odd names and addresses."""

import pytest

from dnstap_bgp.commands.resolver_conf import WRITERS, SteeredList, _steered
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet


def steered(rules: list[Rule], servers: tuple[str, ...] = ("2001:db8::53", "192.0.2.53:5353")) -> SteeredList:
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


@pytest.mark.parametrize("resolver", WRITERS)
def test_ipv6_servers_are_written_as_each_wants_them(resolver: str):
    text = "\n".join(WRITERS[resolver](None, [steered([Rule(b"b.example")])]))
    wanted = {
        "unbound": "forward-addr: 2001:db8::53@53",
        "bind": "2001:db8::53 port 53; 192.0.2.53 port 5353;",
        "knot": "'2001:db8::53@53', '192.0.2.53@5353'",
        "dnsdist": "[2001:db8::53]:53",
        "pdns": "b.example=[2001:db8::53]:53;192.0.2.53:5353",
        "dnsmasq": "server=/b.example/2001:db8::53#53",
    }
    assert wanted[resolver] in text
    assert "tap" not in text.replace("dnstap-bgp", "").replace("its tap is Lua", "").replace("DNSTap", "")
