import base64
import gzip
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.compiled import pack, unpack
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import compile_child, compile_job
from dnstap_bgp.workers.lists import loader as loader_module
from dnstap_bgp.workers.lists.compile_child import COMPLAINTS_KEPT, build_lists
from dnstap_bgp.workers.lists.compile_job import Before
from dnstap_bgp.workers.lists.files import Plan, plan
from dnstap_bgp.workers.lists.loader import COMPILED_FILE, ListLoader, Loaded, waiting_in
from dnstap_bgp.workers.process import config_reader
from tests.commands.running import write_config
from tests.workers.lists.build_kit import write

DEADLINE_S = 60


@pytest.fixture
def compiled_dir(tmp_path: Path) -> Path:
    return tmp_path / "compiled"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "domains.txt"
    path.write_text("foo.com\n")
    return path


def default(*paths: Path) -> list[ListSource]:
    return [of("default", *paths)]


def of(name: str, *paths: Path) -> ListSource:
    return ListSource(name, tuple(map(str, paths)))


def numbered(count: int) -> str:
    return "".join(f"d{n}.example\n" for n in range(count))


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_compiles_and_the_result_is_mapped(compiled_dir: Path, tmp_path: Path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    one.write_text("# comment\nfoo.com\nbad line\n")
    two.write_text("!www.foo.com\nfoo.com\n")
    three.write_bytes("\ufeffmünchen.de\r\n".encode())
    loaded = ListLoader(compiled_dir).load([of("default", one, two), of("second", three)])
    assert loaded.how == "compiled"
    assert loaded.refused is None
    assert loaded.rules.counts == {"default": 2, "second": 1}
    assert loaded.rules.lists(b"a.foo.com") == ("default",)
    assert loaded.rules.lists(b"www.foo.com") == ()
    assert loaded.rules.lists(b"xn--mnchen-3ya.de") == ("second",)
    assert [(r.list_name, r.path, r.rules, r.complaints, r.error) for r in loaded.reports] == [
        ("default", str(one), 1, 1, None),
        ("default", str(two), 2, 0, None),
        ("second", str(three), 1, 0, None),
    ]
    assert [str(problem) for problem in loaded.reports[0].problems()] == [
        f"{one}:3: `bad line`: more than one word on the line"
    ]
    copies = sorted(f"source-{hashlib.sha256(path.read_bytes()).hexdigest()}.list" for path in (one, two, three))
    assert sorted(path.name for path in compiled_dir.iterdir()) == [COMPILED_FILE, *copies]
    assert {path.stat().st_mode & 0o777 for path in compiled_dir.iterdir()} == {0o600}


def test_a_child_knows_below_which_domains_anybody_can_register(compiled_dir: Path, source: Path):
    source.write_text("*.github.io\nexample.com\ncity.kobe.jp\nkobe.jp\nuk\nck\n")
    rules = ListLoader(compiled_dir).load(default(source)).rules
    owners = {
        b"a.me.github.io": b"me.github.io",
        b"a.b.example.com": b"example.com",
        b"a.b.c.kobe.jp": b"b.c.kobe.jp",
        b"a.b.city.kobe.jp": b"city.kobe.jp",
        b"a.b.co.uk": b"b.co.uk",
        b"a.b.com.ck": b"b.com.ck",
        b"a.b.www.ck": b"www.ck",
    }
    assert {name: rules.owner("default", name) for name in owners} == owners


def test_unchanged_bytes_are_neither_read_nor_built_again(compiled_dir: Path, source: Path, monkeypatch):
    loader = ListLoader(compiled_dir)
    first = loader.load(default(source))
    no_child(monkeypatch)
    os.utime(source, (1, 1))
    again = loader.load(default(source))
    assert again.how == "unchanged"
    assert again.rules is first.rules
    mapped = ListLoader(compiled_dir).load(default(source))
    assert mapped.how == "mapped"
    assert mapped.reports == first.reports
    assert mapped.rules.lists(b"x.foo.com") == ("default",)


def no_child(monkeypatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def test_other_bytes_are_compiled_although_size_and_time_are_the_same(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    before = source.stat()
    source.write_text("bar.com\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert loader.load(default(source)).rules.lists(b"bar.com") == ("default",)
    source.write_text("baz.com\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ListLoader(compiled_dir).load(default(source)).rules.lists(b"baz.com") == ("default",)


def test_other_lists_and_files_are_compiled(compiled_dir: Path, source: Path, tmp_path: Path):
    ListLoader(compiled_dir).load(default(source))
    other = tmp_path / "other.txt"
    other.write_bytes(source.read_bytes())
    for sources in (default(other), default(source, source), [of("second", source)]):
        loaded = ListLoader(compiled_dir).load(sources)
        assert loaded.how == "compiled"
        assert loaded.rules.lists(b"foo.com") == (sources[0].name,)


def test_a_mapped_set_outlives_its_replacement(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    source.write_text(numbered(5000))
    old = loader.load(default(source)).rules
    source.write_text(numbered(4000) + "new.example\n")
    new = loader.load(default(source)).rules
    (compiled_dir / COMPILED_FILE).unlink()
    assert all(old.lists(b"x.d%d.example" % n) for n in range(5000))
    assert new.lists(b"d4999.example") == ()
    assert new.lists(b"new.example") == ("default",)


# What is in force stays in force


def fifo_in_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(""), "had 2000 rules and is empty now"),
        (lambda path: path.write_text("# only\nbad line\n"), "empty"),
        (lambda path: path.write_text("404: Not Found\n"), "empty"),
        (lambda path: path.write_text("Forbidden\n"), "without any dot"),
        (lambda path: path.write_text("<!DOCTYPE html>\n<p>\nSorry\n</p>\n"), "HTML page"),
        (lambda path: path.write_text("\n\ufeff <html>\nfoo.com\n</html>\n"), "HTML page|malformed"),
        (lambda path: path.write_bytes(numbered(2000).encode("utf-16")), "UTF-16"),
        (lambda path: path.write_bytes(base64.encodebytes(numbered(2000).encode())), "empty|without any dot"),
        (lambda path: path.write_text(numbered(1500) + "a b\n" * 1501), "1501 malformed lines and only 1500 rules"),
        (lambda path: path.write_bytes(gzip.compress(numbered(2000).encode())[:-9]), "ends in the middle"),
        (lambda path: path.write_text(numbered(999)), "had 2000 rules and has only 999 now"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
        (fifo_in_place, "not a file"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "not a file"),
        (lambda path: os.truncate(path, 300 << 20), "bytes, 268435456 are allowed"),
    ],
)
def test_a_worse_list_is_refused(
    compiled_dir: Path, source: Path, spoil: Callable[[Path], object], reason: str, restarted: bool
):
    source.write_text(numbered(2000))
    loader = ListLoader(compiled_dir)
    held = loader.load(default(source))
    spoil(source)
    if restarted:
        loader = ListLoader(compiled_dir)
    for _ in range(2):
        loaded = loader.load(default(source))
        assert (loaded.refused, loaded.is_whole) == (None, False)
        assert re.search(reason, "; ".join([*loaded.held.values(), *loaded.failed.values()]))
        assert loaded.rules.counts == {"default": 2000}
        assert restarted or loaded.rules is held.rules


@pytest.mark.parametrize("text", ["", numbered(999)])
def test_force_takes_what_can_be_read(compiled_dir: Path, source: Path, text: str):
    source.write_text(numbered(2000))
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    source.write_text(text)
    assert loader.load(default(source)).held
    assert loader.load(default(source), force=frozenset({"other"})).held
    forced = loader.load(default(source), force=True)
    assert forced.is_whole
    assert len(forced.rules) == text.count("\n")
    assert loader.load(default(source)).how == "unchanged"
    source.unlink()
    loaded = loader.load(default(source), force=True)
    assert "No such file" in str([loaded.refused, *loaded.failed.values()])
    assert len(loaded.rules) == len(forced.rules)


@pytest.mark.parametrize(("before", "after"), [(2000, 1000), (20, 10), (19, 1), (10, 1)])
def test_an_honest_loss_is_taken(compiled_dir: Path, source: Path, before: int, after: int):
    source.write_text(numbered(before))
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    source.write_text(numbered(after))
    loaded = loader.load(default(source))
    assert loaded.refused is None
    assert loaded.rules.counts == {"default": after}


def test_each_list_is_judged_by_itself(compiled_dir: Path, source: Path, tmp_path: Path):
    large = tmp_path / "large.txt"
    large.write_text(numbered(5000))
    sources = [of("large", large), of("small", source)]
    loader = ListLoader(compiled_dir)
    loader.load(sources)
    source.write_text("")
    assert "list small" in loader.load(sources).held["small", str(source)]
    source.write_text("foo.com\n")
    large.write_text(numbered(2000))
    assert "list large" in loader.load(sources).held["large", str(large)]
    assert loader.load(sources[1:]).is_whole


def test_all_unreadable_files_are_named(compiled_dir: Path, tmp_path: Path):
    loader = ListLoader(compiled_dir)
    with pytest.raises(ListError, match=r"one: No such file or directory; .*two: No such file"):
        loader.load(default(tmp_path / "one", tmp_path / "two"))


def test_with_nothing_in_force_an_empty_list_is_an_error(compiled_dir: Path, source: Path):
    source.write_text("# nothing\n")
    with pytest.raises(ListError, match="no rule in any list"):
        ListLoader(compiled_dir).load(default(source))
    assert len(ListLoader(compiled_dir).load(default(source), force=True).rules) == 0


# The compiled file


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x7fELF" + bytes(10_000)),
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        lambda path: path.write_bytes(path.read_bytes()[:3000] + b"?" + path.read_bytes()[3001:]),
        lambda path: path.chmod(0o666),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["empty", "foreign", "cut", "changed", "writable by others", "a directory"],
)
def test_a_damaged_or_foreign_compiled_file_is_made_anew(compiled_dir: Path, source: Path, caplog, spoil):
    source.write_text(numbered(100))
    ListLoader(compiled_dir).load(default(source))
    spoil(compiled_dir / COMPILED_FILE)
    loaded = ListLoader(compiled_dir).load(default(source))
    assert loaded.how == "compiled"
    assert loaded.rules.lists(b"d99.example") == ("default",)
    assert "compiled anew" in caplog.text


def test_what_a_killed_process_left_is_removed(compiled_dir: Path, source: Path):
    compiled_dir.mkdir()
    (compiled_dir / ".lists-left.tmp").write_bytes(b"x")
    (compiled_dir / "other").write_bytes(b"x")
    (compiled_dir / ".source-left.list.x").write_bytes(b"x")
    (compiled_dir / f"source-{'0' * 64}.list").write_bytes(b"x")
    ListLoader(compiled_dir).load(default(source))
    copy = f"source-{hashlib.sha256(source.read_bytes()).hexdigest()}.list"
    assert sorted(path.name for path in compiled_dir.iterdir()) == [COMPILED_FILE, "other", copy]


def test_a_held_list_leaves_the_compiled_file_alone(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    before = sorted((path.name, path.read_bytes()) for path in compiled_dir.iterdir())
    source.write_text("")
    assert loader.load(default(source)).held
    assert sorted((path.name, path.read_bytes()) for path in compiled_dir.iterdir()) == before


@pytest.mark.parametrize("kind", ["none", "below a file", "no directory"])
def test_without_a_directory_a_child_compiles_all_the_same(source: Path, caplog, kind: str):
    directory = {"none": None, "below a file": source / "x", "no directory": source}[kind]
    loader = ListLoader(directory)
    loaded = loader.load(default(source))
    assert loaded.how == "compiled"
    assert loaded.rules.lists(b"foo.com") == ("default",)
    assert ("can't be kept" in caplog.text) == (kind != "none")
    source.write_text("bar.com\n")
    assert loader.load(default(source)).rules.lists(b"bar.com") == ("default",)


# The child


def test_without_a_child_the_set_is_built_here(compiled_dir: Path, source: Path, caplog, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    loaded = ListLoader(compiled_dir).load(default(source))
    assert loaded.how == "built"
    assert loaded.rules.lists(b"foo.com") == ("default",)
    assert "built in this process" in caplog.text
    assert not (compiled_dir / COMPILED_FILE).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_no_reason_to_have_no_list(compiled_dir: Path, source: Path, caplog, monkeypatch):
    run_child = ListLoader._run_child

    def on_full_disk(self: ListLoader, files: Plan, before: Before, _output: int) -> str | None:
        with Path("/dev/full").open("wb") as full:
            return run_child(self, files, before, full.fileno())

    monkeypatch.setattr(ListLoader, "_run_child", on_full_disk)
    loaded = ListLoader(compiled_dir).load(default(source))
    assert loaded.how == "built"
    assert "No space left on device" in caplog.text
    assert not (compiled_dir / COMPILED_FILE).exists()


def test_a_killed_child_keeps_the_old_list(compiled_dir: Path, source: Path, monkeypatch):
    loader = ListLoader(compiled_dir)
    held = loader.load(default(source))
    source.write_text("bar.com\n")
    monkeypatch.setattr(compile_job, "CHILD", "dnstap_bgp.no_such_module")
    loaded = loader.load(default(source))
    assert loaded.rules is held.rules
    assert "status 1" in str(loaded.refused)
    with pytest.raises(ListError, match="status 1"):
        ListLoader(None).load(default(source))
    assert (compiled_dir / COMPILED_FILE).exists()


@pytest.fixture
def sleeping_child(tmp_path: Path, monkeypatch):
    """A child that never ends by itself."""
    (tmp_path / "asleep.py").write_text("import time\ntime.sleep(1000)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compile_job, "CHILD", "asleep")


@pytest.mark.usefixtures("sleeping_child")
def test_a_child_that_hangs_is_ended(compiled_dir: Path, source: Path, monkeypatch):
    monkeypatch.setattr(compile_job, "TIME_LIMIT_S", 0.5)
    with pytest.raises(ListError, match="took longer"):
        ListLoader(compiled_dir).load(default(source))


@pytest.mark.usefixtures("sleeping_child")
def test_cancel_ends_the_child_and_every_later_load(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    outcome: list[Loaded | ListError] = []

    def load() -> None:
        try:
            outcome.append(loader.load(default(source)))
        except ListError as error:
            outcome.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    eventually(lambda: loader._child is not None)
    child = loader._child
    loader.cancel()
    thread.join(DEADLINE_S)
    assert [str(result) for result in outcome] == ["loading was cancelled"]
    assert child is not None
    assert child.returncode == -9
    with pytest.raises(ListError, match="cancelled"):
        loader.load(default(source))


def test_the_child_has_neither_our_streams_nor_our_process_group(tmp_path: Path, source: Path, monkeypatch):
    """It must not eat ExaBGP's answers from stdin, nor say a word to it, nor die of our terminal's Ctrl-C."""
    seen = tmp_path / "seen.json"
    spy = tmp_path / "spy.py"
    spy.write_text(
        "import json, os, sys\n"
        "from dnstap_bgp.workers.lists.compile_child import main\n"
        "open_fds = [fd for fd in range(100) if os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "fds = {fd: os.readlink(f'/proc/self/fd/{fd}') for fd in open_fds}\n"
        f"json.dump([fds, os.getpgid(0), os.getsid(0), os.getpid()], open({str(seen)!r}, 'w'))\n"
        "sys.exit(main())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compile_job, "CHILD", "spy")
    with (tmp_path / "host").open("w+b") as host:
        os.set_inheritable(host.fileno(), True)
        assert ListLoader(None).load(default(source)).how == "compiled"
    fds, group, session, pid = json.loads(seen.read_text())
    assert group == pid
    assert session == os.getsid(0), "its niceness would say nothing against another session"
    assert fds["0"].startswith("pipe:")
    assert fds["1"].startswith("pipe:")
    assert not any("host" in target for target in fds.values())


# In a command's own process


def test_building_here_tells_every_bad_line_if_asked(source: Path, tmp_path: Path):
    source.write_text("foo.com\n" + "bad line\n" * 50)
    missing = tmp_path / "missing.txt"
    rules, prefixes, reports = build_lists(plan(default(source, missing), None))
    assert prefixes == {"default": ()}
    assert rules.counts == {"default": 1}
    assert reports[0].complaints == 50
    assert len(reports[0].examples) == COMPLAINTS_KEPT
    assert [str(problem) for problem in reports[1].problems()] == [f"{missing}: No such file or directory"]
    reports = build_lists(plan(default(source), None), complaints_kept=1000).reports
    assert [complaint.line for complaint in reports[0].examples] == list(range(2, 52))


def test_too_many_rules_are_refused(source: Path, monkeypatch):
    monkeypatch.setattr("dnstap_bgp.workers.lists.compile_child.RULES_MAX", 10)
    source.write_text(numbered(6))
    reports = build_lists(plan(default(source, source), None)).reports
    assert [report.error for report in reports] == [None, "more than 10 rules in all lists"]
    assert reports[1].rules == 4


# Each source is judged by its own past


def held_back(loaded: Loaded) -> list[str]:
    assert loaded.refused is None
    return [Path(source).name for _, source in loaded.held]


def test_a_source_is_judged_whatever_comes_and_goes_beside_it(compiled_dir: Path, tmp_path: Path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    one.write_text(numbered(500))
    two.write_text(numbered(400))
    ListLoader(compiled_dir).load([of("l", one, two)])
    one.write_text("404: Not Found\n")
    three.write_text("foo.com\n")
    # At a restart with another configuration: what is known of the source stands in the compiled file.
    loader = ListLoader(compiled_dir)
    for sources, counts in (
        ([of("l", one, two, three)], {"l": 501}),
        ([of("new", three), of("l", one)], {"new": 1, "l": 500}),
    ):
        loaded = loader.load(sources)
        assert held_back(loaded) == ["one"]
        assert loaded.rules.counts == counts
        assert "list l had 500 rules and is empty now" in loaded.held["l", str(one)]
    # A source that is no longer named is in nobody's way.
    loaded = loader.load([of("l", three)])
    assert (loaded.refused, loaded.rules.counts) == (None, {"l": 1})


def test_a_file_emptied_beside_another_is_held_back(compiled_dir: Path, tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a.com\n")
    two.write_text(numbered(1000))
    loader = ListLoader(compiled_dir)
    loader.load([of("l", one, two)])
    one.write_text("")
    assert held_back(loader.load([of("l", one, two)])) == ["one"]
    assert loader.load([of("l", one, two)], force=True).is_whole
    assert loader.load([of("l", one, two)]).is_whole


def test_the_same_bytes_read_in_another_way_are_no_loss(compiled_dir: Path, source: Path):
    source.write_text("foo.com\n||bar.com^\n" * 50)
    loader = ListLoader(compiled_dir)
    assert len(loader.load([ListSource("l", (str(source),), "plain")]).rules) == 1
    assert len(loader.load([ListSource("l", (str(source),), "adblock")]).rules) == 2
    assert loader.load([ListSource("l", (str(source),), "hosts")]).held


def test_shrink_max_1_switches_the_share_off(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    listed = [ListSource("l", (str(source),), shrink_max=1.0)]
    source.write_text(numbered(5000))
    loader.load(listed)
    source.write_text(numbered(1))
    assert loader.load(listed).refused is None
    source.write_text("")
    assert loader.load(listed).held


def test_a_file_that_gives_nothing_at_first_proves_nothing(compiled_dir: Path, source: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    for text in ("", "# nothing\n", "404: Not Found\n", "<html>\n<p>\nfoo.com\n"):
        empty.write_text(text)
        loader = ListLoader(None)
        loaded = loader.load([of("default", source), of("l", empty)])
        assert (loaded.refused, loaded.unproven) == (None, ("l",))
    kept = ListLoader(compiled_dir).load([of("default", source), of("l", empty)])
    assert kept.unproven == ("l",)
    again = ListLoader(compiled_dir)
    assert (again.load([of("default", source), of("l", empty)]).unproven) == ("l",)
    assert (again.load([of("default", source), of("l", empty)], force=True).unproven) == ()
    assert (again.load([of("default", source), of("l", empty)]).unproven) == ()
    assert (ListLoader(compiled_dir).load([of("default", source), of("l", empty)]).unproven) == ()
    empty.write_text("foo.com\n")
    assert ListLoader(compiled_dir).load([of("default", source), of("l", empty)]).rules.counts["l"] == 1


def test_what_0_1_0_compiled_is_known_and_read_anew(compiled_dir: Path, source: Path):
    """Its version has no rules of newer kinds, and its reports fewer fields."""
    source.write_text(numbered(500))
    first = ListLoader(compiled_dir).load(default(source))
    rules, _, note = unpack(memoryview((compiled_dir / COMPILED_FILE).read_bytes()))
    newer = {"no_list", "has_dots", "lost", "is_slow", "is_kept", "unproven"}
    reports = [{key: value for key, value in report.items() if key not in newer} for report in of_note(note)]
    (compiled_dir / COMPILED_FILE).write_bytes(pack(rules, {}, json.dumps(reports)))
    loaded = ListLoader(compiled_dir).load(default(source))
    assert (loaded.how, loaded.rules.counts) == ("compiled", first.rules.counts)
    (compiled_dir / COMPILED_FILE).write_bytes(pack(rules, {}, json.dumps(reports)))
    for copy in compiled_dir.glob("source-*"):
        copy.unlink()  # it kept none
    source.write_text("Forbidden\n")
    loaded = ListLoader(compiled_dir).load(default(source))
    assert "list default had 500 rules" in str(loaded.refused)
    assert loaded.rules.counts == {"default": 500}


def of_note(note: str) -> list[dict[str, object]]:
    reports: list[dict[str, object]] = json.loads(json.loads(note)["reports"])
    return reports


# One file that can't be read in time


@pytest.mark.parametrize("restarted", [False, True])
def test_a_slow_file_costs_the_other_lists_nothing(
    compiled_dir: Path, source: Path, tmp_path: Path, monkeypatch, *, restarted: bool
):
    slow = tmp_path / "slow"
    slow.write_text("slow.com\n192.0.2.0/24\n")
    loader = ListLoader(compiled_dir)
    loader.load([of("default", source), of("l", slow)])
    source.write_text("bar.com\n")
    slow.write_text("new.com\n" + "a b c d\n" * 500_000)
    if restarted:
        loader = ListLoader(compiled_dir)
    environment = compile_job.environment
    spy = tmp_path / "spy.py"
    spy.write_text(
        "import sys\nfrom dnstap_bgp.workers.lists import compile_child\n"
        "compile_child.READING_CPU_S = 0.5\nsys.exit(compile_child.main())\n"
    )
    monkeypatch.setattr(compile_job, "command", lambda *rest: [sys.executable, "-P", str(spy), *rest])
    assert environment()
    loaded = loader.load([of("default", source), of("l", slow)])
    assert loaded.refused is None
    assert not loaded.is_whole
    assert [Path(report.path).name for report in loaded.reports if report.error] == ["slow"]
    assert loaded.rules.lists(b"bar.com") == ("default",)
    assert loaded.rules.lists(b"slow.com") == ("l",), "its list keeps what it had"
    assert loaded.rules.lists(b"new.com") == ()
    assert loaded.prefixes["l"] == (b"\xc0\x00\x02\x00\x18",)
    assert loaded.unproven == ()
    assert loader.load([of("default", source), of("l", slow)]).how == "unchanged"
    loaded = ListLoader(None).load([of("default", source), of("l", slow)])
    assert (loaded.unproven, loaded.rules.counts) == (("l",), {"default": 1, "l": 0})


def test_files_that_are_included_share_the_time_of_the_one_that_includes_them(tmp_path: Path, monkeypatch):
    """One list that has the same file a thousand times, by other filters, leaves no other list without its rules."""
    (tmp_path / "geo").mkdir()
    (tmp_path / "geo" / "top").write_text("".join(f"include:big @a{number}\n" for number in range(1000)))
    (tmp_path / "geo" / "big").write_text("domain:a.example\n" * 20_000)
    (tmp_path / "other").write_text("b.example\n")
    monkeypatch.setattr(compile_child, "READING_CPU_S", 2.0)
    built = build_lists(plan([of("l", tmp_path / "geo" / "top"), of("other", tmp_path / "other")], None))
    assert built.rules.counts == {"l": 0, "other": 1}
    assert {report.list_name for report in built.reports if report.is_slow} == {"l"}
    assert len(built.reports) < 500, "where there is no time to read them they are not opened"


# What a source keeps while others change


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("spoil", [lambda path: path.write_text("Forbidden\n"), lambda path: path.unlink()])
def test_a_held_source_holds_nothing_else(
    compiled_dir: Path, tmp_path: Path, spoil: Callable[[Path], object], *, restarted: bool
):
    bad, beside, other = (tmp_path / name for name in ("bad", "beside", "other"))
    bad.write_text(numbered(300) + "192.0.2.0/24\n")
    beside.write_text("beside.com\n")
    other.write_text("other.com\n")
    sources = [of("l", bad, beside), of("other", other)]
    loader = ListLoader(compiled_dir)
    loader.load(sources)
    spoil(bad)
    for number in range(3):
        beside.write_text(f"beside{number}.com\n")
        other.write_text(f"other{number}.com\n")
        if restarted:
            loader = ListLoader(compiled_dir)
        loaded = loader.load(sources)
        assert (loaded.refused, loaded.is_whole) == (None, False)
        assert set(loaded.held) | set(loaded.failed) == {("l", str(bad))}
        assert loaded.rules.counts == {"l": 301, "other": 1}
        assert loaded.rules.lists(b"d299.example") == ("l",)
        assert loaded.rules.lists(f"beside{number}.com".encode()) == ("l",)
        assert loaded.rules.lists(f"other{number}.com".encode()) == ("other",)
        assert loaded.prefixes["l"] == (b"\xc0\x00\x02\x00\x18",)
    again = loader.load(sources)
    assert again.rules is loaded.rules, "nothing more has changed: it is not compiled twice"
    assert again.held or again.failed
    bad.write_text(numbered(301))
    loaded = loader.load(sources)
    assert (loaded.is_whole, loaded.rules.counts["l"]) == (True, 302)


def test_one_list_is_forced_and_the_other_is_not(compiled_dir: Path, tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    sources = [of("a", one), of("b", two)]
    for path in (one, two):
        path.write_text(numbered(100))
    loader = ListLoader(compiled_dir)
    loader.load(sources)
    for path in (one, two):
        path.write_text(numbered(3))
    loaded = loader.load(sources, force=frozenset({"b"}))
    assert list(loaded.held) == [("a", str(one))]
    assert loaded.rules.counts == {"a": 100, "b": 3}
    assert ListLoader(compiled_dir).load(sources).rules.counts == {"a": 100, "b": 3}
    assert loader.load(sources, force=True).rules.counts == {"a": 3, "b": 3}


def test_a_source_keeps_the_files_of_its_glob_and_their_includes(compiled_dir: Path, tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in {"a.txt": "include:Shared\n", "b.txt": "b.com\n", "shared": "domain:shared.com\n" * 50}.items():
        (folder / name).write_text(text)
    beside = tmp_path / "beside"
    beside.write_text("x.com\n")
    sources = [ListSource("l", (str(folder / "*.txt"),), "v2fly"), of("m", beside)]
    loader = ListLoader(compiled_dir)
    assert loader.load(sources).rules.counts == {"l": 2, "m": 1}
    (folder / "shared").write_text("sorry\n")
    (folder / "b.txt").unlink()
    beside.write_text("y.com\n")
    loaded = ListLoader(compiled_dir).load(sources)
    assert list(loaded.held) == [("l", str(folder / "*.txt"))]
    assert loaded.rules.counts == {"l": 2, "m": 1}
    names = [loaded.rules.lists(name) for name in (b"shared.com", b"b.com", b"y.com", b"sorry")]
    assert names == [("l",), ("l",), ("m",), ()]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_without_a_copy_all_stays(compiled_dir: Path, tmp_path: Path, damage: Callable[[Path], object]):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(numbered(100))
    two.write_text("two.com\n")
    loader = ListLoader(compiled_dir)
    loader.load([of("l", one, two)])
    damage(compiled_dir / f"source-{hashlib.sha256(one.read_bytes()).hexdigest()}.list")
    one.write_text("Forbidden\n")
    two.write_text("other.com\n")
    loaded = loader.load([of("l", one, two)])
    assert re.search("had 100 rules|damaged", str(loaded.refused))
    assert loaded.rules.lists(b"two.com") == ("l",)
    assert loaded.rules.lists(b"other.com") == ()


def test_a_new_source_must_work_where_that_is_asked_for(compiled_dir: Path, source: Path, tmp_path: Path):
    missing = tmp_path / "missing"
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    source.write_text("bar.com\n")
    loaded = loader.load(default(source, missing), new_must_work=True)
    assert "missing: No such file" in str(loaded.refused)
    assert loaded.rules.lists(b"bar.com") == ()
    loaded = loader.load(default(source, missing))  # a start
    assert (loaded.refused, loaded.is_whole) == (None, False)
    assert loaded.rules.lists(b"bar.com") == ("default",)
    assert loaded.unproven == ("default",)
    source.write_text("baz.com\n")
    loaded = loader.load(default(source, missing), new_must_work=True)
    assert loaded.refused is None, "it is no newer than what is in force"
    assert loaded.rules.lists(b"baz.com") == ("default",)


def test_a_preview_leaves_the_disk_alone(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    before = sorted((path.name, path.read_bytes()) for path in compiled_dir.iterdir())
    for text in ("bar.com\n", ""):
        source.write_text(text)
        seen = loader.aside(None).load(default(source))
        assert (seen.rules.lists(b"bar.com") == ("default",)) != bool(seen.held)
        assert sorted((path.name, path.read_bytes()) for path in compiled_dir.iterdir()) == before


def test_patterns_of_a_list_that_a_version_before_had_in_force_wait_for_a_word(tmp_path: Path, compiled_dir: Path):
    path = tmp_path / "list"
    path.write_text("a.com\nkeyword:ads\n")
    old, new = of("old", path), of("new", path)
    ListLoader(compiled_dir).load([old])
    # As a version left it that knew of no patterns.
    rules, prefixes, note = unpack(memoryview((compiled_dir / COMPILED_FILE).read_bytes()))
    about = json.loads(note)
    about["reading"] = 2
    reports = json.loads(about["reports"])
    for report in reports:
        del report["patterns"], report["waiting"], report["selector"]
    about["reports"] = json.dumps(reports)
    (compiled_dir / COMPILED_FILE).write_bytes(pack(rules, prefixes, json.dumps(about)))
    assert waiting_in(compiled_dir) == {"old"}

    for _ in range(2):  # at the start after, and at any later one
        loaded = ListLoader(compiled_dir).load([old, new])
        assert loaded.rules.lists(b"ads.net") == ("new",)
        assert loaded.rules.lists(b"a.com") == ("old", "new")
        assert {report.list_name: report.waiting for report in loaded.reports} == {"old": 1, "new": 0}
    assert waiting_in(compiled_dir) == {"old"}

    said = replace(old, patterns=True)
    assert ListLoader(compiled_dir).load([said, new]).rules.lists(b"ads.net") == ("old", "new")
    assert waiting_in(compiled_dir) == frozenset()
    assert ListLoader(compiled_dir).load([old, new]).rules.lists(b"ads.net") == ("old", "new")
    assert ListLoader(compiled_dir).load([replace(old, patterns=False), new]).rules.lists(b"ads.net") == ("new",)


def test_patterns_survive_the_compiled_file_and_a_slow_list_keeps_them(tmp_path: Path, compiled_dir: Path, monkeypatch):
    path = tmp_path / "list"
    path.write_text("a.com\nkeyword:ads\nregexp:^r[0-9]\n")
    first = ListLoader(compiled_dir).load(default(path))
    again = ListLoader(compiled_dir).load(default(path))
    assert (first.how, again.how) == ("compiled", "mapped")
    for name in (b"ads.net", b"r5.net", b"a.com"):
        assert first.rules.lists(name) == again.rules.lists(name) == ("default",)

    path.write_text("b.com\n" * 5000)
    other = tmp_path / "other"
    other.write_text("keyword:foo\n")
    files = plan([*default(path), of("other", other)], None)
    monkeypatch.setattr(compile_child, "READING_CPU_S", 0.0)
    built = build_lists(files, Before(str(compiled_dir / COMPILED_FILE)))
    assert built.rules.lists(b"ads.net") == built.rules.lists(b"a.com") == ("default",)


def test_a_library_that_is_not_needed_is_not_imported(tmp_path: Path, compiled_dir: Path):
    """RE2 and its kin take 5 MB: only a plugin whose lists have patterns has them, and YAML and JMESPath never."""
    (tmp_path / "list").write_bytes(b"payload:\n  - '+.a.com'\n")
    code = (
        "import sys; from pathlib import Path; from dnstap_bgp.core.lists.source import ListSource;"
        "from dnstap_bgp.workers.lists.loader import ListLoader;"
        f"loaded = ListLoader(Path({str(compiled_dir)!r})).load([ListSource('l', ({str(tmp_path / 'list')!r},))]);"
        "assert loaded.rules.lists(b'x.a.com') == ('l',);"
        "print([name for name in ('re2', 'ahocorasick', 'yaml', 'jmespath') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def imported() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert imported() == "[]"
    (tmp_path / "list").write_bytes(b"payload:\n  - '+.a.com'\n  - DOMAIN-KEYWORD,ads\n")
    assert imported() == "['ahocorasick']"
    (compiled_dir / COMPILED_FILE).unlink()
    (tmp_path / "list").write_bytes(b"payload:\n  - '+.a.com'\n  - DOMAIN-REGEX,^ads\n")
    assert imported() == "['re2']"


@pytest.mark.parametrize(("after", "held"), [("".join(f"d{n}.com\n" for n in range(21)), True), ("a.com\n" * 3, False)])
def test_a_growth_limit_of_files(tmp_path: Path, after: str, held: bool):
    write(tmp_path, l="".join(f"d{n}.com\n" for n in range(10)))
    source = ListSource("l", (str(tmp_path / "l"),), growth_max=1.0, shrink_max=0.95)
    loader = ListLoader(tmp_path / "compiled")
    loader.load([source])
    write(tmp_path, l=after)
    assert ("had 10 rules and has 21 now" in str(loader.load([source]).held)) == held


def test_a_folder_of_copies_that_others_can_have_filled_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Where others may make files beside the state file, as in /tmp, one of them could have made it before us."""
    config = config_reader.load(write_config(tmp_path, top='cache = "state"'))
    folder = loader_module.own_compiled_dir(config)
    assert folder == loader_module.compiled_dir(config)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "it is there from now on: nobody else can make it"
    assert caplog.text == ""
    folder.chmod(0o777)
    assert loader_module.own_compiled_dir(config) == config.runtime_dir / "lists"
    assert f"{folder}: others can write to it, as its mode is 0777" in caplog.text
