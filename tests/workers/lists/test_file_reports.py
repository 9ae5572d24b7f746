"""Reports on list files: counted, told, and handed to another process."""

from pathlib import Path

from dnstap_bgp.core.lists.lines import SkippedKind
from dnstap_bgp.workers.lists.file_reports import FileReport, reports_from_json, reports_to_json, totals
from tests.workers.lists.build_kit import build, rules, write


def test_all_formats_in_one_list(tmp_path: Path):
    write(
        tmp_path,
        a="0.0.0.0 a.com\n",
        b="||b.com^\nx##.ad\n",
        c="server=/c.com/1.1.1.1\nno-resolv\n",
        d="full:d.com @x\nkeyword:k\nregexp:r\n",
        e="=e.com\n192.0.2.0/24\nbad line\n",
    )
    built = build(*(tmp_path / name for name in "abcde"), patterns=False)
    names = [below + name + ".com" for name in "abcde" for below in ("", "x.")]
    assert rules(built, *names) == [True, False, True, True, True, True, True, False, True, False]
    assert [report.format for report in built.reports] == ["hosts", "adblock", "dnsmasq", "v2fly", "plain"]
    assert built.prefixes == {"l": (b"\xc0\x00\x02\x00\x18",)}
    assert totals(built.reports) == {
        SkippedKind.MALFORMED: 1,
        SkippedKind.COSMETIC: 1,
        SkippedKind.DIRECTIVE: 1,
        SkippedKind.KEYWORD: 1,
        SkippedKind.REGEXP: 1,
    }
    assert reports_from_json(reports_to_json(built.reports)) == built.reports


def test_what_the_log_says_is_bounded(tmp_path: Path):
    write(tmp_path, l="domain:a.com\n" + "bad line\n" * 100 + "keyword:x\n" * 100)
    (report,) = build(tmp_path / "l", patterns=False).reports
    told = report.log_lines()
    assert len(told) == 22
    assert told[-1].startswith(f"{tmp_path}/l: read in part only: 100 of 101 lines are malformed, such as line 2: `bad")
    assert told[-2] == f"{tmp_path}/l: skipped: malformed 80, keywords 100"
    url = FileReport("l", "https://x/", "https://x/", file="/copy", complaints=7)
    assert url.log_lines() == [
        "https://x/: skipped: malformed 7",
        "https://x/: read in part only: 7 of 7 lines are malformed",
    ]
