"""HTTP application: health, status and rates over control socket and [http], and paths that lead nowhere."""

import re

import pytest

from tests.workers.web.site_kit import Site, say

A = b"\1\1\1\1"


def test_alive_and_not_ready(site: Site):
    assert site.get("/healthz") == "ok\n"
    status, text, _ = site.ask("/readyz")
    assert status == 503
    assert text.split() == ["lists", "state", "exabgp"]
    site.server.restored()
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
    site.see([A])
    site.server.inspector.sample(0.0)
    site.see([b"\1\1\1\2"])  # perhaps from the state file
    site.server.restored()
    site.server.inspector.sample(10.0)
    site.server.inspector.sample(20.0)
    samples = site.get("/v1/rates")["samples"]
    assert samples["frames"] == [0.0]
    assert samples["routes"] == [2]
    assert samples["learnt"] == [0.0], "what was there at the start isn't learnt"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/v1/../healthz",
        "/v1//status",
        "/v1/status/",
        "/v1/why/",
        "/v1/why/a/b",
        "/static/x",
        "/v1/forget",
        "/.git/config",
        "/v1/status;x",
        "/V1/STATUS",
    ],
)
def test_path_tricks_lead_nowhere(site: Site, path: str):
    answer = say(site, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1\.1 (404|400|200) ", answer)
    assert b"root:" not in answer
    if b" 200 " in answer[:20]:  # the parser may resolve dots: then it is the very path that they lead to
        assert b"ok" in answer
