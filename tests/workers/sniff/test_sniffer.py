"""The sniffer's hand-off: never waits for the tap, and comes back to it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import cast

import pytest

from dnstap_bgp.core.sniff.answers import AnswerReader
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.sniff import sniffer
from dnstap_bgp.workers.sniff.capture import Captured, PacketCapture
from dnstap_bgp.workers.sniff.sniffer import FrameSender, Sniffer, TapThread
from tests.core.sniff.wire import ip
from tests.integration.lab import eventually


class Tap:
    """A tap that takes, hangs or is gone."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_there, self.takes = True, threading.Event()
        self.takes.set()

    @contextmanager
    def connect(self) -> Iterator[FrameSender]:
        if not self.is_there:
            raise CommandError("nobody listens")
        yield self

    def look(self) -> None:
        if not self.is_there:
            raise CommandError("has ended")

    def send(self, frames: list[bytes]) -> None:
        self.takes.wait(20)
        if not self.is_there:
            raise CommandError("gone")
        self.frames += frames


def test_frames_reach_the_tap_in_order():
    tap = Tap()
    thread = TapThread(tap.connect, "tap")
    thread.start()
    for number in range(100):
        thread.put([b"%d" % number])
    eventually(lambda: thread.sent == 100, 10, "all are sent")
    assert tap.frames == [b"%d" % number for number in range(100)]


def test_a_tap_that_hangs_costs_frames_and_no_time():
    tap = Tap()
    tap.takes.clear()
    thread = TapThread(tap.connect, "tap")
    thread.start()
    for _ in range(sniffer.BATCHES_MAX * 2):
        thread.put([b"x", b"y"])
    assert thread.lost > 0
    assert thread.lost % 2 == 0
    tap.takes.set()
    eventually(lambda: thread.sent + thread.lost == sniffer.BATCHES_MAX * 4, 10, "each is sent or counted")


def test_what_waits_for_the_tap_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sniffer, "WAITING_MAX_BYTES", 100_000)
    tap = Tap()
    tap.takes.clear()
    thread = TapThread(tap.connect, "tap")
    for _ in range(50):
        thread.put([bytes(1000)] * 10)
        assert thread._put_bytes - thread._done_bytes <= 100_000
    assert thread.lost >= 400
    thread.start()
    tap.takes.set()
    eventually(lambda: thread.sent + thread.lost == 500, 10, "each is sent or counted")
    thread.put([bytes(1000)] * 500)  # of one turn that is too large, what there is room for
    eventually(lambda: thread.sent + thread.lost == 1000, 10, "each is sent or counted")
    assert len(tap.frames) == thread.sent >= 100


def test_a_tap_that_comes_back_is_found():
    tap = Tap()
    tap.is_there = False
    thread = TapThread(tap.connect, "tap")
    thread.start()
    eventually(lambda: thread.problem == "nobody listens", 10, "the problem")
    tap.is_there = True
    eventually(lambda: thread.problem is None, 10, "connected")
    thread.put([b"x"])
    eventually(lambda: thread.sent == 1, 10, "sent")


def test_the_end_of_a_tap_is_noticed_before_the_next_answer_and_that_is_not_lost(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sniffer, "LOOK_S", 0.01)
    tap = Tap()
    thread = TapThread(tap.connect, "tap")
    thread.start()
    thread.put([b"a"])
    eventually(lambda: thread.sent == 1, 10, "sent")
    tap.is_there = False
    eventually(lambda: thread.problem is not None, 10, "it is noticed, though nothing was sent")
    thread.put([b"b"])
    tap.is_there = True
    eventually(lambda: thread.sent == 2, 10, "sent by the next connection")
    assert (tap.frames, thread.lost) == ([b"a", b"b"], 0)
    assert thread._put_bytes == thread._done_bytes


