"""The Grafana dashboard and the alert rules: valid, about metrics and labels that exist, and alarms that go off."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric

from dnstap_bgp.core.status.report import (
    BudgetStatus,
    Finding,
    HoldStatus,
    HookStatus,
    PeerStatus,
    RefreshStatus,
    Status,
    Trouble,
)
from dnstap_bgp.workers.web.metrics import collect
from tests.core.doctor import cases
from tests.workers.web import site_kit

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
NAME = re.compile(r"\b(?:dnstap_bgp|process)_[a-z0-9_]+")
SELECTOR = re.compile(r"\b((?:dnstap_bgp|process)_[a-z0-9_]+)\{([^}]*)\}")
TARGET_LABELS = {"job", "instance"}


HOOK = HookStatus("unbound", 1, 1, 1, {"installed": 1}, 0.006, 0.012, 1.0)


def full_status() -> Status:
    """One that has all there can be."""
    lists = (replace(cases.LIST, sources=(replace(cases.SOURCE, checked=1.0),)),)
    return replace(
        cases.WELL,
        tap=cases.tap(troubles=(Trouble("tls", 1, "x", 1.0),)),
        lists=lists,
        exabgp=cases.host(
            neighbors=(replace(cases.NEIGHBOR, lacking=("ipv6 unicast",), budget=BudgetStatus(9, 9, 1, 1)),)
        ),
        routes=replace(cases.WELL.routes, refused={"private": 1}, evicted={"routes": 1}),
        peers=(PeerStatus("192.0.2.9:1", "ok", "", 1.0),),
        web=replace(cases.WELL.web, refused={"host": 1}),
        findings=(Finding("error", "x", "x"),),
        hold=HoldStatus(True, 0.05, 0, 0.0, (), 1, {"token": 1}, {}, (HOOK,)),
        refresh=RefreshStatus("127.0.0.1", 3, 1, 0, 9, 9, 0, 9, 0.0, False, False, ""),
    )


@pytest.fixture(scope="module")
def existing(tmp_path_factory) -> dict[str, set[str]]:
    """Metric -> its labels: of a full status, and of what a running site gives beside."""
    found: dict[str, set[str]] = {}
    metrics: list[Metric] = list(collect(full_status()))
    for sample in (sample for metric in metrics for sample in metric.samples):
        found.setdefault(sample.name, set()).update(sample.labels)
    with site_kit.running(tmp_path_factory.mktemp("site")) as site:
        for line in site.get("/metrics").splitlines():
            if not line.startswith("#"):
                found.setdefault(re.split(r"[{ ]", line)[0], set())
    return found


def dashboard_queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (annotation["expr"] for annotation in DASHBOARD["annotations"]["list"])
    yield from (one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one)


def rules() -> list[str]:
    """The expressions of the alerts, one line each."""
    text = re.sub(r">-\n\s+", "", ALERTS.read_text())
    text = re.sub(r"\n\s+(and|>)", r" \1", text)
    return re.findall(r"^\s+expr: (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("source", ["dashboard", "alerts"])
def test_metrics_and_labels_exist(existing, source):
    queries = list(dashboard_queries()) if source == "dashboard" else rules()
    assert len(queries) > 15
    for query in queries:
        for name in NAME.findall(query):
            assert name in existing, query
        for name, labels in SELECTOR.findall(query):
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
            assert used <= existing[name] | TARGET_LABELS, query
        grouped = {
            label.strip() for part in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", query) for label in part.split(",")
        }
        assert grouped <= set().union(TARGET_LABELS, *(existing[name] for name in NAME.findall(query))), query


def test_all_of_ours_is_shown_somewhere(existing):
    """What nobody looks at isn't worth counting; these few are for a look by hand."""
    by_hand = {
        "dnstap_bgp_dry_run", "dnstap_bgp_exabgp_info", "dnstap_bgp_exabgp_unanswered_lines",
        "dnstap_bgp_events_lost_total", "dnstap_bgp_state_queued_records", "dnstap_bgp_state_synced_timestamp_seconds",
        "dnstap_bgp_peer_synced_timestamp_seconds", "dnstap_bgp_peer_followers", "dnstap_bgp_tap_connections_total",
        "dnstap_bgp_hold_on", "dnstap_bgp_hold_waiting", "dnstap_bgp_hold_connections", "dnstap_bgp_hold_told_total",
        "dnstap_bgp_list_enabled", "dnstap_bgp_refresh_names", "dnstap_bgp_refresh_questions_total",
        "dnstap_bgp_refresh_returned_total", "dnstap_bgp_refresh_late_seconds",
        "dnstap_bgp_tap_truncated_messages_total", "dnstap_bgp_neighbor_displaced_routes_total",
    }  # fmt: skip
    shown = {name for query in [*dashboard_queries(), *rules()] for name in NAME.findall(query)}
    assert {name for name in existing if name.startswith("dnstap_bgp_")} - shown == by_hand


def test_the_dashboard_is_one_that_grafana_can_import():
    panels = DASHBOARD["panels"]
    assert DASHBOARD["uid"] == "dnstap-bgp"
    assert "id" not in DASHBOARD  # Grafana gives one
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"]
            assert panel["targets"]
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]


