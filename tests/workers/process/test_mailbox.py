"""Errands from outside: files with the names and formats of 0.1.0, each request taken once, each answer its own."""

import json
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from dnstap_bgp.errors import UnreachableError
from dnstap_bgp.workers.process import mailbox
from dnstap_bgp.workers.process.mailbox import (
    DIFF_PLUGIN,
    RELOAD_PLUGIN,
    RELOAD_UP,
    Errand,
    Mailbox,
    Outcome,
    Request,
)


def test_a_request_is_there_while_its_sender_waits(tmp_path: Path):
    box = Mailbox(tmp_path, RELOAD_PLUGIN)
    assert box.take() is None
    with mailbox.posted(tmp_path, RELOAD_PLUGIN, force=True) as request:
        assert json.loads((tmp_path / "reload.request").read_bytes()) == {"id": request, "force": True}
        assert Mailbox(tmp_path, RELOAD_UP).take() == Request(request, force=True), "both read the same"
        assert box.take() == Request(request, force=True)
        assert box.take() == Request(request, force=True), "until it is answered"
    assert box.take() is None


def test_a_request_is_answered_once_however_often_the_signal_comes(tmp_path: Path):
    box = Mailbox(tmp_path, DIFF_PLUGIN)
    with mailbox.posted(tmp_path, DIFF_PLUGIN, force=False):
        request = box.take()
        assert request is not None
        box.answer(request, Outcome(True, ()))
        assert box.take() is None
    with mailbox.posted(tmp_path, DIFF_PLUGIN, force=False):
        assert box.take() is not None


def test_each_sender_gets_its_own_answer(tmp_path: Path):
    box = Mailbox(tmp_path, RELOAD_PLUGIN)
    box.answer(Request("an earlier one", force=False), Outcome(True, ("old",)))
    with pytest.raises(UnreachableError, match=r"reload\.result"):
        mailbox.await_answer(tmp_path, RELOAD_PLUGIN, "mine", 0.1)
    late = threading.Timer(
        0.1,
        Mailbox(tmp_path, RELOAD_PLUGIN).answer,
        (Request("mine", force=False), Outcome(False, ("a",), {"rules": 2})),
    )
    late.start()
    found = mailbox.await_answer(tmp_path, RELOAD_PLUGIN, "mine", 20)
    late.join()
    assert found == {"id": "mine", "ok": False, "messages": ["a"], "rules": 2}
    assert (tmp_path / "reload.result").stat().st_mode & 0o777 == 0o644, "whoever may ask may read"


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}", b"null", b'{"id": 1}' * 2, b"[" * 100_000])
def test_what_is_no_request_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes):
    (tmp_path / "reload.request").write_bytes(text)
    assert Mailbox(tmp_path, RELOAD_PLUGIN).take() is None
    assert "can't be read" in caplog.text


def test_a_folder_that_is_gone_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    Mailbox(tmp_path / "gone", RELOAD_PLUGIN).answer(Request("x", force=False), Outcome(True, ()))
    assert "can't be answered" in caplog.text


def test_what_an_earlier_instance_left_is_cleared(tmp_path: Path):
    for name in ("reload.request", "reload.result", "up.result"):
        (tmp_path / name).write_text("{}")
    for box in (RELOAD_UP, RELOAD_PLUGIN):
        Mailbox(tmp_path, box).clear()
    assert list(tmp_path.iterdir()) == []


def test_an_errand_that_nobody_waits_for_can_be_told():
    errand = Errand("diff", force=False)
    assert isinstance(errand.outcome, Future)
    assert errand.outcome.cancel()
    assert not errand.outcome.set_running_or_notify_cancel()
