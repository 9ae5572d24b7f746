"""The hold service: each verdict, its bounds whatever hangs, and nobody who keeps others waiting."""

import socket
import struct
import threading
import time

import pytest

from dnstap_bgp.core.hold.hook_answers import HookAnswers
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.workers.hold import service as module
from tests.integration.hook_asker import (
    GAVE_UP,
    INSTALLED,
    NO_NEIGHBOR,
    NOT_OURS,
    NOT_UNDERSTOOD,
    OFF,
    REFUSED,
    THERE,
    TOO_MANY,
    Asker,
    answer,
    question,
    read_reply,
)
from tests.workers.hold.hold_kit import BOUND_S, HASTY, PLAIN, RULES, config, stage, wait_until


@pytest.fixture
def scene(tmp_path):
    with stage(tmp_path) as made:
        yield made


@pytest.fixture
def hook(scene):
    with scene.hook() as made:
        yield made


@pytest.fixture
def hasty(tmp_path):
    """A service whose bound is short, as every one's is in earnest."""
    with stage(tmp_path, HASTY) as made:
        yield made


@pytest.fixture
def hasty_hook(hasty):
    with hasty.hook() as made:
        yield made


def test_a_new_route_is_installed_and_then_there(scene, hook):
    reply = hook.ask("www.example", ["11.0.0.1"])
    assert (reply.verdict, reply.bound_ms) == (INSTALLED, 1000 * BOUND_S)
    assert reply.took_s >= 0.003
    assert any(b"11.0.0.1/32" in line for line in scene.host.lines)
    assert hook.ask("www.example", ["11.0.0.1"]).verdict == THERE
    (found,) = scene.status.hooks
    assert (found.hook, found.asked, found.verdicts["installed"], found.verdicts["there"]) == ("test", 2, 1, 1)
    assert found.stood_share == 1.0
    assert 0.003 <= found.held_p50_s <= BOUND_S


def test_a_question_that_waits_keeps_no_answer_in_memory(scene, hook):
    scene.host.answering.clear()
    hook.send("www.example", [f"11.0.{number}.1" for number in range(200)])
    assert wait_until(lambda: len(scene.service._held) == 1)
    (held,) = scene.service._held
    assert (held.what.question.response, len(held.awaited) > 100) == (b"", True)
    scene.host.answering.set()
    assert hook.receive().verdict in (INSTALLED, GAVE_UP)


def test_two_hooks_at_once_are_told_apart(tmp_path):
    """The same new name from both: each holds its answer, and each is counted for itself alone."""
    with stage(tmp_path) as scene, scene.hook("unbound") as first, scene.hook("dnsdist") as second:
        for number in range(5):
            asked = f"w{number}.example", [f"11.0.0.{number}"]
            ids = first.send(*asked), second.send(*asked)
            replies = first.receive(), second.receive()
            assert tuple(one.id for one in replies) == ids
            assert {one.verdict for one in replies} <= {INSTALLED, THERE}
        assert second.ask("www.test", ["11.0.0.1"]).verdict == NOT_OURS
        scene.host.answering.clear()
        scene.service.configure(config(tmp_path, HASTY))
        assert wait_until(lambda: first.ask("www.test", []).bound_ms == 200)
        unlisted = next(one for one in scene.status.hooks if one.hook == "unbound").verdicts["not_ours"]
        assert first.ask("new.example", ["11.0.1.1"]).verdict == GAVE_UP
        scene.host.answering.set()
        dnsdist, unbound = scene.status.hooks
        assert (dnsdist.hook, unbound.hook) == ("dnsdist", "unbound")
        assert (dnsdist.asked, unbound.asked) == (6, 6 + unlisted)
        assert (dnsdist.verdicts["not_ours"], unbound.verdicts["not_ours"]) == (1, unlisted)
        assert (dnsdist.verdicts["gave_up"], unbound.verdicts["gave_up"]) == (0, 1)
        assert dnsdist.verdicts["installed"] + dnsdist.verdicts["there"] == 5
        assert dnsdist.stood_share in (1.0, None)
        installed = unbound.verdicts["installed"]
        assert unbound.stood_share == round(installed / (installed + 1), 6)


