"""Clocks: CLOCK_BOOTTIME inside the process, both clocks with the boot id for the disk."""

import time
from pathlib import Path
from uuid import UUID

import pytest

from dnstap_bgp.core.state.timestamps import UNKNOWN_BOOT
from dnstap_bgp.workers.process import clocks


def test_the_process_clock_is_that_of_the_boot():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = clocks.process_clock()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_stamp_has_both_clocks_and_the_boot():
    stamp = clocks.system_clock()()
    assert abs(stamp.wall_s - time.time()) < 60
    assert abs(stamp.boottime_s - clocks.process_clock()) < 60
    assert UUID(bytes=stamp.boot_id) == UUID(clocks.BOOT_ID.read_text().strip())


@pytest.mark.parametrize("content", [None, b"", b"no id", b"\xff"])
def test_without_a_boot_id_the_boot_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None):
    monkeypatch.setattr(clocks, "BOOT_ID", tmp_path / "boot_id")
    if content is not None:
        clocks.BOOT_ID.write_bytes(content)
    assert clocks.system_clock()().boot_id == UNKNOWN_BOOT
