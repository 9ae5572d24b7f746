"""What is asked over the control socket and HTTP, and what is answered."""

import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection

import pytest

from tests.commands.running import environment
from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site, addresses

A = b"\1\1\1\1"


def test_alive_and_not_ready(site: Site):
    assert site.get("/healthz") == "ok\n"
    status, text, _ = site.ask("/readyz")
    assert status == 503
    assert text.split() == ["lists", "state", "exabgp"]
    site.services.restored()
    assert site.ask("/readyz")[1].split() == ["lists", "exabgp"]


def test_the_status_has_its_parts(site: Site):
    site.see([A, b"\x26\0" + bytes(14)])
    site.see([b"\x7f\0\0\1"])
    for control in (False, True):
        found = site.get("/v1/status", control=control)
        assert found["routes"] | {"ended": 0} == found["routes"]
        assert (found["routes"]["ipv4"], found["routes"]["ipv6"], found["routes"]["claims"]) == (1, 1, 2)
        assert found["routes"]["refused"] == {"loopback": 1}
        [one] = found["lists"]
        assert (one["name"], one["routes"], one["ipv6"]) == ("l", 2, 1)
        assert (found["ready"], found["exabgp"], found["state"]) == (False, None, None)
        assert [listener["problem"] for listener in found["web"]["listeners"]] == [None, None]


def test_rates_come_with_time(site: Site):
    assert site.get("/v1/rates")["samples"] == {}
    site.services.view.sample(0.0)
    site.services.view.sample(10.0)
    samples = site.get("/v1/rates")["samples"]
    assert samples["frames"] == [0.0]
    assert samples["routes"] == [0]


# -- why


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
    assert stopped == [{"list": "l", "rule": "!private.example.com", "exception": True}]
    assert site.get("/v1/why/other.test")["reasons"] == ["no list has a rule for it"]


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


# -- steering


def test_forget_and_add(site: Site):
    site.see([A, b"\1\1\1\2"])
    assert site.get("/v1/forget", method="POST", body={"target": "1.1.1.1"}, control=True)["ended"] == 1
    found = site.get("/v1/why/1.1.1.1")
    assert found["forgotten_for_s"] > 3500
    assert found["past"][0]["reason"] == "forgotten"
    assert site.get("/v1/forget", method="POST", body={"target": "www.example.com"}, control=True)["ended"] == 1
    assert not len(site.keeper.table)
    body = {"address": "1.1.1.1", "list": "l", "ttl_s": 60}
    assert "1 min" in site.get("/v1/add", method="POST", body=body, control=True)["message"]
    found = site.get("/v1/why/1.1.1.1")
    assert (found["routed"], found["address"]["claims"][0]["ttl_s"]) == (True, 60)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/forget", {}, "target is missing"),
        ("/v1/forget", [], "no JSON object"),
        ("/v1/forget", {"target": 7}, "target is missing"),
        ("/v1/forget", {"target": "a b"}, "neither an address nor a name"),
        ("/v1/add", {"address": "1.1.1.1", "list": "none"}, "there are: l"),
        ("/v1/add", {"address": "example.com", "list": "l"}, "no IP address"),
        ("/v1/add", {"address": "127.0.0.1", "list": "l"}, "loopback"),
        ("/v1/add", {"address": "1.1.1.1", "list": "l", "ttl_s": 0}, "from 1 s"),
        ("/v1/add", {"address": "1.1.1.1", "list": "l", "ttl_s": "1h"}, "number of seconds"),
        ("/v1/add", {"address": "1.1.1.1", "list": "l", "ttl_s": True}, "number of seconds"),
        ("/v1/add", {"address": "1.1.1.1", "list": "l", "ttl_s": float("nan")}, "ten years"),
        ("/v1/save", {}, "no `cache` is set"),
        ("/v1/log-level", {"level": "loud"}, "no level"),
    ],
)
def test_what_can_not_be_steered_says_why(site: Site, path: str, body: object, words: str):
    status, found, _ = site.ask(path, method="POST", body=body, control=True)
    assert status == 400
    assert words in found["error"]
    assert not len(site.keeper.table)


