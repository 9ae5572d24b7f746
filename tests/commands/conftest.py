"""Fixtures of the commands' tests."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.asking_kit import INTRODUCED, MORE, Asked
from tests.commands.import_kit import Files
from tests.commands.replay_kit import FRAMES
from tests.commands.running import up, write_config
from tests.integration.tap_sender import TapSender, response
from tests.workers.tap.senders_kit import (
    START,
    STOP,
    Stage,
    data,
)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can pass through, unlike pytest's own."""
    folder = Path("/tmp", f"dnstap-bgp-test-{uuid.uuid4().hex[:8]}")  # noqa: S108 - a fresh random name
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "capture.fstrm"
    path.write_bytes(START + b"".join(map(data, FRAMES)) + STOP)
    return path


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as stage:
        yield stage.listening()


@pytest.fixture
def to(stage):
    return str(stage.config.listen[0])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("asked")
    config = write_config(folder, top='cache = "state"', more=MORE)
    (folder / "video.txt").write_text("video.example\n!private.video.example\n")
    with up(config) as found, TapSender(folder / "dnstap.sock") as sender:
        answers = [
            response("www.example.com", "www.example.com 300 IN A 203.0.113.7"),
            response("v.video.example", "v.video.example 300 IN A 203.0.113.8"),
            response("six.example.com", "six.example.com 300 IN AAAA 2600::6"),
            response("lab.example.com", "lab.example.com 300 IN A 10.1.2.3"),
        ]
        sender.send([INTRODUCED + answer for answer in answers])
        asked = Asked(found)
        asked.until(lambda: asked.json("status")["ready"], "it is ready")
        asked.until(lambda: asked.json("why", "203.0.113.8")["address"]["state"] == "announced", "ExaBGP's answer")
        yield asked
