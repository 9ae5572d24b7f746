"""URLs of lists, from a real server on the loopback that means no good."""

import gzip
import hashlib
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.core.lists.source import Fetching, ListSource
from dnstap_bgp.workers import lists as package
from dnstap_bgp.workers.lists import compiler, fetch, refresh
from dnstap_bgp.workers.lists.copies import Copies, State
from dnstap_bgp.workers.lists.loader import ListLoader
from dnstap_bgp.workers.lists.refresh import Refresher
from tests.workers.lists import list_server
from tests.workers.lists.list_server import Act, ListServer, content

DEADLINE_S = 30


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server.serving() as server:
        yield server


class Scene:
    """A refresher at work, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.kept = Copies(folder / "copies")
        self.loader = ListLoader(folder / "copies", self.kept)
        self.news: list[bool] = []
        self.crashes = 0
        self.refresher = Refresher(self.kept, self.news.append, self._crash)

    def _crash(self) -> None:
        self.crashes += 1

    def look(self, source: ListSource) -> State:
        """Have all URLs of a list looked at once more; gives the first one's state."""
        told = len(self.news)
        self.refresher.follow([source], look_now=True)
        eventually(lambda: len(self.news) > told)
        return self.kept.state(source.sources[0])

    def lists(self, source: ListSource, name: bytes) -> tuple[str, ...]:
        return self.loader.load([source]).rules.lists(name)

    def end(self) -> None:
        self.refresher.shutdown()
        self.refresher.join(DEADLINE_S)
        assert self.refresher._thread is None or not self.refresher._thread.is_alive()
        assert self.crashes == 0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.end()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def numbered(count: int) -> str:
    return "".join(f"d{n}.example\n" for n in range(count))


def of(*urls: str, **fetching: Any) -> ListSource:
    return ListSource("u", urls, fetching=replace(Fetching(), **fetching))


def test_a_url_is_fetched_at_start_and_used(scene: Scene, server: ListServer):
    server.acts["/l"] = content("||foo.com^\n||bar.net^\nx##.ad\n", ETag='"1"')
    source = of(server.url("/l"))
    assert scene.loader.load([source]).pending == ("u",)
    scene.refresher.follow([source])
    eventually(lambda: scene.news)
    state = scene.kept.state(server.url("/l"))
    assert scene.news == [True]
    assert (state.rules, state.error, state.etag) == (2, None, '"1"')
    loaded = scene.loader.load([source])
    assert loaded.pending == ()
    assert loaded.rules.lists(b"x.foo.com") == ("u",)
    assert [report.format for report in loaded.reports] == ["adblock"]
    assert server.requests[0][1]["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("said", "asked"),
    [({"ETag": 'W/"x"'}, "If-None-Match"), ({"Last_Modified": "Sun, 22 Nov 2026 01:00:00 GMT"}, "If-Modified-Since")],
)
def test_what_is_not_newer_is_not_sent_again(scene: Scene, server: ListServer, said: dict[str, str], asked: str):
    server.acts["/l"] = content("foo.com\n", **said)
    source = of(server.url("/l"))
    before = scene.look(source)
    after = scene.look(source)
    assert scene.news == [True, False]
    assert server.requests[1][1][asked] == next(iter(said.values()))
    assert after.checked > before.checked
    assert after.fetched == before.fetched


def test_it_comes_again_by_itself(scene: Scene, server: ListServer):
    server.acts["/l"] = content("foo.com\n")
    scene.refresher.follow([of(server.url("/l"), interval_s=0.05)])
    eventually(lambda: len(scene.news) >= 3)
    server.acts["/l"] = content("bar.com\n")
    eventually(lambda: scene.news.count(True) == 2)


def test_a_restart_does_not_ask_again_before_its_time(scene: Scene, server: ListServer, tmp_path: Path):
    server.acts["/l"] = content("foo.com\n")
    source = of(server.url("/l"))
    scene.look(source)
    again = Scene(tmp_path)
    other = server.url("/other")
    server.acts["/other"] = content("bar.com\n")
    again.refresher.follow([source, of(other)])
    eventually(lambda: again.news)
    again.end()
    assert [path for path, _ in server.requests] == ["/l", "/other"]


