"""How every worker thread is made: named, and its crash is never silent.

A worker that crashes logs its traceback and calls the crash handler; the plugin then ends in order and ExaBGP starts
it again.
"""

import logging
import threading
from collections.abc import Callable
from typing import TypeAlias

logger = logging.getLogger(__name__)

CrashHandler: TypeAlias = Callable[[], None]
"""Called once, in the dying thread; must not block."""


def worker_thread(name: str, run: Callable[[], None], on_crash: CrashHandler) -> threading.Thread:
    """Make the thread, not started yet.

    It is a daemon thread: every worker is joined with a deadline, and one that hangs (in a dead disk, say) must not
    keep the process from ending.
    """

    def guarded() -> None:
        try:
            run()
        except Exception:
            logger.exception("the %s thread has crashed; the plugin ends and ExaBGP starts it again", name)
            on_crash()

    return threading.Thread(target=guarded, name=name, daemon=True)
