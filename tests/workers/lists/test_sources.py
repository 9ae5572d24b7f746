"""From what the configuration says to files, and from these to rules."""

import os
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.formats import Kind
from dnstap_bgp.core.lists.source import AUTO, ListSource
from dnstap_bgp.workers.lists import files as listfiles
from dnstap_bgp.workers.lists import sources
from dnstap_bgp.workers.lists.files import SourceReport, from_json, to_json, totals
from dnstap_bgp.workers.lists.loader import ListLoader
from dnstap_bgp.workers.lists.sources import Built, build_here, plan


def build(*paths: Path | str, form: str = AUTO) -> Built:
    return build_here(plan([ListSource("l", tuple(map(str, paths)), form)], None))


def rules(built: Built, *names: str) -> list[bool]:
    assert [report.error for report in built.reports if report.error] == []
    return [bool(built.rules.lists(name.encode())) for name in names]


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


# Files and globs


def test_a_glob_is_its_files_in_order(tmp_path: Path):
    write(tmp_path, **{"b.txt": "b.com\n", "a.txt": "a.com\n", "c.list": "c.com\n"})
    (tmp_path / "d.txt").mkdir()
    built = build(tmp_path / "*.txt")
    assert [Path(report.path).name for report in built.reports] == ["a.txt", "b.txt"]
    assert rules(built, "a.com", "b.com", "c.com") == [True, True, False]


def test_a_glob_of_nothing_is_an_error(tmp_path: Path, monkeypatch):
    (report,) = build(tmp_path / "*.txt").reports
    assert (report.path, report.error) == (str(tmp_path / "*.txt"), "it names 0 files, 1 to 1000 are allowed")
    monkeypatch.setattr(sources, "GLOB_MAX", 1)
    write(tmp_path, **{"b.txt": "b.com\n", "a.txt": "a.com\n"})
    assert "it names 2 files" in str(build(tmp_path / "*.txt").reports[0].error)


def test_a_file_with_a_glob_for_a_name(tmp_path: Path):
    write(tmp_path, **{"a[1].txt": "a.com\n"})
    assert rules(build(tmp_path / "a[1].txt"), "a.com") == [True]


def test_a_new_file_of_a_glob_is_loaded(tmp_path: Path):
    write(tmp_path / "l", **{"a.txt": "a.com\n"})
    source = ListSource("l", (str(tmp_path / "l" / "*"),))
    loader = ListLoader(tmp_path / "compiled")
    assert loader.load([source]).how == "compiled"
    write(tmp_path / "l", **{"b.txt": "b.com\n"})
    assert ListLoader(tmp_path / "compiled").load([source]).rules.lists(b"b.com") == ("l",)


def test_another_format_is_another_list(tmp_path: Path):
    write(tmp_path, l="||a.com^\n||b.com^\nc.com\n")
    loader = ListLoader(tmp_path / "compiled")
    for form, expected in (("auto", 2), ("adblock", 2), ("plain", 1)):
        loaded = loader.load([ListSource("l", (str(tmp_path / "l"),), form)], force=True)
        assert (loaded.how, len(loaded.rules)) == ("compiled", expected)


def test_all_formats_in_one_list(tmp_path: Path):
    write(
        tmp_path,
        a="0.0.0.0 a.com\n",
        b="||b.com^\nx##.ad\n",
        c="server=/c.com/1.1.1.1\nno-resolv\n",
        d="full:d.com @x\nkeyword:k\nregexp:r\n",
        e="=e.com\n192.0.2.0/24\nbad line\n",
    )
    built = build(*(tmp_path / name for name in "abcde"))
    names = [below + name + ".com" for name in "abcde" for below in ("", "x.")]
    assert rules(built, *names) == [True, False, True, True, True, True, True, False, True, False]
    assert [report.format for report in built.reports] == ["hosts", "adblock", "dnsmasq", "v2fly", "plain"]
    assert built.prefixes == {"l": (b"\xc0\x00\x02\x00\x18",)}
    assert totals(built.reports) == {
        Kind.MALFORMED: 1,
        Kind.COSMETIC: 1,
        Kind.DIRECTIVE: 1,
        Kind.KEYWORD: 1,
        Kind.REGEXP: 1,
    }
    assert from_json(to_json(built.reports)) == built.reports


def test_what_is_skipped_is_told_if_asked(tmp_path: Path):
    write(tmp_path, l="domain:a.com\nkeyword:k\nbad line\n")
    places = plan([ListSource("l", (str(tmp_path / "l"),))], None)
    assert [one.line for one in build_here(places).reports[0].examples] == [3]
    assert [one.line for one in build_here(places, tell_skipped=True).reports[0].examples] == [2, 3]


def test_too_many_prefixes(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sources, "PREFIXES_MAX", 3)
    write(tmp_path, l="".join(f"192.0.2.{n}\n" for n in range(5)))
    assert "more than 3 static prefixes" in str(build(tmp_path / "l").reports[0].error)


