import pytest

from dnstap_bgp.config.model import ConfigFile
from dnstap_bgp.config.spelling import canonical


@pytest.mark.parametrize("key", ["router_id", "routerID", "RouterId", "ROUTERID", "routerid", "ROUTER_ID", "Router_ID"])
def test_case_and_underscores_do_not_count(key):
    assert canonical(ConfigFile, {"bgp": {key: "192.0.2.1"}}) == ({"bgp": {"router_id": "192.0.2.1"}}, [])


def test_the_go_programs_names():
    table = {
        "Domains": "a",
        "BGP": {"AS": 1, "sourceIP": "a", "nextHop": "b", "nextHopIPv6": "c"},
        "syncer": {"syncInterval": "10m"},
    }
    spelled, complaints = canonical(ConfigFile, table)
    assert complaints == []
    assert spelled == {
        "domains": "a",
        "bgp": {"as": 1, "source_ip": "a", "next_hop": "b", "next_hop_ipv6": "c"},
        "syncer": {"sync_interval": "10m"},
    }


def test_two_spellings_of_one_key():
    spelled, complaints = canonical(ConfigFile, {"bgp": {"router_id": "192.0.2.1", "routerID": "192.0.2.2"}})
    assert spelled == {"bgp": {"router_id": "192.0.2.1"}}
    assert complaints == [("bgp.routerID", "stands here twice, in two spellings of `router_id`")]


def test_empty_text_counts_as_unset_but_not_inside_a_list():
    table = {"cache": "", "domains": [""], "bgp": {"next_hop": ""}}
    assert canonical(ConfigFile, table) == ({"domains": [""], "bgp": {}}, [])


def test_unset_in_one_spelling_and_set_in_the_other_is_one_key():
    spelled, complaints = canonical(ConfigFile, {"bgp": {"nextHop": "", "next_hop": "192.0.2.1"}})
    assert spelled == {"bgp": {"next_hop": "192.0.2.1"}}
    assert complaints == []


@pytest.mark.parametrize(
    ("table", "where", "suggestion"),
    [
        ({"domain": "a"}, "domain", "did you mean `domains`?"),
        ({"dnstap": {"Listn": "a"}}, "dnstap.Listn", "did you mean `listen`?"),
        ({"bgp": {"peers": ["a", {"adress": "b"}]}}, "bgp.peers[1].adress", "did you mean `address`?"),
        ({"bgp": {"neighbors": []}}, "bgp.neighbors", ""),
        ({"bgp": {"on_stop": "keep"}}, "bgp.on_stop", "it belongs at the top of the file, before the first [table]"),
        ({"router_id": "192.0.2.1"}, "router_id", "it belongs under [bgp]"),
        ({"netns": "a"}, "netns", "it belongs under [process]"),
        ({"sources": ["a"]}, "sources", "it belongs under [[list]]"),
        ({"hold_time": 9}, "hold_time", "it belongs in an entry of bgp.peers"),
        (
            {"bgp": {"ttl": "1h"}},
            "bgp.ttl",
            "it belongs at the top of the file, before the first [table] or under [[list]]",
        ),
        ({"enabled": True}, "enabled", "it belongs under [[list]]"),
        ({"nowhere": "/x"}, "nowhere", ""),
        ({"warnings": []}, "warnings", ""),
        ({"ttl_s": 5}, "ttl_s", "did you mean `ttl`?"),
        ({"xyzzy": {"a": 1}}, "xyzzy", ""),
    ],
)
def test_unknown_keys(table, where, suggestion):
    spelled, complaints = canonical(ConfigFile, table)
    assert [found for found, _ in complaints] == [where]
    assert complaints[0][1] == "is no key of this program" + ("; " + suggestion if suggestion else "")
    assert where not in spelled


def test_values_that_are_no_tables_are_left_to_the_models():
    assert canonical(ConfigFile, {"bgp": 5, "dnstap": ["x"]}) == ({"bgp": 5, "dnstap": ["x"]}, [])


def test_a_misplaced_key_is_told_every_table_that_has_it():
    _, [(_, told)] = canonical(ConfigFile, {"group": "unbound"})
    assert "under [dnstap]" in told
    assert "under [control]" in told
    _, [(_, told)] = canonical(ConfigFile, {"listen": ":53"})
    assert all(f"under [{table}]" in told for table in ("dnstap", "http", "syncer")), told
