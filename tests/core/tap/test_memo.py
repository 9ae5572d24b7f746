"""The memo of names: what stays, what goes, and that its memory is bounded whatever comes."""

import random
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.tap.answer_templates import AnswerTemplate
from dnstap_bgp.core.tap.memo import NAME_MAX_BYTES, ListedName, Memo, MemoEntry, _size_of

TEMPLATE: AnswerTemplate = (lambda _: (), (), 0, b"", ())


def labels(number: int) -> bytes:
    return b"\3www\x08%08d\4test" % number


def test_an_entry_is_kept_and_replaced():
    memo = Memo(100_000)
    assert memo.get(labels(1)) is None
    memo.put(labels(1), ())
    listed = ListedName(("list",), b"www.test")
    size = memo.used_bytes
    memo.put(labels(1), listed)
    assert memo.get(labels(1)) is listed
    assert memo.used_bytes > size
    memo.put(labels(1), ())
    assert (len(memo), memo.used_bytes) == (1, size)


def test_a_full_memo_forgets_what_nobody_asks_for():
    memo = Memo(20_000)
    memo.put(labels(0), ())
    for number in range(1, 2000):
        memo.put(labels(number), ())
        assert memo.get(labels(0)) == ()
        assert memo.used_bytes <= 20_200
    assert memo.has_forgotten
    assert memo.get(labels(1)) is None
    assert memo.get(labels(1999)) == ()
    assert len(memo) > 100


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(["get", "put", "listed", "grown"]), st.integers(0, 9)), min_size=10, max_size=100
    )
)
def test_its_memory_is_that_of_its_entries(steps: list[tuple[str, int]]):
    memo = Memo(600)
    for step, number in steps:
        name = labels(number)
        if step == "get":
            memo.get(name)
        elif step == "put":
            memo.put(name, ())
        elif step == "listed":
            memo.put(name, ListedName(("list",), name))
        else:
            entry = memo.get(name)
            if isinstance(entry, ListedName) and not entry.templates:
                entry.templates = (TEMPLATE,)
                memo.has_grown(name, entry)
        generations = memo.young, memo._old
        assert memo.used_bytes == sum(_size_of(*each) for entries in generations for each in entries.items())
        assert not memo.young.keys() & memo._old.keys()


def test_a_name_that_is_put_again_while_its_generation_grows_old_counts_once():
    memo = Memo(20_000)
    for number in range(10_000):
        memo.put(labels(number), ())
        known = memo.get(labels(number - 50))
        memo.put(labels(number - 50), () if known is None else known)
        memo.get(labels(number - 100))
    assert len(memo.young.keys() | memo._old.keys()) == len(memo)
    assert memo.used_bytes == sum(_size_of(*each) for each in (*memo.young.items(), *memo._old.items()))


def test_a_listed_name_that_gets_a_template_in_the_old_generation_takes_the_room_of_one():
    memo = Memo(20_000)
    name = labels(10_000)
    listed = ListedName(("list",), name)
    memo.put(name, listed)
    number = 0
    while name in memo.young:
        memo.put(labels(number := number + 1), ())
    listed.templates = (TEMPLATE,)
    memo.has_grown(name, listed)
    assert name in memo._old
    assert memo.used_bytes == sum(_size_of(*each) for each in (*memo.young.items(), *memo._old.items()))


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


def test_it_agrees_with_a_dictionary_about_what_it_still_has():
    pick = random.Random(1)
    memo = Memo(30_000)
    plain: dict[bytes, MemoEntry] = {}
    for _ in range(20_000):
        name = labels(pick.randrange(2000))
        if pick.random() < 0.5:
            found = memo.get(name)
            assert found is None or found is plain[name]
            continue
        entry: MemoEntry = ListedName(("list",), name) if pick.random() < 0.3 else ()
        if memo.get(name) is None or pick.random() < 0.3:
            memo.put(name, entry)
            plain[name] = entry
        if isinstance(entry, ListedName):
            entry.templates = (TEMPLATE,)
            memo.has_grown(name, entry)  # it may be none of the memo's
    assert memo.has_forgotten
    assert memo.used_bytes < 32_000


def test_the_memory_is_about_what_is_estimated():
    memo = Memo(4 << 20)
    tracemalloc.start()
    for number in range(100_000):
        memo.put(b"\x0c%012d\4test" % number, ())
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1.5 * memo.max_bytes


def test_a_new_memo_has_forgotten_nothing():
    assert not Memo(1000).has_forgotten
