import pytest

from dnstap_bgp.core.lists.plausibility import SourceContent, covered_share, is_partial, no_list, refusal


@pytest.mark.parametrize(
    ("had", "has", "shrink_max", "growth_max", "word"),
    [
        (0, 0, None, None, None),
        (0, 1_000_000, None, None, None),
        (10, 0, None, None, "empty"),
        (10, 0, 1.0, None, "empty"),
        (19, 1, None, None, None),
        (20, 9, None, None, "half-written"),
        (20, 10, None, None, None),
        (999, 1, 1.0, None, None),
        (1000, 499, None, None, "half-written"),
        (1000, 500, None, None, None),
        (10, 4, 0.5, None, "half-written"),
        (10, 9, 0.0, None, "half-written"),
        (10, 1, 1.0, None, None),
        (10, 9_999, None, None, None),
        (10, 10_000, None, None, "another list"),
        (1001, 10_010, None, None, None),
        (1000, 10_001, None, None, "another list"),
        (10, 20, None, 1.0, None),
        (10, 21, None, 1.0, "another list"),
        (10, 11, None, 0.0, "another list"),
    ],
)
def test_refusal(had: int, has: int, shrink_max: float | None, growth_max: float | None, word: str | None):
    found = refusal(SourceContent(had), SourceContent(has), shrink_max, growth_max)
    assert (found is None) == (word is None)
    assert (word or "") in (found or "")


def test_for_what_is_fetched_a_loss_counts_at_any_size():
    assert refusal(SourceContent(10), SourceContent(4), None, None, shrink_from=0)
    assert not refusal(SourceContent(10), SourceContent(5), None, None, shrink_from=0)


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (SourceContent(100, no_list="an HTML page, not a list"), "HTML"),
        (
            SourceContent(100, malformed=101, example="`a b`: two words"),
            "101 malformed lines and only 100 rules now: `a b`",
        ),
        (SourceContent(100, malformed=100), None),
        (SourceContent(99, has_dots=False), "without any dot"),
        (SourceContent(100, has_dots=False), None),
        (SourceContent(100, prefixes=100), None),
    ],
)
def test_content_that_is_hardly_a_list(now: SourceContent, word: str | None):
    found = refusal(SourceContent(100), now, None, None)
    assert (word or "") in (found or "")
    assert (found is None) == (word is None)
    assert refusal(SourceContent(0), now, None, None) is None


def test_what_was_no_better_before_is_no_reason():
    before = SourceContent(10, malformed=20, has_dots=False)
    assert refusal(before, SourceContent(9, malformed=20, has_dots=False), None, None) is None
    assert refusal(before, SourceContent(9, malformed=21, has_dots=False), None, None)


def test_prefixes_grow_for_themselves():
    before = SourceContent(100_010, prefixes=10)
    assert "static prefixes" in str(refusal(before, SourceContent(110_000, prefixes=10_000), None, None))
    assert refusal(before, SourceContent(109_999, prefixes=9_999), None, None) is None
    assert "had 1 static prefix " in str(refusal(SourceContent(9, 1), SourceContent(12, 4), None, 2.0))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"foo.com\n", ""),
        (b"", ""),
        (b"\xef\xbb\xbffoo.com", ""),
        (b"  \r\n<html>", "HTML"),
        (b"\xef\xbb\xbf<?xml version", "HTML"),
        ("foo.com\n".encode("utf-16"), "UTF-16"),
        ("foo.com\n".encode("utf-16-le"), "UTF-16"),
        ("foo.com\n".encode("utf-16-be"), "UTF-16"),
        ("foo.com\n".encode("utf-32"), "UTF"),
    ],
)
def test_no_list(content: bytes, word: str):
    assert bool(no_list(content)) == bool(word)
    assert word in no_list(content)


@pytest.mark.parametrize(
    ("lost", "rules", "partial"),
    [(0, 0, False), (0, 100, False), (1, 49, True), (1, 50, False), (19, 10_000, False), (20, 1_000_000, True)],
)
def test_is_partial(lost: int, rules: int, *, partial: bool):
    assert is_partial(lost, rules) == partial


@pytest.mark.parametrize(
    ("prefixes", "share"),
    [
        ([], 0),
        ([b"\x10\0\0\0\x04"], 1 / 16),
        ([b"\x10\0\0\0\x08", b"\x10\1\0\0\x10", b"\x10\1\1\1"], 1 / 256),
        ([b"\x10\0\0\0\x08", b"\x10\0\0\0\x10", b"\x10\0\0\0", b"\x11\0\0\0\x08"], 2 / 256),
        ([bytes(5)], 1),
        ([b"\x2a" + bytes(15) + b"\x0c", b"\1\2\3\4"], 1 / 4096),
        ([b"\x2a" + bytes(15)], 2.0**-128),
    ],
)
def test_covered_share(prefixes: list[bytes], share: float):
    assert covered_share(prefixes) == pytest.approx(share, rel=1e-6)


def test_of_a_content_that_is_known_by_its_rules_alone_no_fault_is_known():
    assert SourceContent(7) == SourceContent(7, prefixes=0, malformed=0, has_dots=True, no_list="", example="")
