"""Sources as the configuration names them."""

import pytest

from dnstap_bgp.core.lists.source import Fetching, Force, ListSource, UrlPrefixes, is_forced, is_url, located


@pytest.mark.parametrize(
    ("source", "expected"),
    [("https://x/y", True), ("http://x", True), ("/etc/http://x", False), ("/list", False), ("ftp://x", False)],
)
def test_is_url(source: str, *, expected: bool):
    assert is_url(source) == expected


def test_what_counts_where_the_configuration_says_nothing():
    """As the manual has it."""
    source = ListSource("default", ("/list",))
    assert (source.format, source.path, source.prefixes, source.is_managed) == ("auto", "", 0, False)
    assert (source.shrink_max, source.growth_max, source.patterns) == (None, None, None)
    assert source.fetching == Fetching(21_600.0, None, 67_108_864)
    assert source.url_prefixes == UrlPrefixes(None, 8, 19, 0.015625)


def test_urls_are_named_once_and_without_selectors():
    sources = ("https://x/a.dat#de", "/list", "http://y/b", "https://x/a.dat#fr")
    assert ListSource("default", sources).urls == ("https://x/a.dat", "http://y/b")


def test_a_path_within_is_that_of_the_list_where_the_source_has_no_selector():
    source = ListSource("default", ("/a.json",), format="json", path="prefixes[]")
    assert source.located("/a.json") == ("/a.json", "prefixes[]")
    assert source.located("/a.dat#de") == ("/a.dat", "de")


@pytest.mark.parametrize(
    ("force", "is_it"), [(True, True), (False, False), (frozenset("a"), True), (frozenset(), False)]
)
def test_whose_content_is_taken_although_it_would_be_held_back(force: Force, *, is_it: bool):
    assert is_forced(force, "a") == is_it


@pytest.mark.parametrize(
    ("source", "form", "expected"),
    [
        ("/a#de", "geoip-dat", ("/a", "de")),
        ("/a#de", "plain", ("/a#de", "")),
        ("/a.DAT#de", "auto", ("/a.DAT", "de")),
        ("https://x/a.dat?b#de", "auto", ("https://x/a.dat?b", "de")),
        ("/a.dat?b#de", "auto", ("/a.dat?b#de", "")),
        ("/a.dat", "geoip-dat", ("/a.dat", "")),
    ],
)
def test_a_selector_stands_behind_files_that_have_some(source: str, form: str, expected: tuple[str, str]):
    assert located(source, form) == expected