HARM: dict[str, tuple[Act, str]] = {
    "not found": (list_server.status(404), "404"),
    "an error": (list_server.status(500), "500"),
    "not modified, unasked": (list_server.status(304), "304"),
    "a part": (list_server.status(206), "206"),
    "endless": (list_server.endless(b"foo.com\n" * 1000), "more than 100000 bytes"),
    "endless compressed": (list_server.endless(gzip.compress(b"x" * 100)), "more than 100000 bytes"),
    "announced too long": (content(numbered(20_000)), "bytes, 100000 are allowed"),
    "a bomb": (list_server.bomb, "more than 100000 bytes"),
    "a bomb as a file": (content(gzip.compress(b"#" * 10_000_000)), "more than 100000 bytes"),
    "mute": (list_server.mute, "too long|Timeout"),
    "stuck": (list_server.stuck, "too long|Timeout"),
    "dripping": (list_server.dripping, "too long"),
    "cut": (list_server.cut, "ContentLengthError|payload"),
    "cut and compressed": (content(gzip.compress(numbered(100).encode())[:-20], Content_Encoding="gzip"), "middle"),
    "no such encoding": (content("foo.com", Content_Encoding="br"), "encoded as 'br'"),
    "not compressed": (content("foo.com", Content_Encoding="gzip"), "decompressed"),
    "a page": (content("<!DOCTYPE html>\nfoo.com\n"), "HTML"),
    "a page by its type": (content("evil.com\n", Content_Type="text/html; charset=utf-8"), "HTML"),
    "empty": (content(""), "no rule"),
    "comments": (content("# foo.com\n"), "no rule"),
    "binary": (content(bytes(range(256)) * 10), "no rule|malformed"),
    "mostly wrong": (content("foo.com\n" + "a b c\n" * 5), "5 malformed lines"),
    "a redirect to a file": (list_server.redirect("file:///etc/passwd"), "no http"),
    "a redirect to ftp": (list_server.redirect("ftp://127.0.0.1/x"), "no http"),
    "a redirect nowhere": (list_server.status(302), "redirects|404"),
    "a redirect to nonsense": (list_server.redirect("http://"), "no http|URL|5 times"),
    "redirects in a ring": (list_server.redirect("/bad"), "more than 5 times"),
}


@pytest.mark.parametrize("first", [True, False], ids=["at the first fetch", "later"])
@pytest.mark.parametrize("harm", HARM)
def test_no_harm_is_done(scene: Scene, server: ListServer, caplog, monkeypatch, harm: str, *, first: bool):
    act, reason = HARM[harm]
    monkeypatch.setattr(fetch, "TOTAL_S", 1.0)
    monkeypatch.setattr(fetch, "IDLE_S", 0.4)
    source = of(server.url("/bad"), max_bytes=100_000)
    server.acts["/bad"] = content("foo.com\n")
    if not first:
        scene.look(source)
    good = scene.kept.state(source.sources[0])
    server.acts["/bad"] = act
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            state = scene.look(source)
    assert state.error is not None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(state.error)
    assert state.failures == 2
    assert (state.digest, state.rules) == (good.digest, good.rules)
    assert caplog.text.count("not fetched") == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # KiB
    if first:
        assert not scene.kept.path(source.sources[0]).exists()
    else:
        assert scene.lists(source, b"foo.com") == ("u",)
    assert not list(scene.kept.directory.glob(".url-*"))
    server.acts["/bad"] = content("bar.com\n")  # and when it is well again
    state = scene.look(source)
    assert (state.error, state.failures, state.rules) == (None, 0, 1)
    assert scene.lists(source, b"bar.com") == ("u",)


def test_a_bad_server_costs_the_others_nothing(scene: Scene, server: ListServer):
    server.acts |= {f"/{n}": list_server.mute for n in range(3)} | {"/good": content("foo.com\n")}
    scene.refresher.follow([of(*(server.url(f"/{n}") for n in range(3)), server.url("/good"))])
    eventually(lambda: scene.news == [True])


def test_the_server_is_down_at_start(tmp_path: Path):
    port = list_server.free_port()
    source = of(f"http://127.0.0.1:{port}/l")
    with list_server.serving(port) as server:
        server.acts["/l"] = content("foo.com\n")
        scene = Scene(tmp_path)
        scene.look(source)
        scene.end()
    scene = Scene(tmp_path)  # nobody listens now
    assert scene.lists(source, b"foo.com") == ("u",)
    state = scene.look(source)
    assert state.error
    assert scene.lists(source, b"foo.com") == ("u",)
    with list_server.serving(port) as server:
        server.acts["/l"] = content("bar.com\n")
        scene.look(source)
    assert scene.lists(source, b"bar.com") == ("u",)
    scene.end()


