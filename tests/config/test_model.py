from ipaddress import ip_address
from pathlib import Path

import pytest
from pydantic import ValidationError

from dnstap_bgp.config import default_runtime_dir, parse
from dnstap_bgp.core.model import Attributes


def config(top="", bgp="", dnstap="", rest=""):
    text = f'domains = "x"\n{top}\n[dnstap]\nlisten = "/x"\n{dnstap}\n[bgp]\n{bgp}\n{rest}'
    return parse(text.encode(), Path("/etc/d/d.toml"))


def next_hops(**parts):
    (policy,) = config(**parts).policies()
    return tuple(
        None if attributes is None else str(ip_address(attributes.next_hop))
        for attributes in (policy.ipv4, policy.ipv6)
    )


@pytest.mark.parametrize(
    ("bgp", "expected"),
    [
        ('next_hop="192.0.2.1"\nsource_ip="192.0.2.2"\nrouter_id="192.0.2.3"', ("192.0.2.1", None)),
        ('source_ip="192.0.2.2"\nrouter_id="192.0.2.3"', ("192.0.2.2", None)),
        ('router_id="192.0.2.3"', ("192.0.2.3", None)),
        ('source_ip="127.0.0.1"\nrouter_id="192.0.2.3"', ("192.0.2.3", None)),
        ('source_ip="0.0.0.0"\nrouter_id="192.0.2.3"', ("192.0.2.3", None)),
        ('source_ip="2001:db8::2"\nrouter_id="192.0.2.3"', ("192.0.2.3", "2001:db8::2")),
        ('source_ip="2001:db8::2"\nnext_hop_ipv6="2001:db8::1"', (None, "2001:db8::1")),
        ('source_ip="2001:db8::2"\nrouter_id="127.0.0.1"', (None, "2001:db8::2")),
        ('source_ip="fe80::2"\nnext_hop="192.0.2.1"', ("192.0.2.1", None)),
        ('next_hop="192.0.2.1"\nnext_hop_ipv6="fd00::9"', ("192.0.2.1", "fd00::9")),
    ],
)
def test_next_hops_fall_back_per_family(bgp, expected):
    assert next_hops(bgp=bgp) == expected


@pytest.mark.parametrize(
    ("top", "expected"),
    [("", (None, "fd00::9")), ("ipv6 = true", (None, "fd00::9"))],
)
def test_ipv6_is_on_where_a_next_hop_can_be_had(top, expected):
    assert next_hops(top=top, bgp='next_hop_ipv6 = "fd00::9"') == expected


def test_ipv6_true_without_next_hop():
    assert next_hops(top="ipv6 = true", bgp='next_hop = "192.0.2.1"') == ("192.0.2.1", "fd00::1")


def test_ipv6_false_is_off_whatever_there_is():
    assert next_hops(top="ipv6 = false", bgp='next_hop = "192.0.2.1"\nnext_hop_ipv6 = "fd00::9"') == ("192.0.2.1", None)


def test_policies():
    bgp = """
    next_hop = "192.0.2.1"
    communities = ["65001:1", "NO-EXPORT", "65001:1"]
    large_communities = "65001:1:2"
    local_preference = 200
    med = 0
    """
    (policy,) = config(top='ttl = "90s"', bgp=bgp).policies()
    assert (policy.list, policy.ttl_s, policy.ipv6) == ("default", 90, None)
    assert policy.ipv4 == Attributes(
        next_hop=bytes([192, 0, 2, 1]),
        communities=("65001:1", "no-export"),
        large_communities=("65001:1:2",),
        local_preference=200,
        med=0,
    )


def test_host_routes_do_not_leak_by_default_and_may_be_let_out():
    default = config(bgp='next_hop = "192.0.2.1"').policies()[0].ipv4
    assert default is not None
    assert default.communities == ("no-export",)
    chosen = config(bgp='next_hop = "192.0.2.1"\ncommunities = []').policies()[0].ipv4
    assert chosen is not None
    assert chosen.communities == ()


