"""The disk under the state file is full, or read-only: the program goes on routing, and recovers by itself."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import addresses, prefixes, three_sets_equal
from tests.integration.lab import Lab, becomes, eventually, run
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "mount")]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A filesystem of 1 MiB."""
    folder = Path(tempfile.mkdtemp())  # not in tmp_path, which pytest removes: a mount that a dead run left can't be
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    yield folder
    run("umount", "--lazy", str(folder))
    folder.rmdir()


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


@pytest.fixture
def bird(lab: Lab) -> Bird:
    bird = Bird(lab, Session(2))
    bird.start()
    return bird


@pytest.fixture
def speaker(lab: Lab, bird: Bird, small_disk: Path) -> Speaker:
    speaker = Speaker(lab, [bird.session], cache=str(small_disk / "state.msgpack"))
    speaker.state = small_disk / "state.msgpack"
    return speaker


def killed_and_restored(speaker: Speaker, bird: Bird, expected: set[str]) -> None:
    """All of it has found its way into the state file: a killed plugin's successor knows it."""
    three_sets_equal(speaker, [bird], expected, file_deadline_s=40)  # it tries again each 30 s at least
    os.kill(speaker.plugin_pid(), signal.SIGKILL)
    three_sets_equal(speaker, [bird], expected, 30)


def test_a_disk_that_fills_up(speaker: Speaker, bird: Bird, small_disk: Path):
    speaker.start()
    send(speaker.tap, sightings("a.example", addresses(100)))
    three_sets_equal(speaker, [bird], prefixes(addresses(100)))

    filler = fill(small_disk)
    send(speaker.tap, sightings("b.example", addresses(2000)))
    becomes(bird.prefixes, prefixes(addresses(2000)), 20, "routed all the same")
    eventually(lambda: complaints(speaker), 10, "it says so")
    send(speaker.tap, sightings("c.example", addresses(100, first=5000)))
    expected = prefixes(addresses(2000) + addresses(100, first=5000))
    becomes(bird.prefixes, expected, 20, "and goes on")
    assert len(complaints(speaker)) == 1, "said once"

    filler.unlink()
    killed_and_restored(speaker, bird, expected)


def test_a_disk_that_is_read_only_at_first(lab: Lab, speaker: Speaker, bird: Bird, small_disk: Path):
    run("mount", "-o", "remount,ro", str(small_disk))
    # `ip netns exec` would give it mounts of its own, which stay read-only
    speaker.config["process"] = {"netns": lab.host.name}
    speaker.write()
    speaker.start(inside=False)
    send(speaker.tap, sightings("a.example", addresses(100)))
    becomes(bird.prefixes, prefixes(addresses(100)), 20, "routed all the same")
    eventually(lambda: complaints(speaker), 10, "it says so")

    run("mount", "-o", "remount,rw", str(small_disk))
    killed_and_restored(speaker, bird, prefixes(addresses(100)))


def complaints(speaker: Speaker) -> list[str]:
    lines = speaker.daemon.text().splitlines()
    return [line for line in lines if "state.msgpack" in line and ("ERROR" in line or "WARNING" in line)]
