"""Readiness, findings, and the JSON of the status."""

from dataclasses import asdict, replace

import pytest

from dnstap_bgp.core.status.report import Finding, ListStatus, PeerStatus, SourceStatus, WebStatus, not_ready
from tests.core.doctor.cases import HOST, WELL


def test_ready():
    assert not_ready(WELL) == []
    assert not_ready(replace(WELL, exabgp=replace(HOST, silent_s=9.9, stalled_s=9.9))) == []


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"lists_loaded": False}, ["lists"]),
        ({"restored": False}, ["state"]),
        ({"exabgp": None}, ["exabgp"]),
        ({"exabgp": replace(HOST, stage="barrier")}, ["exabgp"]),
        ({"exabgp": replace(HOST, silent_s=10.0)}, ["exabgp"]),
        ({"exabgp": replace(HOST, stalled_s=10.0)}, ["exabgp"]),
        ({"lists_loaded": False, "restored": False, "exabgp": None}, ["lists", "state", "exabgp"]),
    ],
)
def test_what_is_missing(changes, missing):
    assert not_ready(replace(WELL, **changes)) == missing


def test_a_finding_as_a_line():
    assert str(Finding("note", "x", "it is so", "change it")) == "it is so; change it"
    assert str(Finding("note", "x", "it is so")) == "it is so"


def test_the_names_and_the_order_of_the_json():
    """They are what scripts of users read."""
    found = asdict(WELL)
    keys = {name: list(found[name]) for name in ("tap", "routes", "exabgp", "state", "web")}
    assert list(found) == [
        "version", "pid", "config", "now", "uptime_s", "dry_run", "restored", "lists_loaded", "tap", "routes", "lists",
        "lists_refused", "exabgp", "state", "peers", "web", "findings", "hold", "refresh",
    ]  # fmt: skip
    assert list(found["tap"]["connections"][0]) == [
        "peer", "listener", "state", "bidirectional", "age_s", "bytes", "frames", "identity", "version"
    ]  # fmt: skip
    assert keys["tap"] == [
        "frames_per_s", "matched_per_s", "match_share", "counters", "accepted", "listeners", "connections", "troubles",
        "memo",
    ]  # fmt: skip
    assert keys["routes"] == ["routes", "ipv4", "ipv6", "claims", "static", "max", "ended", "refused", "evicted"]
    assert list(found["lists"][0]) == [
        "name", "rules", "prefixes", "routes", "ipv4", "ipv6", "max", "sources", "enabled", "is_managed", "switched",
        "switched_until", "switched_by",
    ]  # fmt: skip
    assert list(found["lists"][0]["sources"][0]) == [
        "source", "state", "why", "formats", "files", "rules", "prefixes", "skipped", "changed", "checked"
    ]  # fmt: skip
    assert keys["exabgp"] == [
        "stage", "version", "told_ipv4", "told_ipv6", "waiting", "unanswered", "silent_s", "stalled_s", "backlog",
        "lines", "acknowledged", "errors", "stray", "neighbors", "patches", "views",
    ]  # fmt: skip
    assert list(found["exabgp"]["neighbors"][0]) == [
        "address", "peer_as", "up", "families", "lacking", "end_of_rib", "replaying", "foreign", "budget",
    ]  # fmt: skip
    assert keys["state"] == [
        "path", "durable", "error", "size", "written_bytes", "queued", "snapshots", "synced_s_ago", "failures"
    ]  # fmt: skip
    assert keys["web"] == ["listeners", "watchers", "events_lost", "refused", "steering"]


def test_what_is_not_told_of_a_peer_or_a_list_is_nothing():
    peer = PeerStatus("192.0.2.9:1", "ok")
    assert (peer.given, peer.taken, peer.refused, peer.errors, peer.is_configured) == (0, 0, 0, 0, True)
    known = ListStatus("default", 10, 0, 2, 1, 1, None, ())
    assert (known.enabled, known.is_managed, known.switched, known.switched_until) == (True, False, False, None)


def test_what_is_not_told_of_a_source_or_of_the_web_is_nothing():
    source = SourceStatus("/list", "pending")
    assert (source.files, source.rules, source.prefixes, source.changed) == (0, 0, 0, 0.0)
    assert not WebStatus((), 0, 0, {}).steering