def test_protected():
    found = config(
        top="ipv6 = true",
        dnstap='allow = ["0.0.0.0/0"]',
        bgp="""
        router_id = "192.0.2.1"
        source_ip = "192.0.2.2"
        next_hop = "192.0.2.3"
        peers = ["192.0.2.4", "[2001:db8::5]:179", "router.example", "192.0.2.2"]
        """,
    )
    found = found.model_copy(update={"dnstap": config(bgp='next_hop="192.0.2.1"').dnstap})
    expected = ["192.0.2.3", "fd00::1", "192.0.2.2", "192.0.2.4", "2001:db8::5"]
    assert found.protected() == tuple(ip_address(text).packed for text in expected)


def test_router_id_is_protected_only_as_a_next_hop():
    assert config(bgp='router_id = "1.1.1.1"\nnext_hop = "192.0.2.1"').protected() == (bytes([192, 0, 2, 1]),)
    assert config(bgp='router_id = "1.1.1.1"').protected() == (bytes([1, 1, 1, 1]),)


def test_where_we_listen_is_protected_unless_it_is_everywhere():
    listen = parse(
        b'domains = "x"\n[bgp]\nnext_hop = "192.0.2.3"\n'
        b'[dnstap]\nlisten = ["192.0.2.9:6000", ":6001", "[::]:6001", "host:1"]',
        Path("/d.toml"),
    )
    assert listen.protected() == (bytes([192, 0, 2, 3]), bytes([192, 0, 2, 9]))


def test_a_configuration_does_not_change():
    one = config(bgp='next_hop = "192.0.2.1"')
    with pytest.raises(ValidationError, match="frozen"):
        one.ttl = 5.0
    assert one == config(bgp='next_hop = "192.0.2.1"')
    assert hash(one) == hash(config(bgp='next_hop = "192.0.2.1"'))


class TestRestart:
    ONE = config(bgp='next_hop = "192.0.2.1"')
    OTHER = config(
        top='runtime_dir = "/r"\ncache = "c"\nttl = "1h"',
        bgp='next_hop = "192.0.2.2"',
        rest='[process]\nuser = "bgp"\nnetns = "dtap"',
    )

    def test_keys_that_differ(self):
        assert self.ONE.restart_keys(self.ONE) == []
        assert self.ONE.restart_keys(self.OTHER) == ["runtime_dir", "pidfile", "cache", "process.user", "process.netns"]

    def test_keep_their_value(self):
        kept = self.OTHER.keeping(self.ONE)
        assert kept.restart_keys(self.ONE) == []
        assert kept.ttl == 3600
        assert kept.policies() == self.OTHER.policies()


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
    assert config(bgp=plain).speaker_differs(config(top=top, bgp=plain + bgp))


@pytest.mark.parametrize(
    ("top", "bgp"),
    [('ttl = "1h"', ""), ("", "communities = []"), ("", "med = 5"), ("ipv6 = false", ""), ('cache = "c"', "")],
)
def test_what_does_not(top, bgp):
    plain = 'next_hop = "192.0.2.1"\n'
    assert not config(bgp=plain).speaker_differs(config(top=top, bgp=plain + bgp))


class TestRuntimeDir:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch):
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr("os.geteuid", lambda: 1000)

    def test_given_by_systemd(self, monkeypatch):
        monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
        assert default_runtime_dir() == Path("/run/a")
        found = config(bgp='next_hop = "192.0.2.1"')
        assert (found.runtime_dir, found.pidfile) == (Path("/run/a"), Path("/run/a/dnstap-bgp.pid"))

    def test_of_root(self, monkeypatch):
        monkeypatch.setattr("os.geteuid", lambda: 0)
        assert default_runtime_dir() == Path("/run/dnstap-bgp")

    def test_of_a_user(self, monkeypatch):
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
        assert default_runtime_dir() == Path("/run/user/1000/dnstap-bgp")

    def test_of_nobody_in_particular(self, monkeypatch, tmp_path):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert default_runtime_dir() == tmp_path / "dnstap-bgp-1000"

    def test_of_the_file(self):
        found = config(top='runtime_dir = "run"', bgp='next_hop = "192.0.2.1"')
        assert (found.runtime_dir, found.pidfile) == (Path("/etc/d/run"), Path("/etc/d/run/dnstap-bgp.pid"))
        found = config(top='pidfile = "/run/x.pid"', bgp='next_hop = "192.0.2.1"')
        assert found.pidfile == Path("/run/x.pid")
