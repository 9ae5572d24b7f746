"""Inspector: `why` for addresses, names and static prefixes."""

import pytest

from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site

A, B = b"\1\1\1\1", b"\1\1\1\2"


def test_why_an_address(site: Site):
    site.see([A])
    found = site.get("/v1/why/1.1.1.1")
    assert (found["kind"], found["routed"], found["address"]["state"]) == ("address", True, "waiting")
    assert found["address"]["claims"][0]["rule"] == "example.com"
    assert found["address"]["attributes"]["next_hop"] == "192.0.2.1"
    never = site.get("/v1/why/8.8.8.8")
    assert not never["routed"]
    assert "never seen" in never["reasons"][0]


@pytest.mark.parametrize(
    ("target", "guard", "block"),
    [
        ("127.0.0.1", "loopback", "127.0.0.0/8"),
        ("10.1.2.3", "private", "10.0.0.0/8"),
        ("2001:db8::5", "documentation", "2001:db8::/32"),
        ("64:ff9b::7f00:1", "loopback", "127.0.0.0/8"),
    ],
)
def test_why_not_because_of_the_guard(site: Site, target: str, guard: str, block: str):
    found = site.get(f"/v1/why/{target}")
    assert (found["address"]["guard"], found["address"]["block"]) == (guard, block)
    assert block in found["reasons"][0]


def test_why_a_name(site: Site):
    site.see([A])
    found = site.get("/v1/why/www.EXAMPLE.com.")
    assert (found["kind"], found["target"], found["routed"]) == ("name", "www.example.com", True)
    assert found["name"]["claims"][0]["address"] == "1.1.1.1"
    stopped = site.get("/v1/why/private.example.com")["name"]["rules"]
    assert stopped == [{"list": "l", "rule": "!private.example.com", "exception": True, "off": ""}]
    assert site.get("/v1/why/other.test")["reasons"] == ["no list has a rule for it"]


def test_an_address_shared_with_an_exception(site: Site):
    site.see([A])
    site._tap.ingest.excepted[b"private.example.com"] = (A, B)
    site._tap.ingest.excepted[b"no.longer.test"] = (A,)
    shared = site.get("/v1/why/1.1.1.1")
    assert [one["name"] for one in shared["address"]["excepted"]] == ["private.example.com"]
    assert [one["name"] for one in shared["address"]["claims"]] == ["www.example.com"]
    found = site.get("/v1/why/private.example.com")["name"]["shared"]
    assert found == [
        {"address": "1.1.1.1", "state": "waiting", "claims": [["www.example.com", "l"]]},
        {"address": "1.1.1.2", "state": "unrouted", "claims": []},
    ]


@pytest.mark.parametrize(
    "target", ["a%20b", "..", "%2e%2e%2fetc", "x" * 2000, "%00", "1.2.3.4%2f24", "fe80::1%25eth0", "%ff"]
)
def test_what_is_neither_address_nor_name_is_refused(site: Site, target: str):
    status, found, _ = site.ask(f"/v1/why/{target}")
    assert status in (400, 404)
    assert found["error"]


def test_a_static_prefix_covers_what_is_in_it(tmp_path):
    with site_kit.running(tmp_path, more='prefixes = ["1.1.1.0/24", "9.9.9.9"]') as site:
        site.see([A])
        found = site.get("/v1/why/1.1.1.1")
        assert (found["routed"], found["address"]["covered_by"], found["address"]["state"]) == (
            True,
            "1.1.1.0/24",
            "covered",
        )
        assert site.get("/v1/why/9.9.9.9")["address"]["static"]
        beside = site.get("/v1/why/1.1.1.2")
        assert (beside["routed"], beside["address"]["covered_by"]) == (True, "1.1.1.0/24")
        assert "announces it" in beside["reasons"][0]
        itself = site.get("/v1/why/1.1.1.0%2f24")
        assert (itself["routed"], itself["address"]["list"], itself["address"]["static"]) == (True, "l", True)
        assert itself["address"]["attributes"]["next_hop"] == "192.0.2.1"
        status, found, _ = site.ask("/v1/why/1.1.0.0%2f16")
        assert (status, found["error"][:28]) == (400, "1.1.0.0/16 is no static pref")
        rows = {row["prefix"]: row for row in site.get("/v1/routes")["routes"]}
        assert set(rows) == {"1.1.1.1", "1.1.1.0/24", "9.9.9.9"}
        assert (rows["1.1.1.1"]["state"], rows["1.1.1.0/24"]["static"], rows["9.9.9.9"]["list"]) == (
            "covered",
            True,
            "l",
        )


TWO_VIEWS = """peers = ["192.0.2.9"]
[[list]]
name = "m"
sources = "l.txt"
next_hop = "192.0.2.2"
"""


def test_why_and_routes_tell_for_each_view(tmp_path):
    with site_kit.running(tmp_path, more=TWO_VIEWS) as site:
        site.see([A])
        site.keeper.observe([(A, "m", b"www.example.com", 300)], site.keeper.rules)
        site.keeper.observe([(B, "m", b"www.example.com", 300)], site.keeper.rules)
        views = site.get("/v1/why/1.1.1.1")["address"]["views"]
        assert [(view["neighbors"], view["except_these"], view["list"], view["state"]) for view in views] == [
            (["192.0.2.9"], False, "l", "waiting"),
            (["192.0.2.9"], True, "m", "waiting"),
        ]
        assert [view["attributes"]["next_hop"] for view in views] == ["192.0.2.1", "192.0.2.2"]
        rows = {row["prefix"]: row for row in site.get("/v1/routes")["routes"]}
        assert [view["list"] for view in rows["1.1.1.1"]["views"]] == ["l", "m"]
        assert [(view["list"], view["state"]) for view in rows["1.1.1.2"]["views"]] == [("m", "waiting")] * 2


def test_a_network_for_one_neighbor_is_not_told_of_all(tmp_path):
    more = TWO_VIEWS.replace("\n[[list]]", '\nprefixes = ["1.1.1.0/24"]\n[[list]]', 1)
    with site_kit.running(tmp_path, more=more) as site:
        found = site.get("/v1/why/1.1.1.77")
        assert (found["routed"], found["address"]["covered_by"]) == (True, None)
        assert found["reasons"] == [
            "for 192.0.2.9: the static prefix 1.1.1.0/24 announces it already",
            "for everyone except 192.0.2.9: no list that claims it serves them, so they get no route",
        ]


def test_with_one_view_nothing_tells_of_views(site: Site):
    site.see([A])
    assert "views" not in site.get("/v1/why/1.1.1.1")["address"]
    assert "views" not in site.get("/v1/routes")["routes"][0]
