"""The lines of the format autoproxy, one by one; and lists that are Base64 as a whole."""

import base64
from collections.abc import Callable

import pytest

from dnstap_bgp.core.lists.formats import detect, without_base64
from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import gives, is_skipped

LIST = b"[AutoProxy 0.2.9]\n! Checksum: x\n" + b"||foo.com\n@@||bar.com\n.baz.com\n" * 100


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("||foo.com", "foo.com"),
        ("||FOO.com^", "foo.com"),
        ("@@||foo.com", "!foo.com"),
        ("||m\u00fcnchen.de", "xn--mnchen-3ya.de"),
        ("! a comment", ""),
        ("!------", ""),
        ("[AutoProxy 0.2.9]", ""),
    ],
)
def test_rules(line: str, rules: str):
    gives("autoproxy", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        (".foo.com", SkippedKind.PATTERN, "whole name"),
        ("foo.com", SkippedKind.PATTERN, "whole name"),
        ("|https://foo.com", SkippedKind.PATTERN, "whole name"),
        ("||foo.com/x", SkippedKind.PATTERN, "whole name"),
        ("||*.foo.com", SkippedKind.PATTERN, "whole name"),
        ("||192.0.2.1", SkippedKind.PATTERN, "whole name"),
        ("@@|http://foo.com", SkippedKind.PATTERN, "whole name"),
        (r"/^https?:\/\/foo/", SkippedKind.REGEXP, "expression"),
        ("//", SkippedKind.REGEXP, "expression"),
        ("/", SkippedKind.PATTERN, "whole name"),
        ("||a,b", SkippedKind.MALFORMED, "part of a name"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    is_skipped("autoproxy", line, kind, reason)


@pytest.mark.parametrize("wrap", [base64.encodebytes, base64.b64encode], ids=["lines", "one line"])
def test_base64_as_a_whole_is_unwrapped(wrap: Callable[[bytes], bytes]):
    assert without_base64(wrap(LIST)) == LIST
    assert detect(LIST) == "autoproxy"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"com\nnet\n",
        b"averylongwordwithnodot\n",
        base64.encodebytes(b"foo.com\nbar.com\n" * 100),
        base64.encodebytes(LIST) + b"foo.com\n",
        base64.encodebytes(LIST * 100).replace(b"\n", b"\n!", 1),
    ],
)
def test_other_content_stays_as_it_is(content: bytes):
    assert without_base64(content) == content
