from ipaddress import ip_address
from pathlib import Path

import pytest

from dnstap_bgp.config import parse
from dnstap_bgp.core.exabgp.conf import Session
from dnstap_bgp.errors import ConfigError


def config(bgp, top=""):
    text = f'domains = "x"\n{top}\n[dnstap]\nlisten = "/x"\n[bgp]\nnext_hop_ipv6 = "fd00::1"\n{bgp}'
    return parse(text.encode(), Path("/etc/d/d.toml"))


def sessions(bgp):
    return config(bgp).require_speaker().sessions


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
    assert found.policies()
    assert problems(found.require_speaker) == [
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
    assert problems(config(bgp).require_speaker) == expected
    assert problems(config(bgp + 'source_ip = "192.0.2.1"').require_speaker) == expected
    assert config(bgp + 'source_ip = "2001:db8::1"').require_speaker().sessions[0].passive


def test_families_and_graceful_restart():
    bgp = 'as = 65001\npeers = ["192.0.2.9"]\nrouter_id = '
    both = config(bgp + '"192.0.2.1"').require_speaker()
    assert (both.ipv4, both.ipv6, both.graceful_restart) == (True, True, True)
    only_six = config(bgp + '"127.0.0.1"', 'on_stop = "withdraw"').require_speaker()
    assert (only_six.ipv4, only_six.ipv6, only_six.graceful_restart) == (False, True, False)


class TestHostNames:
    BGP = 'as = 65001\nrouter_id = "192.0.2.1"\npeers = ["a.example:1179", "192.0.2.2", "B.Example"]\n'

    def test_are_no_sessions_before_they_are_resolved(self):
        assert len(problems(config(self.BGP).require_speaker)) == 2

    def test_get_their_first_address(self):
        look_up = lookup({"a.example": ["2001:db8::3", "192.0.2.3"], "b.example": ["192.0.2.4"]})
        found = config(self.BGP).resolve(look_up).require_speaker().sessions
        assert [(session.address, session.port) for session in found] == [
            ("2001:db8::3", 1179),
            ("192.0.2.2", 179),
            ("192.0.2.4", 179),
        ]

    def test_get_one_of_our_sources_family(self):
        look_up = lookup({"a.example": ["2001:db8::3", "192.0.2.3"], "b.example": ["192.0.2.4"]})
        found = config(self.BGP + 'source_ip = "192.0.2.1"').resolve(look_up).require_speaker().sessions
        assert found[0].address == "192.0.2.3"

    def test_every_one_that_fails_is_told(self):
        look_up = lookup({"b.example": ["2001:db8::4"]})
        found = problems(lambda: config(self.BGP + 'source_ip = "192.0.2.1"').resolve(look_up))
        assert found == [
            "/etc/d/d.toml: bgp.peers[0]: a.example can't be resolved: [Errno -2] Name or service not known",
            "/etc/d/d.toml: bgp.peers[2]: b.example can't be resolved: no IPv4 address, which bgp.source_ip asks for",
        ]

    @pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "fe80::1"])
    def test_to_nowhere_are_refused(self, address):
        look_up = lookup({"a.example": [address], "b.example": ["192.0.2.4"]})
        assert len(problems(lambda: config(self.BGP).resolve(look_up))) == 1

    def test_of_a_neighbor_that_has_its_session_already(self):
        look_up = lookup({"a.example": ["192.0.2.3"], "b.example": ["192.0.2.2"]})
        assert problems(lambda: config(self.BGP).resolve(look_up)) == [
            "/etc/d/d.toml: bgp.peers[2]: b.example is 192.0.2.2, which has its session already"
        ]

    def test_of_the_system(self):
        found = config('as = 65001\nrouter_id = "192.0.2.1"\npeers = ["localhost"]').resolve()
        assert found.bgp.neighbors[0].address in ("127.0.0.1", "::1")

    def test_none_asks_nobody(self):
        found = config('as = 65001\nrouter_id = "192.0.2.1"\npeers = ["192.0.2.2"]')
        assert found.resolve(lookup({})) == found
