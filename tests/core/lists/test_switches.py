"""Switches of lists: which lists count, until when, and what a hostile file may say."""

import json

import pytest

from dnstap_bgp.core.lists.switches import SWITCHES_MAX, Switch, Switches
from dnstap_bgp.errors import CommandError

CONFIGURED = {"a": True, "b": False, "c": True}


def switches(**by_list: Switch) -> Switches:
    return Switches(by_list)


def test_without_a_switch_the_configuration_counts():
    assert Switches().off(CONFIGURED, 100.0) == {"b"}


def test_a_switch_stands_in_place_of_the_configuration():
    found = switches(a=Switch(False, None, 1.0), b=Switch(True, None, 1.0))
    assert found.off(CONFIGURED, 100.0) == {"a"}


def test_a_switch_undoes_itself_at_its_time():
    found = switches(a=Switch(False, 100.0, 1.0))
    assert found.off(CONFIGURED, 99.9) == {"a", "b"}
    assert found.off(CONFIGURED, 100.0) == {"b"}
    assert found.at(99.9) is found
    assert found.at(100.0).by_list == {}


def test_a_switch_to_what_the_configuration_says_is_none():
    found = switches(a=Switch(False, None, 1.0)).switched("a", Switch(True, None, 2.0), configured=True)
    assert found.by_list == {}


def test_switching_leaves_the_others_and_the_old_object_alone():
    old = switches(a=Switch(False, None, 1.0))
    new = old.switched("c", Switch(False, 9.0, 2.0, "eve"), configured=True)
    assert set(old.by_list) == {"a"}
    assert new.by_list == {"a": Switch(False, None, 1.0), "c": Switch(False, 9.0, 2.0, "eve")}


def test_switches_are_bounded():
    full = Switches({f"l{number}": Switch(False, None, 1.0) for number in range(SWITCHES_MAX)})
    with pytest.raises(CommandError, match="256 lists"):
        full.switched("one-more", Switch(False, None, 1.0), configured=True)
    assert len(full.switched("l1", Switch(False, 5.0, 2.0), configured=True).by_list) == SWITCHES_MAX
    assert Switches.from_json(full.to_json()).by_list == full.by_list
    one_more = Switches({**full.by_list, "one-more": Switch(False, None, 1.0)})
    with pytest.raises(ValueError, match="at most 256 lists"):
        Switches.from_json(one_more.to_json())


def test_what_is_written_is_read():
    found = switches(a=Switch(False, 1234.5, 1.0, "alice"), b=Switch(True, None, 2.0))
    assert Switches.from_json(found.to_json()).by_list == found.by_list


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"a": 1}',
        '{"a b": {"enabled": true, "until": null, "at": 1, "who": ""}}',
        '{"a": {"enabled": 1, "until": null, "at": 1, "who": ""}}',
        '{"a": {"enabled": true, "until": NaN, "at": 1, "who": ""}}',
        '{"a": {"enabled": true, "until": 1e308, "at": 1, "who": ""}}',
        '{"a": {"enabled": true, "until": null, "at": 1' + "0" * 400 + ', "who": ""}}',
        '{"a": {"enabled": true, "until": null, "at": true, "who": ""}}',
        '{"a": {"enabled": true, "until": null, "at": 1, "who": "\\u001b[2J"}}',
        '{"a": {"enabled": true, "until": null, "at": 1, "who": "' + "x" * 500 + '"}}',
        json.dumps({f"l{number}": {} for number in range(1000)}),
    ],
)
def test_a_file_of_somebody_else_is_refused(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
        Switches.from_json(text)


def as_file(**changes: object) -> str:
    return json.dumps({"a": {"enabled": True, "until": None, "at": 1, "who": ""} | changes})


def test_a_name_is_as_long_as_it_may_be():
    assert Switches.from_json(as_file(who="x" * 128)).by_list["a"].who == "x" * 128
    with pytest.raises(ValueError, match="a: `enabled`, `until`, `at` or `who` is missing or wrong"):
        Switches.from_json(as_file(who="x" * 129))


TOO_LATE = 4_102_444_800 + 10 * 366 * 86_400
"""Ten years after the year 2100 began: no switch is for longer."""


@pytest.mark.parametrize("key", ["at", "until"])
@pytest.mark.parametrize(
    ("time", "is_one"), [(0, True), (0.5, True), (-1, False), (4_102_444_800, True), (TOO_LATE, False), ("1", False)]
)
def test_times_are_of_this_century_or_the_next_years(key: str, time: object, *, is_one: bool):
    if is_one:
        assert Switches.from_json(as_file(**{key: time})).by_list["a"]._asdict()[key] == time
    else:
        with pytest.raises(ValueError, match="a: "):
            Switches.from_json(as_file(**{key: time}))


@pytest.mark.parametrize("missing", ["enabled", "at", "who"])
def test_what_a_switch_must_have(missing: str):
    found = json.loads(as_file())
    del found["a"][missing]
    with pytest.raises(ValueError, match="missing"):
        Switches.from_json(json.dumps(found))


def test_who_has_switched_a_list_off_is_told_and_until_when():
    found = switches(
        a=Switch(False, 1_800_000_000.0, 1.0, "alice"), c=Switch(False, None, 1.0), gone=Switch(False, None, 1.0)
    )
    assert found.off_texts(CONFIGURED, 100.0) == {
        "a": "by alice until 2027-01-15 08:00:00 UTC",
        "b": "by the configuration (enabled = false)",
        "c": "by hand",
    }
    assert found.off_texts(CONFIGURED, 1_800_000_000.0).keys() == {"b", "c"}
