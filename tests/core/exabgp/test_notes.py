"""Notes for the log: each kind of thing at a bounded rate."""

import logging

from dnstap_bgp.core.exabgp.notes import Level, Note, Notes


def test_one_kind_is_noted_once_a_minute():
    notes = Notes()
    for now in (0.0, 1.0, 59.5, 60.0):
        notes.say("silent", now, Level.WARNING, f"at {now}")
    assert notes.take() == [Note(Level.WARNING, "at 0.0"), Note(Level.WARNING, "at 60.0")]


def test_kinds_do_not_hold_each_other_back_and_are_given_once():
    notes = Notes()
    assert not notes.waiting
    notes.say("silent", 0.0, Level.ERROR, "one")
    notes.say("refused", 0.0, Level.INFO, "other")
    assert notes.waiting
    assert [note.text for note in notes.take()] == ["one", "other"]
    assert notes.take() == []
    assert not notes.waiting


def test_levels_are_those_of_logging():
    assert {level.name: level.value for level in Level} == {
        name: logging.getLevelName(name) for name in ("INFO", "WARNING", "ERROR")
    }
