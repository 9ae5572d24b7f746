"""URLs of lists, from a real server on the loopback that means no good."""

import asyncio
import gzip
import hashlib
import logging
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.core.lists.source import Fetching, ListSource, UrlPrefixes
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.workers import lists as package
from dnstap_bgp.workers.lists import compile_job, fetch, refresher
from dnstap_bgp.workers.lists import status as liststatus
from dnstap_bgp.workers.lists.file_reports import unsaid_prefixes
from dnstap_bgp.workers.lists.loader import ListLoader, Loaded
from dnstap_bgp.workers.lists.refresher import Refresher
from dnstap_bgp.workers.lists.url_cache import UrlCache, UrlState
from dnstap_bgp.workers.process import loop
from dnstap_bgp.workers.process.loop import Loop
from tests.core.lists.formats import encoders
from tests.ports import free_port
from tests.workers.lists import list_server
from tests.workers.lists.list_server import Act, ListServer, content

DEADLINE_S = 60


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server.serving() as server:
        yield server


class Scene:
    """A refresher at work, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.url_cache = UrlCache(folder / "copies")
        self.loader = ListLoader(folder / "copies", self.url_cache)
        self.news: list[bool] = []
        self.crashes = 0
        self.loop = Loop(self._crash)
        self.refresher = Refresher(self.url_cache, self.news.append, self.loop)

    def _crash(self) -> None:
        self.crashes += 1

    def look(self, source: ListSource) -> UrlState:
        """Have all URLs of a list looked at once more; gives the first one's state."""
        told = len(self.news)
        self.refresher.follow([source], look_now=True)
        eventually(lambda: len(self.news) > told)
        return self.url_cache.state(source.sources[0])

    def lists(self, source: ListSource, name: bytes) -> tuple[str, ...]:
        return self.loader.load([source]).rules.lists(name)

    def end(self) -> None:
        self.refresher.shutdown()
        self.loop.shutdown()
        self.loop.join(DEADLINE_S)
        assert self.loop._thread is None or not self.loop._thread.is_alive()
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
    state = scene.url_cache.state(server.url("/l"))
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


def test_a_tag_in_the_cache_that_can_not_be_sent_is_left_out_and_forgotten(scene: Scene, server: ListServer):
    server.acts["/l"] = content("foo.com\n", ETag='"1"')
    source = of(server.url("/l"))
    scene.look(source)
    scene.url_cache.update(source.sources[0], lambda now: replace(now, etag='"a\x1bb"', last_modified="\r\nX: y"))
    server.acts["/l"] = content("foo.com\nbar.net\n")
    state = scene.look(source)
    assert (state.error, state.rules, state.etag, state.last_modified) == (None, 2, None, None)
    assert not {"If-None-Match", "If-Modified-Since"} & server.requests[-1][1].keys()


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
    "UTF-16": (content("foo.com\n".encode("utf-16")), "UTF-16"),
    "UTF-16 without a mark": (content("foo.com\n".encode("utf-16-le")), "UTF-16"),
    "an error in a word": (content("404: Not Found\n"), "no rule"),
    "junk behind gzip": (content(gzip.compress(b"foo.com\n") + b"bar.com\n"), "something else follows"),
    "a cut second member": (content(gzip.compress(b"foo.com\n") + gzip.compress(b"bar.com\n")[:-3]), "middle"),
    "binary": (content(bytes(range(256)) * 10), "no rule|malformed"),
    "mostly wrong": (content("foo.com\n" + "a b c\n" * 5), "5 malformed lines"),
    "a redirect to a file": (list_server.redirect("file:///etc/passwd"), "no http"),
    "a redirect to ftp": (list_server.redirect("ftp://127.0.0.1/x"), "no http"),
    "a redirect nowhere": (list_server.status(302), "redirects|404"),
    "a redirect to nonsense": (list_server.redirect("http://"), "no http|URL|5 times"),
    "redirects in a ring": (list_server.redirect("/bad"), "more than 5 times"),
}


