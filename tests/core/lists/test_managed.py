"""Managed lists: what people may ask for, and what a file that anybody may have written gives."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.lists import managed
from dnstap_bgp.core.lists.managed import NAMES_MAX, Edit, ManagedName, edited, make_edit, parse, write
from dnstap_bgp.errors import CommandError
from tests.core.lists.formats.format_kit import read

NOW = 1_796_000_000.0


def test_names_are_brought_into_one_form():
    edit = make_edit(["Example.COM.", "=www.example.org", "*.x.example", "!no.example"], [], "alice", " why ")
    assert edit == Edit(("example.com", "=www.example.org", "*.x.example", "!no.example"), (), "alice", "why")


@pytest.mark.parametrize(
    "bad", ["", "a b", "192.0.2.0/24", "192.0.2.1", "example..com", "a\nb.example", "x" * 300, "#x"]
)
def test_what_is_no_name_is_refused(bad: str):
    with pytest.raises(CommandError):
        make_edit([bad], [], "alice")


def test_a_comment_and_a_name_are_as_long_as_they_may_be():
    edit = make_edit(["a.example"], [], "w" * 65, "x" * 200)
    assert (edit.who, edit.comment) == ("w" * 64, "x" * 200)
    assert make_edit(["a.example"], [], " a:b\x1b ").who == "ab"
    assert make_edit(["a.example"], [], ":").who == "somebody"


def test_of_a_line_that_is_longer_than_we_write_them_as_much_is_kept():
    [entry] = parse(f"a.example  # 2026-01-01T00:00:00Z {'w' * 65}: {'x' * 201}\n").values()
    assert (entry.who, entry.comment) == ("w" * 64, "x" * 200)


@pytest.mark.parametrize("comment", ["two\nlines", "\x1b[2J", "x" * 201, "\u2028"])
def test_a_comment_is_one_short_printable_line(comment: str):
    with pytest.raises(CommandError, match="comment"):
        make_edit(["a.example"], [], "alice", comment)


def test_there_has_to_be_something_to_do():
    with pytest.raises(CommandError, match="no name"):
        make_edit([], [], "alice")
    with pytest.raises(CommandError, match="added and removed"):
        make_edit(["a.example"], ["A.example."], "alice")


def test_adding_keeps_what_is_there():
    old = {"a.example": ManagedName("a.example", "2026-01-01T00:00:00Z", "bob", "first")}
    new = edited(old, make_edit(["a.example", "b.example"], [], "alice", "second"), NOW)
    assert new["a.example"] is old["a.example"]
    assert new["b.example"] == ManagedName("b.example", "2026-11-30T00:53:20Z", "alice", "second")


def test_nothing_is_removed_where_one_name_is_not_there():
    old = {"a.example": ManagedName("a.example")}
    with pytest.raises(CommandError, match=r"c.example is not on the list: nothing is changed"):
        edited(old, make_edit([], ["a.example", "c.example"], "alice"), NOW)
    with pytest.raises(CommandError, match=r"b.example is not on the list, and 1 other: nothing is changed"):
        edited(old, make_edit([], ["b.example", "a.example", "c.example"], "alice"), NOW)
    with pytest.raises(CommandError, match=r"b.example is not on the list, and 2 others: nothing is changed"):
        edited(old, make_edit([], ["b.example", "c.example", "d.example"], "alice"), NOW)
    assert edited(old, make_edit([], ["a.example"], "alice"), NOW) == {}


def test_adding_what_is_there_says_so():
    old = {"a.example": ManagedName("a.example")}
    with pytest.raises(CommandError, match=r"a.example is on the list already"):
        edited(old, make_edit(["a.example"], [], "alice"), NOW)
    both = old | {"b.example": ManagedName("b.example")}
    with pytest.raises(CommandError, match="all are on the list"):
        edited(both, make_edit(["a.example", "b.example"], [], "alice"), NOW)
    assert edited(both, make_edit(["a.example"], ["b.example"], "alice"), NOW) == old


def test_removing_half_of_a_full_list_takes_no_longer_than_reading_it():
    entries = {f"a{number}.example": ManagedName(f"a{number}.example") for number in range(40_000)}
    removed = tuple(entries)[::2]
    began = time.perf_counter()
    assert len(edited(entries, Edit((), removed, "alice"), 0.0)) == 20_000
    assert time.perf_counter() - began < 2, "it is done in the main thread"


def test_names_are_bounded():
    old = {f"n{number}.example": ManagedName(f"n{number}.example") for number in range(NAMES_MAX)}
    with pytest.raises(CommandError, match="100000 names"):
        edited(old, make_edit(["one.more.example"], [], "alice"), NOW)
    assert len(edited(old, make_edit(["one.more.example"], ["n0.example"], "alice"), NOW)) == 100_000


def test_of_a_file_no_more_names_count(monkeypatch):
    monkeypatch.setattr(managed, "NAMES_MAX", 2)
    assert list(parse("a.example\nb.example\na.example\nc.example\n")) == ["a.example", "b.example"]


def test_a_file_with_anything_in_it_gives_only_names():
    text = (
        "example.com\n192.0.2.0/24\nno name at all\n=x.example  # 2026-01-01T00:00:00Z bob: hi # there\n"
        "y.example # a comment of a person\nz.example  # 2026-01-01T00:00:00Z bob\x1b: hi\n\x00\n"
    )
    assert parse(text) == {
        "example.com": ManagedName("example.com"),
        "=x.example": ManagedName("=x.example", "2026-01-01T00:00:00Z", "bob", "hi # there"),
        "y.example": ManagedName("y.example"),
        "z.example": ManagedName("z.example"),
    }


_WORDS = st.text(st.characters(blacklist_categories=("C", "Z")), max_size=20)


@given(
    st.lists(st.from_regex(r"(=|\*\.|!)?[a-z]{1,9}\.example", fullmatch=True), min_size=1, unique=True), _WORDS, _WORDS
)
def test_what_is_written_is_read_by_us_and_as_a_plain_list(names: list[str], who: str, comment: str):
    entries = edited({}, make_edit(names, [], who, comment), NOW)
    text = write(entries.values())
    assert parse(text) == entries
    found = [read("plain", line) for line in text.splitlines()[1:]]
    assert [str(rule) for rules, _ in found for rule in rules] == list(entries)
    assert not any(complaints for _, complaints in found)
