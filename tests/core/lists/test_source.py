"""Sources as the configuration names them."""

import pytest

from dnstap_bgp.core.lists.source import is_url


@pytest.mark.parametrize(
    ("source", "expected"),
    [("https://x/y", True), ("http://x", True), ("/etc/http://x", False), ("/list", False), ("ftp://x", False)],
)
def test_is_url(source: str, *, expected: bool):
    assert is_url(source) == expected
