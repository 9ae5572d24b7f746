"""The client of the control socket."""

from pathlib import Path

import pytest

from dnstap_bgp.commands import control
from dnstap_bgp.commands.control import Control
from dnstap_bgp.errors import OlderPluginError
from tests.commands.asking_kit import Asked
from tests.commands.running import cli, up, write_config


def test_nobody_there(tmp_path: Path):
    config = write_config(tmp_path)
    for words in (["status"], ["status", "--check"], ["routes"], ["why", "192.0.2.1"], ["watch"], ["save"]):
        done = cli(*words, "--config", str(config))
        assert done.returncode == 2, words
        assert str(tmp_path / "run" / "control.sock") in done.stderr


def test_the_plugins_part_of_a_reload_by_the_control_socket(asked: Asked):
    control = Control(asked.instance.config)
    found = control.post("/v1/reload", {})
    assert found["ok"]
    assert found["rules"] == 3
    domains = asked.instance.folder / "domains.txt"
    before = domains.read_text()
    domains.write_text("")
    try:
        found = control.post("/v1/diff", {})
        assert (found["ok"], list(found)) == (False, ["ok", "in_part", "messages"])
        assert "list default" in found["messages"][0]
        assert not control.post("/v1/reload", {})["ok"]
        assert "would leave something as it is" in asked.run("diff").stderr
        assert "default: rules: 0 added, 1 withdrawn" in asked.text("diff", "--force")
    finally:
        domains.write_text(before)
    assert control.post("/v1/reload", {"force": True})["ok"]
    with pytest.raises(OlderPluginError, match="/v1/unheard-of"):
        control.post("/v1/unheard-of", {})


def test_a_socket_with_a_long_path(tmp_path: Path):
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    folder.mkdir(parents=True)
    short = tmp_path / "tap.sock"
    config = write_config(folder)
    config.write_text(config.read_text().replace('"./dnstap.sock"', f'"{short}"'))
    with up(config) as found:
        Asked(found).until(lambda: Asked(found).run("status").returncode == 0, "an answer")


def test_a_user_finds_the_service_whose_default_folder_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config, mine, service = tmp_path / "dnstap-bgp.toml", tmp_path / "mine", tmp_path / "service"
    config.write_text('domains = "d"\n[dnstap]\nlisten = "tap.sock"\n[bgp]\nnext_hop = "192.0.2.254"\n')
    (mine / "dnstap-bgp").mkdir(parents=True)
    service.mkdir()
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(mine))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(control, "SYSTEM_RUNTIME_DIR", service)
    of_service, of_mine = service / "control.sock", mine / "dnstap-bgp/control.sock"
    of_service.touch()
    assert control._socket(config) == of_mine, "a file of one's own"
    monkeypatch.setattr(control, "DEFAULT_PATH", config)
    assert control._socket(config) == of_service
    of_mine.touch()
    assert control._socket(config) == of_mine, "where that runs"
    of_mine.unlink()
    config.write_text(f'runtime_dir = "{tmp_path}"\n' + config.read_text())
    assert control._socket(config) == tmp_path / "control.sock", "a folder that the file names"


def test_a_spoilt_file_is_told_and_the_plugin_is_asked_all_the_same(asked: Asked):
    config = asked.instance.config
    before = config.read_text()
    config.write_text(before + "nonsense = 1\n")
    try:
        done = asked.run("routes")
        assert (done.returncode, "203.0.113.7" in done.stdout) == (0, True)
        assert "warning: " in done.stderr
        assert "nonsense" in done.stderr
        config.write_text("a = b\n")
        assert (asked.run("routes").returncode, asked.run("routes").stdout) == (1, "")
    finally:
        config.write_text(before)