@pytest.mark.real("promtool")
def test_promtool_takes_all_queries(tmp_path):
    queries = [query for query in dashboard_queries() if not query.startswith("label_values")]
    for name, value in (("$__rate_interval", "5m"), ("$job", "j"), ("$instance", ".*")):
        queries = [query.replace(name, value) for query in queries]
    assert not [query for query in queries if "$" in query]
    groups = [{"name": "g", "rules": [{"record": f"r{n}", "expr": query} for n, query in enumerate(queries)]}]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": groups}))  # JSON is YAML
    for file in (tmp_path / "queries.yml", ALERTS):
        done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


ALARMS: list[tuple[str, dict[str, str], str, dict[str, str]]] = [
    # alert, series -> values a minute, when, labels
    ("DnstapBgpDown", {'up{job="dnstap-bgp"}': "0x20"}, "10m", {"severity": "critical", "job": "dnstap-bgp"}),
    ("DnstapBgpNotReady", {"dnstap_bgp_ready": "0x20"}, "15m", {"severity": "critical"}),
    (
        "DnstapBgpNeighborDown",
        {
            'dnstap_bgp_neighbor_up{neighbor="192.0.2.1"}': "1x5 0x20",
            'dnstap_bgp_neighbor_up{neighbor="192.0.2.2"}': "1x30",
        },
        "15m",
        {"severity": "critical", "neighbor": "192.0.2.1"},
    ),
    (
        "DnstapBgpNeighborNearlyFull",
        {
            'dnstap_bgp_neighbor_budget_routes{neighbor="192.0.2.1"}': "100x40",
            'dnstap_bgp_neighbor_budget_used_routes{neighbor="192.0.2.1"}': "80x9 81x30",
        },
        "30m",
        {"severity": "warning", "neighbor": "192.0.2.1"},
    ),
    (
        "DnstapBgpNeighborFull",
        {'dnstap_bgp_neighbor_left_out_routes{neighbor="192.0.2.1"}': "0x9 3x60"},
        "50m",
        {"severity": "warning", "neighbor": "192.0.2.1"},
    ),
    ("DnstapBgpNoSender", {"dnstap_bgp_tap_open_connections": "1 0x20"}, "15m", {"severity": "critical"}),
    (
        "DnstapBgpNearlyFull",
        {
            'dnstap_bgp_routes{family="ipv4",job="j",instance="i"}': "90x20",
            'dnstap_bgp_routes{family="ipv6",job="j",instance="i"}': "5x20",
            'dnstap_bgp_routes_max{job="j",instance="i"}': "100x20",
        },
        "15m",
        {"severity": "warning", "job": "j", "instance": "i"},
    ),
    (
        "DnstapBgpAllRefused",
        {
            'dnstap_bgp_refused_sightings_total{reason="private"}': "0+10x90",
            "dnstap_bgp_tap_sightings_total": "0+10x90",
        },
        "80m",
        {"severity": "warning"},
    ),
    (
        "DnstapBgpSenderTurnedAway",
        {'dnstap_bgp_tap_troubles_total{kind="tls"}': "0+5x60", 'dnstap_bgp_tap_troubles_total{kind="cut"}': "1x60"},
        "40m",
        {"severity": "warning", "kind": "tls"},
    ),
    ("DnstapBgpRestarting", {"dnstap_bgp_start_time_seconds": "1 2 3 4 5 6x10"}, "8m", {"severity": "critical"}),
]

WELL = {
    'up{job="dnstap-bgp"}': "1x90",
    "dnstap_bgp_ready": "1x90",
    "dnstap_bgp_start_time_seconds": "5x90",
    'dnstap_bgp_neighbor_up{neighbor="192.0.2.1"}': "1 0x3 1x90",
    "dnstap_bgp_tap_open_connections": "1x90",
    "dnstap_bgp_tap_frames_total": "0+900x90",
    "dnstap_bgp_exabgp_up": "1x90",
    "dnstap_bgp_exabgp_silent_seconds": "0x90",
    'dnstap_bgp_list_sources{list="l",state="ok"}': "1x90",
    'dnstap_bgp_list_sources{list="l",state="stale"}': "0x90",
    "dnstap_bgp_lists_refused": "0x90",
    "dnstap_bgp_state_durable": "1x90",
}


def round_of(alert: str, series: dict[str, str], at: str, expected: list[Any]) -> dict[str, Any]:
    """One test of promtool's."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
    }


@pytest.mark.real("promtool")
def test_alarms_go_off_and_only_then(tmp_path):
    """The texts are left to the reader: promtool wants them word by word, so they are stripped here."""
    stripped = re.sub(r"^\s+(annotations|summary|description):.*\n", "", ALERTS.read_text(), flags=re.MULTILINE)
    (tmp_path / "alerts.yml").write_text(stripped)
    names = re.findall(r"alert: (\w+)", stripped)
    rounds = [round_of(alert, series, at, [{"exp_labels": labels}]) for alert, series, at, labels in ALARMS]
    rounds += [round_of(name, WELL, "80m", []) for name in names]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": ["alerts.yml"], "tests": rounds}))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(names) == len(set(names)) == len(rules())
