"""The one asyncio loop: services side by side, their ends, and the end of all."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import cast

import pytest

from dnstap_bgp.config.settings import RedisConfig
from dnstap_bgp.workers.process import loop as loop_module
from dnstap_bgp.workers.process.loop import CLOSE_S, Loop
from dnstap_bgp.workers.sync.hub import Hub
from dnstap_bgp.workers.sync.redis import RedisTransport
from tests.integration.lab import eventually


class Ends:
    """Counts calls of the crash handler."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def loop(ends: Ends) -> Iterator[Loop]:
    loop = Loop(ends)
    yield loop
    loop.shutdown()
    loop.join(30)
    assert not [thread for thread in threading.enumerate() if thread.name == "loop"]


@pytest.mark.parametrize("where", ["supervise", "redis"])
def test_a_swallowed_cancellation_ends_what_goes_on_after_failures(where: str, monkeypatch: pytest.MonkeyPatch):
    """Whoever is cancelled once, in the very moment in which it fails, ends: else its end hangs."""

    async def scene() -> None:
        begun = asyncio.Event()

        async def swallow(*_: object) -> None:
            begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            raise OSError("in place of the cancellation")

        if where == "redis":
            monkeypatch.setattr(RedisTransport, "_session", swallow)
            config = RedisConfig("redis://127.0.0.1:1/0")
            work = RedisTransport(cast(Hub, SimpleNamespace(node="n")), config).run()
        else:
            work = loop_module.supervise("test", swallow)
        task = asyncio.create_task(work)
        await begun.wait()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0.9)  # before the next try
        assert done
        assert task.cancelled()

    asyncio.run(scene())


def test_no_thread_before_the_first_service(loop: Loop):
    assert "loop" not in {thread.name for thread in threading.enumerate()}
    loop.join(0)


def test_services_run_side_by_side_in_one_thread(loop: Loop):
    names: list[str] = []
    both = threading.Barrier(3)

    async def service() -> None:
        names.append(threading.current_thread().name)
        await asyncio.get_running_loop().run_in_executor(None, both.wait, 20)

    futures = [loop.run("test", service) for _ in range(2)]
    both.wait(20)
    for future in futures:
        assert future is not None
        future.result(20)
    assert names == ["loop", "loop"]


def test_cancelling_one_leaves_the_others(loop: Loop, ends: Ends):
    began = threading.Semaphore(0)
    undone: list[int] = []

    async def service(number: int) -> None:
        began.release()
        try:
            await asyncio.Event().wait()
        finally:
            undone.append(number)

    one, other = loop.run("test", lambda: service(1)), loop.run("test", lambda: service(2))
    assert one is not None
    assert other is not None
    assert began.acquire(timeout=60)
    assert began.acquire(timeout=60)
    one.cancel()
    eventually(lambda: undone == [1], 20, "the end of the one")
    assert not other.done()
    assert ends.count == 0


def test_the_end_lets_services_close(loop: Loop, ends: Ends):
    began, closed = threading.Event(), threading.Event()

    async def service() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # a turn or two, as closing a connection takes
            closed.set()

    loop.run("test", service)
    assert began.wait(20)
    loop.shutdown()
    loop.join(20)
    assert closed.is_set()
    assert ends.count == 0


def test_the_end_does_not_wait_for_who_refuses_to_end(loop: Loop):
    began = threading.Event()

    async def service() -> None:
        began.set()
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if closing.is_set():
                    raise

    closing = threading.Event()
    loop.run("test", service)
    assert began.wait(20)
    before = time.monotonic()
    loop.shutdown()
    loop.join(CLOSE_S + 60)
    assert time.monotonic() - before < CLOSE_S + 50
    closing.set()


def test_nothing_starts_after_the_end(loop: Loop):
    async def service() -> None:
        raise AssertionError

    loop.shutdown()
    assert loop.run("test", service) is None


def test_a_service_that_fails_is_logged_and_starts_again(
    loop: Loop, ends: Ends, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop_module, "RESTART_FIRST_S", 0.01)
    starts = threading.Semaphore(0)
    tries: list[int] = []

    async def service() -> None:
        tries.append(1)
        starts.release()
        if len(tries) < 3:
            raise RecursionError("planted")
        raise ExceptionGroup("planted", [ValueError()])

    async def other() -> None:
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        beside = loop.run("other", other)
        future = loop.run("the failing one", service)
        for _ in range(4):
            assert starts.acquire(timeout=60)
    assert future is not None
    assert beside is not None
    assert not future.done()
    assert not beside.done()
    future.cancel()
    assert ends.count == 0
    assert "the failing one: a fault of ours" in caplog.text
    assert "planted" in caplog.text
    assert caplog.text.count("Traceback") >= 3


def test_the_wait_before_a_new_start_grows(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop_module, "RESTART_FIRST_S", 0.01)
    monkeypatch.setattr(loop_module, "RESTART_MAX_S", 0.05)
    waits: list[float] = []
    tried = threading.Semaphore(0)
    sleep = asyncio.sleep

    async def counted(delay: float) -> None:
        waits.append(delay)
        tried.release()
        await sleep(0)

    async def service() -> None:
        raise ValueError

    monkeypatch.setattr(asyncio, "sleep", counted)
    future = loop.run("test", service)
    for _ in range(5):
        assert tried.acquire(timeout=60)
    assert future is not None
    future.cancel()
    assert waits[:5] == pytest.approx([0.01, 0.02, 0.04, 0.05, 0.05])


def test_functions_are_called_in_the_loop_s_thread_while_it_runs(loop: Loop):
    called: list[str] = []
    done = threading.Event()

    async def service() -> None:
        await asyncio.Event().wait()

    loop.call(lambda: called.append("before"))
    loop.run("test", service)
    loop.call(lambda: called.append(threading.current_thread().name))
    loop.call(done.set)
    assert done.wait(20)
    assert called == ["loop"]
    loop.shutdown()
    loop.join(20)
    loop.call(lambda: called.append("after"))
    assert called == ["loop"]