def test_redirects_are_followed(scene: Scene, server: ListServer):
    server.acts |= {"/a": list_server.redirect("/b", 301), "/b": list_server.redirect(server.url("/c"), 307)}
    server.acts["/c"] = content("foo.com\n")
    assert scene.look(of(server.url("/a"))).rules == 1


def test_a_redirect_to_another_host_takes_no_password_along(scene: Scene, server: ListServer):
    here = server.url("/a").replace("http://", "http://user:word@")
    server.acts |= {
        "/a": list_server.redirect("/b"),
        "/b": list_server.redirect(server.url("/c").replace("0.1", "0.2")),
    }
    server.acts["/c"] = content("foo.com\n")
    with list_server.serving(server.server_port, "127.0.0.2") as other:
        other.acts = server.acts
        assert scene.look(of(here)).rules == 1
        asked = [(path, "Authorization" in headers) for path, headers in server.requests + other.requests]
    assert asked == [("/a", True), ("/b", True), ("/c", False)]


@pytest.mark.parametrize("act", [list_server.gzipped("foo.com\n"), content(gzip.compress(b"foo.com\n"))])
def test_compressed_content(scene: Scene, server: ListServer, act: Act):
    server.acts["/l.gz"] = act
    source = of(server.url("/l.gz"))
    assert scene.look(source).rules == 1
    assert scene.kept.path(source.sources[0]).read_bytes() == b"foo.com\n"


# What looks wrong is held back


@pytest.mark.parametrize(
    ("before", "after", "limits", "held"),
    [
        (100, 49, {}, True),
        (100, 50, {}, False),
        (10, 4, {}, True),
        (100, 79, {"shrink_max": 0.2}, True),
        (100, 10, {"shrink_max": 0.95}, False),
        (100, 900, {}, False),
        (100, 2000, {}, False),
        (1500, 16_000, {}, True),
        (10, 21, {"growth_max": 1.0}, True),
        (10, 20, {"growth_max": 1.0}, False),
    ],
)
def test_shrink_and_growth_guards(
    scene: Scene, server: ListServer, before: int, after: int, limits: dict[str, Any], *, held: bool
):
    source = replace(of(server.url("/l")), **limits)
    server.acts["/l"] = content(numbered(before))
    scene.look(source)
    server.acts["/l"] = content(numbered(after))
    state = scene.look(source)
    assert scene.news == [True, not held]
    assert state.error is None
    assert (state.held is not None) == held
    assert state.rules == (before if held else after)
    assert len(scene.loader.load([source]).rules) == state.rules


def test_what_is_held_stays_so_until_a_person_takes_it(scene: Scene, server: ListServer, caplog):
    source = of(server.url("/l"))
    server.acts["/l"] = content(numbered(100), ETag="1")
    scene.look(source)
    server.acts["/l"] = content(numbered(10), ETag="2")
    first = scene.look(source)
    again = scene.look(source)
    assert server.requests[-1][1]["If-None-Match"] == "2"  # not fetched in vain each time
    assert first.held == again.held
    assert again.rules == 100
    assert caplog.text.count("held back") == 1
    assert scene.kept.release(source.sources[0])
    assert not scene.kept.release(source.sources[0])
    state = scene.look(source)
    assert (state.held, state.rules) == (None, 10)
    assert len(scene.loader.load([source]).rules) == 10


@pytest.mark.parametrize("text", [numbered(100), numbered(90)], ids=["the old version", "a good one"])
def test_a_source_that_mends_itself_needs_nobody(scene: Scene, server: ListServer, text: str):
    source = of(server.url("/l"))
    for content_now in (numbered(100), numbered(10), text):
        server.acts["/l"] = content(content_now)
        state = scene.look(source)
    assert (state.held, state.rules) == (None, text.count("\n"))
    assert not list(scene.kept.directory.glob("*.held"))


def test_wider_limits_let_it_in(scene: Scene, server: ListServer):
    source = of(server.url("/l"))
    server.acts["/l"] = content(numbered(100), ETag="1")
    scene.look(source)
    server.acts["/l"] = content(numbered(10), ETag="2")
    assert scene.look(source).held
    state = scene.look(replace(source, shrink_max=0.95))
    assert (state.held, state.rules) == (None, 10)