def test_without_a_margin_the_acknowledgment_is_enough(tmp_path):
    with stage(tmp_path, PLAIN + '\nmargin = "0ms"') as scene, scene.hook() as hook:
        assert hook.ask("www.example", ["11.0.0.1"]).verdict == INSTALLED
        assert hook.ask("www.example", ["11.0.0.1"]).verdict == THERE


def test_names_on_no_list_are_none_of_ours(scene, hook):
    assert hook.ask("www.test", ["11.0.0.1"]).verdict == NOT_OURS
    assert hook.ask("www.example", []).verdict == NOT_OURS
    assert not scene.status.waiting


def test_what_the_guard_refuses_is_told_at_once(hook):
    assert hook.ask("www.example", ["11.9.9.9"]).verdict == REFUSED
    assert hook.ask("www.example", ["2600::1"]).verdict == REFUSED, "no IPv6 routes here"


def test_an_answer_that_does_not_count_makes_no_route(scene, hook):
    scene.service.answers = HookAnswers(RULES, scene.service.counters, identities=frozenset({"good"}))
    assert hook.ask("www.example", ["11.0.0.1"]).verdict == REFUSED
    with scene.hook("good") as good:
        assert good.ask("www.example", ["11.0.0.2"], flags=1).verdict == REFUSED
        assert good.ask("www.example", ["11.0.0.3"]).verdict == INSTALLED
    assert len(scene.keeper.table) == 1
    assert scene.status.counters["foreign"] == scene.status.counters["rewritten"] == 1


def test_what_is_only_told_becomes_a_route_without_a_reply(scene, hook):
    hook.send("www.example", ["11.0.0.1"], flags=2)
    wait_until(lambda: len(scene.keeper.table) == 1)
    assert hook.ask("www.test", ["11.0.0.2"]).verdict == NOT_OURS, "the next reply is of the next question"
    wait_until(lambda: [(found.told, found.asked) for found in scene.status.hooks] == [(1, 1)])


def test_a_hung_exabgp_delays_nothing_beyond_the_bound(hasty, hasty_hook):
    scene, hook = hasty, hasty_hook
    scene.host.answering.clear()
    for number in range(3):
        reply = hook.ask("www.example", [f"11.0.0.{number}"])
        assert reply.verdict == GAVE_UP
        assert reply.took_s >= 0.2
    assert len(scene.keeper.table) == 3
    scene.host.answering.set()
    wait_until(lambda: sum(b"/32" in line for line in scene.host.lines) >= 1)
    wait_until(lambda: hook.ask("www.example", ["11.0.0.1"]).verdict == THERE)


def test_a_lock_that_is_not_to_be_had_delays_nothing_beyond_the_bound(hasty, hasty_hook):
    scene, hook = hasty, hasty_hook
    with scene.keeper.lock:
        assert hook.ask("www.example", ["11.0.0.1"]).verdict == GAVE_UP
        hook.send("www.example", ["11.0.0.2"], flags=2)
        assert hook.ask("www.test", ["11.0.0.3"]).verdict == NOT_OURS
        assert not len(scene.keeper.table)
    wait_until(lambda: len(scene.keeper.table) == 2, "what could not be observed is observed later")


def test_a_held_question_is_answered_in_time_while_another_waits_for_the_lock(tmp_path):
    with stage(tmp_path, bound_s=1.0) as scene, scene.hook() as hook, scene.hook() as other:
        scene.host.answering.clear()
        hook.send("www.example", ["11.0.0.1"])
        wait_until(lambda: scene.status.waiting)
        with scene.keeper.lock:
            began = time.monotonic()
            other.send("www.example", ["11.0.0.2"])
            assert hook.receive().verdict == GAVE_UP
            first_s = time.monotonic() - began
            assert other.receive().verdict == GAVE_UP
            assert time.monotonic() - began >= first_s


