"""Sources as the configuration names them."""

import pytest

from dnstap_bgp.core.lists.source import is_url, located


@pytest.mark.parametrize(
    ("source", "expected"),
    [("https://x/y", True), ("http://x", True), ("/etc/http://x", False), ("/list", False), ("ftp://x", False)],
)
def test_is_url(source: str, *, expected: bool):
    assert is_url(source) == expected


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
