"""What `resolver-conf` writes for each resolver: its shipped tap, and addresses as it wants them."""

import pytest

from dnstap_bgp.commands.resolver_writers import WRITERS, SteeredList
from tests.integration import test_resolver_conf as with_real_resolvers
from tests.integration.shipped import DEPLOY, TAP_SOCKET

TAPS = {
    "unbound": ("unbound-unix.conf", "#"),
    "bind": ("bind.conf", "//"),
    "knot": ("knot-resolver.conf", "--"),
    "dnsdist": ("dnsdist.conf", "--"),
}
"""Resolver -> the shipped file with its tap, and how comments begin there."""


@pytest.mark.parametrize("resolver", WRITERS)
def test_ipv6_servers_are_written_as_each_wants_them(resolver: str):
    servers = (("2001:db8::53", 53), ("192.0.2.53", 5353))
    text = "\n".join(WRITERS[resolver](None, [SteeredList("l", ("b.example",), (), servers, True, 0)]))
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


@pytest.mark.parametrize("resolver", TAPS)
def test_the_tap_is_that_of_the_shipped_file(resolver: str):
    file, comment = TAPS[resolver]
    printed = "".join("\n".join(WRITERS[resolver](TAP_SOCKET, [])).split())
    for line in (DEPLOY / "resolvers" / file).read_text().replace("resolver-1", resolver).splitlines():
        assert "".join(line.partition(comment)[0].split()).rstrip(",") in printed


def test_each_resolver_has_its_tap_there_and_is_tried():
    assert WRITERS.keys() - TAPS == {"pdns", "dnsmasq"}, "which have no tap that can be printed"
    assert {f"test_{resolver}" for resolver in WRITERS} <= vars(with_real_resolvers).keys()
