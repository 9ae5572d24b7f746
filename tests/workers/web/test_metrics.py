"""Metrics: Prometheus' conventions, bounded labels, and any form that is asked for."""

import subprocess
from dataclasses import replace

import pytest

from dnstap_bgp.core.status.report import (
    BudgetStatus,
    HoldStatus,
    HookStatus,
    NeighborStatus,
    PeerStatus,
    RefreshStatus,
    ViewStatus,
)
from dnstap_bgp.workers.web.metrics import _of_budgets, _of_views
from tests.workers.web.site_kit import Site

A = b"\1\1\1\1"


@pytest.mark.real("promtool")
def test_metrics_keep_to_the_conventions(site: Site):
    site.see([A, b"\x7f\0\0\1"])
    text = site.get("/metrics")
    linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_metrics_have_the_figures(site: Site):
    site.see([A, b"\x7f\0\0\1"])
    lines = site.get("/metrics").splitlines()
    assert 'dnstap_bgp_routes{family="ipv4"} 1.0' in lines
    assert 'dnstap_bgp_list_routes{family="ipv6",list="l"} 0.0' in lines
    assert 'dnstap_bgp_refused_sightings_total{reason="loopback"} 1.0' in lines
    assert any(line.startswith("dnstap_bgp_build_info{") for line in lines)
    _, text, response = site.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_followers_from_anywhere_are_no_labels(site: Site):
    followers = [PeerStatus(f"192.0.2.{n // 2} (follows us)", "ok", is_configured=False) for n in range(100)]
    site.server.inspector.peers = lambda: (PeerStatus("192.0.2.9:1", "ok"), *followers)
    lines = site.get("/metrics").splitlines()
    assert [line for line in lines if "(follows us)" in line] == []
    assert "dnstap_bgp_peer_followers 100.0" in lines


def test_hooks_are_labels_and_without_the_table_there_are_none(site: Site):
    assert "dnstap_bgp_hold" not in site.get("/metrics")
    hook = HookStatus("unbound", 5, 2, 1, {"installed": 3, "gave_up": 1}, 0.006, None, 0.75)
    site.server.inspector.hold = lambda: HoldStatus(True, 0.05, 2, 0.001, (), 1, {"token": 4}, {}, (hook,))
    lines = site.get("/metrics").splitlines()
    assert 'dnstap_bgp_hold_replies_total{hook="unbound",verdict="installed"} 3.0' in lines
    assert 'dnstap_bgp_hold_wait_seconds{hook="unbound",quantile="0.5"} 0.006' in lines
    assert not any('quantile="0.99"' in line for line in lines)
    assert 'dnstap_bgp_hold_stood_share{hook="unbound"} 0.75' in lines
    assert 'dnstap_bgp_hold_refused_total{reason="token"} 4.0' in lines
    assert "dnstap_bgp_hold_waiting 2.0" in lines


def test_the_refresh_is_told_where_there_is_one(site: Site):
    assert "dnstap_bgp_refresh" not in site.get("/metrics")
    found = RefreshStatus("127.0.0.1", 7, 2, 0, 90, 80, 10, 70, 1.5, False, False, "")
    site.server.inspector.refresh = lambda: found
    lines = site.get("/metrics").splitlines()
    assert 'dnstap_bgp_refresh_names{kind="seen"} 5.0' in lines
    assert 'dnstap_bgp_refresh_questions_total{outcome="unanswered"} 10.0' in lines
    assert "dnstap_bgp_refresh_returned_total 70.0" in lines
    assert "dnstap_bgp_refresh_late_seconds 1.5" in lines
    assert "dnstap_bgp_refresh_working 1.0" in lines
    site.server.inspector.refresh = lambda: replace(found, blind=True)
    assert "dnstap_bgp_refresh_working 0.0" in site.get("/metrics").splitlines()


@pytest.mark.parametrize(
    "accept", ["text/plain; version=x", "application/openmetrics-text; version=1.x", "x" * 5000, "\xff;=,"]
)
def test_whatever_form_is_asked_for_there_are_metrics(site: Site, accept: str):
    assert "dnstap_bgp_ready" in site.get("/metrics", Accept=accept)


def test_views_have_figures_of_their_own():
    views = (
        ViewStatus(("192.0.2.9",), False, told_ipv4=3, told_ipv6=2, waiting=1, refused=0),
        ViewStatus(("192.0.2.9",), True, told_ipv4=4, told_ipv6=0, waiting=0, refused=0),
    )
    found = [sample for family in _of_views(views) for sample in family.samples]
    samples = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in found}
    assert samples["dnstap_bgp_view_announced_routes", "192.0.2.9", "ipv4"] == 3
    assert samples["dnstap_bgp_view_announced_routes", "everyone except 192.0.2.9", "ipv4"] == 4
    assert samples["dnstap_bgp_view_backlog_routes", "192.0.2.9"] == 1


def test_budgets_have_figures_of_their_own():
    budget = BudgetStatus(max=10, used=9, left_out=3, displaced=2)
    neighbors = [
        NeighborStatus("192.0.2.9", 65002, True, (), (), True, False, False, budget),
        NeighborStatus("192.0.2.8", 65002, True, (), (), True, False, False),
    ]
    found = [sample for family in _of_budgets(neighbors) for sample in family.samples]
    assert {(sample.name, *sample.labels.values()): sample.value for sample in found} == {
        ("dnstap_bgp_neighbor_budget_routes", "192.0.2.9"): 10,
        ("dnstap_bgp_neighbor_budget_used_routes", "192.0.2.9"): 9,
        ("dnstap_bgp_neighbor_left_out_routes", "192.0.2.9"): 3,
        ("dnstap_bgp_neighbor_displaced_routes_total", "192.0.2.9"): 2,
    }
    assert not list(_of_budgets(neighbors[1:]))
