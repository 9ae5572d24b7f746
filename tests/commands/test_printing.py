"""What a command prints, whatever its source: no character of it ends the line or drives a terminal."""

import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dnstap_bgp.cli import main
from dnstap_bgp.commands import dump, watch
from dnstap_bgp.commands.control import Control
from dnstap_bgp.commands.printing import complain, say, say_outcome, with_unicode
from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.text import printable
from dnstap_bgp.errors import CommandError
from tests.commands.asking_kit import Asked


@pytest.mark.parametrize("text", ["", "plain", "bücher.example, 東京", "a  b", '{"a": "\\u001b"}'])
def test_text_for_people_stays(text):
    assert printable(text) == text


def test_of_all_of_unicode_no_control_or_direction_passes():
    passed = [chr(code) for code in range(sys.maxunicode + 1) if printable(chr(code)) == chr(code)]
    assert " " in passed
    assert not {unicodedata.category(char) for char in passed} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_lines(capsys):
    say("a\x1b[2Jb\nc\u202e")
    complain("d\re")
    say_outcome(["f\x9bg"], as_json=False)
    say_outcome(iter(["f\x9bg\n"]), as_json=True)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["a\\x1b[2Jb\\nc\\u202e", "f\\x9bg"]
    assert json.loads(lines[2]) == {"messages": ["f\x9bg\n"]}
    assert err == "d\\re\n"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("xn--mnchen-3ya.de", "münchen.de (xn--mnchen-3ya.de)"),
        ("+ 10.0.0.1 www.xn--mnchen-3ya.de (list l)", "+ 10.0.0.1 www.münchen.de (www.xn--mnchen-3ya.de) (list l)"),
        ("a.de, xn--i-7iq.ws and 2 more", "a.de, i❤.ws (xn--i-7iq.ws) and 2 more"),
        ("https://xn--mnchen-3ya.de/list.txt", "https://xn--mnchen-3ya.de/list.txt"),
        ("/var/lib/xn--mnchen-3ya.de", "/var/lib/xn--mnchen-3ya.de"),
        (r"odd\046xn--mnchen-3ya.de", r"odd\046xn--mnchen-3ya.de"),
        ("xn--a.com is none", "xn--a.com is none"),
        ("example.com", "example.com"),
    ],
)
def test_names_in_unicode_with_the_a_labels_beside(line, shown):
    assert with_unicode(line, "utf-8") == shown


def test_a_terminal_that_has_no_such_letters_gets_the_a_labels():
    assert with_unicode("xn--mnchen-3ya.de", "ascii") == "xn--mnchen-3ya.de"
    assert with_unicode("xn--mnchen-3ya.de", "latin-1") == "münchen.de (xn--mnchen-3ya.de)"
    assert with_unicode("xn--i-7iq.ws", "latin-1") == "xn--i-7iq.ws"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_only_terminals_and_only_text_for_people(monkeypatch, capsys, is_terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    say("xn--mnchen-3ya.de")
    say('{"name": "xn--mnchen-3ya.de"}', as_is=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first == ("münchen.de (xn--mnchen-3ya.de)" if is_terminal else "xn--mnchen-3ya.de")
    assert second == '{"name": "xn--mnchen-3ya.de"}'


def test_a_long_line_of_what_looks_like_names_takes_no_time():
    """Work in proportion to the line: twice the line must not be four times the steps of the expression."""
    assert with_unicode("a." * 50_000 + "xn--", "utf-8").endswith("xn--")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\x9b31m"
CONTROL = {chr(code) for code in [*range(32), *range(0x7F, 0xA0), 0x202E]} - {"\n"}
EXACT = {"prefix", "address", "next", "level", "state", "now"}
"""Keys of answers that no stranger fills."""


def spoiled(found: Any, key: str = "") -> Any:
    """An answer of the plugin in which every name, reason and text ends in what would drive a terminal."""
    if isinstance(found, dict):
        return {name: spoiled(value, name) for name, value in found.items()}
    if isinstance(found, list):
        return [spoiled(value, key) for value in found]
    return found + HOSTILE if isinstance(found, str) and key not in EXACT else found


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["status", "--json"],
        ["routes"],
        ["routes", "--json"],
        ["why", "203.0.113.7"],
        ["why", "www.example.com"],
        ["lists"],
        ["forget", "198.51.100.200"],
    ],
)
def test_no_command_lets_an_answer_drive_a_terminal(asked: Asked, monkeypatch: pytest.MonkeyPatch, words: list[str]):
    ask = Control._ask
    monkeypatch.setattr(Control, "_ask", lambda *arguments: spoiled(ask(*arguments)))
    shown = CliRunner().invoke(main, [*words, "--config", str(asked.instance.config)])
    assert shown.exit_code == (words[0] == "forget"), shown.output  # nothing is held of what is forgotten here
    assert "owned" in shown.output
    assert not CONTROL & set(shown.output)


def test_no_event_drives_a_terminal(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    event = {"address": "192.0.2.1", "name": HOSTILE, "list": HOSTILE, "reason": HOSTILE, "routed": True, "at": 0}
    monkeypatch.setattr(watch, "_events", lambda _response: iter([("ended", event)]))
    shown = CliRunner().invoke(main, ["watch", "--config", str(asked.instance.config)])
    assert "owned" in shown.output
    assert not CONTROL & set(shown.output)
    assert len(shown.output.splitlines()) == 2, "the event, and that the plugin has ended"


def test_no_error_of_the_plugin_drives_a_terminal(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise CommandError(HOSTILE)

    monkeypatch.setattr(Control, "_ask", refuse)
    shown = CliRunner().invoke(main, ["status", "--config", str(asked.instance.config)])
    assert shown.exit_code == 1
    assert not CONTROL & set(shown.output)


def test_no_name_of_a_state_file_drives_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = dump.Dump(Stamp(0.0, 100.0, bytes(16)))
    found.adopt([Claim(b"\1\1\1\1", HOSTILE, b"\x1b]0;owned\x07.example", 90.0, 90.0, 300.0)])
    monkeypatch.setattr(dump, "read", lambda _path: found)
    for form in ("table", "json"):
        shown = CliRunner().invoke(main, ["dump", "--format", form, str(tmp_path)])
        assert shown.exit_code == 0, shown.output
        assert "owned" in shown.output
        assert not CONTROL & set(shown.output)
