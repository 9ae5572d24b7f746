"""ExaBGP and its neighbors."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.doctor.evidence import Evidence
from dnstap_bgp.core.doctor.exabgp import BUSY_S, DOWN_S, OPENING_S
from dnstap_bgp.core.status.report import BudgetStatus
from tests.core.doctor.cases import NEIGHBOR, found, host, only


@pytest.mark.parametrize(
    ("evidence", "changes", "kind", "level"),
    [
        (Evidence(), {"stage": "refused", "version": "4.2.25"}, "exabgp-version", "error"),
        (Evidence(opening_s=OPENING_S + 1), {"stage": "barrier"}, "exabgp-silent", "error"),
        (Evidence(), {"silent_s": BUSY_S + 1}, "exabgp-stalled", "warning"),
        (Evidence(), {"stalled_s": BUSY_S + 1}, "exabgp-stalled", "warning"),
        (Evidence(), {"neighbors": ()}, "no-neighbor", "error"),
        (Evidence(), {"backlog": {"refused": 2}}, "routes-refused", "warning"),
        (Evidence(down_s={"192.0.2.1": DOWN_S + 1}), {}, "neighbor-down", "warning"),
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
    assert not found(Evidence(opening_s=OPENING_S), exabgp=None)
    assert only(Evidence(opening_s=OPENING_S + 1), exabgp=None).kind == "exabgp-silent"
    assert not found(Evidence(down_s={"192.0.2.1": DOWN_S}))


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
