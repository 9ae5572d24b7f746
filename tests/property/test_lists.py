"""The short way through the list reader gives what the full reader gives."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.lists import lines as reader
from dnstap_bgp.core.lists.formats import FORMATS, plain
from dnstap_bgp.core.lists.formats.plain import PLAIN
from dnstap_bgp.core.lists.lines import Complaint, Format, Item, Skipped
from dnstap_bgp.core.lists.rules import Rule, RuleBatch, RuleKind
from dnstap_bgp.errors import ListError

separators = [
    ".",
    "..",
    "*.",
    "*",
    "!",
    "=",
    " ",
    "\t",
    "#",
    "##",
    " # x",
    "\r",
    "\n",
    "/",
    ":",
    "|",
    "||",
    "@@",
    "^",
    "@",
    "&",
]
words = [
    "server=/",
    "ipset=/",
    "domain:",
    "full:",
    "include:",
    "0.0.0.0 ",
    "::1 ",
    "localhost",
    "192.0.2.0/24",
    "$third-party",
]
labels = ["a", "B", "com", "9", "-", "_", "1.2.3.4", "x" * 62, "y" * 63, "z." * 60, "ü"]
odd = [b"\xef\xbb\xbf", "\u3002".encode(), b"\xff"]
pieces = st.sampled_from([text.encode() for text in separators + words + labels] + odd)
lines = st.lists(pieces, max_size=8).map(b"".join) | st.binary(max_size=30)
forms = st.sampled_from(list(FORMATS.values()))


def full(line: bytes, form: Format) -> list[Item] | None:
    try:
        text = reader._text(line, form)
        return list(form.read(text)) if text and not reader._COMMENT.match(text) else []
    except ListError:
        return None


@settings(max_examples=4000)
@given(lines, forms)
def test_short_and_full_reader_agree(line: bytes, form: Format):
    items = list(reader.read_lines([line], form))
    expected = full(line, form)
    assert all(item.reason.isprintable() for item in items if isinstance(item, reader.Complaint))
    good = [item for item in items if not isinstance(item, reader.Complaint)]
    if expected is None:
        assert isinstance(items[-1], reader.Complaint)
        return
    assert good == [item for item in expected if not isinstance(item, Skipped)]
    assert len(items) == len(expected)
    for rule in good:
        if not isinstance(rule, Rule):
            continue
        assert rule.domain == rule.domain.lower().strip(b".")
        assert 0 < len(rule.domain) <= 253
        assert all(0 < len(label) <= 63 for label in rule.domain.split(b"."))
        assert list(reader.read_lines([str(rule).encode()], PLAIN)) == [rule]


def numbered(content: bytes, form: Format, *, in_bulk: bool) -> list[tuple[str, int]]:
    """What a file gives, each with the line at which that is told; rules, of which no line is told, with none."""
    file = reader.FileLines(content, form)
    found: list[tuple[str, int]] = []
    for item in reader.read_bulk(file.bulk() if in_bulk else file, form):
        if isinstance(item, RuleBatch):
            found += [(str(Rule(domain, item.kind, item.exception)), 0) for domain in item.domains]
        elif isinstance(item, Complaint):
            found.append((item.reason, file.number))
        else:
            found.append((str(item), 0 if isinstance(item, Rule) else file.number))
    return sorted(found)


@settings(max_examples=1500)
@given(st.lists(lines, max_size=12).map(b"\n".join), forms, st.integers(1, 80))
def test_a_file_read_in_bulk_gives_what_its_lines_give(content: bytes, form: Format, size: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BULK_BYTES", size)
        assert numbered(content, form, in_bulk=True) == numbered(content, form, in_bulk=False)


def test_simple_lines_are_read_in_bulk():
    content = b"a.com\n=B.com\n# x\n*.c.com\r\n  d.com # x\n" * 2
    found = list(reader.FileLines(content, PLAIN).bulk())
    assert sorted(found, key=str) == [
        RuleBatch([b"a.com", b"d.com"] * 2, RuleKind.SUFFIX),
        RuleBatch([b"b.com"] * 2, RuleKind.EXACT),
        RuleBatch([b"c.com"] * 2, RuleKind.SUBDOMAINS),
    ]


octets = st.integers(0, 260).map(str) | st.sampled_from(["00", "01", "0", "255", ""])


@settings(max_examples=1500)
@given(st.lists(octets, min_size=3, max_size=5).map(".".join), st.sampled_from(["", "/"]), octets, st.booleans())
def test_a_static_prefix_is_what_the_standard_library_says(address: str, slash: str, length: str, strict: bool):
    text = f"{address}{slash}{length if slash else ''}"
    try:
        network = ipaddress.ip_network(text, strict)
    except ValueError:
        with pytest.raises(ListError):
            plain.prefix(text, strict=strict)
        return
    packed = network.network_address.packed
    assert plain.prefix(text, strict=strict) == packed + bytes([network.prefixlen] * (network.prefixlen < 32))
