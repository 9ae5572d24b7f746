"""The settings as values: frozen, comparable, without secrets in their text; what a reload can't change."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from dnstap_bgp.config import default_runtime_dir, parse
from dnstap_bgp.config.policies import list_policies


def config(top="", bgp="", dnstap="", rest=""):
    text = f'domains = "x"\n{top}\n[dnstap]\nlisten = "/x"\n{dnstap}\n[bgp]\n{bgp}\n{rest}'
    return parse(text.encode(), Path("/etc/d/d.toml"))


def test_a_configuration_does_not_change():
    one = config(bgp='next_hop = "192.0.2.1"')
    with pytest.raises(FrozenInstanceError):
        one.ttl = 5.0
    assert one == config(bgp='next_hop = "192.0.2.1"')
    assert hash(one) == hash(config(bgp='next_hop = "192.0.2.1"'))


class TestRestart:
    ONE = config(bgp='next_hop = "192.0.2.1"')
    OTHER = config(
        top='runtime_dir = "/r"\ncache = "c"\nttl = "1h"',
        bgp='next_hop = "192.0.2.2"',
        rest='[process]\nuser = "bgp"\nnetns = "dtap"',
    )

    def test_keys_that_differ(self):
        assert self.ONE.restart_keys(self.ONE) == []
        assert self.ONE.restart_keys(self.OTHER) == ["runtime_dir", "pidfile", "cache", "process.user", "process.netns"]

    def test_keep_their_value(self):
        kept = self.OTHER.keeping(self.ONE)
        assert kept.restart_keys(self.ONE) == []
        assert kept.ttl == 3600
        assert list_policies(kept) == list_policies(self.OTHER)


class TestRuntimeDir:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch):
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr("os.geteuid", lambda: 1000)

    def test_given_by_systemd(self, monkeypatch):
        monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
        assert default_runtime_dir() == Path("/run/a")
        found = config(bgp='next_hop = "192.0.2.1"')
        assert (found.runtime_dir, found.pidfile) == (Path("/run/a"), Path("/run/a/dnstap-bgp.pid"))

    def test_of_root(self, monkeypatch):
        monkeypatch.setattr("os.geteuid", lambda: 0)
        assert default_runtime_dir() == Path("/run/dnstap-bgp")

    def test_of_a_user(self, monkeypatch):
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
        assert default_runtime_dir() == Path("/run/user/1000/dnstap-bgp")

    def test_of_nobody_in_particular(self, monkeypatch, tmp_path):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert default_runtime_dir() == tmp_path / "dnstap-bgp-1000"

    def test_of_the_file(self):
        found = config(top='runtime_dir = "run"', bgp='next_hop = "192.0.2.1"')
        assert (found.runtime_dir, found.pidfile) == (Path("/etc/d/run"), Path("/etc/d/run/dnstap-bgp.pid"))
        found = config(top='pidfile = "/run/x.pid"', bgp='next_hop = "192.0.2.1"')
        assert found.pidfile == Path("/run/x.pid")


def test_secrets_are_in_no_text():
    rest = '[syncer]\ntoken = "0123456789abcdef"\n'
    found = config(bgp='next_hop = "192.0.2.1"\npeers = [{ address = "192.0.2.2", password = "hunter2" }]', rest=rest)
    assert found.bgp.neighbors[0].password == "hunter2"  # noqa: S105 - a test's
    assert "hunter2" not in repr(found)
    assert "0123456789abcdef" not in repr(found)