def test_what_waited_for_too_long_makes_room_for_newer_answers(monkeypatch: pytest.MonkeyPatch):
    clock = [1000.0]
    monkeypatch.setattr(sniffer, "process_clock", lambda: clock[0])
    tap = Tap()
    tap.is_there = False
    thread = TapThread(tap.connect, "tap")
    thread.start()
    thread.put([b"a", b"b"])
    clock[0] += sniffer.KEEP_S + 1
    eventually(lambda: thread.lost == 2, 10, "they are let go")
    thread.put([b"c"])
    clock[0] += sniffer.KEEP_S - 1
    tap.is_there = True
    eventually(lambda: thread.sent == 1, 10, "the newer one is sent")
    assert tap.frames == [b"c"]
    assert thread._put_bytes == thread._done_bytes


class Breaking(Tap):
    """A tap that ends the connection at frames that it does not like, as one does that are too large."""

    def __init__(self, *breaks: bytes, times: int = 1_000_000) -> None:
        super().__init__()
        self.breaks, self.left, self.seen = set(breaks), times, 0

    def send(self, frames: list[bytes]) -> None:
        if self.breaks & set(frames):
            self.seen += 1
            if self.seen <= self.left:
                raise CommandError("broken pipe")
        super().send(frames)


def test_what_breaks_a_connection_is_sent_once_more():
    tap = Breaking(b"x", times=1)
    thread = TapThread(tap.connect, "tap")
    thread.start()
    thread.put([b"x"])
    eventually(lambda: thread.sent == 1, 10, "sent again")
    assert (tap.frames, thread.lost) == ([b"x"], 0)


def test_what_breaks_each_connection_is_lost_alone():
    tap = Breaking(b"x")
    thread = TapThread(tap.connect, "tap")
    thread.start()
    thread.put([b"x"])
    eventually(lambda: thread.lost == 1, 10, "it is given up")
    thread.put([b"y"])
    eventually(lambda: thread.sent == 1, 10, "the next one is sent")
    assert (tap.frames, tap.seen) == ([b"y"], 2)
    assert thread._put_bytes == thread._done_bytes


class OneTurn:
    """A capture that gives nothing but its counts."""

    seen, lost = 7, 3

    def __init__(self, after: "list[Sniffer]") -> None:
        self._after = after

    def read(self, _timeout_s: float) -> Iterator[Captured]:
        time.sleep(0.01)
        self._after[0].stop()
        return iter(())

    def count(self) -> None:
        return


class Endless(OneTurn):
    """A capture that never ends by itself."""

    def read(self, _timeout_s: float) -> Iterator[Captured]:
        time.sleep(0.01)
        return iter(())


def test_a_fault_of_the_thread_that_sends_ends_the_process():
    """Or the capture would go on, and every frame be lost, with nothing in the log but its traceback."""

    def connect() -> AbstractContextManager[FrameSender]:
        raise ZeroDivisionError

    reader = AnswerReader(frozenset({ip("192.0.2.53")}), b"me", b"v")
    endless = Sniffer(cast(PacketCapture, Endless([])), reader, TapThread(connect, "tap"), "any", None)
    threading.Timer(10, endless.stop).start()
    with pytest.raises(CommandError, match="has crashed"):
        endless.run()


def test_the_status_file_has_all_counters(tmp_path: Path):
    holder: list[Sniffer] = []
    reader = AnswerReader(frozenset({ip("192.0.2.53")}), b"me", b"v")
    tap = TapThread(Tap().connect, "tap")
    holder.append(Sniffer(cast(PacketCapture, OneTurn(holder)), reader, tap, "any", tmp_path / "sniff-any.json"))
    holder[0].run()
    assert ip("127.0.0.1") in reader.own, "this host's addresses are known"
    found = json.loads((tmp_path / "sniff-any.json").read_text())
    assert (found["interface"], found["lost_packets"], found["answers"]) == ("any", 3, 0)
    assert {"questions", "unasked", "repeated", "sent", "lost_frames", "problem", "lost_fragments"} <= found.keys()
