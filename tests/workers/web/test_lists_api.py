"""Requests that steer lists: what is taken, who is named, and what is refused before anything is asked for."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.core.lists.managed import Edit, EditRequest, make_edit
from dnstap_bgp.core.lists.switches import SwitchRequest
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.lists.steering import edit_managed
from dnstap_bgp.workers.process.mailbox import Errand, Outcome
from tests.workers.web.site_kit import Site, running

MANAGED = '[[list]]\nname = "mine"\nmanaged = true\n'


class Main:
    """The main thread's side: notes errands and answers them."""

    def __init__(self) -> None:
        self.errands: list[Errand] = []
        self.error: CommandError | None = None

    def send(self, errand: Errand) -> None:
        self.errands.append(errand)
        if self.error is not None:
            errand.outcome.set_exception(self.error)
        else:
            errand.outcome.set_result(Outcome(ok=True, messages=("done",), counts={"rules": 3}))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as site:
        yield site


@pytest.fixture
def main(site: Site) -> Main:
    main = Main()
    site.server.inspector.send = main.send
    return main


def post(site: Site, path: str, body: object) -> tuple[int, Any]:
    status, found, _ = site.ask(path, method="POST", body=body, control=True)
    return status, found


def test_a_switch_names_who_asks(site: Site, main: Main):
    status, found = post(site, "/v1/lists/switch", {"list": "l", "enabled": False, "for_s": 90})
    assert (status, found) == (200, {"ok": True, "messages": ["done"], "rules": 3})
    [errand] = main.errands
    assert (errand.kind, errand.change) == ("switch", SwitchRequest("l", False, 90, getpass.getuser()))


def test_an_edit_is_checked_and_named(site: Site, main: Main):
    body = {"list": "l", "add": ["A.example."], "remove": ["=b.example"], "comment": "why", "preview": True}
    assert post(site, "/v1/lists/edit", body)[0] == 200
    edit = Edit(("a.example",), ("=b.example",), getpass.getuser(), "why")
    assert main.errands[0].change == EditRequest("l", edit, True)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("switch", {"list": "l"}, "enabled is true or false"),
        ("switch", {"list": "l", "enabled": 1}, "enabled is true or false"),
        ("switch", {"enabled": True}, "list is missing"),
        ("switch", {"list": "l", "enabled": True, "for": 3}, "'for' is no key here"),
        ("switch", {"list": "l", "enabled": True, "for_s": True}, "number of seconds"),
        ("switch", {"list": "l", "enabled": True, "for_s": 1e300}, "ten years"),
        ("switch", {"list": "l", "enabled": True, "for_s": 10**400}, "ten years"),
        ("switch", {"list": "l", "enabled": True, "for_s": float("nan")}, "ten years"),
        ("switch", {"list": "l", "enabled": True, "for_s": 0}, "from 1 s"),
        ("edit", {"list": "l"}, "no name"),
        ("edit", {"list": "l", "add": "a.example"}, "a list of names"),
        ("edit", {"list": "l", "add": [1]}, "a list of names"),
        ("edit", {"list": "l", "add": ["a b"]}, "a b"),
        ("edit", {"list": "l", "add": ["a.example"], "comment": "x\ny"}, "one line"),
        ("edit", {"list": "l", "add": ["a.example"], "preview": "yes"}, "true or false"),
        ("edit", {"list": "l", "ad": ["a.example"]}, "'ad' is no key here"),
    ],
)
def test_what_is_refused_asks_nobody(site: Site, main: Main, path: str, body: object, said: str):
    status, found = post(site, f"/v1/lists/{path}", body)
    assert status == 400
    assert said in found["error"]
    assert main.errands == []


def test_what_the_main_thread_refuses_is_told(site: Site, main: Main):
    main.error = CommandError("there is no list 'nope'; there are: l")
    status, found = post(site, "/v1/lists/switch", {"list": "nope", "enabled": True})
    assert (status, found) == (400, {"error": "there is no list 'nope'; there are: l"})


def test_http_without_a_token_steers_nothing(site: Site, main: Main):
    status, _, _ = site.ask("/v1/lists/switch", method="POST", body={"list": "l", "enabled": True})
    assert status == 404
    assert main.errands == []


def test_the_names_of_a_managed_list(tmp_path: Path):
    with running(tmp_path, MANAGED, top='cache = "state"') as site:
        assert site.get("/v1/lists/mine/names", control=True) == {"list": "mine", "names": []}
        edit_managed(tmp_path / "state.managed" / "mine", make_edit(["a.example"], [], "alice", "why"))
        [name] = site.get("/v1/lists/mine/names", control=True)["names"]
        assert (name["rule"], name["who"], name["comment"]) == ("a.example", "alice", "why")
        status, found, _ = site.ask("/v1/lists/l/names", control=True)
        assert (status, found["error"]) == (400, "there is no managed list 'l'; there are: mine")
