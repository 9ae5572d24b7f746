"""The short way through the list reader gives what the full reader gives."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core import lists
from dnstap_bgp.core.domains import Rule
from dnstap_bgp.errors import ListError

signs = [b".", b"..", b"*.", b"*", b"!", b"=", b" ", b"\t", b"#", b"##", b" # x", b"\r", b"\n", b"/", b":", b"|"]
labels = [b"a", b"B", b"com", b"9", b"-", b"_", b"1.2.3.4", b"x" * 62, b"y" * 63, b"z." * 60, "ü".encode()]
odd = [b"\xef\xbb\xbf", "\u3002".encode(), b"\xff"]
pieces = st.sampled_from(signs + labels + odd)
lines = st.lists(pieces, max_size=8).map(b"".join) | st.binary(max_size=30)


def full(line: bytes) -> list[Rule] | None:
    try:
        text = lists._text(line)
        return list(lists.plain(text)) if text else []
    except ListError:
        return None


@settings(max_examples=2000)
@given(lines)
def test_short_and_full_reader_agree(line: bytes):
    items = list(lists.read_rules([line]))
    expected = full(line)
    if expected is None:
        (complaint,) = items
        assert isinstance(complaint, lists.Complaint)
        assert complaint.reason.isprintable()
    else:
        assert items == expected
    for rule in expected or []:
        assert rule.domain == rule.domain.lower().strip(b".")
        assert 0 < len(rule.domain) <= 253
        assert all(0 < len(label) <= 63 for label in rule.domain.split(b"."))
        assert list(lists.read_rules([str(rule).encode()])) == [rule]