NO_LISTS = frozenset(
    {
        "a page",
        "a page by its type",
        "empty",
        "comments",
        "UTF-16",
        "UTF-16 without a mark",
        "an error in a word",
        "binary",
        "mostly wrong",
    }
)
"""What a server gives in place of a list: after a good copy it is held back, not an error."""


SLOW = frozenset({"mute", "stuck", "dripping"})
"""What only the time limits end; all else has the time of a busy machine."""


@pytest.mark.parametrize("first", [True, False], ids=["at the first fetch", "later"])
@pytest.mark.parametrize("harm", HARM)
def test_no_harm_is_done(scene: Scene, server: ListServer, caplog, monkeypatch, harm: str, *, first: bool):
    act, reason = HARM[harm]
    source = of(server.url("/bad"), max_bytes=100_000)
    server.acts["/bad"] = content("foo.com\n")
    if not first:
        scene.look(source)
    good = scene.url_cache.state(source.sources[0])
    server.acts["/bad"] = act
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        if harm in SLOW:
            patch.setattr(fetch, "TOTAL_S", 1.0)
            patch.setattr(fetch, "IDLE_S", 0.4)
        for _ in range(2):
            state = scene.look(source)
    is_held = not first and harm in NO_LISTS
    assert (state.held is not None, state.error is not None) == (is_held, not is_held)
    assert re.search(reason, state.held.reason if state.held is not None else str(state.error))
    assert state.failures == 2, "it is looked at again soon"
    assert (state.digest, state.rules) == (good.digest, good.rules)
    assert caplog.text.count("a new version is held back" if is_held else "not fetched") == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # KiB
    if first:
        assert not scene.url_cache.path(source.sources[0]).exists()
    else:
        assert scene.lists(source, b"foo.com") == ("u",)
    assert not list(scene.url_cache.directory.glob(".url-*"))
    server.acts["/bad"] = content("bar.com\n")  # and when it is well again
    state = scene.look(source)
    assert (state.error, state.failures, state.rules) == (None, 0, 1)
    assert scene.lists(source, b"bar.com") == ("u",)


def test_a_bad_server_costs_the_others_nothing(scene: Scene, server: ListServer):
    server.acts |= {f"/{n}": list_server.mute for n in range(3)} | {"/good": content("foo.com\n")}
    scene.refresher.follow([of(*(server.url(f"/{n}") for n in range(3)), server.url("/good"))])
    eventually(lambda: scene.news == [True])


def test_the_server_is_down_at_start(tmp_path: Path):
    port = free_port()
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
    assert scene.url_cache.path(source.sources[0]).read_bytes() == b"foo.com\n"


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
    assert scene.url_cache.release(source.sources[0])
    assert not scene.url_cache.release(source.sources[0])
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
    assert not list(scene.url_cache.directory.glob("*.held"))


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
    assert ListLoader(None, scene.url_cache).load([other]).pending == ("u",)
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
    assert not list(scene.url_cache.directory.glob(".url-*"))


def test_a_look_that_is_asked_for_in_the_middle_of_another_change_is_not_lost(scene: Scene, server: ListServer):
    server.acts["/b"] = content("b.com\n")
    source = of(server.url("/b"))
    scene.refresher.follow([source])
    eventually(lambda: len(scene.news) == 1)
    original = scene.refresher._with_included
    asked: list[ListSource] = []

    def with_included_meanwhile():
        found = original()
        if not found and not asked:
            asked.append(source)
            scene.refresher.follow([source], look_now=True)
        return found

    scene.refresher._with_included = with_included_meanwhile  # type: ignore[method-assign]
    scene.refresher.follow([])
    eventually(lambda: len(scene.news) == 2)


def test_it_ends_in_the_middle_of_a_fetch(scene: Scene, server: ListServer):
    server.acts["/slow"] = list_server.mute
    scene.refresher.follow([of(server.url("/slow"))])
    eventually(lambda: server.requests)
    began = time.monotonic()
    scene.end()
    assert time.monotonic() - began < 30
    assert not list(scene.url_cache.directory.glob(".url-*"))


