"""The front of the lists: what it says, and when."""

from pathlib import Path

import pytest

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process.loop import Loop


@pytest.fixture
def manager(tmp_path: Path) -> ListManager:
    return ListManager(tmp_path / "compiled", lambda _: None, Loop(lambda: None))


def test_urls_to_come_are_told_in_one_line_and_once(manager: ListManager, tmp_path: Path):
    (tmp_path / "l").write_text("foo.com\nbad line\n" * 30)
    urls = tuple(f"https://x/{number}?token=secret" for number in range(14))
    sources = [ListSource("l", (str(tmp_path / "l"), *urls))]
    _, messages = manager.load(sources)
    assert [line for line in messages if "fetched" in line] == [
        "https://x/0?..., https://x/1?..., https://x/2?... and 11 more: not fetched yet"
    ]
    assert sum("bad line" in line for line in messages) > 20
    assert manager.load(sources, only_news=True)[1] == []
    (tmp_path / "l").write_text("foo.com\n" * 30 + "other bad line\n")
    _, messages = manager.load(sources, only_news=True)
    assert [line for line in messages if "bad" in line]
    assert not [line for line in messages if "fetched" in line]


def test_a_reload_says_what_is_held_back(manager: ListManager, tmp_path: Path):
    (tmp_path / "l").write_text("".join(f"d{number}.com\n" for number in range(500)))
    sources = [ListSource("l", (str(tmp_path / "l"),))]
    manager.load(sources)
    (tmp_path / "l").write_text("404: Not Found\n")
    loaded, messages = manager.load(sources)
    assert loaded is not None
    assert not loaded.is_whole
    assert "list l had 500 rules and is empty now" in messages[-1]
    assert "held back: what it had stays in force; `dnstap-bgp reload --force` or `--force l` takes it" in messages[-1]
    assert len(messages) == 1, "and its lines are nobody's business"
    assert manager.load(sources, only_news=True)[1] == [], "said once"
    assert manager.status is not None
    assert [one.state for one in manager.status.lists[0].sources] == ["held"]
    assert manager.preview(sources, force=True).refused is None or "no rule" in str(manager.preview(sources).refused)
