"""Active refresh: what is told of a silent resolver, a blind tap and too many names."""

from dataclasses import replace
from typing import Any

import pytest

from dnstap_bgp.core.doctor import refresh
from dnstap_bgp.core.status.report import RefreshStatus
from tests.core.doctor.cases import only

WELL = RefreshStatus("127.0.0.1", 30, 10, 0, 500, 490, 10, 480, 0.0, False, False, "")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"silent": True, "problem": "no answer within 5 s", "late_s": 300.0}, ["refresh-silent"]),
        ({"blind": True, "returned": 0, "late_s": 300.0}, ["refresh-unseen"]),
        ({"late_s": 30.5}, ["refresh-late"]),
        ({"late_s": 30.0}, []),
        ({"left_out": 1}, ["refresh-left-out"]),
    ],
)
def test_what_is_found(changes: dict[str, Any], kinds: list[str]):
    assert [one.kind for one in refresh.examine(replace(WELL, **changes))] == kinds


def test_without_a_refresh_there_is_nothing_to_find():
    assert not list(refresh.examine(None))


def test_the_doctor_looks_at_it_and_names_the_key():
    found = only(refresh=replace(WELL, silent=True, problem="no answer within 5 s"))
    assert found.kind == "refresh-silent"
    assert "refresh.resolver" in found.advice
    assert "no answer within 5 s" in found.text
