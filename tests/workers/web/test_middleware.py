"""Middlewares: names of ours, other sites' pages, security headers, errors as JSON."""

import re

import pytest

from dnstap_bgp.workers.web.middleware import is_own_name
from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site, refused, say

A = b"\1\1\1\1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(site: Site, method: str):
    status, found, response = site.ask("/v1/status", method=method)
    assert (status, response.headers["Allow"]) == (405, "GET,HEAD")
    assert found["error"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8179",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8179",
        "192.0.2.5",
        "box.lan:80",
    ],
)
def test_own_names(host: str):
    assert is_own_name(host, frozenset({"localhost", "box.lan"}))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example:8179",
        "127.0.0.1.evil.example",
        "::1",
        "[::1",
        "[]",
        "[evil]",
        "[127.0.0.1]",
        "localhost:x",
        "localhost:-1",
        "localhost:1:2",
        "localhost:123456",
        "127.1",
        "0x7f000001",
        "2130706433",
        "user@localhost",
        "localhost/",
        "local\u200bhost",
        "[::1]x",
        "[::1]:\u00b2",
    ],
)
def test_other_names(host: str):
    assert not is_own_name(host, frozenset({"localhost", "box.lan"}))


@pytest.mark.parametrize("path", ["/", "/v1/status", "/v1/routes", "/metrics", "/v1/events", "/nothing"])
def test_a_page_that_has_its_own_name_point_here_learns_nothing(site: Site, path: str):
    status, found, _ = site.ask(path, Host="rebound.example:8179")
    assert status == 421
    assert "hosts" in found["error"]
    assert refused(site) == {"host": 1}


def test_configured_names_are_ours(tmp_path):
    with site_kit.running(tmp_path, http='hosts = ["routes.example"]') as site:
        assert site.get("/healthz", Host="routes.example") == "ok\n"
        assert site.ask("/healthz", Host="other.example")[0] == 421


def test_a_request_without_or_with_two_hosts(site: Site):
    none = say(site, b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b" 400 " in none or b" 421 " in none
    two = say(site, b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert b" 400 " in two or b" 421 " in two
    absolute = say(
        site, b"GET http://evil.example/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    assert b" 421 " in absolute


def test_other_sites_may_not_ask(site: Site):
    assert site.ask("/v1/status", Sec_Fetch_Site="cross-site")[0] == 403
    assert site.ask("/v1/status", Sec_Fetch_Site="same-origin")[0] == 200
    _, _, response = site.ask("/v1/status", Origin="https://evil.example")
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_every_answer_has_the_headers_that_keep_browsers_safe(site: Site):
    for path in ("/v1/status", "/v1/routes", "/metrics", "/nothing", "/v1/why/a%20b"):
        headers = site.ask(path)[2].headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "dnstap-bgp"


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/9.9", b"G\0T / HTTP/1.1", b"\x16\x03\x01\x02\0\1", b"GET / HTTP/1.1\r\nA" + b"b" * 70_000],
)
def test_what_is_no_request_is_told_no_version(site: Site, request_line: bytes):
    answer = say(site, request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.")
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert not re.search(rb"aiohttp|python|[0-9]+\.[0-9]+\.[0-9]+", answer, re.IGNORECASE)
