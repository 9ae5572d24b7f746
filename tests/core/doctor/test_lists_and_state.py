"""Lists, the state file, listeners, peers."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.status.report import ListenerStatus, PeerStatus, WebStatus
from tests.core.doctor.cases import LIST, SOURCE, STATE, only, tap


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"tap": tap(listeners=(ListenerStatus("/tap", "its folder does not exist"),))}, "tap-listener"),
        ({"web": WebStatus((ListenerStatus("127.0.0.1:80", "in use"),), 0, 0, {})}, "web-listener"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="stale", why="HTTP 500"),)),)}, "list-stale"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="held", why="lost half"),)),)}, "list-held"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="pending"),)),)}, "list-pending"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="error", why="x"),)),)}, "list-error"),
        ({"lists_refused": "half-written"}, "lists-refused"),
        ({"state": None}, "no-state-file"),
        ({"state": replace(STATE, error="No space left on device")}, "state-file"),
        ({"state": replace(STATE, durable=False)}, "state-late"),
        ({"peers": (PeerStatus("192.0.2.9:8080", "down", "refused"),)}, "peer"),
        ({"dry_run": True}, "dry-run"),
    ],
)
def test_what_is_kept(changes, kind):
    assert only(**changes).kind == kind


@pytest.mark.parametrize(
    ("state", "why", "text"),
    [
        ("stale", "HTTP 500", "list default: /etc/list.txt can't be fetched: HTTP 500"),
        ("pending", "", "list default: /etc/list.txt was not fetched yet"),
        ("error", "list default has no rule", "list default has no rule"),
    ],
)
def test_a_source_is_told_with_its_list_and_the_reason_once(state, why, text):
    finding = only(lists=(replace(LIST, sources=(replace(SOURCE, state=state, why=why),)),))
    assert (finding.text, finding.subject) == (text, "default")
