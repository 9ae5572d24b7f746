"""`dnstap-bgp status`: a newcomer's question whether it works, and monitoring's."""

import pytest

from dnstap_bgp.commands import status
from tests.commands.asking_kit import Asked


def test_is_it_working(asked: Asked):
    asked.until(lambda: asked.json("status")["state"]["durable"], "the disk has all of it")
    found = asked.json("status")
    assert found["tap"]["counters"]["frames"] >= 4
    [sender] = found["tap"]["connections"]
    assert (sender["identity"], sender["version"], sender["state"]) == ("ns1", "unbound 1.17.1", "streaming")
    assert {one["name"]: one["routes"] for one in found["lists"]} == {"default": 2, "video": 1}
    [neighbor] = found["exabgp"]["neighbors"]
    assert (neighbor["address"], neighbor["up"]) == ("127.0.0.2", False)
    memo = found["tap"]["memo"]
    assert memo["asked"] >= memo["recalled"] + memo["ruled_out"]
    assert memo["names"] * 80 <= memo["bytes"] < memo["max_bytes"] == 8_000_000  # none where the lists came behind
    text = asked.text("status")
    for words in (
        "ns1 unbound 1.17.1",
        "3 (2 IPv4, 1 IPv6)",
        "neighbor 127.0.0.2 AS 65002: down",
        "refused: private 1",
        " of 8 MB, ",
    ):
        assert words in text


def test_monitoring_gets_a_status(asked: Asked):
    done = asked.run("status", "--check")
    found = asked.json("status")
    assert done.returncode == status.is_wrong(found) == any(one["level"] != "note" for one in found["findings"])


@pytest.mark.parametrize(
    ("ready", "levels", "wrong"),
    [
        (True, [], False),
        (True, ["note"], False),
        (True, ["note", "warning"], True),
        (True, ["error"], True),
        (False, [], True),
    ],
)
def test_what_is_worth_an_alarm(ready: bool, levels: list[str], wrong: bool):
    assert status.is_wrong({"ready": ready, "findings": [{"level": level} for level in levels]}) is wrong


def test_hooks_are_told_with_their_figures():
    hook = {"hook": "unbound", "asked": 1234, "told": 5, "verdicts": {"not_ours": 1200, "installed": 34, "gave_up": 0}}
    figures = {"held_p50_s": 0.0061, "held_p99_s": 0.0122, "stood_share": 0.995}
    closed = {"address": "udp://127.0.0.1:53", "problem": "another process listens on it"}
    hold = {"is_on": True, "bound_s": 0.05, "waiting": 1, "listeners": [closed], "hooks": [{**hook, **figures}]}
    told = "1,234 asked, 5 only told: not ours 1,200, installed 34; held p50 6.1 ms, p99 12.2 ms"
    assert list(status._hold(hold)) == [
        "hold: answers wait 50 ms at most; 1 wait now",
        "  hooks can't ask at udp://127.0.0.1:53: another process listens on it",
        f"  unbound: {told}; 99.5% of new routes stood before the answer left",
    ]
    silent = {**hook, **dict.fromkeys(figures), "verdicts": {}}
    assert list(status._hold({**hold, "is_on": False, "listeners": [], "hooks": [silent]})) == [
        "hold: switched off, everything is answered at once (`dnstap-bgp hold on`)",
        "  unbound: 1,234 asked, 5 only told: nothing yet",
    ]


def test_the_refresh_is_told_in_one_line():
    refresh = {"resolver": "127.0.0.1", "names": 1200, "exact": 200, "asked": 5000, "answered": 4900, "returned": 4800}
    well = {**refresh, "late_s": 0.2, "silent": False, "blind": False}
    counts = "5,000 asked, 4,900 answered, 4,800 seen by tap or hook"
    assert status._refresh(well) == f"refresh: 1,200 names (200 exact); 127.0.0.1 answers; {counts}"
    late = {**well, "late_s": 90.0, "silent": True}
    assert status._refresh(late) == f"refresh: 1,200 names (200 exact), 1 min 30 s late; 127.0.0.1 silent; {counts}"
    assert "unseen by the tap" in status._refresh({**well, "blind": True})


def waiting(*up: bool, stage: str = "ready", streaming: bool = False, hooks: int = 0) -> list[str]:
    neighbors = [{"address": f"192.0.2.{number}", "up": one, "foreign": False} for number, one in enumerate(up)]
    senders = [{"state": "streaming" if streaming else "handshake"}]
    hold: dict[str, list[object]] | None = {"hooks": [{}] * hooks} if hooks else None
    host = {"stage": stage, "neighbors": [*neighbors, {"address": "192.0.2.99", "up": False, "foreign": True}]}
    return status.missing_yet({"tap": {"connections": senders}, "hold": hold, "exabgp": host})


def test_what_a_start_waits_for():
    nobody, session = "no DNSTap sender is connected", "no BGP session is up"
    assert waiting(True, streaming=True) == []
    assert waiting(True, hooks=1) == []
    assert waiting(False, False) == [nobody, session]
    assert waiting(False, True, streaming=True) == ["1 of 2 BGP sessions are down"]
    assert waiting(stage="opening") == [nobody, "ExaBGP has not answered"]
    assert status.missing_yet({"tap": {"connections": []}, "exabgp": None}) == [nobody, "ExaBGP has not answered"]