def test_a_full_disk_leaves_the_copy(scene: Scene, server: ListServer, monkeypatch):
    server.acts["/l"] = content("foo.com\n")
    source = of(server.url("/l"))
    scene.look(source)
    server.acts["/l"] = content("bar.com\n")

    def full() -> tuple[int, Path]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(scene.url_cache, "scratch", full)
        assert "No space" in str(scene.look(source).error)
    assert scene.lists(source, b"foo.com") == ("u",)
    assert scene.look(source).error is None


def test_a_child_that_dies_leaves_the_copy(scene: Scene, server: ListServer, monkeypatch):
    server.acts["/l"] = content("foo.com\n")
    source = of(server.url("/l"))
    scene.look(source)
    server.acts["/l"] = content("bar.com\n")
    with monkeypatch.context() as patch:
        patch.setattr(compile_job, "CHILD", "dnstap_bgp.no_such_module")
        assert "could not be counted" in str(scene.look(source).error)
    assert scene.lists(source, b"foo.com") == ("u",)


def test_a_fault_with_one_url_leaves_the_others(scene: Scene, server: ListServer, monkeypatch, caplog):
    fetched = fetch.fetch

    async def faulty(web: Any, url: str, *more: Any, **options: Any) -> Any:
        if url.endswith("/bad"):
            raise RecursionError("planted")
        return await fetched(web, url, *more, **options)

    monkeypatch.setattr(loop, "RESTART_FIRST_S", 0.01)
    monkeypatch.setattr(fetch, "fetch", faulty)
    server.acts |= {"/bad": content("foo.com\n"), "/good": content("bar.com\n")}
    scene.refresher.follow([of(server.url("/bad"), server.url("/good"))])
    eventually(lambda: scene.news and caplog.text.count("planted") > 2)
    monkeypatch.setattr(fetch, "fetch", fetched)
    eventually(lambda: scene.url_cache.state(server.url("/bad")).rules == 1)
    assert scene.url_cache.state(server.url("/good")).rules == 1


@pytest.mark.parametrize("hung", ["fsync", "hash", "rename"])
def test_a_hung_disk_keeps_no_other_conversation_waiting(scene: Scene, server: ListServer, monkeypatch, hung: str):
    server.acts["/l"] = content("foo.com\n")
    source = of(server.url("/l"))
    if hung == "hash":
        scene.look(source)
    is_hanging, mended = threading.Event(), threading.Event()

    def hanging(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            is_hanging.set()
            assert mended.wait(DEADLINE_S)
            return original(*args)

        return call

    where: Any = {"fsync": os, "hash": refresher, "rename": scene.url_cache}[hung]
    name = {"fsync": "fsync", "hash": "digest_of", "rename": "accept"}[hung]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, hanging(getattr(where, name)))
        scene.refresher.follow([source], look_now=True)
        try:
            assert is_hanging.wait(DEADLINE_S)
            other = scene.loop.run("another conversation", partial(asyncio.sleep, 0.01))
            assert other is not None
            other.result(DEADLINE_S)
        finally:
            mended.set()
    eventually(lambda: scene.news and scene.url_cache.state(server.url("/l")).rules == 1)


def test_without_aiohttp_the_copies_are_used(scene: Scene, monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, fetch.__name__)
    monkeypatch.delattr(package, "fetch")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    scene.refresher.follow([of("http://127.0.0.1:1/l")])
    assert "can't be fetched" in caplog.text


