"""`lists`, and what `check -v` says of lists."""

import json
import os
import time
from pathlib import Path

import pytest

from dnstap_bgp.commands import check, lists, match
from dnstap_bgp.commands.control import Control
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process import instance
from tests.commands.running import cli

CONFIG = """
runtime_dir = "run"
cache = "state"
[dnstap]
listen = "./tap.sock"
[bgp]
next_hop = "192.0.2.1"
[[list]]
name = "files"
sources = ["*.txt", "geo"]
patterns = false
[[list]]
name = "web"
sources = "http://user:word@127.0.0.1:1/list"
[[list]]
name = "nets"
prefixes = ["12.0.0.0/8", "13.0.0.0/8"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d.toml").write_text(CONFIG)
    (tmp_path / "a.txt").write_text("||a.com^\nx.com##.ad\n||b.com^$script\n")
    (tmp_path / "b.txt").write_text("=b.com\n192.0.2.0/24\n")
    (tmp_path / "geo").write_text("full:c.com\nkeyword:k\ninclude:more\n")
    (tmp_path / "more").write_text("d.com @ads\nregexp:x\n")
    for name in ("a.txt", "b.txt", "geo"):
        os.utime(tmp_path / name, (0, time.time() - 90_000))
    os.utime(tmp_path / "more", (0, time.time() - 7300))
    (tmp_path / "run").mkdir()
    return tmp_path


def test_offline(folder: Path):
    found = lists.read(folder / "d.toml")
    skipped = "cosmetic filters 1, filters with options 1"
    assert list(lists.table(found)) == [
        "no plugin runs: this is what the sources give now",
        "files: 4 rules, 1 static prefix",
        f"  {folder}/*.txt",
        f"    ok: 2 rules, 1 static prefix, adblock/plain, 2 files, changed 1 d ago; skipped: {skipped}",
        f"  {folder}/geo",
        "    ok: 2 rules, v2fly, 2 files, changed 2 h ago; skipped: keywords 1, regular expressions 1",
        "web: 0 rules",
        "  http://127.0.0.1:1/list",
        "    pending: not fetched yet",
        "nets: 0 rules, 2 static prefixes",
    ]
    (text,) = lists.json_lines(found)
    assert json.loads(text)["lists"][0]["sources"][1]["skipped"] == {"keywords": 1, "regular expressions": 1}


def test_of_a_running_plugin(folder: Path, monkeypatch):
    monkeypatch.setattr(instance, "holder", lambda _: 1)
    with pytest.raises(CommandError, match=r"pid 1.*has not loaded"):
        lists.read(folder / "d.toml")
    source: dict[str, object] = {"source": "https://x/", "state": "held", "why": "the new version is odd"}
    source |= {"files": 1, "rules": 7, "prefixes": 0, "formats": ["plain"], "changed": 5.0, "checked": 6.0}
    source["skipped"] = {}
    listed = {"name": "web", "rules": 7, "prefixes": 0, "routes": 3, "sources": [source]}
    status = {"now": 1.0, "lists_refused": "list files is empty", "lists": [listed], "pid": 1}
    monkeypatch.setattr(Control, "get", lambda _self, path: status if path == "/v1/status" else None)
    found = lists.Found(lists.read(folder / "d.toml").status, running=True, now=100_000.0)
    assert list(lists.table(found)) == [
        "what the sources give now is not in force: list files is empty",
        "web: 7 rules",
        "  https://x/",
        "    held: the new version is odd",
        "    7 rules, plain, fetched 1 d ago, checked 1 d ago",
    ]


def test_check_counts_and_tells_what_rules_can_not_say(folder: Path):
    report = check.run(folder / "d.toml")
    assert report.exit_status == 0
    said = [line.replace(f"{folder}/", "") for line in report.lines()]
    skipped = "skipped, as no rule on names can say it"
    for line in (
        f"warning: a.txt: {skipped}: cosmetic filters 1, filters with options 1; `check -v` shows each line",
        f"warning: geo: {skipped}: keywords 1; `check -v` shows each line",
        "warning: http://127.0.0.1:1/list: not fetched yet: the running plugin does that",
        "list files: 4 rules, 1 static prefix",
        "list nets: 0 rules, 2 static prefixes",
    ):
        assert line in said
    assert not report.details
    told = [str(problem).removeprefix(f"{folder}/") for problem in check.run(folder / "d.toml", verbose=True).details]
    assert [line.partition(": `")[0] for line in told] == [
        "a.txt:2: cosmetic filters",
        "a.txt:3: filters with options",
        "geo:2: keywords",
        "more:2: regular expressions",
    ]


def test_match_tells_file_and_line_in_every_format(folder: Path):
    found = [
        line for answer in match.run(folder / "d.toml", ["x.a.com", "c.com", "x.d.com"]) for line in answer.lines()
    ]
    assert [line.replace(f"{folder}/", "") for line in found] == [
        "x.a.com: matched by a.com (list files, a.txt:1)",
        "c.com: matched by =c.com (list files, geo:1)",
        "x.d.com: matched by d.com (list files, more:1)",
    ]


def test_the_commands(folder: Path):
    shown = cli("lists", "--config", str(folder / "d.toml"))
    assert shown.returncode == 0
    assert "files: 4 rules" in shown.stdout
    assert json.loads(cli("lists", "--json", "--config", str(folder / "d.toml")).stdout)["refused"] is None
    assert "skipped: " in cli("check", "-v", "--config", str(folder / "d.toml")).stdout
