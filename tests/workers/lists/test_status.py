"""The state of each source, the worst that holds."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.files import plan
from dnstap_bgp.workers.lists.status import Troubles, take
from dnstap_bgp.workers.lists.url_cache import HeldVersion, UrlCache, UrlState


def state(text: str, folder: Path, *, held: str | None = None) -> tuple[str, str]:
    path = folder / "l"
    path.write_text(text)
    source = ListSource("l", (str(path),))
    cache = UrlCache(folder)
    built = build_lists(plan([source], cache))
    troubles = Troubles({("l", str(path)): held} if held else {})
    found = take([source], built.rules.counts, {}, built.reports, cache, troubles=troubles)
    (one,) = found.lists[0].sources
    return one.state, one.why.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo.com\n", "ok"),
        ("foo.com\n" * 50 + "a b\n", "ok"),
        ("foo.com\n" * 49 + "a b\n", "l: 1 of 50 lines are malformed, such as line 50: `a b`: more than one word"),
        ("foo.com\n" * 5000 + "a b\n" * 20, "l: 20 of 5020 lines are malformed, such as line 5001"),
        ('foo.com\nbar.com\nlocal-zone: "x.com" refuse\n' * 3, "it is read as plain, and 3 of unbound are skipped"),
        ("foo.com\nbar.com\n||x.com^\n" * 3, "ok"),
        ("[AutoProxy 0.2.9]\n||foo.com\n" + ".x.com\n" * 30, "ok"),
        ("server=/a.com/x\n" * 9 + "foo.com\n" * 2, "it is read as dnsmasq, and 2 of names are skipped"),
        ("domain:a.com:@cn\nfull:b.com:@ads,@cn\n", "ok"),
        ("<html>\nfoo.com\n", "l is an HTML page, not a list"),
    ],
)
def test_a_source_of_which_lines_are_lost_says_so(tmp_path: Path, text: str, expected: str):
    found, why = state(text, tmp_path)
    assert found == ("ok" if expected == "ok" else "partial")
    assert ("" if expected == "ok" else expected) in why


def test_what_is_held_back_is_told_before_what_is_lost(tmp_path: Path):
    assert state("foo.com\na b\n", tmp_path, held="had 500 rules")[0] == "held"


def test_a_url_is_pending_then_held_then_stale(tmp_path: Path):
    url = "https://u:p@x/y?token=1"
    source, cache = ListSource("l", (url,)), UrlCache(tmp_path)

    def now() -> tuple[str, str, str]:
        built = build_lists(plan([source], cache))
        (one,) = take([source], built.rules.counts, {}, built.reports, cache).lists[0].sources
        return one.source, one.state, one.why

    assert now() == ("https://x/y?...", "pending", "not fetched yet")
    cache.update(url, lambda state: replace(state, error="it is away"))
    assert now()[1:] == ("pending", "it is away")
    handle, path = cache.scratch()
    os.write(handle, b"foo.com\n")
    os.close(handle)
    cache.accept(url, path, lambda _: UrlState("d", 1))
    assert now()[1] == "ok"
    cache.update(url, lambda state: replace(state, error="it is away"))
    assert now()[1:] == ("stale", "the last copy is used: it is away")
    cache.update(url, lambda state: replace(state, held=HeldVersion("e", 9, "grew", 1.0)))
    assert now()[1:] == ("held", "the new version grew; `dnstap-bgp reload --force` takes it")