def test_nothing_is_imported_before_there_is_a_url(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path\n"
        "from dnstap_bgp import plugin; from dnstap_bgp.workers.lists.manager import ListManager\n"
        "from dnstap_bgp.workers.process.loop import Loop\n"
        f"listing = ListManager(Path({str(tmp_path)!r}), print, Loop(print)); listing.follow([])\n"
        "assert 'aiohttp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_waits_are_moved_by_a_tenth_at_most():
    one = refresher.FollowedUrl("http://x/", "auto", Fetching(interval_s=3600), None, None)
    waits = [refresher._wait_s(one, UrlState()) for _ in range(1000)]
    assert 3240 <= min(waits) < 3300
    assert 3900 < max(waits) <= 3960


def test_retries_are_quick_first_and_never_slower_than_the_interval():
    one = refresher.FollowedUrl("http://x/", "auto", Fetching(interval_s=3600), None, None)
    waits = [refresher._wait_s(one, UrlState(failures=failures)) for failures in (1, 2, 3, 100)]
    for wait_s, expected_s in zip(waits, (30, 60, 120, 3600), strict=True):
        assert 0.9 * expected_s <= wait_s <= 1.1 * expected_s


# Files that a URL includes


def geo(server: ListServer) -> None:
    """A folder of geosite files at a URL."""
    server.acts |= {
        "/geo/top": content("full:top.com\ninclude:mid @cn\ninclude:ADS\n", ETag='"1"'),
        "/geo/mid": content("mid.com @cn\nother.com\ninclude:low @-ads\n"),
        "/geo/low": content("low.com @cn\nlowads.com @cn @ads\n"),
        "/geo/ads": content("ads.com @ads\n"),
    }


def has(scene: Scene, source: ListSource, *names: str) -> list[bool]:
    rules = scene.loader.load([source], force=True).rules
    return [bool(rules.lists(name.encode())) for name in names]


def test_what_a_url_includes_is_fetched_beside_it(scene: Scene, server: ListServer, tmp_path: Path):
    geo(server)
    source = of(server.url("/geo/top"))
    scene.refresher.follow([source])
    names = ["top.com", "mid.com", "other.com", "low.com", "lowads.com", "ads.com"]
    eventually(lambda: len(scene.news) >= 4)
    assert has(scene, source, *names) == [True, True, False, True, False, True]
    loaded = scene.loader.load([source])
    assert loaded.how == "unchanged"
    assert loaded.pending == ()
    assert [report.path for report in loaded.reports] == [server.url(f"/geo/{x}") for x in ("top", "mid", "ads", "low")]
    # Each has a copy of its own, which is used while its server is away; and a restart asks for none of them.
    asked = len(server.requests)
    again = Scene(tmp_path)
    assert has(again, source, *names) == [True, True, False, True, False, True]
    server.acts["/geo/new"] = content("new.com\n")
    again.refresher.follow([source, of(server.url("/geo/new"))])
    eventually(lambda: again.news)
    again.end()
    assert [path for path, _ in server.requests[asked:]] == ["/geo/new"]


@pytest.mark.parametrize("is_of_before", [False, True])
def test_what_is_known_of_a_copy_is_found_out_anew_where_it_was_lost(
    scene: Scene, server: ListServer, tmp_path: Path, *, is_of_before: bool
):
    """As after a power cut, which left the file of the state empty, or that of the copy before."""
    source = of(server.url("/geo/top"))
    server.acts["/geo/top"] = content("one.com @x\n", ETag='"0"')
    before = scene.look(source)
    geo(server)
    scene.look(source)
    eventually(lambda: len(scene.news) >= 5)
    known = scene.url_cache.state(source.sources[0])
    if is_of_before:
        scene.url_cache.update(source.sources[0], lambda _: before)
    else:
        scene.url_cache._file(source.sources[0], "json").write_bytes(b"")
    again = Scene(tmp_path)
    assert again.look(source).error is None
    eventually(lambda: len(again.refresher._with_included()) == 4)
    now = again.url_cache.state(source.sources[0])
    assert (now.digest, now.rules, now.includes) == (known.digest, known.rules, known.includes)
    assert (now.etag, now.held) == ('"1"', None)
    server.acts["/geo/low"] = content("low.com @cn\nlower.com @cn\n")
    again.refresher.follow([source], look_now=True)
    eventually(lambda: again.loader.load([source]).rules.lists(b"lower.com"))
    again.end()


def test_an_included_file_that_changes_or_is_missing(scene: Scene, server: ListServer):
    geo(server)
    server.acts["/geo/low"] = list_server.status(404)
    source = of(server.url("/geo/top"), interval_s=0.2)
    scene.refresher.follow([source])
    eventually(lambda: scene.news.count(True) == 3 and len(scene.news) > 3)
    loaded = scene.loader.load([source])
    assert loaded.pending == ("u",)
    assert loaded.rules.lists(b"mid.com")
    (one,) = liststatus.take([source], loaded.rules.counts, {}, loaded.reports, scene.url_cache).lists[0].sources
    assert (one.state, one.why) == ("pending", f"{server.url('/geo/low')}: the server says 404 'Not Found'")
    server.acts["/geo/low"] = content("low.com @cn\n")
    eventually(lambda: scene.loader.load([source]).rules.lists(b"low.com"))
    server.acts["/geo/low"] = content("lower.com @cn\n")
    eventually(lambda: scene.loader.load([source]).rules.lists(b"lower.com"))
    assert scene.loader.load([source]).pending == ()


def test_an_include_that_goes_is_fetched_no_more(scene: Scene, server: ListServer):
    geo(server)
    source = of(server.url("/geo/top"))
    scene.refresher.follow([source])
    eventually(lambda: len(scene.news) >= 4)
    server.acts["/geo/top"] = content("full:top.com\ninclude:ads\n", ETag='"2"')
    scene.look(source)
    eventually(lambda: set(scene.refresher._with_included()) == {server.url("/geo/top"), server.url("/geo/ads")})


def test_includes_keep_to_the_folder_and_to_the_query(scene: Scene, server: ListServer):
    for path in ("/a/b/top?token=t", "/a/b/one?token=t"):
        server.acts[path] = content("one.com @x\ninclude:one\ninclude:../../secret\n")
    source = of(server.url("/a/b/top?token=t"))
    scene.refresher.follow([source])
    eventually(lambda: len(scene.news) >= 2)
    assert {path for path, _ in server.requests} == {"/a/b/top?token=t", "/a/b/one?token=t"}


def test_includes_of_urls_are_bounded(scene: Scene, server: ListServer, monkeypatch):
    monkeypatch.setattr(refresher, "INCLUDES_MAX", 5)
    server.acts |= {f"/g/{n}": content(f"d{n}.com @x\n") for n in range(20)}
    server.acts["/g/top"] = content("a.com @x\n" + "".join(f"include:{n}\n" for n in range(20)))
    source = of(server.url("/g/top"), interval_s=0.2)
    scene.refresher.follow([source])
    eventually(lambda: scene.news)
    assert len(scene.refresher._with_included()) == 6


def test_a_pinned_url_includes_nothing(scene: Scene, server: ListServer):
    text = "top.com @x\ninclude:ads\n"
    server.acts |= {"/top": content(text), "/ads": content("ads.com\n")}
    source = of(server.url("/top"), sha256=hashlib.sha256(text.encode()).hexdigest())
    assert scene.look(source).error is None
    loaded = scene.loader.load([source])
    assert loaded.reports[0].skipped == {"directives": 1}
    assert [path for path, _ in server.requests] == ["/top"]


def test_a_file_that_only_includes_is_a_list(scene: Scene, server: ListServer):
    server.acts |= {"/top": content("include:ads\n"), "/ads": content("ads.com @x\n")}
    source = of(server.url("/top"))
    scene.refresher.follow([source])
    eventually(lambda: len(scene.news) >= 2)
    assert has(scene, source, "ads.com") == [True]


# Static prefixes from URLs


NETS = "8.0.0.0/8\n16.0.0.0/4\n2a00::/12\n2a00::/19\n10.1.0.0/16\nfoo.com\n"


def prefixes(loaded: Loaded) -> list[str]:
    return [prefix_text(prefix) for prefix in loaded.prefixes["u"]]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (UrlPrefixes(True), ["8.0.0.0/8", "10.1.0.0/16", "2a00::/19"]),
        (UrlPrefixes(True, min_ipv4=9, min_ipv6=20), ["10.1.0.0/16"]),
        (UrlPrefixes(True, min_ipv4=4, min_ipv6=12, share_max=1.0), NETS.split()[:5]),
        (UrlPrefixes(False), []),
        (UrlPrefixes(), ["8.0.0.0/8", "10.1.0.0/16", "2a00::/19"]),
    ],
)
def test_which_prefixes_a_url_may_give(scene: Scene, server: ListServer, limits: UrlPrefixes, expected: list[str]):
    server.acts["/l"] = content(NETS)
    source = replace(of(server.url("/l")), url_prefixes=limits)
    assert scene.look(source).error is None
    loaded = scene.loader.load([source])
    assert sorted(prefixes(loaded)) == sorted(expected)
    assert loaded.reports[0].skipped.get("static prefixes from a URL", 0) == 5 - len(expected)
    assert [bool(lines) for lines in [unsaid_prefixes(loaded.reports)]] == [limits.allowed is None]
    # Another word of the configuration is another list, though the copy is the same.
    loaded = scene.loader.load([replace(source, url_prefixes=UrlPrefixes(limits.allowed is False))])
    assert bool(loaded.prefixes["u"]) == (limits.allowed is False)


