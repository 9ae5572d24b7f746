import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import compiler
from dnstap_bgp.workers.lists.loader import COMPILED_FILE, ListLoader, Loaded
from dnstap_bgp.workers.lists.sources import COMPLAINTS_KEPT, Plan, build_here, plan

DEADLINE_S = 30


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
    assert [path.name for path in compiled_dir.iterdir()] == [COMPILED_FILE]
    assert (compiled_dir / COMPILED_FILE).stat().st_mode & 0o777 == 0o600


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
        assert loaded.refused is not None
        assert reason in loaded.refused
        assert loaded.rules.counts == {"default": 2000}
        assert restarted or loaded.rules is held.rules


@pytest.mark.parametrize("text", ["", numbered(999)])
def test_force_takes_what_can_be_read(compiled_dir: Path, source: Path, text: str):
    source.write_text(numbered(2000))
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    source.write_text(text)
    assert loader.load(default(source)).refused
    forced = loader.load(default(source), force=True)
    assert forced.refused is None
    assert len(forced.rules) == text.count("\n")
    assert loader.load(default(source)).how == "unchanged"
    source.unlink()
    assert "No such file" in str(loader.load(default(source), force=True).refused)


@pytest.mark.parametrize(("before", "after"), [(2000, 1000), (999, 1), (10, 1)])
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
    assert "list small" in str(loader.load(sources).refused)
    source.write_text("foo.com\n")
    large.write_text(numbered(2000))
    assert "list large" in str(loader.load(sources).refused)
    assert loader.load(sources[1:]).refused is None


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
    ListLoader(compiled_dir).load(default(source))
    assert sorted(path.name for path in compiled_dir.iterdir()) == [COMPILED_FILE, "other"]


def test_a_refused_list_leaves_the_compiled_file_alone(compiled_dir: Path, source: Path):
    loader = ListLoader(compiled_dir)
    loader.load(default(source))
    before = hashlib.sha256((compiled_dir / COMPILED_FILE).read_bytes()).digest()
    source.write_text("")
    assert loader.load(default(source)).refused
    assert [path.name for path in compiled_dir.iterdir()] == [COMPILED_FILE]
    assert hashlib.sha256((compiled_dir / COMPILED_FILE).read_bytes()).digest() == before


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
    assert list(compiled_dir.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_no_reason_to_have_no_list(compiled_dir: Path, source: Path, caplog, monkeypatch):
    run_child = ListLoader._run_child

    def on_full_disk(self: ListLoader, places: Plan, _output: int) -> str | None:
        with Path("/dev/full").open("wb") as full:
            return run_child(self, places, full.fileno())

    monkeypatch.setattr(ListLoader, "_run_child", on_full_disk)
    loaded = ListLoader(compiled_dir).load(default(source))
    assert loaded.how == "built"
    assert "No space left on device" in caplog.text
    assert list(compiled_dir.iterdir()) == []


def test_a_killed_child_keeps_the_old_list(compiled_dir: Path, source: Path, monkeypatch):
    loader = ListLoader(compiled_dir)
    held = loader.load(default(source))
    source.write_text("bar.com\n")
    monkeypatch.setattr(compiler, "__name__", "dnstap_bgp.no_such_module")
    loaded = loader.load(default(source))
    assert loaded.rules is held.rules
    assert "status 1" in str(loaded.refused)
    with pytest.raises(ListError, match="status 1"):
        ListLoader(None).load(default(source))
    assert [path.name for path in compiled_dir.iterdir()] == [COMPILED_FILE]


def test_a_child_that_hangs_is_ended(compiled_dir: Path, source: Path, monkeypatch):
    monkeypatch.setattr(compiler, "__name__", "http.server")  # never ends by itself
    monkeypatch.setattr(compiler, "TIME_LIMIT_S", 0.5)
    with pytest.raises(ListError, match="took longer"):
        ListLoader(compiled_dir).load(default(source))


def test_cancel_ends_the_child_and_every_later_load(compiled_dir: Path, source: Path, monkeypatch):
    monkeypatch.setattr(compiler, "__name__", "http.server")
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
        "from dnstap_bgp.workers.lists.compiler import main\n"
        "open_fds = [fd for fd in range(100) if os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "fds = {fd: os.readlink(f'/proc/self/fd/{fd}') for fd in open_fds}\n"
        f"json.dump([fds, os.getpgid(0), os.getsid(0), os.getpid()], open({str(seen)!r}, 'w'))\n"
        "sys.exit(main())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compiler, "__name__", "spy")
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


def test_build_here_tells_every_bad_line_if_asked(source: Path, tmp_path: Path):
    source.write_text("foo.com\n" + "bad line\n" * 50)
    missing = tmp_path / "missing.txt"
    rules, prefixes, reports = build_here(plan(default(source, missing), None))
    assert prefixes == {"default": ()}
    assert rules.counts == {"default": 1}
    assert reports[0].complaints == 50
    assert len(reports[0].examples) == COMPLAINTS_KEPT
    assert [str(problem) for problem in reports[1].problems()] == [f"{missing}: No such file or directory"]
    reports = build_here(plan(default(source), None), complaints_kept=1000).reports
    assert [complaint.line for complaint in reports[0].examples] == list(range(2, 52))


def test_too_many_rules_are_refused(source: Path, monkeypatch):
    monkeypatch.setattr("dnstap_bgp.workers.lists.sources.RULES_MAX", 10)
    source.write_text(numbered(6))
    reports = build_here(plan(default(source, source), None)).reports
    assert [report.error for report in reports] == [None, "more than 10 rules in all lists"]
    assert reports[1].rules == 4
