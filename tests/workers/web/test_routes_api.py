"""/v1/routes: pages, filters, and others who are answered meanwhile."""

import http.client
import socket
import threading

import pytest

from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site, addresses

A = b"\1\1\1\1"


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
        "list=none",
    ],
)
def test_a_bad_filter_is_refused(site: Site, query: str):
    from urllib.parse import quote  # noqa: PLC0415 - only here

    status, found, _ = site.ask(f"/v1/routes?{quote(query, safe='=&%')}")
    assert status == 400
    assert found["error"]


def test_others_are_answered_while_all_routes_are_listed(site: Site):
    """The loop is never held for long: while two list 20,000 routes again and again, a third has quick answers."""
    site.see(addresses(20_000))
    stop = threading.Event()

    def lists() -> None:
        while not stop.is_set():
            site.get("/v1/routes?limit=10000")

    threads = [threading.Thread(target=lists) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert site.get("/healthz") == "ok\n"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_slow_readers_of_the_routes_keep_nobody_from_them(site: Site):
    site.see(addresses(20_000))
    site.get("/v1/routes?limit=1")
    with site.tcp() as one, site.tcp() as two, site.tcp() as three:
        for slow in (one, two, three):
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(b"GET /v1/routes?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert slow.recv(100)
        found = site.get("/v1/routes?limit=10000", control=True)
        assert len(found["routes"]) == 10_000
        for slow in (one, two, three):
            slow.settimeout(0)
            assert slow.recv(100), "they are still at it"


def test_a_fault_in_the_middle_of_a_page_ends_the_connection(site: Site, monkeypatch: pytest.MonkeyPatch):
    """What has begun can't become an error any more: its reader sees that it is cut."""
    site.see(addresses(300))
    with monkeypatch.context() as patch:
        patch.setattr(site.server.inspector, "state_of", lambda _: 1 / 0)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            site.ask("/v1/routes")
    assert len(site.get("/v1/routes")["routes"]) == 300


def aged(site: Site, count: int) -> list[str]:
    """Have addresses seen one after the other, over many shards; their texts, newest first."""
    found = addresses(count, 0x01000000 + 77)
    for number, one in enumerate(found):
        name = b"www.example.com" if number % 2 else b"other.example.com"
        site.see([one], name)
    site.see(found[:2], b"again.example.com")  # a new name makes an old route no newer
    return [".".join(map(str, one)) for one in reversed(found)]


def test_the_newest_come_first(site: Site):
    expected = aged(site, 40)
    page = site.get("/v1/routes?order=newest")
    assert [row["prefix"] for row in page["routes"]] == expected
    assert (page["next"], page["total"]) == (None, 40)
    page = site.get("/v1/routes?order=newest&limit=7")
    assert [row["prefix"] for row in page["routes"]] == expected[:7]
    assert page["next"] is None
    page = site.get("/v1/routes?order=newest&limit=5&name=other.example.com")
    assert [row["prefix"] for row in page["routes"]] == expected[1:10:2]
    page = site.get(f"/v1/routes?order=newest&prefix={expected[9]}")
    assert [row["prefix"] for row in page["routes"]] == [expected[9]]
    # and without it the order is as ever
    ordered = [row["prefix"] for row in site.get("/v1/routes")["routes"]]
    assert ordered == sorted(expected, key=lambda text: int(text.rpartition(".")[2]))


def test_static_prefixes_have_no_age_and_come_last(tmp_path):
    with site_kit.running(tmp_path, more='prefixes = ["1.1.1.0/24", "9.9.9.9"]') as site:
        site.see([b"\2\2\2\2"])
        rows = site.get("/v1/routes?order=newest")["routes"]
        assert [row["prefix"] for row in rows] == ["2.2.2.2", "1.1.1.0/24", "9.9.9.9"]
        assert [row["static"] for row in rows] == [False, True, True]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("order=oldest", "order is `newest`"),
        ("order=newest&limit=1001", "from 1 to 1000 with order=newest"),
        ("order=newest&after=01010101", "of no use"),
    ],
)
def test_what_the_newest_can_not_have_is_refused(site: Site, query: str, words: str):
    status, found, _ = site.ask(f"/v1/routes?{query}")
    assert status == 400
    assert words in found["error"]
