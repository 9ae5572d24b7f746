"""`[[list]]` and `[guard]`: a list's keys replace `[bgp]`'s, and what can't be announced is told with its key."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from dnstap_bgp.config import Config, list_sources, parse
from dnstap_bgp.config.exabgp_sessions import speakers_differ
from dnstap_bgp.config.policies import caps, list_policies, protected, spaces, static_prefixes
from dnstap_bgp.core.lists.source import Fetching, ListSource
from dnstap_bgp.core.model import Attributes, DnsTtl
from dnstap_bgp.core.routes.guard import Space
from dnstap_bgp.core.routes.policy import Caps
from dnstap_bgp.errors import ConfigError

BGP = """
[bgp]
next_hop = "192.0.2.1"
communities = ["65001:1"]
local_preference = 200
peers = ["10.0.0.1", "10.0.0.2"]
"""


def config(lists: str = "", top: str = "", bgp: str = BGP, rest: str = "") -> Config:
    return parse(f'{top}\n[dnstap]\nlisten = "/x"\n{bgp}\n{lists}\n{rest}'.encode(), Path("/etc/d/d.toml"))


def problems(lists: str, **parts: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(lists, **parts)
    return [str(problem).removeprefix("/etc/d/d.toml: ") for problem in caught.value.problems]


def listed(keys: str = "", name: str = "a") -> str:
    return f'[[list]]\nname = "{name}"\nsources = "{name}.txt"\n{keys}\n'


def test_plain_domains_are_the_list_default_and_the_first():
    found = config(listed(), top='domains = ["d.txt", "https://lists.example/x"]')
    assert [policy.list for policy in list_policies(found)] == ["default", "a"]
    assert found.list_sources()[0] == ListSource("default", ("/etc/d/d.txt", "https://lists.example/x"))
    assert [policy.list for policy in list_policies(config(listed()))] == ["a"]


def test_neither_domains_nor_lists():
    assert problems("") == ["domains: is missing, and so is any [[list]]"]


def test_a_lists_keys_replace_those_of_bgp():
    found = config(
        listed()
        + listed(
            """
            next_hop = "192.0.2.9"
            next_hop_ipv6 = "fd00::9"
            communities = []
            large_communities = "65001:1:2"
            local_preference = 50
            med = 7
            peers = ["10.0.0.2"]
            max_routes = 10
            """,
            "b",
        )
    )
    one, other = list_policies(found)
    assert one.ipv4 == Attributes(bytes([192, 0, 2, 1]), ("65001:1",), (), 200, None)
    assert (one.ipv6, one.routes_max) == (None, None)
    assert other.ipv4 == Attributes(bytes([192, 0, 2, 9]), (), ("65001:1:2",), 50, 7, ("10.0.0.2",))
    assert other.ipv6 is not None
    assert (other.ipv6.next_hop, other.routes_max) == (ip_address("fd00::9").packed, 10)
    assert {bytes([192, 0, 2, 9]), ip_address("fd00::9").packed} <= set(protected(found))
    assert speakers_differ(config(listed()), found)  # a list alone can bring IPv6 into ExaBGP's configuration


def test_equal_attributes_are_one_object():
    one, other, third = list_policies(config(listed() + listed(name="b") + listed("med = 1", "c")))
    assert one.ipv4 is other.ipv4
    assert other.ipv4 != third.ipv4


def test_ipv6_false_is_stronger_than_a_list():
    found = config(listed('next_hop_ipv6 = "fd00::9"'), top="ipv6 = false")
    assert list_policies(found)[0].ipv6 is None


def test_ttl_of_idle_time_and_of_the_record():
    top = 'ttl = "1h"\nttl_min = "30s"\ngrace = "10s"'
    lists = listed() + listed('ttl = "5m"', "b") + listed('ttl = "dns"\nttl_max = "2h"', "c")
    one, other, third = list_policies(config(lists, top=top))
    assert (one.ttl_s, one.dns_ttl, other.ttl_s, other.dns_ttl) == (3600, None, 300, None)
    assert (third.ttl_s, third.dns_ttl) == (7210, DnsTtl(30, 7200, 10))
    (followed,) = list_policies(config(listed(), top='ttl = "dns"'))
    assert followed.dns_ttl == DnsTtl(60, 86400, 300)


def test_sources_and_how_they_are_read():
    text = f"""
    [[list]]
    name = "a"
    sources = "https://lists.example/a"
    format = "hosts"
    interval = "1h"
    sha256 = "{"AB" * 32}"
    max_bytes = 1000
    shrink_max = 0.1
    """
    assert config(text).list_sources() == (
        ListSource("a", ("https://lists.example/a",), "hosts", Fetching(3600, "ab" * 32, 1000), 0.1),
    )


def test_prefixes_guard_and_caps():
    found = config(
        """
        [[list]]
        name = "net"
        prefixes = ["11.0.0.0/8", "11.1.1.1", "2600::/32", "2600::1"]
        allow = "10.0.0.0/8"
        deny = ["11.9.0.0/16"]
        """,
        rest="""
        [guard]
        allow = ["192.168.0.0/16"]
        max_routes = 1000
        max_routes_per_name = 5
        max_new_routes_per_second = 2.5
        when_full = "refuse"
        """,
    )
    six = ip_address("2600::").packed
    assert static_prefixes(found) == {
        "net": (bytes([11, 0, 0, 0, 8]), bytes([11, 1, 1, 1]), six + b"\x20", six[:-1] + b"\1"),
    }
    assert spaces(found) == {"net": Space((ip_network("10.0.0.0/8"),), (ip_network("11.9.0.0/16"),))}
    assert caps(found) == Caps(1000, 5, 2.5, evicts=False, rule_routes_max=4096, claims_max=4000)
    assert found.guard.allow == (ip_network("192.168.0.0/16"),)
    assert caps(config(listed())) == Caps(100_000, 256, None, evicts=True, rule_routes_max=12_500, claims_max=400_000)


@pytest.mark.parametrize(
    ("keys", "rule_routes_max", "claims_max"),
    [
        ("max_routes = 100", 4096, 400),
        ("max_routes = 800_000", 100_000, 3_200_000),
        ("max_routes_per_rule = 0", 1_000_000, 400_000),
        ("max_routes_per_rule = 7\nmax_claims = 100_000", 7, 100_000),
    ],
)
def test_caps_of_rules_and_claims_follow_that_of_routes(keys: str, rule_routes_max: int, claims_max: int):
    found = caps(config(listed(), rest=f"[guard]\n{keys}"))
    assert (found.rule_routes_max, found.claims_max) == (rule_routes_max, claims_max)


@pytest.mark.parametrize(
    ("lists", "problem"),
    [
        (listed() + listed(), "list: a stands here twice"),
        ('[[list]]\nsources = "x"', "list[0].name: is missing"),
        ('[[list]]\nname = "a"', "list[0]: has neither sources nor prefixes"),
        (listed(name="a b"), "list[0].name: 'a b' is no name of a list"),
        (listed('peers = "10.0.0.3"'), "list[0].peers: 10.0.0.3 is not among bgp.peers"),
        (listed('peers = "router.example"'), "list[0].peers: router.example is not among bgp.peers"),
        (
            listed('peers = "10.0.0.1:1179"'),
            "list[0].peers: 10.0.0.1:1179 is not among bgp.peers, which has 10.0.0.1 with port 179",
        ),
        (listed('peers = "10.0.0.1:0"'), "list[0].peers[0]: 0 is no port"),
        (listed('peers = "fe80::1"'), "list[0].peers[0]: fe80::1 is link-local"),
        (listed('ttl = "0s"'), "list[0].ttl: should be greater than or equal to 1"),
        (listed('ttl = "soon"'), "list[0].ttl: 'soon' is no duration"),
        (listed('ttl = "dns"\nttl_min = "3h"\nttl_max = "2h"'), "list[0].ttl_min: is longer than ttl_max"),
        (listed("max_routes = 0"), "list[0].max_routes: should be greater than or equal to 1"),
        (listed('prefixes = "11.0.0.1/8"'), "list[0].prefixes[0]: 11.0.0.1/8 has bits beyond its length"),
        (listed('sha256 = "abc"'), "list[0].sha256: 'abc' is no SHA-256"),
        (listed('nexthop = "127.0.0.1"'), "list[0].next_hop: 127.0.0.1 is a loopback address"),
        (listed('source = "x"'), "list[0].source: is no key of this program; did you mean `sources`?"),
        (listed() + '[guard]\nwhen_full = "evct"', "guard.when_full: should be 'evict' or 'refuse'"),
        (listed() + "[guard]\nmax_routes = 2000000", "guard.max_routes: should be less than or equal to 1000000"),
    ],
)
def test_mistakes(lists: str, problem: str):
    (found,) = problems(lists)
    assert found.startswith(problem)


def test_a_list_may_bring_the_only_next_hop():
    assert list_policies(config(listed('next_hop = "192.0.2.9"'), bgp=""))[0].ipv4
    (found,) = problems(listed('next_hop = "192.0.2.9"') + listed(name="b"), bgp="")
    assert "no route of the list b could get a next-hop" in found


def test_lists_are_found_in_a_file_with_other_mistakes(tmp_path: Path):
    path = tmp_path / "d.toml"
    path.write_text('domains = "d"\nttl = "x"\n[[list]]\nname = "a"\nsources = "a"\n[bgp]\nas = 0\n')
    assert [source.name for source in list_sources(path)] == ["default", "a"]
    path.write_text("[[list]]\nname = 5\n")
    assert list_sources(path) == ()


def test_identities_and_rewritten_answers():
    found = config(listed())
    assert (found.dnstap.identities, found.dnstap.rewritten, found.dry_run) == (frozenset(), False, False)
    text = 'dry_run = true\n[dnstap]\nlisten = "/x"\nidentities = ["a", "b"]\nrewritten = true\n' + BGP + listed()
    found = parse(text.encode(), Path("/d.toml"))
    assert (found.dnstap.identities, found.dnstap.rewritten, found.dry_run) == (frozenset({"a", "b"}), True, True)


@pytest.mark.parametrize(
    ("text", "form", "location", "selector"),
    [
        ("geosite.dat#google@cn", "auto", "geosite.dat", "google@cn"),
        ("https://x.example/GeoSite.DAT#google", "auto", "https://x.example/GeoSite.DAT", "google"),
        ("https://x.example/geosite.dat?a=1#b", "auto", "https://x.example/geosite.dat?a=1", "b"),
        ("https://x.example/latest#google", "geosite-dat", "https://x.example/latest", "google"),
        ("https://x.example/latest#google", "auto", "https://x.example/latest#google", ""),
        ("our#list.txt", "auto", "our#list.txt", ""),
        ("a#b.dat#c", "auto", "a#b.dat", "c"),
        ("geosite.dat", "auto", "geosite.dat", ""),
        ("geosite.dat#", "auto", "geosite.dat", ""),
    ],
)
def test_selectors_stand_behind_files_that_have_parts(text: str, form: str, location: str, selector: str):
    assert ListSource("a", (text,), form).located(text) == (location, selector)


def test_parts_of_a_file_are_of_one_url_and_a_path_is_for_json_only():
    dat = '"https://x.example/geosite.dat#a", "https://x.example/geosite.dat#b"'
    (found,) = config(f'[[list]]\nname = "a"\nsources = [{dat}]\nsha256 = "{"ab" * 32}"\n').list_sources()
    assert found.urls == ("https://x.example/geosite.dat",)
    (found,) = config(listed('format = "json"\npath = "prefixes[].p"')).list_sources()
    assert found.located(found.sources[0]) == ("/etc/d/a.txt", "prefixes[].p")


@pytest.mark.parametrize("keys", ['format = "json"', 'path = "a"', 'format = "plain"\npath = "a"'])
def test_json_and_its_path_belong_together(keys: str):
    (problem,) = problems(listed(keys))
    assert "belong together" in problem