def test_a_pin_decides(scene: Scene, server: ListServer):
    good, bad = "foo.com\n", "evil.com\n"
    pin = hashlib.sha256(good.encode()).hexdigest()
    source = of(server.url("/l"), sha256=pin)
    server.acts["/l"] = content(bad, ETag="1")
    assert "another one is pinned" in str(scene.look(source).error)
    assert scene.loader.load([source]).pending == ("u",)
    server.acts["/l"] = content(good, ETag="2")
    assert scene.look(source).error is None
    assert scene.lists(source, b"foo.com") == ("u",)
    # A copy from before the pin is as good as none, and a server that calls it the newest is not believed.
    other = of(server.url("/l"), sha256="0" * 64)
    assert ListLoader(None, scene.kept).load([other]).pending == ("u",)
    assert "another one is pinned" in str(scene.look(other).error)


def test_prefixes_count_and_come_into_force(scene: Scene, server: ListServer):
    server.acts["/l"] = content("192.0.2.0/24\n2001:db8::1\n")
    source = of(server.url("/l"))
    assert scene.look(source).rules == 2
    expected = {b"\xc0\x00\x02\x00\x18", b"\x20\x01\r\xb8" + bytes(11) + b"\1"}
    assert set(scene.loader.load([source]).prefixes["u"]) == expected


# The thread and its surroundings


def test_urls_come_and_go(scene: Scene, server: ListServer):
    server.acts |= {"/a": content("a.com\n"), "/b": content("b.com\n"), "/slow": list_server.mute}
    scene.refresher.follow([of(server.url("/a"), server.url("/slow"))])
    eventually(lambda: scene.news)
    scene.refresher.follow([of(server.url("/b"))])  # in the middle of a fetch
    eventually(lambda: len(scene.news) == 2)
    scene.refresher.follow([])
    scene.refresher.follow([of(server.url("/b"))], look_now=True)
    eventually(lambda: len(scene.news) == 3)
    assert not list(scene.kept.directory.glob(".url-*"))


def test_it_ends_in_the_middle_of_a_fetch(scene: Scene, server: ListServer):
    server.acts["/slow"] = list_server.mute
    scene.refresher.follow([of(server.url("/slow"))])
    eventually(lambda: server.requests)
    began = time.monotonic()
    scene.end()
    assert time.monotonic() - began < 10
    assert not list(scene.kept.directory.glob(".url-*"))


def test_a_full_disk_leaves_the_copy(scene: Scene, server: ListServer, monkeypatch):
    server.acts["/l"] = content("foo.com\n")
    source = of(server.url("/l"))
    scene.look(source)
    server.acts["/l"] = content("bar.com\n")

    def full() -> tuple[int, Path]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(scene.kept, "scratch", full)
        assert "No space" in str(scene.look(source).error)
    assert scene.lists(source, b"foo.com") == ("u",)
    assert scene.look(source).error is None


def test_a_child_that_dies_leaves_the_copy(scene: Scene, server: ListServer, monkeypatch):
    server.acts["/l"] = content("foo.com\n")
    source = of(server.url("/l"))
    scene.look(source)
    server.acts["/l"] = content("bar.com\n")
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "__name__", "dnstap_bgp.no_such_module")
        assert "could not be counted" in str(scene.look(source).error)
    assert scene.lists(source, b"foo.com") == ("u",)


def test_without_aiohttp_the_copies_are_used(scene: Scene, monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, fetch.__name__)
    monkeypatch.delattr(package, "fetch")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    scene.refresher.follow([of("http://127.0.0.1:1/l")])
    scene.refresher.join(DEADLINE_S)
    assert "can't be fetched" in caplog.text


def test_nothing_is_imported_before_there_is_a_url(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path\n"
        "from dnstap_bgp import plugin; from dnstap_bgp.workers.lists.listing import Listing\n"
        f"listing = Listing(Path({str(tmp_path)!r}), Path('/dev/null'), print, print); listing.follow([])\n"
        "assert 'aiohttp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_waits_are_moved_by_a_tenth_at_most():
    one = refresh.Followed("http://x/", "auto", Fetching(interval_s=3600), None, None)
    waits = [refresh._wait_s(one, State()) for _ in range(1000)]
    assert 3240 <= min(waits) < 3300
    assert 3900 < max(waits) <= 3960


def test_retries_are_quick_first_and_never_slower_than_the_interval():
    one = refresh.Followed("http://x/", "auto", Fetching(interval_s=3600), None, None)
    waits = [refresh._wait_s(one, State(failures=failures)) for failures in (1, 2, 3, 100)]
    for wait_s, expected_s in zip(waits, (30, 60, 120, 3600), strict=True):
        assert 0.9 * expected_s <= wait_s <= 1.1 * expected_s