def test_all_urls_of_a_list_together_cover_a_bounded_share(scene: Scene, server: ListServer):
    server.acts["/a"] = content("".join(f"{n}.0.0.0/8\n" for n in (11, 12, 13)))
    server.acts["/b"] = content("14.0.0.0/8\n14.1.0.0/16\n14.0.0.0/8\nfoo.com\n")
    server.acts["/c"] = content("16.0.0.0/8\n")
    source = replace(of(*(server.url(f"/{x}") for x in "abc")), url_prefixes=UrlPrefixes(True))
    scene.refresher.follow([source])
    eventually(lambda: len(scene.news) >= 3)
    loaded = scene.loader.load([source])
    assert sorted(prefixes(loaded)) == ["11.0.0.0/8", "12.0.0.0/8", "13.0.0.0/8", "14.0.0.0/8", "14.1.0.0/16"]
    assert "1.6% are allowed (prefix_share_max)" in loaded.reports[2].partial
    server.acts["/b"] = content("".join(f"{n}.0.0.0/8\n" for n in range(20, 30)))
    assert "of an address space" in str(scene.look(of(server.url("/b"))).error)


def test_what_0_1_0_announced_stays_until_the_key_is_written(scene: Scene, server: ListServer):
    server.acts["/l"] = content(NETS)
    source = replace(of(server.url("/l")), url_prefixes=UrlPrefixes(True, min_ipv4=4, min_ipv6=12, share_max=1.0))
    scene.look(source)
    scene.loader.load([source])  # as 0.1.0 did: without limits
    unsaid = replace(source, url_prefixes=UrlPrefixes())
    loaded = scene.loader.load([unsaid])
    assert sorted(prefixes(loaded)) == sorted(NETS.split()[:5])
    assert unsaid_prefixes(loaded.reports) == [
        (
            f"list u: {server.url('/l')} gives 5 static prefixes: "
            "say prefixes_from_urls = true, or false if it should give names only"
        ),
    ]
    loaded = scene.loader.load([replace(source, url_prefixes=UrlPrefixes(True))])
    assert "16.0.0.0/4" not in prefixes(loaded)


