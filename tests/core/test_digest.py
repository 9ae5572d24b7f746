"""SHA-256 in either way."""

import hashlib
import subprocess
import sys

import pytest

from dnstap_bgp.core.digest import LARGE_BYTES, sha256

IS_LOADED = "import sys; from dnstap_bgp.core.digest import sha256; {}; print('_hashlib' in sys.modules)"


@pytest.mark.parametrize("data", [b"", b"abc", bytes(range(256)) * 999, bytes(LARGE_BYTES + 1)], ids=len)
def test_both_ways_give_the_same(data: bytes):
    right = hashlib.sha256(data)
    for made in (sha256(data), sha256(memoryview(data)), sha256(data, total_bytes=1 << 40)):
        assert made.digest() == right.digest()
    in_parts = sha256()
    for at in range(0, len(data), 1000):
        in_parts.update(data[at : at + 1000])
    assert in_parts.hexdigest() == right.hexdigest()


@pytest.mark.parametrize(
    ("code", "is_loaded"),
    [
        ("sha256(b'a').digest()", False),
        ("sha256(bytes((1 << 20) - 1))", False),
        ("sha256(bytes(1 << 20))", True),
        ("sha256(total_bytes=(1 << 20) - 1)", False),
        ("sha256(total_bytes=1 << 20)", True),
    ],
)
def test_openssl_is_loaded_for_much_data_only(code: str, *, is_loaded: bool):
    done = subprocess.run([sys.executable, "-c", IS_LOADED.format(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(is_loaded)
