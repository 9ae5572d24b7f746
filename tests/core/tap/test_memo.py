"""The memo of names: what stays, what goes, and that its memory is bounded whatever comes."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.tap.answer_templates import AnswerTemplate, CnameTemplate
from dnstap_bgp.core.tap.memo import NAME_MAX_BYTES, ListedName, Memo, _size_of


def template_of(length: int) -> AnswerTemplate:
    return (lambda _: ()), (b"x" * length,), 0, b"", (("list", b"y" * length, 0),)


def labels(number: int) -> bytes:
    return b"\3www\x08%08d\4test" % number


def sizes(memo: Memo) -> int:
    return sum(_size_of(*each) for each in memo.entries.items())


def test_an_entry_is_kept_and_replaced():
    memo = Memo(100_000)
    assert labels(1) not in memo.entries
    memo.put(labels(1), ())
    listed = ListedName(("list",), b"www.test")
    size = memo.used_bytes
    memo.put(labels(1), listed)
    assert memo.entries[labels(1)] is listed
    assert memo.used_bytes > size
    memo.put(labels(1), ())
    assert (len(memo), memo.used_bytes) == (1, size)


def test_a_full_memo_forgets_what_is_in_for_the_longest_time():
    memo = Memo(20_000)
    for number in range(2000):
        memo.put(labels(number), ())
        assert memo.used_bytes <= 20_000
        assert labels(number) in memo.entries
    assert list(memo.entries) == [labels(number) for number in range(2000 - len(memo), 2000)]
    assert len(memo) > 100


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "template", "listed", "grown"]), st.integers(0, 9)), min_size=10, max_size=100
    )
)
def test_its_memory_is_that_of_its_entries(steps: list[tuple[str, int]]):
    memo = Memo(2000)
    for step, number in steps:
        name = labels(number)
        if step == "put":
            memo.put(name, ())
        elif step == "template":
            memo.put(name, (b"x" * 6, b"y" * number))
        elif step == "listed":
            memo.put(name, ListedName(("list",), name))
        else:
            entry = memo.entries.get(name)
            if isinstance(entry, ListedName):
                memo.keep_template(name, entry, template_of(number))
        assert memo.used_bytes == sizes(memo)
        assert memo.used_bytes <= 2000


def test_of_a_listed_name_the_newest_templates_are_kept():
    memo = Memo(100_000)
    entry = ListedName(("list",), b"www.test")
    memo.put(labels(1), entry)
    templates = [template_of(length) for length in range(6)]
    for template in templates:
        memo.keep_template(labels(1), entry, template)
    assert entry.templates == (*templates[:1:-1],)
    assert memo.used_bytes == sizes(memo)


def test_a_template_is_kept_though_its_name_has_been_forgotten():
    memo = Memo(100_000)
    entry = ListedName(("list",), b"www.test")
    template = template_of(3)
    memo.keep_template(labels(1), entry, template)
    assert entry.templates == (template,)
    assert (len(memo), memo.used_bytes) == (0, 0)


@pytest.mark.parametrize("length", [20, 250])
def test_templates_of_listed_names_take_no_more_than_the_limit(length: int):
    """Whoever owns a listed domain makes the chains of all names below."""
    memo = Memo(1_000_000)
    tracemalloc.start()
    for number in range(3000):
        memo.put(labels(number), ListedName(("list",), b"%d.test" % number))
    for name in [*memo.entries]:
        for _ in range(4):
            entry = memo.entries.get(name)
            if isinstance(entry, ListedName):
                fixed = tuple(bytes(bytearray(length)) for _ in range(17))
                claims = tuple(("list", bytes(bytearray(length)), at) for at in range(17))
                memo.keep_template(name, entry, (template_of(0)[0], fixed, 0, bytes(2), claims))
                assert memo.used_bytes <= memo.max_bytes
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1.5 * memo.max_bytes


def test_a_name_is_worth_an_entry_when_it_is_asked_again():
    memo = Memo(100_000)
    assert memo.asked_again([labels(1), labels(2)]) == set()
    assert memo.asked_again([labels(3), labels(2)]) == {labels(2)}
    assert memo.asked_again([labels(1)]) == {labels(1)}


@pytest.mark.parametrize("length", [8, 250])
def test_names_that_are_asked_once_take_what_the_entries_leave(length: int):
    memo = Memo(100_000)
    noted: list[int] = []
    for entries in range(8):
        for number in range(5000):
            assert memo.asked_again([b"%0*d" % (length, number + 5000 * entries)]) == set()
            assert memo.used_bytes <= memo.max_bytes + length + 200
        noted.append(
            sum(bool(memo.asked_again([b"%0*d" % (length, number + 5000 * entries)])) for number in range(4980, 5000))
        )
        for number in range(100 * entries, 100 * entries + 100):
            memo.put(labels(number), ())
    assert min(noted) > 0
    assert len(memo) > 400


def test_it_forgets_few_at_a_time():
    memo = Memo(1_000_000)
    for number in range(50_000):
        before = len(memo)
        memo.put(labels(number), ())
        assert before - len(memo) <= 1 + before // 64


def test_long_names_have_no_place():
    memo = Memo(100_000)
    memo.put(b"x" * (NAME_MAX_BYTES + 1), ())
    assert len(memo) == 0


@pytest.mark.parametrize("entry", [(), (b"x" * 6, b"y" * 20), (b"x" * 6, b"y" * 30, b"z" * 20)])
def test_the_memory_is_about_what_is_estimated(entry: CnameTemplate):
    """Names that were asked once are counted alike; the first piece of a template is shared."""
    memo = Memo(4 << 20)
    tracemalloc.start()
    for number in range(100_000):
        memo.put(b"\x0c%012d\4test" % number, (*entry[:1], *map(bytes, map(bytearray, entry[1:]))))
        memo.asked_again([b"\x0c%012d\5other" % number])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1.5 * memo.max_bytes


def test_the_longest_name_has_a_place():
    memo = Memo(100_000)
    memo.put(b"x" * NAME_MAX_BYTES, ())
    assert len(memo) == 1


def test_names_that_were_asked_once_are_forgotten_when_they_fill_the_memory():
    memo = Memo(10 * (96 + 4))
    assert memo.asked_again([b"%04d" % number for number in range(9)]) == set()
    assert memo.used_bytes == 9 * (96 + 4)
    assert memo.asked_again([b"0000"]) == {b"0000"}
    assert memo.used_bytes == memo.max_bytes
    assert memo.asked_again([b"0001"]) == {b"0001"}, "and with that question all begins anew"
    assert memo.used_bytes == 96 + 4
    assert memo.asked_again([b"0002"]) == set()
