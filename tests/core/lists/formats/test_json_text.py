"""JSON of others: what is read, and what is refused with its place."""

import pytest

from dnstap_bgp.core.lists.formats import json_text
from dnstap_bgp.core.lists.formats.json_text import load
from dnstap_bgp.errors import ListError


def test_values():
    assert load('\ufeff{"a": [1, "b", null]}'.encode()) == {"a": [1, "b", None]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": 1, "a": 2}', "its object: the key 'a' stands there twice"),
        (b'{"a\x7f\xe2\x80\xae": {"b": 1, "b": 2}}', r"^a\\x7f\\u202e: the key 'b' stands there twice"),
        (b'[0, {"b": {"c": 1, "d": 2, "c": 3}}]', r"\[1\].b: the key 'c' stands there twice"),
        (b'{"a": {"x": 1, "x": 2}, "b": {"y": 1, "y": 2}}', "a: the key 'x'"),
        (b"[1,\n2,,]", "line 2, column 3: no JSON"),
        (b'"\xff"', "no UTF-8 at byte 2"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"1" * 10_000, "no JSON of ours"),
        (b"", "line 1, column 1"),
    ],
)
def test_what_is_refused(content: bytes, reason: str):
    with pytest.raises(ListError, match=reason):
        load(content)


def test_of_a_long_key_and_a_long_path_a_part_is_told():
    with pytest.raises(ListError, match=r"^its object: the key 'k{40}' stands there twice"):
        load(b'{"%b": 1, "%b": 2}' % (b"k" * 41, b"k" * 41))
    with pytest.raises(ListError, match=r"^k{40}: the key 'a'"):
        load(b'{"%b": {"a": 1, "a": 2}}' % (b"k" * 41))
    deep = b'{"abcdefgh":' * 30 + b'{"a": 1, "a": 2}' + b"}" * 30
    with pytest.raises(ListError) as refusal:
        load(deep)
    path = ".".join(["abcdefgh"] * 30)
    assert str(refusal.value).startswith(f"{path[-200:]}: the key 'a'")


@pytest.mark.parametrize("content", [b"[1, 2, 3, 4]", b"[[[[]]]]", b"[{}, {}]"])
def test_values_are_bounded(monkeypatch: pytest.MonkeyPatch, content: bytes):
    """The attack: 20,000,000 empty objects, 300 KB as they are fetched, take 1.6 GB."""
    monkeypatch.setattr(json_text, "VALUES_MAX", 4)
    load(content)
    monkeypatch.setattr(json_text, "VALUES_MAX", 3)
    with pytest.raises(ListError, match="it has more than 3 values"):
        load(content)
