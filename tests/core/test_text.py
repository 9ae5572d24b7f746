import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.text import count_text, duration_column, duration_text, name_text, one_line, prefix_text


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        (bytes([192, 0, 2, 1]), "192.0.2.1"),
        (bytes.fromhex("20010db8") + bytes(11) + b"\1", "2001:db8::1"),
        (bytes([10, 0, 0, 0, 8]), "10.0.0.0/8"),
        (bytes.fromhex("20010db8") + bytes(12) + b"\x20", "2001:db8::/32"),
    ],
)
def test_prefixes(prefix: bytes, text: str):
    assert prefix_text(prefix) == text


def test_names():
    assert name_text(rb"a\046b.example") == r"a\046b.example"
    assert name_text(b"a\xff") == r"a\xff"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
        (86_405, "1 d 5 s"),
        (0.5, "0 s"),
        (1, "1 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (86_399, "23 h 59 min"),
        (3 * 86_400 + 2 * 3600 + 60 + 1, "3 d 2 h"),
    ],
)
def test_durations(seconds: float, text: str):
    assert duration_text(seconds) == text


def test_a_duration_in_one_unit():
    assert duration_text(3725, 1) == "1 h"
    assert duration_text(59.6, 1) == "1 min"
    assert duration_text(90_061, 4) == "1 d 1 h 1 min 1 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (8.9, "8s"),
        (60, "1m00s"),
        (3600, "1h00m"),
        (86_400, "1d00h"),
        (729, "12m09s"),
        (18_420, "5h07m"),
        (183_600, "2d03h"),
        (-8, "-8s"),
        (-86_400, "-1d00h"),
    ],
)
def test_durations_of_a_column(seconds: float, text: str):
    assert duration_column(seconds) == text


def test_counts_with_their_noun():
    assert [count_text(count, "rule") for count in (0, 1, 2)] == ["0 rules", "1 rule", "2 rules"]
    assert count_text(3, "prefix", "prefixes") == "3 prefixes"


@given(st.text(), st.integers(4, 50))
def test_foreign_text_in_one_printable_line(text: str, chars_max: int):
    found = one_line(text, chars_max)
    assert found.isprintable()
    assert len(found) <= 10 * chars_max
    if text.isprintable() and len(text) <= chars_max:
        assert found == text


def test_foreign_text_is_cut_with_a_sign_of_it():
    assert one_line("x" * 20, 10) == "xxxxxx ..."
    assert one_line("a\nb\x1b", 10) == r"a\nb\x1b"
    assert one_line("x" * 10, 10) == "x" * 10
    assert one_line("x" * 11, 10) == "xxxxxx ..."
    assert one_line("\u202eab", 3) == r"\u202eab", "what was kept may become longer"