def test_exceptions_of_adblock_hold_in_all_its_files(tmp_path: Path):
    write(tmp_path, a="||x.foo.com^\n||bar.com^\n", b="@@||foo.com^\n@@|bar.com^\n", c="0.0.0.0 y.foo.com\n")
    built = build(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert rules(built, "x.foo.com", "bar.com", "x.bar.com", "y.foo.com") == [False, False, True, True]


# Includes


def test_includes_with_filters(tmp_path: Path):
    write(
        tmp_path / "geo",
        top="include:mid @cn\ninclude:ads\nfull:top.com\n",
        mid="mid.com @cn\nother.com\ninclude:low @-ads\n",
        low="low.com @cn\nlowads.com @cn @ads\n",
        ads="ads.com @ads\n",
    )
    built = build(tmp_path / "geo" / "top")
    names = ["top.com", "mid.com", "other.com", "low.com", "lowads.com", "ads.com"]
    assert rules(built, *names) == [True, True, False, True, False, True]
    assert [Path(report.path).name for report in built.reports] == ["top", "mid", "ads", "low"]
    assert [report.included for report in built.reports] == [False, True, True, True]


def test_an_include_may_be_in_other_case(tmp_path: Path):
    write(tmp_path, top="include:OTHER\n", other="a.com\n")
    assert rules(build(tmp_path / "top"), "a.com") == [True]


def test_includes_in_a_ring_end(tmp_path: Path):
    write(tmp_path, a="include:b\na.com\n", b="include:a @x\ninclude:b\nb.com\n")
    assert rules(build(tmp_path / "a", form="v2fly"), "a.com", "b.com") == [True, True]


def test_includes_are_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(listfiles, "INCLUDE_DEPTH_MAX", 3)
    write(tmp_path, **{f"f{n}": f"include:f{n + 1}\nd{n}.com\n" for n in range(6)}, f6="e.com\n")
    assert any("deep" in str(report.error) for report in build(tmp_path / "f0").reports)
    monkeypatch.setattr(listfiles, "INCLUDES_MAX", 5)
    write(tmp_path, wide="".join(f"include:w{n}\n" for n in range(10)), **{f"w{n}": "a.com\n" for n in range(10)})
    reports = build(tmp_path / "wide").reports
    assert "more than 5 files" in str(reports[0].error)
    assert len(reports) == 6


def test_a_hostile_ring_of_filters_ends(tmp_path: Path):
    write(tmp_path, a="".join(f"include:a @x{n}\n" for n in range(300)) + "a.com\n")
    reports = build(tmp_path / "a", form="v2fly").reports
    assert len(reports) <= listfiles.INCLUDES_MAX + 1
    assert any(report.error for report in reports)


def test_no_include_leads_out_of_the_folder(tmp_path: Path):
    write(tmp_path, outside="secret.com\n")
    write(tmp_path / "l", a="include:link\ninclude:inside\n", real="real.com\n")
    (tmp_path / "l" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "l" / "inside").symlink_to("real")
    built = build(tmp_path / "l" / "a")
    assert built.reports[0].error == "include:link: it leads out of the folder"
    assert not built.rules.lists(b"secret.com")
    assert built.rules.lists(b"real.com")


def test_a_missing_include_is_an_error(tmp_path: Path):
    write(tmp_path, a="include:none\na.com\n")
    assert [report.error for report in build(tmp_path / "a").reports] == [None, "No such file or directory"]


def test_a_changed_include_is_read_again(tmp_path: Path):
    write(tmp_path / "l", a="include:b\na.com\n", b="b.com\n")
    source = ListSource("l", (str(tmp_path / "l" / "a"),))
    loader = ListLoader(tmp_path / "compiled")
    loader.load([source])
    assert loader.load([source]).how == "unchanged"
    assert ListLoader(tmp_path / "compiled").load([source]).how == "mapped"
    before = (tmp_path / "l" / "b").stat()
    write(tmp_path / "l", b="c.com\n")
    os.utime(tmp_path / "l" / "b", ns=(before.st_atime_ns, before.st_mtime_ns))
    for again in (loader, ListLoader(tmp_path / "compiled")):
        assert again.load([source]).rules.lists(b"c.com") == ("l",)


def test_what_the_log_says_is_bounded(tmp_path: Path):
    write(tmp_path, l="domain:a.com\n" + "bad line\n" * 100 + "keyword:x\n" * 100)
    (report,) = build(tmp_path / "l").reports
    told = report.told()
    assert len(told) == 21
    assert told[-1] == f"{tmp_path}/l: skipped: malformed 80, keywords 100"
    url = SourceReport("l", "https://x/", "https://x/", file="/copy", complaints=7)
    assert url.told() == ["https://x/: skipped: malformed 7"]


# Limits of growth for files, where they are set


@pytest.mark.parametrize(
    ("after", "refused"), [("".join(f"d{n}.com\n" for n in range(21)), True), ("a.com\n" * 3, False)]
)
def test_a_growth_limit_of_files(tmp_path: Path, after: str, refused: bool):
    write(tmp_path, l="".join(f"d{n}.com\n" for n in range(10)))
    source = ListSource("l", (str(tmp_path / "l"),), growth_max=1.0, shrink_max=0.95)
    loader = ListLoader(tmp_path / "compiled")
    loader.load([source])
    write(tmp_path, l=after)
    assert ("had 10 rules and has 21 now" in str(loader.load([source]).refused)) == refused
