"""The short way through the list reader gives what the full reader gives."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.lists import lines as reader
from dnstap_bgp.core.lists.domains import Rule
from dnstap_bgp.core.lists.formats import FORMATS, Format, Item, Skipped
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
        return list(form.read(text)) if text else []
    except ListError:
        return None


@settings(max_examples=4000)
@given(lines, forms)
def test_short_and_full_reader_agree(line: bytes, form: Format):
    items = list(reader.read_rules([line], form))
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
        assert list(reader.read_rules([str(rule).encode()])) == [rule]
