"""Names for the places of an expression: they get there, and stay."""

import re

import pytest

from dnstap_bgp.core.dns.names import NAME_MAX
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.hostile_names import NAMES_OF_PLACE, names_for_places


def groups(text: str) -> list[list[str]]:
    return [[name.decode() for name in group] for group in names_for_places(text)]


@pytest.mark.parametrize(
    ("text", "stay"),
    [
        ("^ab[cd]*e", "ab[cd]{150,}"),
        ("^(?:x|y(?:z|qq(?:[01]{2}-)+))k", "yqq(?:[01]{2}-){40,}"),
        (r"^\d{3}(\.[^a-y0-9.-]){2,5}", r"\d{3}(\.[z_]){70,}"),
        (r"^[\w-.]{2,}-_[\d-.]{3,}$", r"---_[0-9.-]{150,}"),
        ("(?i)^AB+?[C-E]{4,}", "ab[c-e]{150,}"),
        (r"^[[:digit:]]+\x{61}(bc|d){9}\z", "[0-9]a(bc|d){70,}"),
    ],
)
def test_each_place_has_names_that_get_there_and_stay(text: str, stay: str):
    found = groups(text)
    assert any(all(re.match(stay, name) for name in group) for group in found), found
    assert all(len(group) == NAMES_OF_PLACE for group in found)
    assert all(0 < len(name) <= NAME_MAX for group in found for name in group)


def test_names_are_of_few_letters_and_always_the_same():
    (names,) = groups("^[a-z]*q[a-z]")
    assert all(len(set(name)) <= 3 for name in names)
    assert {letter for name in names for letter in name} >= {"a", "q", "z"}
    assert groups("^[a-z]*q[a-z]") == groups("^[a-z]*q[a-z]")


def test_what_matches_no_letter_of_a_name_has_a_name_all_the_same():
    assert groups("^(?:[A]|/)*") != [[]]
    assert all(name for group in groups("[/]+") for name in group)


MANY = "".join(f"[a-{letter}]*" for letter in "bcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize("text", [MANY, "(" * 60 + "x" + ")*" * 60, r"\pL+", "(?<n>a)"])
def test_what_can_not_be_followed_is_refused(text: str):
    with pytest.raises(ListError, match=r"24 are allowed|nothing but RE2"):
        groups(text)
