"""The filter of names, read by the hooks themselves: a name on a list is never ruled out, most others are."""

import importlib.util
import io
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dnstap_bgp.core.hold.hook_answers import HookAnswers
from dnstap_bgp.core.hold.message import Question
from dnstap_bgp.core.hold.name_filter import HEADER, pack
from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import Pattern, PatternKind
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from tests.core.tap.test_prefilter import ADDRESS, CNAME, POINTER, A, message, name, record

HOOKS = Path(__file__).parents[3] / "deploy/resolvers"
LUA = ("dnsdist-hook.lua", "knot-resolver-hook.lua", "pdns-recursor-hook.lua")
HARNESS = """
filter_file = '%s'
calls.cdef [[
    void *test_map(void *, size_t, int, int, int, long) asm("mmap");
    int test_protect(void *, size_t, int) asm("mprotect");
]]
-- Behind 64 KiB is a page that can't be read: a byte beyond the message's last one ends the process.
local page = calls.cast('uint8_t *', calls.C.test_map(nil, 131072, 3, 34, -1, 0)) + 65536
assert(calls.C.test_protect(page, 65536, 0) == 0)
for line in io.lines('%s') do
    local kind, hex = line:match('(%%a)(%%x*)')
    local text = hex:gsub('%%x%%x', function (pair) return string.char(tonumber(pair, 16)) end)
    look_for_filter(0)
    local room, is_out = page - #text, nil
    calls.copy(room, text, #text)
    if kind == 'n' then
        is_out = filter.is_there and is_ruled_out(room, 0, #text)
    else
        is_out = is_unlisted(calls.cast('const uint8_t *', room), #text, 0)
    end
    io.stdout:write(is_out and 'out\\n' or 'ask\\n')
end
"""


def rules(seed: int) -> RuleSet:
    """Rules of all kinds: of one label and of many, and so many below some that these are crowded."""
    dice = random.Random(seed)
    made = [Rule(b"w%d.crowded.example" % number) for number in range(20)]
    made += [Rule(b"d%d.test" % dice.randrange(10**6), dice.choice(list(RuleKind))) for _ in range(300)]
    made += [Rule(b"a.b%d.c.d.test" % number, exception=number % 3 == 0) for number in range(20)]
    made += [Rule(b"co.uk", RuleKind.SUBDOMAINS)]
    if seed % 2:
        made += [Rule(b"single"), Rule(b"cn", RuleKind.SUBDOMAINS)]
    return RuleSet.build([("list", made)])


def listed(found: RuleSet, seed: int) -> list[bytes]:
    """Names that are on the list, and beside them."""
    dice = random.Random(seed)
    near = [b"w3.crowded.example", b"x.w3.crowded.example", b"a.b1.c.d.test", b"x.co.uk"]
    near += [b"single", b"a.single", b"a.cn"]
    near += [b"d%d.test" % number for number in dice.sample(range(10**6), 20_000)]
    near += [b"www." + each for each in near]
    return [each for each in near if found.lists(each)]


