"""Costs of hostile lists: whatever stands in a line, or in how many, the work grows with its length and no faster."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnstap_bgp.commands import check
from dnstap_bgp.core.lists.formats import FORMATS, detect, format_of_line, without_base64
from dnstap_bgp.core.lists.lines import FileLines, read_lines
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.files import plan
from tests.property import costs

LINE_BYTES = 1 << 14
"""A quadratic scan of so much takes 0.2 s, and of the 64 KiB that a line may have 3."""

REPEATED = [
    *(
        " ",
        "\t",
        "a",
        "a.",
        ".",
        "..",
        "*",
        "*.",
        ".*",
        "#",
        " #",
        "# ",
        "!",
        "=",
        "/",
        "//",
        "/.",
        ":",
        "::",
        ":@",
        ":@a,",
    ),
    *("1", "1.", "0:", "f", "|", "||", "@", "@@", " @", " @a", "^", "$", "$a", "$a=", "~", "[", "]", "[]", "#@", "#?"),
    *(
        "-",
        "_",
        "\u00e9",
        "\uff41",
        "a ",
        "a b",
        "a/",
        "+.",
        "+",
        "&",
        ",",
        "%",
        "\\",
        "'",
        '"',
        "<",
        "{",
        "(",
        "\0",
        "A+/",
    ),
]
BEFORE = ["", "a.com", "server=/", "0.0.0.0 ", "||", "full:", "!", "/"]
BEHIND = ["", " x", "\1"]


def hostile() -> Iterator[bytes]:
    for repeated, before, behind in itertools.product(REPEATED, BEFORE, BEHIND):
        count = (LINE_BYTES - 16) // len(repeated.encode())
        yield f"{before}{repeated * count}{behind}".encode()


def is_linear(work: Callable[[bytes], object], data: bytes) -> bool:
    return costs.is_linear(work, data[: len(data) // 4], data)


@pytest.mark.parametrize(
    ("work", "size", "verdict"),
    [
        (lambda data: [bytes(at & 1023) for at in range(len(data))], 1 << 18, True),
        (lambda data: [data.count(b"b", at) for at in range(0, len(data), 64)], 1 << 17, False),
        (lambda data: re.match(rb"a*a*b", data), 1 << 13, False),
    ],
    ids=["linear", "quadratic in what it calls", "quadratic in an expression"],
)
def test_quadratic_work_is_told_from_linear(work: Callable[[bytes], object], size: int, verdict: bool):
    assert is_linear(work, b"a" * size) == verdict


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_of_any_format_is_read_in_linear_time(form: str):
    def read(line: bytes) -> None:
        for _ in read_lines([line], FORMATS[form]):
            pass

    slow = [line[:40] + b"..." + line[-8:] for line in hostile() if not is_linear(read, line)]
    assert slow == []


@pytest.mark.parametrize("look", [detect, format_of_line, without_base64])
def test_what_looks_at_a_file_first_is_linear(look: Callable[[bytes], object]):
    assert [line[:40] for line in hostile() if not is_linear(look, line)] == []


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "line", [b"a b c", b"include:none%d", b"192.0.2.%d", b"||a%d.x^$third-party", b"@@||a%d.b.c.d^", b"="]
)
def test_many_lines_take_linear_time(tmp_path: Path, form: str, line: bytes):
    path = tmp_path / "list"

    def build(content: bytes) -> None:
        path.write_bytes(content)
        build_lists(plan([ListSource("l", (str(path),), form)], None))

    lines = [line % (number % 256) if b"%d" in line else line for number in range(20_000)]
    assert is_linear(build, b"\n".join(lines))


BYTES = 400_000
"""A file of so many, in lines of one byte or two; at 10 us a byte it took 4 s."""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "piece",
    [b"\n", b" \n", b"\r\n", b"\t \n", b"#\n", b"!\n", b"# a\n", b"! a\n", b"\f\n", b"\n" * 400 + b"a.example\n"],
    ids=repr,
)
def test_blank_lines_and_comments_are_passed_over_without_reading_each(form: str, piece: bytes):
    """The attack: 20 MB of blank lines took `check` 40 s, as the reader was asked for each."""
    content = piece * (BYTES // len(piece))
    given = list(FileLines(content, FORMATS[form]))
    is_comment = piece[:1] != b"#" or not FORMATS[form].uncommented(piece.strip())
    assert len(given) == (content.count(b"a.example") if is_comment else content.count(b"\n"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "piece",
    [b"\n", b" ", b"\t\n", b"#\n", b"!\n", b",\n", b"[\n", b"@@\n", b"\xff\n", b"::\n", b"1\n", b"\0\n", b"-\n", b"/#"],
)
def test_a_file_of_tiny_lines_takes_linear_time(tmp_path: Path, form: str, piece: bytes):
    path = tmp_path / "list"

    def build(content: bytes) -> None:
        path.write_bytes(content)
        build_lists(plan([ListSource("l", (str(path),), form)], None))

    assert is_linear(build, piece * (8_000 // len(piece)))


CONFIG = """
runtime_dir = "run"
[dnstap]
listen = "./tap.sock"
[bgp]
next_hop = "192.0.2.1"
[[list]]
name = "l"
sources = "list"
"""


@pytest.mark.parametrize(
    "line", [b"", b"#", b",", b"a b c", b"=", b"10.%d.%d.0/24", b"keyword:a", b"||a.b^", b"include:x"]
)
def test_check_takes_linear_time(tmp_path: Path, line: bytes):
    (tmp_path / "d.toml").write_text(CONFIG)

    def run(content: bytes) -> None:
        (tmp_path / "list").write_bytes(content)
        check.run(tmp_path / "d.toml", verbose=True)

    lines = [line % (number >> 8 & 255, number & 255) if b"%d" in line else line for number in range(20_000)]
    assert is_linear(run, b"\n".join(lines))
