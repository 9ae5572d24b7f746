"""ExaBGP and its neighbors."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.doctor.evidence import Evidence
from dnstap_bgp.core.status.report import BudgetStatus
from tests.core.doctor.cases import NEIGHBOR, found, host, only


@pytest.mark.parametrize(
    ("evidence", "changes", "kind", "level"),
    [
        (Evidence(), {"stage": "refused", "version": "4.2.25"}, "exabgp-version", "error"),
        (Evidence(opening_s=31.0), {"stage": "barrier"}, "exabgp-silent", "error"),
        (Evidence(), {"silent_s": 61.0}, "exabgp-stalled", "warning"),
        (Evidence(), {"stalled_s": 61.0}, "exabgp-stalled", "warning"),
        (Evidence(), {"neighbors": ()}, "no-neighbor", "error"),
        (Evidence(), {"backlog": {"refused": 2}}, "routes-refused", "warning"),
        (Evidence(down_s={"192.0.2.1": 61.0}), {}, "neighbor-down", "warning"),
        (Evidence(), {"neighbors": (replace(NEIGHBOR, foreign=True, up=False),)}, "neighbor-foreign", "note"),
        (
            Evidence(),
            {"neighbors": (replace(NEIGHBOR, lacking=("ipv6 unicast",)),)},
            "neighbor-lacks-family",
            "warning",
        ),
    ],
)
def test_exabgp(evidence, changes, kind, level):
    finding = only(evidence, exabgp=host(**changes))
    assert (finding.kind, finding.level) == (kind, level)


def test_exabgp_has_a_moment():
    assert not found(Evidence(opening_s=30.0), exabgp=None)
    assert only(Evidence(opening_s=30.5), exabgp=None).kind == "exabgp-silent"
    assert not found(exabgp=host(silent_s=60.0, stalled_s=60.0))
    assert only(exabgp=host(silent_s=60.5)).text == "ExaBGP has not taken a command for 60 s"
    assert not found(Evidence(down_s={"192.0.2.1": 60.0}))
    down = only(Evidence(down_s={"192.0.2.1": 60.5}))
    assert (down.text, down.subject) == ("neighbor 192.0.2.1 (AS 65002) has been down for 1 min", "192.0.2.1")


@pytest.mark.parametrize(
    ("budget", "kinds"),
    [
        (BudgetStatus(10, 7, 0, 0), []),
        (BudgetStatus(10, 8, 0, 0), ["budget-nearly-full"]),
        (BudgetStatus(10, 10, 0, 0), ["budget-nearly-full"]),
        (BudgetStatus(10, 10, 3, 1), ["budget-full"]),
    ],
)
def test_a_budget_is_told_before_it_bites_and_when_it_does(budget, kinds):
    findings = found(exabgp=host(neighbors=(replace(NEIGHBOR, budget=budget),)))
    assert [(one.kind, one.level, one.subject) for one in findings] == [
        (kind, "warning", "192.0.2.1") for kind in kinds
    ]


def test_a_full_budget_is_told_with_its_numbers():
    neighbor = replace(NEIGHBOR, budget=BudgetStatus(10, 8, 3, 1))
    room = "neighbor 192.0.2.1 (AS 65002) has room for 10 prefixes (max_prefixes)"
    assert only(exabgp=host(neighbors=(neighbor,))).text.startswith(f"{room}: 3 more have no place now")
    nearly = replace(NEIGHBOR, budget=BudgetStatus(10, 8, 0, 1))
    assert only(exabgp=host(neighbors=(nearly,))).text == f"{room}, of which 8 are used"