def test_paused_and_switched_off_reply_at_once_and_observe(scene, hook):
    scene.keeper.pause(paused=True)
    assert hook.ask("www.example", ["11.0.0.1"]).verdict == OFF
    scene.keeper.pause(paused=False)
    scene.service.switch(on=False)
    assert hook.ask("www.example", ["11.0.0.2"]).verdict == OFF
    wait_until(lambda: len(scene.keeper.table) == 2)
    assert not scene.status.is_on
    scene.service.switch(on=True)
    assert hook.ask("www.example", ["11.0.0.3"]).verdict == INSTALLED


def test_switching_off_releases_those_who_wait(scene, hook):
    scene.host.answering.clear()
    hook.send("www.example", ["11.0.0.1"])
    wait_until(lambda: scene.status.waiting)
    scene.service.switch(on=False)
    assert hook.receive().verdict == OFF


def test_nothing_is_read_while_the_start_is_braked(scene, hook):
    scene.service.answers = None
    assert hook.ask("www.example", ["11.0.0.1"]).verdict == OFF
    assert not len(scene.keeper.table)


def test_without_a_neighbor_nobody_waits(tmp_path):
    with stage(tmp_path, up=False) as scene, scene.hook() as hook:
        assert hook.ask("www.example", ["11.0.0.1"]).verdict == NO_NEIGHBOR


def test_a_burst_is_installed_in_any_order(hook):
    ids = {hook.send(f"w{number}.example", [f"11.1.0.{number}"]) for number in range(100)}
    replies = [hook.receive() for _ in ids]
    assert {reply.id for reply in replies} == ids
    assert {reply.verdict for reply in replies} <= {INSTALLED, GAVE_UP}
    assert {reply.verdict for reply in replies} & {INSTALLED}


def test_at_the_limit_of_waiting_questions_nobody_waits_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 8)
    with stage(tmp_path) as scene, scene.hook() as hook:
        scene.host.answering.clear()
        for number in range(20):
            hook.send("www.example", [f"11.0.0.{number}"])
        verdicts = [hook.receive().verdict for _ in range(12)]
        assert verdicts == [TOO_MANY] * 12
        assert scene.status.waiting == 8
        scene.service.switch(on=False)
        assert [hook.receive().verdict for _ in range(8)] == [OFF] * 8


@pytest.mark.parametrize(
    "data",
    [b"x", bytes(11), struct.pack("!BB8sB", 1, 0, bytes(8), 64) + b"short", question(b"", hook="a b"), bytes(70_000)],
)
def test_what_is_no_question_ends_nothing(scene, hook, data):
    hook.sock.send(data)
    if len(data) >= 10:
        assert read_reply(hook.sock.recv(100)).verdict == NOT_UNDERSTOOD
    assert hook.ask("www.example", ["11.0.0.1"]).verdict in (INSTALLED, THERE)
    assert scene.status.refused == {"not understood": 1}


def test_a_hook_that_reads_nothing_harms_nobody(scene, hook):
    with scene.hook("deaf") as deaf:
        deaf.sock.setblocking(False)
        data = question(answer("www.test", ["11.0.0.1"]), hook="deaf")
        sent = 0
        while sent < 5_000 and not any(one.hook == "deaf" and one.dropped for one in scene.status.hooks):
            try:
                deaf.sock.send(data)
                sent += 1
            except BlockingIOError:
                time.sleep(0.001)
        assert hook.ask("www.example", ["11.0.0.1"]).verdict == INSTALLED
        wait_until(lambda: any(one.hook == "deaf" and one.dropped for one in scene.status.hooks))


