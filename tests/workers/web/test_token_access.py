"""The token of [http]: what it opens, what stays shut, and what guessing costs."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from dnstap_bgp.config import load
from dnstap_bgp.errors import CommandError, ConfigError
from dnstap_bgp.workers.net.listeners import user_name
from dnstap_bgp.workers.process.mailbox import Errand, Outcome
from dnstap_bgp.workers.web import token_access
from dnstap_bgp.workers.web.middleware import ASKED
from tests.integration.lab import eventually
from tests.workers.web.site_kit import Site, running

TOKEN = "correct-horse-battery"  # noqa: S105 - of a test
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path, http=f'token = "{TOKEN}"', top='cache = "state"') as site:

        def done(errand: Errand) -> None:
            errand.outcome.set_result(Outcome(ok=True, messages=("done",)))

        site.server.inspector.send = done
        yield site


def post(site: Site, path: str, body: object, **headers: str) -> tuple[int, Any]:
    status, found, _ = site.ask(path, method="POST", body=body, control=False, **headers)
    return status, found


def audit(site: Site) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = site.get("/v1/audit", Authorization=f"Bearer {TOKEN}")["entries"]
    return entries


SWITCH = {"list": "l", "enabled": False}


def test_reading_needs_no_token(site: Site):
    assert site.get("/v1/status")["web"]["steering"] is True
    assert site.ask("/")[0] == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff\xfe"]
)
def test_without_the_right_token_nothing_is_changed(site: Site, header: str):
    headers = {"Authorization": header} if header else {}
    assert post(site, "/v1/lists/switch", SWITCH, **headers)[0] == 401
    time.sleep(token_access.FAILURE_S)  # what the wrong token costs its address, and nothing else is waited for
    assert audit(site) == []


STEERS = {
    "/v1/lists/switch": SWITCH,
    "/v1/lists/edit": {"list": "l", "add": ["a.example"]},
    "/v1/reload": {},
    "/v1/diff": {},
    "/v1/forget": {"target": "a.example"},
    "/v1/add": {"address": "1.1.1.1", "list": "l"},
}


def test_with_the_token_what_steers_is_open_and_nothing_else(site: Site):
    """All paths of the control socket are tried, also those of tomorrow."""
    assert site.get("/healthz", control=True) == "ok\n"
    app = site.server._app
    assert app is not None
    routes = app._app(app._limits(control=True), control=True).router.routes()
    paths = {route.resource.canonical for route in routes if route.method == "POST" and route.resource is not None}
    assert {"/v1/save", "/v1/log-level", "/v1/hold", "/v1/margin", *STEERS} <= paths
    for path in paths:
        assert post(site, path, STEERS.get(path, {}), **BEARER)[0] == (200 if path in STEERS else 404), path


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/lists/l/names"])
def test_what_names_people_needs_the_token(site: Site, path: str):
    assert site.ask(path)[0] == 401
    assert site.ask(path, Authorization=f"Bearer {TOKEN}")[0] in (200, 400)


def test_a_wrong_token_shuts_its_address_out_for_a_second(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(token_access, "FAILURE_S", 60.0)
    assert post(site, "/v1/lists/switch", SWITCH, Authorization="Bearer wrong")[0] == 401
    assert post(site, "/v1/lists/switch", SWITCH, **BEARER)[0] == 429, "the right one is not even looked at"
    assert site.get("/v1/status")["web"]["refused"]["token"] == 2


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
def test_who_gives_no_token_shuts_nobody_out(site: Site, method: str):
    """The attack: a page elsewhere has the browser ask, as often as it likes, of the address that has the token."""
    path = "/v1/audit" if method == "GET" else "/v1/lists/switch"
    for _ in range(3):
        assert site.ask(path, method=method, Origin="http://evil.example")[0] == 401
        assert site.ask(path, method=method, Authorization="Basic dXNlcjp3b3Jk")[0] == 401
        assert post(site, "/v1/lists/switch", SWITCH, **BEARER)[0] == 200


def test_a_page_at_another_port_changes_nothing_and_shuts_nobody_out(site: Site):
    for given in ({}, BEARER, {"Authorization": "Bearer wrong"}):
        assert post(site, "/v1/lists/switch", SWITCH, Sec_Fetch_Site="same-site", **given)[0] == 403
        status, _, _ = site.ask("/v1/lists/switch", method="OPTIONS", Sec_Fetch_Site="same-site")
        assert status == 403
    assert post(site, "/v1/lists/switch", SWITCH, **BEARER, Sec_Fetch_Site="same-origin")[0] == 200
    assert site.ask("/v1/status", Sec_Fetch_Site="same-site")[0] == 200


def test_pages_of_other_sites_get_nowhere_even_with_the_token(site: Site):
    assert post(site, "/v1/lists/switch", SWITCH, **BEARER, Sec_Fetch_Site="cross-site")[0] == 403
    assert post(site, "/v1/lists/switch", SWITCH, **BEARER, Host="evil.example")[0] == 421
    status, _, response = site.ask("/v1/lists/switch", method="OPTIONS", Origin="http://evil.example")
    assert status in (401, 405)
    assert "Access-Control-Allow-Origin" not in response.headers


def test_each_change_and_each_refused_try_is_noted(site: Site, tmp_path: Path):
    post(site, "/v1/lists/switch", SWITCH, **BEARER)
    post(site, "/v1/lists/edit", {"list": "l", "add": ["a b"]}, **BEARER)
    post(site, "/v1/lists/edit", {"list": "l", "add": ["a.example"], "preview": True}, **BEARER)
    post(site, "/v1/diff", {}, **BEARER)
    site.ask("/v1/forget", method="POST", body={"target": "\x1b[2J.example"}, control=True)
    eventually(lambda: len(audit(site)) == 3, 5, "three entries")
    forgotten, refused, switched = audit(site)
    assert (switched["who"], switched["what"], switched["outcome"]) == (
        "token at 127.0.0.1",
        "/v1/lists/switch",
        "done",
    )
    assert "a b" in refused["outcome"]
    assert forgotten["who"] not in ("", "token at 127.0.0.1")
    content = (tmp_path / "state.audit").read_bytes()
    assert b"\x1b" not in content
    assert TOKEN.encode() not in content


@pytest.mark.parametrize("path", ["/v1/lists/switch", "/v1/lists/edit", "/v1/reload"])
@pytest.mark.parametrize("is_control", [False, True])
def test_a_change_is_noted_whose_client_does_not_wait_for_it(site: Site, path: str, *, is_control: bool):
    """The attack: who has the token leaves no trace, as the errand that is begun is done all the same."""
    errands: list[Errand] = []

    def begin(errand: Errand) -> None:
        assert errand.outcome.set_running_or_notify_cancel()
        errands.append(errand)

    site.server.inspector.send = begin
    body = json.dumps(STEERS[path]).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}"
    with site.control() if is_control else site.tcp() as sock:
        sock.sendall(head.encode() + b"\r\n\r\n" + body)
        eventually(lambda: errands, 10, "the main thread has begun")
    entries = eventually(lambda: audit(site), 10, "an entry")
    assert isinstance(entries, list)
    assert (entries[0]["what"], entries[0]["outcome"]) == (path, token_access.LEFT)
    assert entries[0]["who"] == (user_name(os.geteuid()) if is_control else "token at 127.0.0.1")
    assert json.loads(entries[0]["asked"]) == STEERS[path]
    errands[0].outcome.set_result(Outcome(ok=True, messages=("done",)))


@pytest.mark.parametrize("fault", [RuntimeError("planted"), OSError("planted")])
def test_a_change_that_fails_by_a_fault_of_ours_is_noted(site: Site, fault: Exception):
    site.server.inspector.send = lambda errand: errand.outcome.set_exception(fault)
    assert post(site, "/v1/lists/switch", SWITCH, **BEARER)[0] == 500
    [entry] = eventually(lambda: audit(site), 10, "an entry")
    assert entry["outcome"] == f"a fault of ours: {type(fault).__name__}"


def test_no_word_in_a_body_hides_a_try(site: Site):
    post(site, "/v1/forget", {"target": "a.example", "preview": True}, **BEARER)
    [entry] = eventually(lambda: audit(site), 10, "an entry")
    assert entry["what"] == "/v1/forget"


def test_the_table_needs_tls_beyond_loopback(tmp_path: Path):
    config = (
        '{top}[dnstap]\nlisten="./t"\n[bgp]\nnext_hop="192.0.2.1"\n[[list]]\nname="l"\nprefixes="12.0.0.0/8"\n[http]\n'
    )
    (tmp_path / "d.toml").write_text(config.format(top="") + f'listen = "192.0.2.9:80"\ntoken = "{TOKEN}"\n')
    with pytest.raises(ConfigError, match=r"http: token needs tls_cert and tls_key beyond loopback: on 192.0.2.9:80"):
        load(tmp_path / "d.toml")
    (tmp_path / "d.toml").write_text(config.format(top="") + 'token = "short"\n')
    with pytest.raises(ConfigError, match="16 to 256"):
        load(tmp_path / "d.toml")


def test_a_measurement_is_noted_by_its_beginning_and_end():
    noted: list[tuple[object, str]] = []

    async def handler(request: web.Request) -> web.Response:
        request[ASKED] = await request.json()
        if request[ASKED].get("fails"):
            raise CommandError("no")
        return web.Response()

    async def ask() -> None:
        middleware = token_access.audited(lambda _, __, asked, outcome: noted.append((asked, outcome)), lambda _: "me")
        app = web.Application(middlewares=[middleware])
        app.router.add_post("/v1/margin", handler)
        async with TestClient(TestServer(app)) as client:
            for step in ("begin", "choose", "announce", "withdraw", "end"):
                await client.post("/v1/margin", json={"step": step})
            await client.post("/v1/margin", json={"step": "announce", "fails": True})

    asyncio.run(ask())
    assert noted == [
        ({"step": "begin"}, "done"),
        ({"step": "end"}, "done"),
        ({"step": "announce", "fails": True}, "no"),
    ]
