import gzip
import zlib

import pytest

from dnstap_bgp.core.lists.inflate import Inflate
from dnstap_bgp.errors import ListError

TEXT = b"foo.com\nbar.com\n" * 1000


def decode(encoding: str, body: bytes, step: int = 1 << 16, max_bytes: int = 1 << 20) -> bytes:
    inflate = Inflate(encoding, max_bytes)
    found = b"".join(piece for at in range(0, len(body), step) for piece in inflate.feed(body[at : at + step]))
    inflate.end()
    return found


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
    ],
)
def test_content(encoding: str, body: bytes, step: int):
    assert decode(encoding, body, step) == TEXT


def test_a_gzip_file_by_itself():
    assert decode("", gzip.compress(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_it_gives_out_little_at_once_and_stops_at_the_limit(encoding: str):
    inflate = Inflate(encoding, 1_000_000)
    given = 0
    with pytest.raises(ListError, match="more than 1000000 bytes"):  # noqa: PT012 - how much came before it matters
        for piece in inflate.feed(gzip.compress(bytes(50_000_000))):
            given += len(piece)
            assert len(piece) <= 1 << 16
    assert given <= 1_000_000


@pytest.mark.parametrize("cut", [1, 5, 9, 20])
def test_a_cut_body(cut: int):
    with pytest.raises(ListError, match="middle"):
        decode("gzip", gzip.compress(TEXT)[:-cut])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_another_encoding_than_it_says(encoding: str):
    with pytest.raises(ListError, match="decompressed"):
        decode(encoding, TEXT)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 1000])
def test_an_encoding_that_nobody_asked_for(encoding: str):
    with pytest.raises(ListError, match="not asked for"):
        Inflate(encoding, 1)


def test_what_follows_the_end_is_no_content():
    assert decode("gzip", gzip.compress(TEXT) + b"more") == TEXT