def python_hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "unboundmodule", ModuleType("unboundmodule"))
    spec = importlib.util.spec_from_file_location("unbound_hook", HOOKS / "unbound-hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(hook: str) -> str:
    return (HOOKS / hook).read_text().partition("-- The filter of names,")[2].partition("-- End of the filter.")[0]


def by_lua(folder: Path, content: bytes | None, lines: list[str], path: Path | None = None) -> list[bool]:
    """Have dnsdist's LuaJIT ask the hook's filter for names and messages.

    Args:
        folder: For the files.
        content: Of the filter; None: it is there already.
        lines: What is asked.
        path: Of another filter than the folder's.
    """
    if content is not None:
        (folder / "filter").write_bytes(content)
    (folder / "asked").write_text("".join(f"{line}\n" for line in lines))
    script = folder / "filter.lua"
    script.write_text(f"--{section(LUA[0])}{HARNESS % (path or folder / 'filter', folder / 'asked')}")
    done = subprocess.run(
        ["dnsdist", "--check-config", "-C", str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.findall("^(?:out|ask)$", done.stdout, re.MULTILINE)
    assert len(found) == len(lines), done.stdout + done.stderr
    return [each == "out" for each in found]


@pytest.mark.parametrize("seed", range(4))
def test_no_listed_name_is_ruled_out_by_unbound_s_hook(monkeypatch: pytest.MonkeyPatch, seed: int):
    hook = python_hook(monkeypatch)
    found = rules(seed)
    content = pack(found)
    assert content is not None
    table = hook._read_filter(content[: HEADER.size], io.BytesIO(content[HEADER.size :]))
    on_it = listed(found, seed)
    assert len(on_it) > 20
    assert not any(hook._is_ruled_out(name(each), table) for each in on_it)
    assert not any(hook._is_ruled_out(name(each).upper(), table) for each in on_it)
    off_it = [b"www.n%d.plain" % number for number in range(2_000)]
    assert sum(hook._is_ruled_out(name(each), table) for each in off_it) > 1_800
    assert hook._is_ruled_out(name(b"w21.crowded.example"), table)
    assert not hook._is_ruled_out(b"\0", table)
    assert not hook._is_ruled_out(name(b"plain"), table)


@pytest.mark.real("dnsdist")
@pytest.mark.parametrize("seed", range(2))
def test_no_listed_name_is_ruled_out_by_a_hook_in_lua(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int):
    """As unbound's hook says of each name."""
    hook = python_hook(monkeypatch)
    found = rules(seed)
    content = pack(found)
    assert content is not None
    table = hook._read_filter(content[: HEADER.size], io.BytesIO(content[HEADER.size :]))
    asked = listed(found, seed) + [b"www.n%d.plain" % number for number in range(2_000)]
    asked += [b"plain", b"w21.crowded.example", b"crowded.example", b"test", b"d.test", b"x.uk"]
    asked += [b"W21.Crowded.EXAMPLE", b"X.W3.crowded.example", b"a\0b.\xff\x40\x5b.plain", b"x" * 63 + b".a.single"]
    asked += [b".".join([b"x" * length] * 3 + [b"plain"]) for length in (1, 62, 63)]
    wanted = [hook._is_ruled_out(name(each), table) for each in asked]
    assert True in wanted
    assert by_lua(tmp_path, content, [f"n{name(each).hex()}" for each in asked]) == wanted


@pytest.mark.real("dnsdist")
def test_no_answer_that_gives_sightings_is_ruled_out(tmp_path: Path):
    """Chains, compressed and not, and what somebody has spoiled."""
    found = rules(1)
    content = pack(found)
    assert content is not None
    dice = random.Random(5)
    targets = [b"edge.plain", b"w3.crowded.example", b"x.w3.crowded.example", b"www.co.uk", b"w99.crowded.example"]
    wires = []
    for _ in range(300):
        asked, first, second = (dice.choice([b"www.plain", b"w3.crowded.example", *targets]) for _ in range(3))
        records = [record(POINTER, A, ADDRESS)]
        if dice.random() < 0.7:
            records = [record(POINTER, CNAME, name(first)), record(name(first), A, ADDRESS)]
        if dice.random() < 0.3:
            records = [
                record(POINTER, CNAME, name(first)),
                record(name(first).upper(), CNAME, name(second)),
                record(name(second), A, ADDRESS),
            ]
        if dice.random() < 0.3:
            short = name(b"edge")[:-1] + POINTER
            records = [record(POINTER, CNAME, short), record(short, A, ADDRESS)]
        wire = bytearray(message(name(asked), *records))
        if dice.random() < 0.4:
            wire[dice.randrange(12, len(wire))] = dice.randrange(256)
        wires.append(bytes(wire))
    answers = HookAnswers(found)
    gives = [bool(answers.read(Question(bytes(8), "test", False, True, wire))) for wire in wires]
    is_out = by_lua(tmp_path, content, [f"m{wire.hex()}" for wire in wires])
    assert not any(out and gave for out, gave in zip(is_out, gives, strict=True))
    assert sum(is_out) > 30
    assert sum(gives) > 30


@pytest.mark.real("dnsdist")
def test_no_hook_in_lua_reads_beyond_the_message(tmp_path: Path):
    """Each message is cut at each byte; pointers lead everywhere, names are as long as may be, or lie."""
    content = pack(rules(1))
    assert content is not None
    longest = b".".join([b"x" * 63, b"x" * 63, b"x" * 63, b"x" * 42, b"w99.crowded.example"])
    wires = []
    for asked in (
        name(b"www.plain"),
        name(longest),
        b"\xc0\x0c",
        b"\xc0\x0d",
        b"\xff\xff",
        b"\x3fx",
        b"\x40x\0",
        b"\xc0",
    ):
        for target in (name(b"edge.plain"), name(b"a\0b.w99.crowded.example"), POINTER, b"\xc0\xff", b"\1x\xc0\x0c"):
            wire = message(asked, record(POINTER, CNAME, target), record(target, A, ADDRESS))
            wires += [wire[:end] for end in range(len(wire) + 1)]
    wires += [message(name(b"www.plain"), *[record(POINTER, CNAME, name(b"edge.plain"))] * count) for count in (16, 17)]
    wires += [wire[:4] + bytes((0, count)) + wire[6:] for wire in wires[-2:] for count in (0, 2)]
    answers = HookAnswers(rules(1))
    gives = [bool(answers.read(Question(bytes(8), "test", False, True, wire))) for wire in wires]
    is_out = by_lua(tmp_path, content, [f"m{wire.hex()}" for wire in wires])
    assert not any(out and gave for out, gave in zip(is_out, gives, strict=True))
    assert sum(is_out) > 30


@pytest.mark.real("dnsdist")
def test_what_is_no_file_is_read_by_no_hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A pipe that nobody writes to would have the resolver wait for ever."""
    os.mkfifo(tmp_path / "filter")
    hook = python_hook(monkeypatch)
    for path in (tmp_path / "filter", Path("/dev/zero"), tmp_path):
        made = hook.Filter(str(path))
        made._look()
        assert made._known[1] is None
        assert by_lua(tmp_path, None, [f"n{name(b'www.n1.plain').hex()}"], path) == [False]


@pytest.mark.real("dnsdist")
@pytest.mark.parametrize("size", [999_999, 1_000_000, 1_000_001, 0xFFFFFFFF])
def test_no_hook_reads_more_pairs_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int):
    """A file with holes is as large as its header says, and takes no room."""
    content = pack(RuleSet.build([("list", [Rule(b"listed.test")])]))
    assert content is not None
    (tmp_path / "filter").write_bytes(content[:12] + size.to_bytes(4, "big") + content[16 : HEADER.size])
    with (tmp_path / "filter").open("r+b") as file:
        file.seek(HEADER.size + size)
        file.write(content[HEADER.size :])
    hook = python_hook(monkeypatch)
    made = hook.Filter(str(tmp_path / "filter"))
    made._look()
    is_read = size <= 1_000_000
    assert (made._known[1] is not None) == is_read
    assert by_lua(tmp_path, None, [f"n{name(b'www.n1.plain').hex()}"]) == [is_read]


@pytest.mark.real("dnsdist")
@pytest.mark.parametrize("spoiled", ["cut", "longer", "version", "magic", "empty", "size", "small"])
def test_a_file_that_is_no_filter_rules_out_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoiled: str):
    content = pack(rules(0))
    assert content is not None
    content = {
        "cut": content[:-1],
        "longer": content + b"x",
        "version": content[:8] + b"\2" + content[9:],
        "magic": b"x" + content[1:],
        "empty": b"",
        "size": content[:10] + b"\xff" + content[11:],
        "small": content[:10] + b"\0" + content[11:],
    }[spoiled]
    assert by_lua(tmp_path, content, [f"n{name(b'www.n1.plain').hex()}"]) == [False]
    hook = python_hook(monkeypatch)
    path = tmp_path / "python"
    path.write_bytes(content)
    made = hook.Filter(str(path))
    made._look()
    assert made._known[1] is None


@pytest.mark.parametrize("switch", range(3))
def test_a_thread_with_the_file_from_before_does_not_pass_it_off_as_the_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switch: int
):
    """unbound's threads share one filter: whenever the threads switch, the next look ends with the new rules."""
    hook = python_hook(monkeypatch)
    before, after = (pack(RuleSet.build([("list", [Rule(domain)])])) or b"" for domain in (b"old.test", b"new.test"))
    path = tmp_path / "filter"
    steps = iter(range(100))

    class Switching(hook.Filter):  # type: ignore[misc, name-defined]
        """Has another thread look at the file from before once this one has set so many attributes."""

        def __setattr__(self, key: str, value: object) -> None:
            super().__setattr__(key, value)
            if next(steps) == switch:
                path.write_bytes(before)
                self._look()
                path.write_bytes(after)

    made = hook.Filter(str(path))
    made.__class__ = Switching
    path.write_bytes(after)
    made._look()
    made._look()
    assert not made.rules_out(name(b"www.new.test"), None, 1)
    assert made.rules_out(name(b"www.old.test"), None, 1)


def test_the_hooks_in_lua_have_one_filter():
    first, second, third = map(section, LUA)
    assert first == second
    assert third
    assert first.startswith(third.rstrip())


def test_what_a_table_of_domains_can_not_tell_has_no_filter():
    plain = RuleSet.build([("list", [Rule(b"listed.test")])])
    assert pack(plain) is not None
    assert pack(with_patterns(plain, [(0, Pattern("tube", PatternKind.KEYWORD))])) is None


@pytest.mark.parametrize(("domain", "flags"), [(b"listed.test", 0), (b"lan", 1)])
def test_only_a_rule_of_one_label_has_the_hooks_look_at_that(domain, flags):
    packed = pack(RuleSet.build([("list", [Rule(domain)])]))
    assert packed is not None
    assert packed[9] == flags