def test_parts_of_a_url_are_fetched_once_and_judged_together(scene: Scene, server: ListServer):
    def dat(first: int, second: int) -> Act:
        return content(
            encoders.geosite(
                {
                    "A": [("domain", f"a{number}.example", []) for number in range(first)],
                    "B": [("full", f"b{number}.example", []) for number in range(second)],
                }
            )
        )

    server.acts["/g.dat"] = dat(50, 20_000)
    url = server.url("/g.dat")
    one, both = of(f"{url}#a"), of(f"{url}#a", f"{url}#b")
    assert one.urls == both.urls == (url,)
    scene.look(one)
    assert scene.url_cache.state(url).rules == 50
    assert scene.lists(one, b"www.a1.example") == ("u",)
    assert [path for path, _ in server.requests] == ["/g.dat"]  # a fragment is never sent

    server.acts["/g.dat"] = dat(51, 20_000)  # a part that nobody had asked for is no growth of the others
    scene.look(both)
    state = scene.url_cache.state(url)
    assert (state.rules, state.held, state.selectors) == (20_051, None, ("a", "b"))
    assert scene.lists(both, b"b7.example") == ("u",)

    server.acts["/g.dat"] = content(encoders.geosite({"A": [("domain", "a.example", [])]}))
    scene.look(both)
    assert "there is no code 'b'" in (scene.url_cache.state(url).error or "")
    assert scene.lists(both, b"b7.example") == ("u",)
