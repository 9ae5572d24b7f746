"""The lines of the format v2fly, one by one."""

import pytest

from dnstap_bgp.core.lists.formats.v2fly import MARKS_MAX, V2FLY
from dnstap_bgp.core.lists.lines import Include, SkippedKind, read_lines
from tests.core.lists.formats.format_kit import gives, is_skipped, read


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("foo.com", "foo.com"),
        ("domain:foo.com", "foo.com"),
        ("domain:foo.com:@cn", "foo.com"),
        ("full:foo.com:@ads,@cn # why", "=foo.com"),
        ("foo.com:@!cn", "foo.com"),
        ("! comment", ""),
        ("domain:FOO.com @ads @!cn # why", "foo.com"),
        ("full:foo.com#why", "=foo.com"),
        ("foo.com @ads &other", "foo.com"),
        ("# foo.com", ""),
    ],
)
def test_rules(line: str, rules: str):
    gives("v2fly", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("keyword:a*b", SkippedKind.MALFORMED, "no keyword"),
        ("regexp:(a", SkippedKind.MALFORMED, "no expression of RE2"),
        ("keyword:foo @-ads", SkippedKind.MALFORMED, "after an include"),
        ("full:foo.com:@-ads", SkippedKind.MALFORMED, "after an include"),
        ("full:foo.com:@", SkippedKind.MALFORMED, "attributes"),
        ("full:foo.com:@a,b", SkippedKind.MALFORMED, "attributes"),
        ("include:../../etc/passwd", SkippedKind.MALFORMED, "beside"),
        ("include:/etc/passwd", SkippedKind.MALFORMED, "beside"),
        ("include:.hidden", SkippedKind.MALFORMED, "beside"),
        ("suffix:foo.com", SkippedKind.MALFORMED, "none of"),
        (f"include:other{' @a' * (MARKS_MAX + 1)}", SkippedKind.MALFORMED, "101 attributes, 100 are allowed"),
        ("foo.com bar.com", SkippedKind.MALFORMED, "attributes"),
        ("full:foo.com @-ads", SkippedKind.MALFORMED, "after an include"),
        ("full:", SkippedKind.MALFORMED, "empty label"),
        ("*.foo.com", SkippedKind.MALFORMED, "part of a name"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    is_skipped("v2fly", line, kind, reason)


def test_includes():
    assert len(read("v2fly", f"include:other{' @a' * MARKS_MAX}")[0]) == 1
    assert read("v2fly", "include:other", "include:geo-x!cn @cn @-ADS # why")[0] == [
        Include("other"),
        Include("geo-x!cn", frozenset({"cn"}), frozenset({"ads"})),
    ]


@pytest.mark.parametrize(
    ("includes", "rules"),
    [
        ([], "a b =c =d"),
        ([Include("x", frozenset({"cn"}))], "b =d"),
        ([Include("x", frozenset({"cn", "ads"}))], "=d"),
        ([Include("x", frozenset(), frozenset({"ads"}))], "a b"),
        ([Include("x", frozenset({"cn"})), Include("y", frozenset(), frozenset({"ads"}))], "b"),
    ],
)
def test_the_filters_of_all_includes_on_the_way_hold(includes: list[Include], rules: str):
    assert V2FLY.including is not None
    lines = [b"a", b"domain:b @cn", b"full:c @ads", b"full:d:@cn,@ads"]
    assert " ".join(map(str, read_lines(lines, V2FLY.including(includes)))) == rules
