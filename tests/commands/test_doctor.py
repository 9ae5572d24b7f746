"""`doctor` without a plugin: what can be seen in files."""

import json
import os
import pwd

import pytest

from dnstap_bgp.commands import doctor
from dnstap_bgp.core.status.report import Finding
from dnstap_bgp.workers.doctor import reach
from dnstap_bgp.workers.process import instance
from tests.commands.running import cli, write_config
from tests.integration.lab import eventually
from tests.test_plugin import plugin

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that everybody may pass, on a system without resolvers."""
    monkeypatch.setattr(reach, "RESOLVER_USERS", ())
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == pwd.getpwuid(os.geteuid()).pw_name and path.stat().st_mode & 0o7777 == 0o700:
            path.chmod(0o711)
    return tmp_path


def kinds(report):
    return {finding.kind: finding for finding in report.findings}


def test_nothing_is_wrong(folder):
    report = doctor.run(write_config(folder, top='cache = "state"'))
    assert report.findings == ()
    assert report.exit_status == 0
    lines = list(report.lines())
    assert lines[0].startswith("looked at")
    assert "no plugin is running" in lines[2]
    assert lines[-1] == "nothing is wrong that can be seen from here"


def test_an_up_whose_plugin_has_not_opened_its_socket(folder, monkeypatch):
    config = write_config(folder)
    monkeypatch.setattr(instance, "holder", lambda path: 4711 if path == folder / "run/up.pid" else None)
    assert "nobody listens on" in doctor.run(config).looked[-1]
    assert "`up` runs (pid 4711)" in doctor.run(config).looked[-1]


def test_what_is_missing_in_the_first_minute():
    report = doctor.DoctorReport((), ("looked at it",), ("no BGP session is up",))
    assert list(report.lines())[-1] == "nothing is wrong so far: no BGP session is up; ask again in a minute"
    assert (report.exit_status, report.to_json()["missing"]) == (0, ("no BGP session is up",))
    finding = Finding("warning", "neighbor-down", "it has been down for 2 min")
    assert list(doctor.DoctorReport((finding,), (), ("no BGP session is up",)).lines())[-1].startswith("warning: ")


def test_what_check_says(folder):
    config = write_config(folder, top="dry_run = true", more="nonsense = 1")
    report = doctor.run(config)
    assert "nonsense" in kinds(report)["config"].text
    assert report.exit_status == 1
    assert any(line.startswith("error: ") and "nonsense" in line for line in report.lines())


@needs_root
def test_a_resolver_that_will_not_reach_the_socket(folder, monkeypatch):
    monkeypatch.setattr(reach, "RESOLVER_USERS", ("nobody",))
    config = write_config(folder)
    finding = kinds(doctor.run(config))["socket-permissions"]
    assert finding.text.startswith(f"nobody can't connect to {folder}/dnstap.sock: {folder}/dnstap.sock has mode 0660")
    assert "dnstap.group" in finding.advice
    group = "nogroup"
    config.write_text(config.read_text().replace("[dnstap]", f'[dnstap]\ngroup = "{group}"'))
    assert "socket-permissions" not in kinds(doctor.run(config))
    folder.chmod(0o700)
    finding = kinds(doctor.run(config))["socket-permissions"]
    assert f"chmod o+x {folder}" in finding.advice


@needs_root
def test_one_resolver_of_several_is_enough(folder, monkeypatch):
    monkeypatch.setattr(reach, "RESOLVER_USERS", ("nobody", "root"))
    report = doctor.run(write_config(folder, top='cache = "state"'))
    assert [finding.level for finding in report.findings] == ["note"]
    assert report.exit_status == 0


@needs_root
def test_folders_that_the_plugin_can_not_write_to(folder):
    cache = folder / "state"
    cache.mkdir(mode=0o755)
    config = write_config(folder, top=f'cache = "{cache}/state.msgpack"', more='[process]\nuser = "nobody"')
    finding = kinds(doctor.run(config))["folder"]
    assert finding.text == f"cache: nobody can't write to {cache}"
    cache.chmod(0o777)
    assert "folder" not in kinds(doctor.run(config))


def test_a_file_where_a_folder_should_be(folder):
    (folder / "run").write_text("")
    assert "is no folder" in kinds(doctor.run(write_config(folder)))["folder"].text


def test_a_socket_in_a_folder_that_is_not_there(folder):
    config = write_config(folder)
    config.write_text(config.read_text().replace("./dnstap.sock", "./gone/dnstap.sock"))
    assert kinds(doctor.run(config))["socket-folder"].level == "note"


def test_the_command(folder):
    config = write_config(folder, more="nonsense = 1")
    done = cli("doctor", "--json", "--config", str(config))
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["findings"]
    assert {"level", "kind", "text", "advice", "subject"} == set(found[0])


def test_the_running_plugin_is_asked(folder):
    config = write_config(folder)
    with plugin(config):
        asked = eventually(lambda: [line for line in doctor.run(config).looked if "asked the plugin" in line], 20, "it")
        assert asked
        assert doctor.run(config).missing[0] == "no DNSTap sender is connected"
        found = eventually(lambda: kinds(doctor.run(config)).get("no-state-file"), 20, "its first look")
        assert found is not None
        assert found.level == "note"
