from ipaddress import ip_address
from pathlib import Path

import pytest

from dnstap_bgp.config import parse
from dnstap_bgp.config.exabgp_sessions import (
    look_up_budgets,
    look_up_list_peers,
    look_up_margins,
    look_up_neighbors,
    speaker,
    speakers_differ,
)
from dnstap_bgp.config.policies import list_policies
from dnstap_bgp.core.exabgp.config_file import Session
from dnstap_bgp.errors import ConfigError


def config(bgp, top=""):
    text = f'domains = "x"\n{top}\n[dnstap]\nlisten = "/x"\n[bgp]\nnext_hop_ipv6 = "fd00::1"\n{bgp}'
    return parse(text.encode(), Path("/etc/d/d.toml"))


def whole(top="", bgp=""):
    text = f'domains = "x"\n{top}\n[dnstap]\nlisten = "/x"\n[bgp]\n{bgp}'
    return parse(text.encode(), Path("/etc/d/d.toml"))


def sessions(bgp):
    return speaker(config(bgp)).sessions


def problems(call):
    with pytest.raises(ConfigError) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


def lookup(addresses):
    def look_up(name):
        if name not in addresses:
            raise OSError(-2, "Name or service not known")
        return [ip_address(text) for text in addresses[name]]

    return look_up


def test_the_plugin_itself_needs_no_speaker_but_up_does():
    found = config("")
    assert list_policies(found)
    assert problems(lambda: speaker(found)) == [
        "/etc/d/d.toml: bgp.as: is missing: our own AS number",
        "/etc/d/d.toml: bgp.router_id: is missing: an IPv4 address that names us to the neighbors",
        "/etc/d/d.toml: bgp.peers: is missing: the routers that get our routes",
    ]


def test_own_as_unless_said_otherwise():
    found = sessions('as = 65001\nrouter_id = "192.0.2.1"\npeers = ["192.0.2.2", {address = "192.0.2.3", as = "1.10"}]')
    assert [(session.local_as, session.peer_as) for session in found] == [(65001, 65001), (65001, 65546)]


@pytest.mark.parametrize(
    ("bgp", "identifier"),
    [
        ('router_id = "192.0.2.1"\nsource_ip = "192.0.2.2"\nnext_hop = "192.0.2.3"', "192.0.2.1"),
        ('source_ip = "192.0.2.2"\nnext_hop = "192.0.2.3"', "192.0.2.2"),
        ('source_ip = "2001:db8::2"\nnext_hop = "192.0.2.3"', "192.0.2.3"),
    ],
)
def test_identifier(bgp, identifier):
    (session,) = sessions(f'as = 65001\npeers = ["192.0.2.9"]\n{bgp}')
    assert session.router_id == identifier


def test_source_only_for_its_own_family():
    bgp = 'as = 65001\nrouter_id = "192.0.2.1"\npeers = ["192.0.2.2", "2001:db8::2"]\n'
    assert [found.local_address for found in sessions(bgp)] == [None, None]
    assert [found.local_address for found in sessions(bgp + 'source_ip = "192.0.2.1"')] == ["192.0.2.1", None]
    assert [found.local_address for found in sessions(bgp + 'source_ip = "2001:db8::1"')] == [None, "2001:db8::1"]


def test_every_option_of_a_peer():
    (found,) = sessions("""
    as = 65001
    source_ip = "192.0.2.1"
    [[bgp.peers]]
    address = "192.0.2.2"
    port = 1179
    as = 65002
    password = "sesame; }"
    ttl_security = 2
    passive = true
    hold_time = 90
    """)
    assert found == Session(
        address="192.0.2.2",
        port=1179,
        local_as=65001,
        peer_as=65002,
        router_id="192.0.2.1",
        local_address="192.0.2.1",
        password="sesame; }",  # noqa: S106 - a test's
        hold_time_s=90,
        ttl_least=254,
        ttl_sent=255,
        passive=True,
    )


@pytest.mark.parametrize(
    ("option", "ttls"),
    [
        ("", (None, None)),
        ("ttl_security = true", (255, 255)),
        ("ttl_security = 1", (255, 255)),
        ("ttl_security = 99", (157, 255)),
        ("ttl_security = false", (None, None)),
        ("multihop = true", (None, 255)),
        ("multihop = 3", (None, 3)),
        ("multihop = false", (None, None)),
    ],
)
def test_ttls(option, ttls):
    (found,) = sessions(f'as = 65001\nrouter_id = "192.0.2.1"\n[[bgp.peers]]\naddress = "192.0.2.2"\n{option}')
    assert (found.ttl_least, found.ttl_sent) == ttls