def test_what_loses_its_place_in_a_budget_meanwhile_is_waited_for_no_more(tmp_path, monkeypatch):
    """Nothing need be said to ExaBGP by that, so that no answer of its wakes the service."""
    monkeypatch.setattr(module, "TICK_S", 3600.0)
    with stage(tmp_path) as scene, scene.hook() as hook:
        scene.host.answering.clear()
        hook.send("www.example", ["11.0.0.1"])
        wait_until(lambda: scene.status.waiting)
        time.sleep(0.3)  # the thread looks for news once more before it waits
        began = time.monotonic()
        with scene.keeper.lock:
            given_way = [bytes([11, 0, 0, 1])]
            scene.keeper.views.acknowledgments.note_given_way(given_way, lambda _: "left-out")
        assert hook.receive().verdict == REFUSED
        assert time.monotonic() - began < BOUND_S / 2


def test_a_hook_that_goes_away_takes_its_questions_along(scene, hook):
    scene.host.answering.clear()
    with scene.hook() as other:
        other.send("www.example", ["11.0.0.1"])
        wait_until(lambda: scene.status.waiting)
    wait_until(lambda: not scene.status.waiting)
    assert hook.ask("www.test", ["11.0.0.2"]).verdict == NOT_OURS
    assert scene.status.connections == 1


def test_connections_are_limited_and_those_that_ask_stay(tmp_path):
    with stage(tmp_path, PLAIN + "\nconnections_max = 3") as scene, scene.hook() as hook:
        assert hook.ask("www.test", ["11.0.0.1"]).verdict == NOT_OURS
        silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
        try:
            for one in silent:
                one.connect(str(scene.path))
            wait_until(lambda: scene.status.refused.get("crowded", 0) >= 18)
            assert hook.ask("www.test", ["11.0.0.1"]).verdict == NOT_OURS
            assert scene.status.connections == 3
        finally:
            for one in silent:
                one.close()


def test_a_flood_of_one_hook_leaves_others_their_answers(scene, hook):
    stop = threading.Event()

    def flood():
        with scene.hook("flood") as other:
            other.sock.settimeout(30)
            number = 0
            while not stop.is_set():
                number += 1
                other.send(f"w{number}.example", [f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"])
                other.receive()

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        verdicts = {hook.ask("www.example", [f"12.0.0.{number}"]).verdict for number in range(20)}
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)
    assert verdicts <= {INSTALLED, GAVE_UP}


def test_a_reload_moves_the_listener_and_keeps_connections(scene, hook):
    scene.service.configure(config(scene.folder, 'listen = "other.sock"\nmargin = "20ms"'))
    with Asker(scene.folder / "other.sock") as other:
        assert other.ask("www.example", ["11.0.0.1"]).took_s >= 0.02
        assert hook.ask("www.example", ["11.0.0.2"]).verdict == INSTALLED
    wait_until(lambda: not scene.path.exists())


def test_another_rule_set_has_another_generation(scene, hook):
    before = hook.ask("www.test", []).generation
    assert hook.ask("www.test", []).generation == before
    rules = RuleSet.build([("default", [Rule(b"test")])])
    scene.keeper.switch(rules, scene.keeper.table.policies)
    scene.service.answers = HookAnswers(rules, scene.service.counters)
    found = hook.ask("www.test", ["11.0.0.1"])
    assert found.verdict == INSTALLED
    assert found.generation > before


def test_without_the_table_there_is_no_thread_until_a_reload_brings_it(tmp_path):
    with stage(tmp_path, "") as scene:
        assert scene.service.status() is None
        assert "hold" not in {thread.name for thread in threading.enumerate()}
        scene.service.configure(config(tmp_path, PLAIN))
        with scene.hook() as hook:
            assert hook.ask("www.example", ["11.0.0.1"]).verdict == INSTALLED
        scene.service.configure(config(tmp_path, ""))
        wait_until(lambda: scene.service.status() is None)
        assert not scene.path.exists()


def test_the_end_answers_everybody_who_waits(tmp_path):
    with stage(tmp_path) as scene, scene.hook() as hook:
        scene.host.answering.clear()
        hook.send("www.example", ["11.0.0.1"])
        wait_until(lambda: scene.status.waiting)
        scene.service.shutdown()
        assert hook.receive().verdict == OFF
