"""How worker threads are made: a crash is told, and a prompt one has short turns."""

import ctypes
import platform
import struct

import pytest

from dnstap_bgp.workers.process.thread import SLICE_NS, worker_thread

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275}


def slice_ns():
    """What the system gives this thread at once; 0 before Linux 6.12, or where we don't know how to ask."""
    number = SCHED_GETATTR.get(platform.machine())
    if number is None:
        return 0
    attributes = ctypes.create_string_buffer(56)
    if ctypes.CDLL(None).syscall(number, 0, attributes, 56, 0):
        return 0
    return struct.unpack_from("=Q", attributes, 24)[0]


@pytest.mark.parametrize("prompt", [False, True])
def test_only_a_prompt_thread_has_short_turns(prompt):
    found = []
    thread = worker_thread("x", lambda: found.append(slice_ns()), lambda: found.append("crash"), prompt=prompt)
    thread.start()
    thread.join(10)
    if not slice_ns():
        pytest.skip("this system doesn't tell")
    assert found == [SLICE_NS if prompt else slice_ns()]
    assert slice_ns() > SLICE_NS


def test_a_crash_is_told(caplog):
    crashes = []

    def crash():
        raise ValueError("a fault of ours")

    thread = worker_thread("x", crash, lambda: crashes.append(1), prompt=True)
    thread.start()
    thread.join(10)
    assert crashes == [1]
    assert "a fault of ours" in caplog.text