def test_passive_needs_an_address_of_its_family_to_listen_on():
    bgp = 'as = 65001\nrouter_id = "192.0.2.1"\npeers = [{address = "2001:db8::2", passive = true}]\n'
    expected = ["/etc/d/d.toml: bgp.peers[0]: to be passive it needs bgp.source_ip, an IPv6 address to listen on"]
    assert problems(lambda: speaker(config(bgp))) == expected
    assert problems(lambda: speaker(config(bgp + 'source_ip = "192.0.2.1"'))) == expected
    assert speaker(config(bgp + 'source_ip = "2001:db8::1"')).sessions[0].passive


def test_families_and_graceful_restart():
    bgp = 'as = 65001\npeers = ["192.0.2.9"]\nrouter_id = '
    both = speaker(config(bgp + '"192.0.2.1"'))
    assert (both.ipv4, both.ipv6, both.graceful_restart) == (True, True, True)
    only_six = speaker(config(bgp + '"127.0.0.1"', 'on_stop = "withdraw"'))
    assert (only_six.ipv4, only_six.ipv6, only_six.graceful_restart) == (False, True, False)


class TestHostNames:
    BGP = 'as = 65001\nrouter_id = "192.0.2.1"\npeers = ["a.example:1179", "192.0.2.2", "B.Example"]\n'

    def test_are_no_sessions_before_they_are_resolved(self):
        assert len(problems(lambda: speaker(config(self.BGP)))) == 2

    def test_get_their_first_address(self):
        look_up = lookup({"a.example": ["2001:db8::3", "192.0.2.3"], "b.example": ["192.0.2.4"]})
        found = speaker(look_up_neighbors(config(self.BGP), look_up)).sessions
        assert [(session.address, session.port) for session in found] == [
            ("2001:db8::3", 1179),
            ("192.0.2.2", 179),
            ("192.0.2.4", 179),
        ]

    def test_get_one_of_our_sources_family(self):
        look_up = lookup({"a.example": ["2001:db8::3", "192.0.2.3"], "b.example": ["192.0.2.4"]})
        found = speaker(look_up_neighbors(config(self.BGP + 'source_ip = "192.0.2.1"'), look_up)).sessions
        assert found[0].address == "192.0.2.3"

    def test_every_one_that_fails_is_told(self):
        look_up = lookup({"b.example": ["2001:db8::4"]})
        found = problems(lambda: look_up_neighbors(config(self.BGP + 'source_ip = "192.0.2.1"'), look_up))
        assert found == [
            "/etc/d/d.toml: bgp.peers[0]: a.example can't be resolved: [Errno -2] Name or service not known",
            "/etc/d/d.toml: bgp.peers[2]: b.example can't be resolved: no IPv4 address, which bgp.source_ip asks for",
        ]

    @pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "fe80::1"])
    def test_to_nowhere_are_refused(self, address):
        look_up = lookup({"a.example": [address], "b.example": ["192.0.2.4"]})
        assert len(problems(lambda: look_up_neighbors(config(self.BGP), look_up))) == 1

    def test_of_a_neighbor_that_has_its_session_already(self):
        look_up = lookup({"a.example": ["192.0.2.3"], "b.example": ["192.0.2.2"]})
        assert problems(lambda: look_up_neighbors(config(self.BGP), look_up)) == [
            "/etc/d/d.toml: bgp.peers[2]: b.example is 192.0.2.2, which has its session already"
        ]

    def test_of_the_system(self):
        found = look_up_neighbors(config('as = 65001\nrouter_id = "192.0.2.1"\npeers = ["localhost"]'))
        assert found.bgp.neighbors[0].address in ("127.0.0.1", "::1")

    def test_none_asks_nobody(self):
        found = config('as = 65001\nrouter_id = "192.0.2.1"\npeers = ["192.0.2.2"]')
        assert look_up_neighbors(found, lookup({})) == found


class TestPeersOfLists:
    BGP = 'as = 65001\nnext_hop = "192.0.2.1"\npeers = ["192.0.2.2:1179", "Router.Example:1791"]\n'

    def read(self, peers):
        text = f'[dnstap]\nlisten = "/x"\n[bgp]\n{self.BGP}[[list]]\nname = "a"\nsources = "a"\npeers = {peers}\n'
        return parse(text.encode(), Path("/etc/d/d.toml"))

    @pytest.mark.parametrize(
        ("peers", "expected"),
        [
            ('"192.0.2.2"', ("192.0.2.2",)),
            ('"192.0.2.2:1179"', ("192.0.2.2",)),
            ('["192.0.2.2:1179", "router.example"]', ("192.0.2.2", "192.0.2.3")),
            ('"router.example:1791"', ("192.0.2.3",)),
            ('"2001:db8::1"', ("2001:db8::1",)),  # router.example may be that
            ('"[2001:db8::1]:1791"', ("2001:db8::1",)),
        ],
    )
    def test_are_told_as_bgp_peers_tells_them_and_are_addresses_at_last(self, peers, expected):
        found = look_up_list_peers(self.read(peers), lookup({"router.example": ["192.0.2.3"]}))
        (policy,) = list_policies(found)
        assert policy.ipv4 is not None
        assert policy.ipv4.neighbors == expected

    def test_with_another_port_or_name_are_no_neighbors(self):
        for peers in ('"192.0.2.2:179"', '"router.example:179"', '"other.example"'):
            (problem,) = problems(lambda peers=peers: self.read(peers))
            assert "list[0].peers: " in problem
            assert "is not among bgp.peers" in problem

    def test_that_have_no_address_are_all_told(self):
        assert problems(lambda: look_up_list_peers(self.read('"router.example"'), lookup({}))) == [
            "/etc/d/d.toml: list[0].peers: router.example can't be resolved: [Errno -2] Name or service not known"
        ]


