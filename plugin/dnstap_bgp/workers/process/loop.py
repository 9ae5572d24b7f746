"""The one asyncio loop, of control socket, HTTP and sync; owns the thread "loop".

The thread starts, and asyncio is imported (10 MB with ssl), with the first service: without one nothing is paid for.
A service that takes long, takes the interpreter from the tap and the loop from the others: what may need more than 5 ms
goes in steps, with `await asyncio.sleep(...)` between.
"""

import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)

CLOSE_S = 0.5
"""Of the 1.5 s that an end may take."""

Service = Callable[[], Coroutine[Any, Any, None]]
"""What runs in the loop until it returns or is cancelled. It handles what goes wrong outside; an exception that comes
out of it is a fault of ours and ends the process in order, as in any worker."""


class Loop:
    """Runs services side by side in one thread."""

    def __init__(self, on_crash: CrashHandler) -> None:
        self._on_crash = on_crash
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._services: set[Future[None]] = set()
        self._ended = False

    def run(self, service: Service) -> "Future[None] | None":
        """Start a service; any thread may.

        Args:
            service: Called in the loop's thread.

        Returns:
            What cancels it, and tells that it has ended; None: the loop has been shut down already.
        """
        import asyncio  # noqa: PLC0415 - only where there is a service

        with self._lock:
            if self._ended:
                return None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = worker_thread("loop", self._run, self._on_crash)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(service(), self._loop)
            self._services.add(future)
        future.add_done_callback(self._service_ended)
        return future

    def shutdown(self) -> None:
        """Cancel all services and ask the thread to end; returns at once."""
        with self._lock:
            was_ended, self._ended = self._ended, True
            loop, services = self._loop, list(self._services)
        if loop is not None and not was_ended:
            for service in services:
                service.cancel()
            loop.call_soon_threadsafe(loop.stop)

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        loop.run_forever()
        tasks = _tasks(loop)
        for task in tasks:
            task.cancel()
        # what closes a connection politely may take a turn or two, and no more
        loop.run_until_complete(_gather(tasks))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _service_ended(self, future: "Future[None]") -> None:
        with self._lock:
            self._services.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.critical("a service of the loop has crashed", exc_info=error)
            self._on_crash()


def _tasks(loop: "asyncio.AbstractEventLoop") -> "set[asyncio.Task[Any]]":
    import asyncio  # noqa: PLC0415 - as above

    return asyncio.all_tasks(loop)


async def _gather(tasks: "set[asyncio.Task[Any]]") -> None:
    import asyncio  # noqa: PLC0415 - as above

    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_S)
