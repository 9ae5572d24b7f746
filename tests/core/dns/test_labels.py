import pytest

from dnstap_bgp.core.dns.labels import WorkBudget, read_name, skip_name, spans, to_name
from dnstap_bgp.errors import DnsError, WorkExceededError

HEADER = bytes(12)
NAME = b"\3www\7Example\3com\0"


def test_a_plain_name_is_lowered_and_ends_behind_its_zero():
    assert read_name(HEADER + NAME + b"rest", 12) == (b"\3www\7example\3com", 12 + len(NAME))


def test_the_root():
    assert read_name(b"\0", 0) == (b"", 1)
    assert to_name(b"") == b""


def test_pointers_are_followed_and_the_name_ends_behind_the_first():
    wire = HEADER + NAME + b"\3cdn\xc0\x10" + b"\1a\xc0\x1d"
    assert read_name(wire, 29) == (b"\3cdn\7example\3com", 35)
    assert read_name(wire, 35) == (b"\1a\3cdn\7example\3com", 39)
    assert spans(wire, 35) == [(35, 39), (29, 35), (16, 29)]


def test_a_pointer_leads_anywhere_in_the_first_quarter():
    for target in (255, 256, 0x1234, 0x3FFF):
        wire = bytes(target) + NAME + b"\1a" + (0xC000 | target).to_bytes(2)
        start = target + len(NAME)
        assert read_name(wire, start) == (b"\1a" + NAME[:-1].lower(), start + 4)
        assert spans(wire, start) == [(start, start + 4), (target, start)]


@pytest.mark.parametrize(
    ("wire", "offset"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"\3ww", 0, id="cut in a label"),
        pytest.param(b"\3www", 0, id="no end"),
        pytest.param(b"\1a\xc0", 0, id="cut in a pointer"),
        pytest.param(b"\1a\xc0\0", 0, id="to itself"),
        pytest.param(b"\1a\xc0\2", 0, id="to the pointer"),
        pytest.param(b"\1a\xc0\5\0\0", 0, id="forwards"),
        pytest.param(b"\xc0\2\xc0\0", 2, id="a loop"),
        pytest.param(b"\2a\xc0\0\0", 2, id="through its own pointer"),
        pytest.param(b"\1a\1b\xc0\0", 4, id="what it points to does not end before it"),
        pytest.param(
            bytes(192) + b"\1b\0" + bytes(5) + b"\1a\xc0" + b"\xc0\xc8",
            203,
            id="a byte of two pointers at the same time",
        ),
        pytest.param(b"\x40a\0", 0, id="label type 01"),
        pytest.param(b"\x80a\0", 0, id="label type 10"),
        pytest.param((b"\x3f" + b"a" * 63) * 4 + b"\0", 0, id="257 bytes"),
        pytest.param(b"\1a" * 127 + b"\1\0", 0, id="two bytes too long"),
        pytest.param(b"\1a" * 126 + b"\2ab\0", 0, id="one byte too long"),
        pytest.param(b"\1a" * 64 + b"\0" + b"\1b" * 62 + b"\2bb\xc0\0", 129, id="one byte too long by a pointer"),
        pytest.param(b"\1a" * 64 + b"\0" + b"\1b" * 64 + b"\xc0\0", 129, id="too long with what it points to"),
    ],
)
def test_what_is_no_name(wire, offset):
    with pytest.raises(DnsError):
        read_name(wire, offset)


def test_the_longest_name():
    wire = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\0"
    assert len(wire) == 255
    assert read_name(wire, 0)[1] == 255
    assert len(to_name(wire[:-1])) == 253


def test_pointers_to_pointers_have_a_limit():
    wire = b"\1a\0" + b"".join((0xC000 | target).to_bytes(2) for target in [0, *range(3, 500, 2)])
    assert read_name(wire, 3 + 2 * 126)[0] == b"\1a"
    with pytest.raises(DnsError, match="pointer 128"):
        read_name(wire, 3 + 2 * 127)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (b"\3www\7example\3com", b"www.example.com"),
        (b"\3a.b\1c", rb"a\046b.c"),
        (b"\2a\\\1c", rb"a\092.c"),
        (b"\3n\0l\1c", rb"n\000l.c"),
        (b"\3n\0l", rb"n\000l"),
        (b"\2\xc3\xa4", rb"\195\164"),
        (b"\x20" + b"x" * 32 + b"\1y", b"x" * 32 + b".y"),
        (b"\x21" + b"x" * 33 + b"\1y", b"x" * 33 + b".y"),
        (b"\x3f" + b"x" * 63 + b"\3a.b", b"x" * 63 + rb".a\046b"),
    ],
)
def test_presentation(labels, name):
    assert to_name(labels) == name


@pytest.mark.parametrize(
    "labels",
    [
        b"\3ww",
        b"\5\3www",
        b"\x40" + b"a" * 64,
        b"\xc0\x0c",
        b"\x3f" + b"x" * 62,
        pytest.param(b"\1a" * 128, id="short ones, too long together"),
        pytest.param(b"\1a" * 126 + b"\2ab", id="short ones, one byte too long"),
        pytest.param(b"\x3f" + b"x" * 63 + b"\1a" * 94 + b"\2ab", id="a long one, one byte too long"),
        pytest.param((b"\x3f" + b"x" * 63) * 4, id="long ones, too long together"),
    ],
)
def test_what_are_no_labels(labels):
    with pytest.raises(DnsError):
        to_name(labels)


def test_skipping_does_not_follow_pointers():
    assert skip_name(NAME, 0) == len(NAME)
    assert skip_name(b"\1a\xff\xff", 0) == 4
    for wire in (b"", b"\3www", b"\x40a\0"):
        with pytest.raises(DnsError):
            skip_name(wire, 0)


def test_a_name_is_charged_for_by_its_length_and_its_pointers():
    wire = HEADER + NAME + b"\3cdn\xc0\x10" + b"\1a\xc0\x1d"
    for offset, units in ((12, 2 + 0 + 16 // 8), (29, 2 + 1 + 16 // 8), (35, 2 + 2 + 18 // 8)):
        budget = WorkBudget(100)
        read_name(wire, offset, budget)
        assert budget.left == 100 - units
    with pytest.raises(DnsError):
        read_name(wire[:-1], 35, budget)
    assert budget.left == 100 - units, "what could not be read is not charged for"


def test_a_budget_is_spent_below_zero():
    budget = WorkBudget(1)
    budget.left -= 1
    budget.check()
    budget.left -= 1
    with pytest.raises(WorkExceededError):
        budget.check()
