"""Contents of list files: formats, parts, and the files that they include."""

import gzip
import io
import os
import random
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists import contents, files
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.files import SourceFile, plan
from dnstap_bgp.workers.lists.loader import ListLoader
from tests.core.lists.formats import encoders
from tests.property.costs import is_linear
from tests.workers.lists.build_kit import build, rules, write


def test_exceptions_of_adblock_hold_in_all_its_files(tmp_path: Path):
    write(tmp_path, a="||x.foo.com^\n||bar.com^\n", b="@@||foo.com^\n@@|bar.com^\n", c="0.0.0.0 y.foo.com\n")
    built = build(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert rules(built, "x.foo.com", "bar.com", "x.bar.com", "y.foo.com") == [False, False, True, True]


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
    monkeypatch.setattr(contents, "INCLUDE_DEPTH_MAX", 3)
    write(tmp_path, **{f"f{n}": f"include:f{n + 1}\nd{n}.com\n" for n in range(6)}, f6="e.com\n")
    assert any("deep" in str(report.error) for report in build(tmp_path / "f0").reports)
    monkeypatch.setattr(contents, "INCLUDES_MAX", 5)
    write(tmp_path, wide="".join(f"include:w{n}\n" for n in range(10)), **{f"w{n}": "a.com\n" for n in range(10)})
    reports = build(tmp_path / "wide").reports
    assert "more than 5 files" in str(reports[0].error)
    assert len(reports) == 6


def test_a_hostile_ring_of_filters_ends(tmp_path: Path):
    write(tmp_path, a="".join(f"include:a @x{n}\n" for n in range(300)) + "a.com\n")
    reports = build(tmp_path / "a", form="v2fly").reports
    assert len(reports) <= files.INCLUDES_MAX + 1
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


def test_several_parts_of_a_file_cost_one_reading(tmp_path: Path, monkeypatch):
    path = tmp_path / "geosite.dat"
    path.write_bytes(encoders.geosite({"A": [("domain", "a.com", [])], "B": [("full", "b.com", ["x"])]}))
    opened: list[Path] = []
    real = files.opened

    def noted(path: Path) -> AbstractContextManager[io.FileIO]:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(contents, "opened", noted)
    lists = [ListSource("one", (f"{path}#a", f"{path}#b@x")), ListSource("two", (f"{path}#B",))]
    built = build_lists(plan(lists, None))
    assert [report.path for report in built.reports] == [f"{path}#a", f"{path}#b@x", f"{path}#B"]
    assert [report.rules for report in built.reports] == [1, 1, 1]
    assert built.rules.lists(b"www.a.com") == ("one",)
    assert built.rules.lists(b"b.com") == ("one", "two")
    assert len(opened) == 3 + 1  # for exceptions each head is looked at


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (encoders.geosite({"AB": [("domain", "a.com", [])]}), "there is no code 'a'"),
        (b"example.com\n", "it is read as plain, which has no parts: leave #a out"),
        (b"\n\x3c" + b"x" * 60, "it is read as plain, which has no parts"),
    ],
)
def test_a_part_that_is_none_is_an_error(tmp_path: Path, content: bytes, error: str):
    (tmp_path / "a.dat").write_bytes(content)
    (report,) = build_lists(plan([ListSource("l", (f"{tmp_path}/a.dat#a",))], None)).reports
    assert error in (report.error or "")


def test_a_gzip_file_of_many_members_is_unpacked_in_linear_time():
    """What zlib has not read yet it copies after each member, and of 64 MB behind 10,000 of them that took minutes."""

    def members(size: int) -> bytes:
        big = gzip.compress(random.Random(1).randbytes(size << 15), 1)
        return gzip.compress(b"a.example\n") * size + big

    assert is_linear(contents._unpacked, members(150), members(600))


def test_the_largest_files_leave_the_shelf_first():
    shelf = contents.Shelf()
    for number in range(3):
        shelf.put(SourceFile("s", str(number), "s"), contents.Shelf.max_bytes // 2, "digest", "srs", lambda _: iter(()))
    assert shelf.find(SourceFile("s", "0", "s")) is None
    assert shelf.find(SourceFile("s", "2", "s")) is not None


@pytest.mark.parametrize(("form", "content"), [("srs", b"<html>"), ("sing-box", b"<html></html>"), ("rpz", b"<html>")])
def test_a_page_in_place_of_a_document(tmp_path: Path, form: str, content: bytes):
    (tmp_path / "a").write_bytes(content)
    (report,) = build_lists(plan([ListSource("l", (f"{tmp_path}/a",), form)], None)).reports
    assert "an HTML page" in report.no_list or "begins with `SRS`" in (report.error or "")


NAMES_6 = "".join(f"n{number}.com\n" for number in range(6))


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (NAMES_6 + "||a.com^\n||b.com^\n|c.com^\n", ["a.com", "b.com", "=c.com"]),
        ("||a.com^ # why\n" + NAMES_6, ["a.com"]),
        (NAMES_6 + "@@||x.n1.com^\n||a.com^$third-party\nn1.com##.ad\n", ["!x.n1.com"]),
        (NAMES_6 + "0.0.0.0 h.com\n0.0.0.0 i.com j.com\n", ["=h.com", "=i.com", "=j.com"]),
        (NAMES_6 + "server=/d.com/192.0.2.1\naddress=/e.com/0.0.0.0\n", ["d.com", "e.com"]),
        (NAMES_6 + "0.0.0.0 h.com\n||a.com^\nserver=/d.com/192.0.2.1\n", ["=h.com", "a.com", "d.com"]),
        (NAMES_6 + "10.0.0.0/8\n!n1.com\n||a.com^\n", ["!n1.com", "a.com"]),
    ],
)
def test_the_few_lines_of_another_format_among_names_are_read_as_what_they_are(
    tmp_path: Path, text: str, rules: list[str]
):
    write(tmp_path, l=text)
    built = build_lists(plan([ListSource("l", (str(tmp_path / "l"),))], None))
    (report,) = built.reports
    assert (report.format, report.complaints, report.lost) == ("plain", 0, {})
    assert sorted(map(str, built.rules.of_list("l"))) == sorted([*rules, *NAMES_6.split()])
    (report,) = build_lists(plan([ListSource("l", (str(tmp_path / "l"),), "plain")], None)).reports
    assert report.complaints >= 1, "where the format is named, its lines alone are right"
