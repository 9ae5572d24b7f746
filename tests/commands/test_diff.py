"""`dnstap-bgp diff` against a plugin that is not there, and one that answers."""

import json
import signal
from pathlib import Path

import pytest

from dnstap_bgp.commands import diff
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process import instance
from dnstap_bgp.workers.process.mailbox import DIFF_PLUGIN, Mailbox, Outcome
from tests.commands.running import cli, write_config


def test_nothing_runs(tmp_path: Path):
    done = cli("diff", "--json", "--config", str(write_config(tmp_path)))
    assert done.returncode == 2
    assert "no plugin is running" in done.stderr
    assert "dnstap-bgp check" in done.stderr


@pytest.mark.parametrize("ok", [True, False])
def test_the_answer_of_a_plugin_without_a_control_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ok: bool):
    config = write_config(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        mailbox = Mailbox(folder, DIFF_PLUGIN)
        request = mailbox.take()
        assert request is not None
        mailbox.answer(request, Outcome(ok, ("list a: no change",)))

    monkeypatch.setattr(instance, "holder", lambda _: 12345)
    monkeypatch.setattr("os.kill", kill)
    if ok:
        assert diff.run(config) == ["list a: no change"]
    else:
        with pytest.raises(CommandError, match=r"would fail[^\0]*list a"):
            diff.run(config)
    assert sent == [(12345, signal.SIGUSR1)]  # which alone has a plugin log its counts, and no more
    assert not (folder / "diff.request").exists()


def test_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = write_config(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "diff.result").write_text(json.dumps({"id": "an earlier one", "ok": True}))
    monkeypatch.setattr(instance, "holder", lambda _: 12345)
    monkeypatch.setattr("os.kill", lambda _pid, _number: None)
    with pytest.raises(CommandError, match="no answer"):
        diff.run(config, timeout_s=0.2)
