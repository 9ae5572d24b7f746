"""The filter's file: there for the group while it is true, and gone when nothing can be ruled out."""

import os
import stat

import pytest

from dnstap_bgp.core.hold.name_filter import pack
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.workers.hold import filter_file
from dnstap_bgp.workers.hold.filter_file import renew_filter
from tests.workers.hold.hold_kit import PLAIN, RULES, config

OTHERS = RuleSet.build([("default", [Rule(b"other.test")])])


def test_it_is_written_and_follows_the_rules(tmp_path):
    path = tmp_path / "hold.filter"
    renew_filter(config(tmp_path, PLAIN), RULES)
    first = path.read_bytes()
    assert first == pack(RULES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    renew_filter(config(tmp_path, PLAIN), OTHERS)
    assert path.read_bytes() == pack(OTHERS)
    assert path.read_bytes()[:24] != first[:24], "a hook looks at these bytes alone"


@pytest.mark.parametrize(("hold", "rules"), [("", RULES), (PLAIN, None)])
def test_it_is_gone_where_nothing_is_read(tmp_path, hold, rules):
    renew_filter(config(tmp_path, PLAIN), RULES)
    renew_filter(config(tmp_path, hold), rules)
    assert not (tmp_path / "hold.filter").exists()
    renew_filter(config(tmp_path, hold), rules)


def test_one_that_can_not_be_written_is_removed(tmp_path, monkeypatch, caplog):
    renew_filter(config(tmp_path, PLAIN), RULES)

    def fail(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(filter_file, "write_atomically", fail)
    renew_filter(config(tmp_path, PLAIN), OTHERS)
    assert not (tmp_path / "hold.filter").exists()
    assert "No space left" in caplog.text


def test_a_group_that_is_not_there_costs_the_filter_alone(tmp_path, caplog):
    renew_filter(config(tmp_path, PLAIN + '\ngroup = "no-such-group"'), RULES)
    assert not (tmp_path / "hold.filter").exists()
    assert "hooks ask for every name" in caplog.text
