"""Replay of all corpora: each input passes its target, and together they reach what was reached when they were made.

No fuzzer is needed for that; `python -m tests.fuzz` makes them.
"""

from contextlib import nullcontext

import pytest

from dnstap_bgp.core.lists.formats import FORMATS
from tests.fuzz import list_kit, targets

NAMES = targets.names()


def test_there_are_targets():
    assert "framestream" in NAMES
    assert {path.name for path in targets.CORPORA.iterdir()} == set(NAMES)


def test_each_format_of_lists_is_a_target_with_an_independent_reader():
    assert {f"list_{form.replace('-', '_')}" for form in FORMATS} <= set(NAMES)
    assert FORMATS.keys() - list_kit.ORACLES == {"rpz", "srs"}, "whose targets compare by themselves"


@pytest.mark.parametrize("name", NAMES)
def test_replay(name):
    target = targets.load(name)
    files = targets.corpus(name)
    assert files
    coverage = targets.Coverage(target.COVERS)
    for path in files:
        try:
            with coverage if coverage.short_of(target.COVERS) else nullcontext():
                target.one_input(path.read_bytes())
        except Exception as error:
            error.add_note(f"input {path}")
            raise
    assert not coverage.short_of(target.COVERS), coverage.missing()


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_is_small(name):
    files = targets.corpus(name)
    assert len(files) <= targets.FILES_MAX
    assert sum(path.stat().st_size for path in files) <= targets.CORPUS_MAX_BYTES


def test_what_is_not_replayed_is_not_covered():
    target = targets.load("framestream")
    with targets.Coverage(target.COVERS) as coverage:
        target.one_input(b"")
    assert all(coverage.shares()[module] < least for module, least in target.COVERS.items())
