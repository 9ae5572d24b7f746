"""The child that compiles: what it reads, within limits for all files together."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.compiled import pack
from dnstap_bgp.core.lists.lines import SkippedKind
from dnstap_bgp.core.lists.patterns import Pattern, PatternKind
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists import compile_child
from dnstap_bgp.workers.lists.compile_child import build_lists, inspect
from dnstap_bgp.workers.lists.file_reports import waiting_patterns
from dnstap_bgp.workers.lists.files import SourceFile, plan
from tests.workers.lists.build_kit import build, rules, write


def test_counting_follows_no_includes(tmp_path: Path):
    (tmp_path / "a").write_text("a.com @x\ninclude:b\ninclude:b\n")
    (report,) = inspect([SourceFile("a", str(tmp_path / "a"), "a")])
    assert (report.rules, report.includes, report.error) == (1, ["b"], None)


@pytest.mark.parametrize("job", ["", '[["l.txt"'])
def test_a_child_whose_plugin_has_died_ends_without_a_word(job: str):
    command = [sys.executable, "-P", "-m", compile_child.__name__]
    done = subprocess.run(command, check=False, input=job, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_rules_come_back_out_of_a_compiled_file(tmp_path: Path):
    rules = [Rule(b"foo.com"), Rule(b"x.foo.com", RuleKind.CHILDREN, True), Rule(b"bar.net", RuleKind.EXACT)]
    built = RuleSet.build([("a", [Rule(b"other.com"), Rule(b"foo.com", RuleKind.SUBDOMAINS)]), ("b", rules)])
    (tmp_path / "c").write_bytes(pack(built, {"b": (b"\1\2\3\4",)}, ""))
    found, prefixes, patterns = compile_child._in_force(str(tmp_path / "c"), {"b", "none"})
    assert {name: sorted(found) for name, found in found.items()} == {"b": sorted(rules)}
    assert patterns == {"b": ()}
    assert prefixes["b"] == (b"\1\2\3\4",)
    assert compile_child._in_force(str(tmp_path / "missing"), {"b"}) == ({}, {}, {})


def test_a_file_with_too_many_lines_without_a_rule_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_child, "LOST_MAX", 100)
    (tmp_path / "bad").write_text("a.example\n" + ",\n" * 101)
    (tmp_path / "same").write_text("a.example\n" + "11.0.0.1\n" * 102)
    (tmp_path / "good").write_text("\n# one\n" * 1000 + "a.example\n" + ",\n" * 100)
    files = plan([ListSource(name, (str(tmp_path / name),)) for name in ("bad", "same", "good")], None)
    bad, same, good = compile_child.build_lists(files).reports
    assert "more than 100 lines" in (bad.error or "")
    assert "more than 100 lines" in (same.error or "")
    assert (good.error, good.complaints, good.examples[0].line) == (None, 100, 2002)


def test_what_is_skipped_is_told_if_asked(tmp_path: Path):
    write(tmp_path, l="domain:a.com\nkeyword:k\nbad line\n")
    places = plan([ListSource("l", (str(tmp_path / "l"),), patterns=False)], None)
    assert [one.line for one in build_lists(places).reports[0].examples] == [3]
    assert [one.line for one in build_lists(places, tell_skipped=True).reports[0].examples] == [2, 3]


def test_too_many_prefixes(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(compile_child, "PREFIXES_MAX", 3)
    write(tmp_path, l="".join(f"192.0.2.{n}\n" for n in range(5)))
    assert "more than 3 static prefixes" in str(build(tmp_path / "l").reports[0].error)


PATTERNS = "a.com\nkeyword:ads\nregexp:^r[0-9]+\\.\nkeyword:ads\nregexp:(\n"


def test_patterns_count_and_bad_ones_are_told(tmp_path: Path):
    write(tmp_path, l=PATTERNS)
    built = build(tmp_path / "l")
    (report,) = built.reports
    assert report.format == "plain"
    assert rules(built, "a.com", "bads.net", "r5.net", "net") == [True, True, True, False]
    assert (report.rules, report.complaints, report.patterns) == (4, 1, "used")
    assert built.rules.counts == {"l": 3}
    assert report.examples[0].line == 5


@pytest.mark.parametrize("said", [False, None])
def test_patterns_that_do_not_count_are_counted(tmp_path: Path, *, said: bool | None):
    write(tmp_path, l=PATTERNS)
    source = ListSource("l", (str(tmp_path / "l"),), patterns=said)
    built = build_lists(plan([source], None, frozenset({"l"})))
    (report,) = built.reports
    assert rules(built, "a.com", "bads.net", "r5.net") == [True, False, False]
    assert report.skipped == {SkippedKind.KEYWORD: 2, SkippedKind.REGEXP: 1}
    assert report.waiting == (0 if said is False else 3)
    expected = ["list l: 3 keywords and expressions, skipped by the version before, are left out:"]
    assert [line[:80] for line in waiting_patterns([report])] == ([] if said is False else [expected[0][:80]])


@pytest.mark.parametrize(
    ("text", "error"),
    [("keyword:a1\nkeyword:a2\nkeyword:a3\n", "more than 2 keywords"), ("regexp:a\nregexp:b\n", "more than 1 expr")],
)
def test_too_many_patterns(tmp_path: Path, monkeypatch, text: str, error: str):
    monkeypatch.setattr(compile_child, "_PATTERNS_MAX", {PatternKind.KEYWORD: 2, PatternKind.EXPRESSION: 1})
    write(tmp_path, l=text)
    assert error in str(build(tmp_path / "l").reports[0].error)


RULES_AND_PATTERNS = {
    "patterns": "keyword:ads\n" * 5,
    "rules": "".join(f"r{number}.com\n" for number in range(5)),
    "exceptions": "".join(f"!x{number}.com\n" for number in range(5)),
    "both": "a.com\nkeyword:ads\nb.com\nkeyword:ads\nc.com\n",
}


@pytest.mark.parametrize("most", range(12))
@pytest.mark.parametrize("order", list(itertools.permutations(RULES_AND_PATTERNS, 2)))
def test_rules_and_patterns_together_are_no_more_than_the_limit(tmp_path: Path, monkeypatch, order, most: int):
    monkeypatch.setattr(compile_child, "RULES_MAX", most)
    write(tmp_path, **RULES_AND_PATTERNS)
    sources = [ListSource(f"l{n}", (str(tmp_path / name),), "plain") for n, name in enumerate((*order, "rules"))]
    built = build_lists(plan(sources, None))
    given = [report.rules for report in built.reports]
    room = [max(0, most - 5 * place) for place in range(3)]
    assert given == [min(5, each) for each in room]
    assert [report.error for report in built.reports] == [
        None if each >= 5 else f"more than {most} rules in all lists" for each in room
    ]
    assert sum(built.rules.counts.values()) <= most
    assert all(rule.domain for name in built.rules.list_names for rule in built.rules.of_list(name))


def test_expressions_that_cost_too_much_are_left_out_and_their_lines_named(tmp_path: Path, monkeypatch):
    bad = Pattern("^b", PatternKind.EXPRESSION)
    monkeypatch.setattr(compile_child, "costly", lambda found: [bad] if any(one == bad for _, one in found) else [])
    write(tmp_path, l="regexp:^a\nregexp:^b\nkeyword:k\n")
    built = build(tmp_path / "l")
    (report,) = built.reports
    assert rules(built, "a.net", "b.net", "k.net") == [True, False, True]
    assert (report.rules, report.skipped) == (2, {SkippedKind.COSTLY: 1})
    assert "1 expression would cost too much for each name: line 2: `regexp:^b`" in report.partial
    assert f"{tmp_path}/l:2: `regexp:^b`" in report.log_lines()
