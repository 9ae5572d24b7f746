"""The cache of URLs: what it keeps, and what is shown of a URL."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dnstap_bgp.workers.lists.url_cache import (
    FORGOTTEN_AFTER_S,
    HeldVersion,
    UrlCache,
    UrlState,
    shown_url,
    without_secrets,
)

URL = "https://lists.example/a"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x/y", "https://x/y"),
        ("https://x", "https://x"),
        ("https://user:word@x:81/y", "https://x:81/y"),
        ("https://u@ser:w@x/y", "https://x/y"),
        ("https://x/y@z", "https://x/y@z"),
        ("https://x/y?token=secret&a=b", "https://x/y?..."),
        ("https://x?token=secret", "https://x?..."),
        ("https://user:word@x/y?q#part", "https://x/y?..."),
        ("https://x/y#secret", "https://x/y"),
        ("https://[2001:db8::1]:81/y?q", "https://[2001:db8::1]:81/y?..."),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str):
    assert shown_url(url) == shown


def test_urls_in_a_text_of_others():
    text = "InvalidURL: 'https://u:p@x/y?token=1' and http://z?k=2 failed, a//b?c now"
    assert without_secrets(text) == "InvalidURL: 'https://x/y?...' and http://z?... failed, a//b?... now"
    assert without_secrets("no URL? None.") == "no URL? None."


def fetched(cache: UrlCache, text: str) -> Path:
    handle, path = cache.scratch()
    os.write(handle, text.encode())
    os.close(handle)
    return path


def test_a_version_held_back_and_released(tmp_path: Path):
    cache = UrlCache(tmp_path / "c")
    assert cache.state(URL) == UrlState()
    assert not cache.release(URL)
    cache.accept(URL, fetched(cache, "old"), lambda _: UrlState("d1", rules=3, fetched=1.0))
    held = HeldVersion("d2", 9, "grew", 2.0, prefixes=4)
    cache.hold(URL, fetched(cache, "new"), lambda state: replace(state, held=held))
    assert cache.state(URL).held == held
    assert cache.path(URL).read_text() == "old"
    assert cache.with_held().path(URL).read_text() == "new"
    assert cache.release(URL)
    assert cache.path(URL).read_text() == "new"
    state = cache.state(URL)
    assert (state.digest, state.rules, state.prefixes, state.fetched, state.held) == ("d2", 9, 4, 2.0, None)


def test_what_0_1_0_wrote_is_read_and_damage_is_no_state(tmp_path: Path, caplog):
    cache = UrlCache(tmp_path)
    cache.accept(URL, fetched(cache, "x"), lambda _: UrlState("d", rules=3))
    (file,) = tmp_path.glob("*.json")
    values = json.loads(file.read_text())
    del values["prefixes"]
    file.write_text(json.dumps(values))
    assert cache.state(URL).rules == 3
    for damaged in ("{", "[" * 100_000):
        caplog.clear()
        file.write_text(damaged)
        assert cache.state(URL) == UrlState()
        assert "fetched anew" in caplog.text


def test_old_files_of_nobody_go(tmp_path: Path):
    cache = UrlCache(tmp_path)
    for url in (URL, URL + "b"):
        cache.accept(url, fetched(cache, url), lambda _: UrlState("d"))
    left = fetched(cache, "left by a killed process")
    cache.clean([URL])
    assert cache.path(URL + "b").exists()
    assert not left.exists()
    long_ago = time.time() - FORGOTTEN_AFTER_S - 9
    for file in tmp_path.iterdir():
        os.utime(file, (long_ago, long_ago))
    cache.clean([URL])
    assert cache.path(URL).exists()
    assert not cache.path(URL + "b").exists()
