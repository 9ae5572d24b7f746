"""Rule providers of mihomo: text, line by line, and YAML."""

import pytest

from dnstap_bgp.core.lists.formats import FORMATS, detect
from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import gives, is_refused, is_skipped, read, read_whole


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("+.foo.com", "foo.com"),
        ("foo.com", "=foo.com"),
        ("FOO.com.", "=foo.com"),
        (".foo.com", "*.foo.com"),
        ("*.foo.com", "=*.foo.com"),
        ("+.foo.com # why", "foo.com"),
        ("+.m\u00fcnchen.de", "xn--mnchen-3ya.de"),
        ("cn", "=cn"),
        ("# foo.com", ""),
        ("! foo.com", ""),
    ],
)
def test_rules(line: str, rules: str):
    gives("mihomo", line, rules)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("a.*.foo.com", SkippedKind.PATTERN, "`*`"),
        ("*.*.foo.com", SkippedKind.PATTERN, "`*`"),
        ("*", SkippedKind.PATTERN, "`*`"),
        ("+.", SkippedKind.MALFORMED, "empty label"),
        ("foo..com", SkippedKind.MALFORMED, "empty label"),
        ("foo.com bar.com", SkippedKind.MALFORMED, "part of a name"),
    ],
)
def test_skipped(line: str, kind: SkippedKind, reason: str):
    is_skipped("mihomo", line, kind, reason)


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("DOMAIN-SUFFIX,foo.com", "foo.com"),
        ("domain,foo.com,PROXY", "=foo.com"),
    ],
)
def test_classical_rules(line: str, rules: str):
    gives("mihomo", line, rules)


def test_prefixes_in_text():
    assert read("mihomo", "192.0.2.0/24", "192.0.2.9/24", "2001:db8::/32", "IP-CIDR,192.0.2.0/24,no-resolve")[0] == [
        b"\xc0\x00\x02\x00\x18",
        b"\xc0\x00\x02\x00\x18",
        bytes.fromhex("20010db8") + bytes(12) + b"\x20",
        b"\xc0\x00\x02\x00\x18",
    ]


YAML = b"""# A rule provider
payload:
  - '+.foo.com'
  - bar.com   # why
  - "*.baz.com"
  - DOMAIN-SUFFIX,qux.com
  - 192.0.2.0/24
  - IP-CIDR6,2001:db8::/32,no-resolve
  - PROCESS-NAME,curl
  - foo..com
"""


def test_yaml_of_every_behaviour():
    rules, complaints = read_whole("mihomo", YAML)
    assert rules == ["foo.com", "=bar.com", "=*.baz.com", "qux.com", "192.0.2.0/24", "2001:db8::/32"]
    assert [(one.line, one.kind) for one in complaints] == [(9, "PROCESS-NAME"), (10, SkippedKind.MALFORMED)]


@pytest.mark.parametrize(
    "content",
    [
        b"payload: ['+.foo.com', 'bar.com']\n",
        b"---\npayload:\n- +.foo.com\n- bar.com\n...\n",
        b"name: x\npayload:\n  - '+.foo.com'\n  - >-\n    bar.com\n",
        b"'payload':\r\n  - '+.foo.com'\r\n  - !!str bar.com\r\n",
        b"\xef\xbb\xbfpayload:\n  - '+.foo.com'\n  - bar.com\n",
        b"payload:\n  - '+.foo.com'\n  - bar.com\nother: x\n",
    ],
)
def test_other_yaml(content: bytes):
    assert detect(content) == "mihomo"
    assert read_whole("mihomo", content) == (["foo.com", "=bar.com"], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"payload:\n  - a.com\npayload:\n  - b.com\n", "line 3: a second `payload`"),
        (b"payload:\n  - &a a.com\n  - *a\n", "line 3: an alias"),
        (b"payload:\n  - [a.com]\n", "line 2: a list"),
        (b"payload:\n  - a: b\n", "line 2: a mapping"),
        (b"payload: x\n", "line 1: something"),
        (b"payload:\n  - a.com\n---\npayload:\n  - b.com\n", "line 4: a mapping"),
        (b"payload:\n  - 'a.com\n", "no YAML: found unexpected end of stream"),
        (b"payload:\n\t- a\n", "line 2: no YAML"),
        (b"payload:\n  - \x01\n", "no YAML"),
        (b"payload:\n  - \xff\n", "no YAML"),
        (b"a: &a [x]\nb: &b [*a,*a]\npayload:\n  - x\n", "line 1: a list"),
        (b"payload:\n  - " + b"[" * 100_000, "line 2: no YAML"),
        (b"payload:\n  - " + b"- " * 100_000, "line 2: a list"),
        (b"x:\n" * 2 + b"payload: {\n" * 1000, "line"),
    ],
)
def test_yaml_that_cannot_be_used(content: bytes, reason: str):
    is_refused("mihomo", content, reason)


def test_text_is_no_yaml():
    document = FORMATS["mihomo"].document
    assert document is not None
    assert document.is_read is not None
    assert not document.is_read(b"+.foo.com\npayload.com\n")
    assert document.is_read(YAML)
