"""ExaBGP's pipe is drained from the first to the last moment, whatever comes."""

import pytest

from dnstap_bgp.workers.exabgp.reader import LineReader
from tests.workers.exabgp.bgp_kit import Plugin, ipv4


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_however_they_are_cut(size):
    data = b"done\r\n\nerror\n{ }\nrest"
    reader = LineReader()
    lines = [line for at in range(0, len(data), size) for line in reader.feed(data[at : at + size])]
    assert lines == [b"done", b"", b"error", b"{ }"]


def test_a_line_over_the_limit_is_skipped_and_not_kept():
    reader = LineReader(line_max_bytes=100)
    assert reader.feed(b"a" * 90) == []
    assert reader.feed(b"a" * 90) == []
    for _ in range(1_000):
        assert reader.feed(b"a" * 90) == []
    assert len(reader._begun) == 0
    assert reader.feed(b"a\ndone\n") == [b"done"]
    assert reader.skipped == 1


def test_stdin_is_drained_before_anything_is_said_and_whatever_comes(script):
    plugin = Plugin(script.stdin, script.stdout)
    noise = b"done\n" * 100 + b'{ "exabgp": "5.0.0", "type": "update", "x": "' + b"y" * 4_000 + b'" }\n' + b"\xff\x00\n"
    for _ in range(2_000):  # 8 MB; would block for ever if nobody read
        script.say(noise)
    script.start()
    plugin.keeper.put(ipv4(1))
    script.wait(1)
    plugin.stop()


def test_the_end_of_the_pipe_ends_the_process(script, plugin):
    script.hang_up()
    assert plugin.ended.wait(20)


@pytest.mark.parametrize(
    "line", [b'{ "exabgp": "5.0.0", "type": "notification", "notification": "shutdown" }\n', b"shutdown 1 2\n"]
)
def test_the_word_shutdown_ends_the_process_and_reading_goes_on(script, plugin, line):
    script.say(line)
    assert plugin.ended.wait(20)
    for _ in range(100):
        script.say(b"done\n" * 1_000)
