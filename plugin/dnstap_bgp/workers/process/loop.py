"""The asyncio loop that all HTTP and sync services share; owns the thread "loop".

The thread starts, and asyncio is imported (10 MB with ssl), with the first service: without one nothing is paid for.
A service that takes long, takes the interpreter from the tap and the loop from the others: what may need more than 5 ms
goes in steps, with `await asyncio.sleep(...)` between, and what may block (a disk, a lookup) goes to an executor.

A fault in a service is no reason to end the process, and with it the tap: the service ends with its conversations, the
fault is logged, and the service starts again after a delay.
"""

import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)

CLOSE_S = 0.5
"""Of the 1.5 s that an end may take."""

RESTART_FIRST_S, RESTART_MAX_S = 1.0, 60.0
"""Before a service that failed starts again: its traceback is logged each time, and at worst once a minute."""

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")

Service = Callable[[], Coroutine[Any, Any, None]]
"""Runs in the loop until it returns or is cancelled, and may be called again after it has failed."""


class Loop:
    """Runs services side by side in one thread."""

    def __init__(self, on_crash: CrashHandler) -> None:
        self._on_crash = on_crash
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._services: set[Future[None]] = set()
        self._ended = False
        self._log = RateLimitedLog(logger, process_clock)

    def run(self, name: str, service: Service) -> "Future[None] | None":
        """Start a service; any thread may.

        Args:
            name: For the log.
            service: Called in the loop's thread; see `supervise`.

        Returns:
            Its end, by which it can be cancelled; None: the loop has been shut down already.
        """
        import asyncio  # noqa: PLC0415 - only where there is a service

        with self._lock:
            if self._ended:
                return None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = worker_thread("loop", self._run, self._on_crash)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(supervise(name, service), self._loop)
            self._services.add(future)
        future.add_done_callback(self._service_ended)
        return future

    def call(self, function: Callable[[], object]) -> None:
        """Have the loop call a function soon, if it runs; any thread may ask."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(function)

    def shutdown(self) -> None:
        """Cancel all services and ask the thread to end; returns at once."""
        with self._lock:
            was_ended, self._ended = self._ended, True
            loop = self._loop
        if loop is not None and not was_ended:
            loop.call_soon_threadsafe(loop.stop)

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        loop.set_exception_handler(self._log_fault)
        loop.run_forever()
        with self._lock:
            services = list(self._services)
        loop.run_until_complete(_end(services))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _log_fault(self, _: "asyncio.AbstractEventLoop", context: "dict[str, Any]") -> None:
        """Log what a callback or a protocol has raised, which asyncio would log at any rate: strangers may cause it."""
        error = context.get("exception")
        self._log.log(logging.ERROR, "fault", "a fault of ours: %s: %s", context["message"], type(error).__name__)
        logger.debug("the fault", exc_info=error)

    def _service_ended(self, future: "Future[None]") -> None:
        with self._lock:
            self._services.discard(future)


async def supervise(name: str, service: Service) -> None:
    """Run a service, and start it again after a growing delay each time it fails.

    Args:
        name: For the log.
        service: Handles what goes wrong outside; what it raises is a fault of ours.
    """
    import asyncio  # noqa: PLC0415 - as above

    backoff = Backoff(RESTART_FIRST_S, RESTART_MAX_S)
    while True:
        began = process_clock()
        try:
            await service()
        except Exception:
            heed_cancellation()
            if process_clock() - began > RESTART_MAX_S:
                backoff.reset()
            delay_s = backoff.next()
            logger.exception("%s: a fault of ours; it starts again in %.0f s", name, delay_s)
            await asyncio.sleep(delay_s)
        else:
            return


def heed_cancellation() -> None:
    """Raise this task's cancellation where what it awaited has swallowed it: `asyncio.wait_for` of Python 3.11 may.

    Whoever goes on after a failure asks here first: nobody cancels twice, and whoever ends waits.
    """
    import asyncio  # noqa: PLC0415 - as above

    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def in_executor(
    executor: Executor | None,
    function: Callable[_Params, _Result],
    *args: _Params.args,
    **kwargs: _Params.kwargs,
) -> _Result:
    """Have a thread beside the loop call a function that may block.

    A cancellation takes effect when the call has ended: it may be using a file that whoever is cancelled would close
    under it.

    Args:
        executor: Whose thread; None: any of the loop's own.
        function: With its arguments.
        *args: See there.
        **kwargs: See there.
    """
    import asyncio  # noqa: PLC0415 - as above

    call = asyncio.get_running_loop().run_in_executor(executor, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})
        raise


async def _end(services: "list[Future[None]]") -> None:
    """Cancel services, and give them and what they began `CLOSE_S` to end.

    Each is cancelled once, and its tasks by it: a second cancellation would interrupt what a first one has it undo.
    """
    import asyncio  # noqa: PLC0415 - as above

    for service in services:
        service.cancel()
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=CLOSE_S / 10)
