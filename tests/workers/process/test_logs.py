"""What the log looks like: one line a record, whatever is in it; for people, the journal and machines."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from datetime import datetime

import pytest

from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process import logs
from tests.commands.running import cli, environment, write_config
from tests.integration.lab import eventually
from tests.test_plugin import log_of, plugin

ours = logging.getLogger("dnstap_bgp.workers.tap.senders")
others = logging.getLogger("aiohttp.access")


@pytest.fixture
def stream():
    """What is logged; all is as before afterwards."""
    root, package = logging.getLogger(), logging.getLogger("dnstap_bgp")
    before = root.handlers[:], root.level, package.level, logging.raiseExceptions
    found = io.StringIO()
    logs.begin("dnstap-bgp", found)
    yield found
    root.handlers[:], level, package_level, logging.raiseExceptions = before
    root.setLevel(level)
    package.setLevel(package_level)


def test_plain(stream):
    ours.warning("sender %s", "unbound[7]")
    time, text = stream.getvalue().split(" ", 1)
    assert datetime.fromisoformat(time).tzinfo is not None
    assert text == "dnstap-bgp: WARNING: sender unbound[7]\n"


def test_json(stream):
    logs.configure("json", "info")
    try:
        int("a\nb")
    except ValueError:
        ours.exception("odd \x1b[31m name é")
    found = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert found["message"] == "odd \x1b[31m name é"
    assert found["exception"].startswith("Traceback")
    assert (found["level"], found["logger"], found["thread"]) == ("error", ours.name, "MainThread")
    assert datetime.fromisoformat(found["time"]).tzinfo is not None


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize("text", ["a\nb\r\x1b]0;t\x07\x00", "\u2028\u202e\ud800", "x" * 100_000], ids=ascii)
def test_no_input_ends_a_line_or_drives_a_terminal(stream, form, text):
    logs.configure(form, "info")
    ours.info("%s", text)
    written = stream.getvalue()
    assert written.endswith("\n")
    assert written[:-1].isprintable()
    assert len(written) < logs.LINE_MAX_CHARS + 500


def test_a_traceback_is_one_line(stream):
    try:
        int("wrong")
    except ValueError:
        ours.exception("crashed")
    assert re.search(r"crashed \| Traceback .* \| ValueError: invalid .*\n\Z", stream.getvalue())
    assert stream.getvalue().count("\n") == 1


def test_levels(stream):
    for level in logs.LEVELS:
        logs.set_level(level)
        assert logs.level() == level
        for number in logs.LEVELS.values():
            ours.log(number, "ours while %s", level)
            others.log(number, "others while %s", level)
    text = stream.getvalue()
    assert [text.count(f"ours while {level}") for level in logs.LEVELS] == [4, 3, 2, 1]
    assert [text.count(f"others while {level}") for level in logs.LEVELS] == [2, 2, 2, 1]
    with pytest.raises(CommandError, match="debug, info, warning, error"):
        logs.set_level("loud")


WRITE = """
from dnstap_bgp.workers.process import logs
import logging
logs.begin()
for number in (10, 20, 30, 40, 50):
    logging.getLogger("dnstap_bgp").log(number, "text")
logs.configure("json", "debug")
logging.getLogger("dnstap_bgp").debug("text")
"""


def test_the_journal_gets_priorities(tmp_path):
    """JOURNAL_STREAM names the file that stderr is; a stderr that was redirected since is no journal."""
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        found = os.fstat(stderr.fileno())
        for inode in (found.st_ino, found.st_ino + 1):
            env = environment(JOURNAL_STREAM=f"{found.st_dev}:{inode}")
            subprocess.run([sys.executable, "-c", WRITE], stderr=stderr, env=env, check=True)
    lines = log.read_text().splitlines()
    assert lines[:4] == [
        f"<{number}>dnstap-bgp: {name}: text"
        for number, name in ((6, "INFO"), (4, "WARNING"), (3, "ERROR"), (2, "CRITICAL"))
    ]
    assert lines[4].startswith('<7>{"time"')
    assert not [line for line in lines[5:] if line.startswith("<")]


def test_a_reload_changes_format_and_level(tmp_path):
    config = write_config(tmp_path, more='[log]\nformat = "json"')
    with plugin(config):
        eventually(lambda: "listening for DNSTap" in log_of(config), 20, "the plugin's start")
        assert {json.loads(line)["level"] for line in log_of(config).splitlines()} == {"info", "warning"}
        text = config.read_text()
        config.write_text(text.replace('"json"', '"plain"\nlevel = "error"'))
        assert cli("reload", "--config", str(config)).returncode == 0
        before = log_of(config)
        config.write_text(text.replace('"json"', '"plain"\nlevel = "info"'))
        assert cli("reload", "--config", str(config)).returncode == 0
        assert "INFO: reload: done" in log_of(config).removeprefix(before)
        assert "reload: done" not in before


def test_only_known_formats_and_levels(tmp_path):
    config = write_config(tmp_path, more='[log]\nformat = "xml"\nlevel = "loud"')
    done = cli("check", "--config", str(config))
    assert "log.format: should be 'plain' or 'json'" in done.stdout
    assert "log.level: should be 'debug', 'info', 'warning' or 'error'" in done.stdout


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_each_kind_of_line_has_its_burst_a_window(told):
    now = 100.0
    log = logs.RateLimitedLog(logging.getLogger("tests.limited"), lambda: now)
    for i in range(logs.BURST + 5):
        log.log(logging.WARNING, "a", "line %d", i)
    log.log(logging.INFO, "b", "another kind")
    assert told() == [*(f"line {i}" for i in range(logs.BURST)), "another kind"]
    now += logs.WINDOW_S / 2
    log.log(logging.WARNING, "a", "still full")
    assert len(told()) == logs.BURST + 1
    now += logs.WINDOW_S / 2
    log.log(logging.WARNING, "a", "line %s", "again")
    assert told()[-1] == "line again (and 6 more like this since 60 s ago)"
    now += logs.WINDOW_S
    log.log(logging.WARNING, "a", "line %s", "at last")
    assert told()[-1] == "line at last"