@pytest.mark.parametrize(
    ("top", "bgp"),
    [
        ("", "as = 2"),
        ("", 'router_id = "192.0.2.9"'),
        ("", 'source_ip = "192.0.2.9"'),
        ("", 'next_hop_ipv6 = "fd00::1"'),
        ("", 'peers = ["192.0.2.9"]'),
        ("", 'peers = ["router.example"]'),
        ('on_stop = "withdraw"', ""),
        ("ipv6 = true", ""),
    ],
)
def test_what_changes_exabgps_configuration(top, bgp):
    plain = 'next_hop = "192.0.2.1"\n'
    assert speakers_differ(whole(bgp=plain), whole(top=top, bgp=plain + bgp))


@pytest.mark.parametrize(
    ("top", "bgp"),
    [('ttl = "1h"', ""), ("", "communities = []"), ("", "med = 5"), ("ipv6 = false", ""), ('cache = "c"', "")],
)
def test_what_does_not(top, bgp):
    plain = 'next_hop = "192.0.2.1"\n'
    assert not speakers_differ(whole(bgp=plain), whole(top=top, bgp=plain + bgp))


def test_a_neighbor_s_margin_goes_with_its_address():
    text = (
        'domains = "d.txt"\n[dnstap]\nlisten = "t.sock"\n[hold]\nlisten = "h.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'
        'peers = [{ address = "r1.example", margin = "70ms" }, {address = "r2.example", margin = "6ms"}, "r3.example"]'
    )
    config = parse(text.encode(), Path("/etc/d.toml"))

    def lookup(name):
        assert name != "r3.example", "it has no margin"
        if name == "r2.example":
            raise OSError("no such name")
        return [ip_address("192.0.2.9")]

    found = look_up_margins(config, lookup)
    assert found.margins.of("192.0.2.9") == 0.07
    assert found.margins.of("192.0.2.10") == 0.003
    assert [text for text in found.warnings if "r2.example" in text]
    without = parse(text.replace('[hold]\nlisten = "h.sock"\n', "").encode(), Path("/etc/d.toml"))
    assert look_up_margins(without, lookup) is without


BUDGETS = """domains = "d.txt"
[dnstap]
listen = "t.sock"
[bgp]
next_hop = "192.0.2.1"
"""


def test_a_neighbor_s_budget_goes_with_its_address():
    peers = 'peers = [{ address = "r1.example", max_prefixes = 4000 }, { address = "192.0.2.8", max_prefixes = 9 }]\n'
    config = parse((BUDGETS + peers).encode(), Path("/etc/d.toml"))
    found = look_up_budgets(config, lambda _: [ip_address("192.0.2.9")])
    assert found.bgp.budgets == {"192.0.2.9": 4000, "192.0.2.8": 9}

    def lookup(_):
        raise OSError("no such name")

    with pytest.raises(ConfigError, match=r"bgp.peers\[0\].max_prefixes: r1.example can't be resolved: no such name"):
        look_up_budgets(config, lookup)


def test_the_table_of_budgets_counts_before_the_neighbors_own():
    text = BUDGETS + 'peers = [{ address = "192.0.2.9", max_prefixes = 4000 }, "192.0.2.8"]\n'
    text += 'max_prefixes = { "192.0.2.9" = 9, "192.0.2.8" = 8 }\n'
    assert parse(text.encode(), Path("/etc/d.toml")).bgp.budgets == {"192.0.2.9": 9, "192.0.2.8": 8}
    own = BUDGETS + 'max_prefixes = { "192.0.2.7" = 7 }\n'
    assert parse(own.encode(), Path("/etc/d.toml")).bgp.budgets == {"192.0.2.7": 7}, "ExaBGP has its own configuration"
    with pytest.raises(ConfigError, match=r'max_prefixes."192.0.2.7": 192.0.2.7 is not among bgp.peers'):
        parse((own + 'peers = "192.0.2.8"\n').encode(), Path("/etc/d.toml"))


def test_a_budget_is_none_of_exabgp_s_business():
    one, other = (
        parse((BUDGETS + f'peers = [{{ address = "192.0.2.9"{more} }}]\n').encode(), Path("/etc/d.toml"))
        for more in ("", ', max_prefixes = 9, margin = "7ms"')
    )
    assert not speakers_differ(one, other)