@pytest.mark.parametrize("path", ["/v1/forget", "/v1/add", "/v1/save", "/v1/log-level"])
def test_tcp_only_reads(site: Site, path: str):
    site.see([A])
    for method in ("POST", "PUT", "GET"):
        assert site.ask(path, method=method, body={"target": "1.1.1.1"})[0] == 404
    assert len(site.keeper.table) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(site: Site, method: str):
    status, found, response = site.ask("/v1/status", method=method)
    assert (status, response.headers["Allow"]) == (405, "GET,HEAD")
    assert found["error"]


# -- metrics


@pytest.mark.real("promtool")
def test_metrics_keep_to_the_conventions(site: Site):
    site.see([A, b"\x7f\0\0\1"])
    text = site.get("/metrics")
    linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_metrics_have_the_figures(site: Site):
    site.see([A, b"\x7f\0\0\1"])
    lines = site.get("/metrics").splitlines()
    assert 'dnstap_bgp_routes{family="ipv4"} 1.0' in lines
    assert 'dnstap_bgp_list_routes{family="ipv6",list="l"} 0.0' in lines
    assert 'dnstap_bgp_refused_sightings_total{reason="loopback"} 1.0' in lines
    assert any(line.startswith("dnstap_bgp_build_info{") for line in lines)
    _, text, response = site.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


# -- what it costs


def test_nobody_pays_before_somebody_asks():
    """asyncio and aiohttp come with the first client; the parts themselves must not import them."""
    script = "import sys, dnstap_bgp.workers.web.services as _; print({'asyncio', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_new_doors_after_a_reload(site: Site, tmp_path):
    assert site.get("/healthz") == "ok\n"
    before, site.port = site.port, site_kit.free_port()
    site.services.configure(site.write(tmp_path, "", ""))
    assert site.get("/healthz") == "ok\n"
    assert site.get("/healthz", control=True) == "ok\n"
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("127.0.0.1", before))


def test_a_reload_that_changes_nothing_of_it_keeps_its_clients(site: Site, tmp_path):
    with closing(HTTPConnection("localhost")) as connection:
        connection.sock = site.tcp()
        for _ in range(2):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"ok\n"
            site.services.configure(site.write(tmp_path, "", ""))
            assert site.get("/healthz", control=True) == "ok\n"


def test_the_control_socket_comes_back_when_its_file_is_removed(site: Site):
    assert site.get("/healthz", control=True) == "ok\n"
    site.config.control_socket.unlink()
    assert site.get("/healthz", control=True) == "ok\n"
    assert site.config.control_socket.stat().st_mode & 0o777 == 0o660


def test_no_part_of_it_outlives_the_end(tmp_path):
    with site_kit.running(tmp_path) as site:
        site.get("/healthz", control=True)
        path = site.config.control_socket
    assert not path.exists()


def test_routes_are_all_there_page_by_page(site: Site):
    expected = addresses(2_500)
    site.see(expected)
    found, after, pages = [], "", 0
    while after is not None:
        page = site.get(f"/v1/routes?limit=1000&after={after}")
        found += [row["prefix"] for row in page["routes"]]
        after, pages = page["next"], pages + 1
    assert pages == 3
    assert sorted(found) == sorted(".".join(map(str, one)) for one in expected)
    assert page["total"] == 2_500


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("list=l", 301),
        ("list=none", 0),
        ("name=example.com", 301),
        ("name=www.example.com", 100),
        ("name=other.example.com", 1),
        ("name=ample.com", 0),
        ("prefix=1.0.0.0/25", 128),
        ("prefix=1.0.0.7", 1),
        ("prefix=2.2.2.2", 1),
        ("prefix=3.3.3.3", 0),
        ("prefix=::/0", 0),
        ("q=OTHER", 1),
        ("q=2.2.2", 1),
        ("limit=5", 5),
    ],
)
def test_routes_can_be_filtered(site: Site, query: str, count: int):
    site.see(addresses(300))
    site.see([b"\2\2\2\2"], b"other.example.com")
    assert len(site.get(f"/v1/routes?{query}")["routes"]) == count


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=10001",
        "limit=-1",
        "limit=x",
        "limit=\u00b2",
        "after=zz",
        "after=0102",
        "prefix=x",
        "name=a%20b",
        "q=" + "x" * 300,
    ],
)
def test_a_bad_filter_is_refused(site: Site, query: str):
    from urllib.parse import quote  # noqa: PLC0415 - only here

    status, found, _ = site.ask(f"/v1/routes?{quote(query, safe='=&%')}")
    assert status == 400
    assert found["error"]
