"""Control API: what changes something is done over the control socket alone, and errors say why."""

import queue
import threading

import pytest

from dnstap_bgp.workers.process.mailbox import Errand, Outcome
from tests.integration.lab import eventually
from tests.workers.web.site_kit import Site

A = b"\1\1\1\1"


def test_forget_while_claims_come_back(site: Site):
    site.keeper.begin_restore()
    found = site.get("/v1/forget", method="POST", body={"target": "1.1.1.1"}, control=True)
    assert found["message"].startswith("1.1.1.1: no claim of it was back from the state file yet; for ")


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
        (
            "/v1/add",
            {"address": "1.1.1.1", "list": "l", "ttl": 60},
            "'ttl' is no key here; there are: address, list, ttl_s",
        ),
        ("/v1/add", {"address": "1.1.1.1", "list": "l", "\x1b[2J\n\xff": 1}, r"'\x1b[2J\n\xff' is no key here"),
        ("/v1/forget", {"target": "1.1.1.1", "a" * 3000: 1}, "'" + "a" * 60 + "' is no key"),
        ("/v1/save", {"force": True}, "'force' is no key here; there is none"),
        ("/v1/log-level", {"level": "info", "for": 1}, "'for' is no key"),
        ("/v1/hold", {"on": True, "off": False}, "'off' is no key"),
        ("/v1/reload", {"forced": True}, "'forced' is no key here; there are: force"),
        ("/v1/reload", {"force": "yes"}, "force is true, false or names"),
        ("/v1/diff", {"force": 1}, "force is true, false or names"),
        ("/v1/save", {}, "no `cache` is set"),
        ("/v1/log-level", {"level": "loud"}, "no level"),
        ("/v1/hold", {"on": "yes"}, "true or false"),
        ("/v1/hold", {"on": True}, "no [hold]"),
    ],
)
def test_what_can_not_be_steered_says_why(site: Site, path: str, body: object, words: str):
    status, found, _ = site.ask(path, method="POST", body=body, control=True)
    assert status == 400
    assert words in found["error"]
    assert not len(site.keeper.table)


@pytest.mark.parametrize(
    "path", ["/v1/forget", "/v1/add", "/v1/save", "/v1/log-level", "/v1/hold", "/v1/reload", "/v1/diff"]
)
def test_tcp_only_reads(site: Site, path: str):
    site.see([A])
    for method in ("POST", "PUT", "GET"):
        assert site.ask(path, method=method, body={"target": "1.1.1.1"})[0] == 404
    assert len(site.keeper.table) == 1


@pytest.mark.parametrize(("path", "kind"), [("/v1/reload", "reload"), ("/v1/diff", "diff")])
@pytest.mark.parametrize("force", [False, True])
def test_an_errand_is_the_main_thread_s_to_do(site: Site, path: str, kind: str, force: bool):
    errands: queue.Queue[Errand] = queue.Queue()
    site.server.inspector.send = errands.put

    def main_thread() -> None:
        errand = errands.get(timeout=20)
        assert (errand.kind, errand.force) == (kind, force)
        errand.outcome.set_result(Outcome(ok=not force, messages=("a", "b"), counts={"rules": 3}))

    thread = threading.Thread(target=main_thread)
    thread.start()
    found = site.get(path, method="POST", body={"force": force}, control=True)
    thread.join(20)
    assert found == {"ok": not force, "messages": ["a", "b"], "rules": 3}


def test_an_errand_whose_client_has_left_is_not_done(site: Site):
    errands: queue.Queue[Errand] = queue.Queue()
    site.server.inspector.send = errands.put
    with site.control() as sock:
        sock.sendall(b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        errand = errands.get(timeout=20)
        assert not errand.outcome.cancelled()
    eventually(errand.outcome.cancelled, 20, "that the client has left")
    assert not errand.outcome.set_running_or_notify_cancel()


def test_an_errand_that_nobody_takes_is_refused(site: Site):
    status, found, _ = site.ask("/v1/reload", method="POST", control=True)
    assert (status, found) == (400, {"error": "nobody is there to do it"})


def test_an_errand_that_crashes_is_told_as_a_fault_of_ours(site: Site):
    site.server.inspector.send = lambda errand: errand.outcome.set_exception(ZeroDivisionError())
    assert site.ask("/v1/diff", method="POST", control=True)[0] == 500
    assert site.get("/v1/status", control=True)["version"]
