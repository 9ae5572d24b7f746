"""The composition root: built from one configuration, revised by the next; a broken file changes nothing."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnstap_bgp.app import App
from dnstap_bgp.core.lists.switches import SwitchRequest
from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.tap.ingest import UnreadIngest
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.loader import compiled_dir
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.config_reader import load
from dnstap_bgp.workers.process.instance import Brake
from dnstap_bgp.workers.process.loop import Loop
from tests.commands.running import write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    more = '[[list]]\nname = "nets"\nprefixes = ["12.0.0.0/8"]'
    return write_config(tmp_path, top='cache = "state"', more=more)


@pytest.fixture
def app(config: Path) -> Iterator[App]:
    """All parts, built and not started: the end seems to have begun meanwhile."""
    stopping, crashed = threading.Event(), threading.Event()
    null = os.open(os.devnull, os.O_RDWR)
    settings, loop = load(config), Loop(crashed.set)
    settings.runtime_dir.mkdir()
    manager = ListManager(compiled_dir(settings), lambda _changed: None, loop)
    stopping.set()
    app = App(
        settings,
        Bgp(null, null, crashed.set, crashed.set),
        manager,
        loop,
        stopping=stopping,
        end=crashed.set,
        send=lambda _errand: None,
    )
    stopping.clear()
    yield app
    app.stop()
    os.close(null)
    assert not crashed.is_set()


def test_counts(app: App):
    assert app.counts() == {"rules": 1, "claims": 0, "routes": 0, "prefixes": 1}


def test_a_reload_brings_the_file_and_its_lists_into_force(app: App, config: Path):
    (config.parent / "domains.txt").write_text("example.com\nexample.org\n")
    seen = app.preview(config)
    assert seen.ok
    assert "list default: rules: 1 added, 0 withdrawn" in "\n".join(seen.messages)
    assert app.counts()["rules"] == 1, "a preview changes nothing"
    assert app.reload(config, force=False).ok
    assert app.counts()["rules"] == 2


@pytest.mark.parametrize(
    ("key", "broken"),
    [
        ("nonsense", "nonsense = 1\n"),
        ("dnstap.tls_cert", None),
        ("http.tls_cert", '[http]\nlisten = "127.0.0.1:1"\ntls_cert = "domains.txt"\ntls_key = "domains.txt"\n'),
        ("new.txt", '[[list]]\nname = "new"\nsources = ["new.txt"]\n'),
    ],
)
def test_a_broken_configuration_changes_nothing(app: App, config: Path, key: str, broken: str | None):
    before = app.config
    (config.parent / "domains.txt").write_text("example.com\nexample.org\n")
    text = config.read_text().replace("[log]", '[log]\nlevel = "debug"')
    if broken is None:
        (config.parent / "cert.pem").write_text("no certificate\n")
        text = re.sub("listen = .*", 'listen = ["127.0.0.1:1"]\ntls_cert = "cert.pem"', text, count=1)
    config.write_text(text + (broken or ""))
    for outcome in (app.preview(config), app.reload(config, force=False)):
        assert (outcome.ok, outcome.in_part) == (False, False)
        assert key in "\n".join(outcome.messages)
    assert app.counts()["rules"] == 1
    assert app.config is before


def test_a_list_that_gets_worse_keeps_its_rules_and_the_rest_is_done(app: App, config: Path):
    (config.parent / "domains.txt").write_text("")
    config.write_text(config.read_text() + "[guard]\nmax_routes = 77\n")
    seen = app.preview(config)
    assert (seen.ok, seen.in_part) == (False, True)
    assert "list default: no change" in seen.messages
    outcome = app.reload(config, force=False)
    assert (outcome.ok, outcome.in_part) == (False, True)
    assert "list default had 1 rule and is empty now" in outcome.messages[-1]
    assert app.config.guard.max_routes == 77
    assert app.counts()["rules"] == 1
    other = app.reload(config, force=frozenset({"nope"}))
    assert (other.ok, other.in_part) == (False, False)
    assert other.messages == ("there is no list 'nope'; there are: default, nets",)
    assert app.reload(config, force=frozenset({"default"})).ok
    assert app.counts()["rules"] == 0


def test_a_refused_reload_makes_no_list_known(app: App, config: Path):
    """Its routes wait for the URL, whatever is switched or changed after a reload that was refused."""
    fine = config.read_text() + '[[list]]\nname = "far"\nsources = ["http://127.0.0.1:9/list"]\n'
    config.write_text(fine)
    assert app.reload(config, force=False).ok
    now = process_clock()
    app._keeper.adopt([Claim(b"\x0c\xc8\x64\x07", "far", b"www.far.example", now, now, 3600.0)])
    config.write_text(fine + '[[list]]\nname = "new"\nsources = ["new.txt"]\n')
    assert not app.reload(config, force=False).ok
    app.switch_list(SwitchRequest("nets", enabled=False))
    assert app.counts()["routes"] == 1


def test_what_needs_a_restart_is_told_and_not_taken(app: App, config: Path):
    config.write_text(config.read_text().replace('"state"', '"elsewhere"'))
    outcome = app.reload(config, force=False)
    assert outcome.ok
    assert any("cache" in line and "restart" in line for line in outcome.messages), outcome.messages
    assert app.config.cache == config.parent / "state"


def test_the_doctor_may_crash(app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def look(_self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dnstap_bgp.workers.doctor.doctor.Doctor.look", look)
    app.examine()
    app.examine()
    assert caplog.text.count("the doctor has crashed") == 1


def test_the_brake_ends_with_its_time(app: App, config: Path):
    app._brake, app._brake_ends = Brake(deaths=4, until=5.0, pause_s=10.0), 1000.0
    assert app.reload(config, force=False).ok
    tap = app._tap
    assert isinstance(tap.ingest, UnreadIngest)
    assert [one.kind for one in app._findings()] == ["brake"]
    app.release_brake(999.0)
    assert isinstance(tap.ingest, UnreadIngest)
    app.release_brake(1000.0)
    assert not isinstance(tap.ingest, UnreadIngest)
    assert app._findings() == ()
    assert app.reload(config, force=False).ok
    assert not isinstance(tap.ingest, UnreadIngest)


def test_nobody_who_waits_for_the_restore_waits_for_a_revision(app: App, monkeypatch: pytest.MonkeyPatch):
    """It looks at all that is held, once the guard has learnt something while claims were coming back."""
    told, inspector = [], app._web.inspector

    def revise() -> int:
        told.append(inspector.restored)
        return 0

    monkeypatch.setattr(app._keeper, "revise", revise)
    app._is_revision_due = True
    app._start(threading.Event())
    assert told == [True]


def test_an_end_in_the_middle_of_a_preview_is_told(app: App, config: Path):
    app._keeper.stopping.set()
    outcome = app.preview(config)
    assert not outcome.ok
    assert outcome.messages[0].startswith("the plugin ends")


@pytest.mark.parametrize("step", ["recall", "resync"])
def test_an_end_in_the_middle_of_a_restore_is_heeded_there(app: App, monkeypatch: pytest.MonkeyPatch, step: str):
    """ExaBGP kills two seconds after it has asked for the end: by then what is held has to be saved."""
    stopping = threading.Event()

    def end(*_arguments: object) -> int:
        stopping.set()
        return 1

    assert app._store is not None
    monkeypatch.setattr(app._store if step == "recall" else app._keeper, step, end)
    monkeypatch.setattr(app._store, "save", lambda: pytest.fail("a snapshot would take all of the time that is left"))
    app._start(stopping)
    assert not app._web.inspector.restored
    assert (app._bgp.status() is None) == (step == "recall"), "nothing is said with a part of what was announced"
