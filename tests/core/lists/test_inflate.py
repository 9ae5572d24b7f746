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


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_every_member_of_a_gzip_file_is_read(encoding: str, step: int):
    body = gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"last.com\n")
    assert decode(encoding, body, step) == TEXT + b"last.com\n"
    assert decode(encoding, body + bytes(1000), step) == TEXT + b"last.com\n"  # padding, as of tapes
    assert decode(encoding, gzip.compress(TEXT) + bytes(9) + gzip.compress(b"x"), step) == TEXT + b"x"


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("junk", [b"more", b"\x1f", b"\x1fx", b"\0\0x"])
def test_what_follows_the_end_must_be_a_member(junk: bytes, step: int):
    with pytest.raises(ListError, match="something else"):
        decode("gzip", gzip.compress(TEXT) + junk, step)


def test_a_second_member_that_is_cut_or_damaged():
    with pytest.raises(ListError, match="middle"):
        decode("gzip", gzip.compress(TEXT) + gzip.compress(TEXT)[:-3])
    with pytest.raises(ListError, match="decompressed"):
        decode("gzip", gzip.compress(TEXT) + b"\x1f\x8b" + b"x" * 100)
    with pytest.raises(ListError, match="something else"):
        decode("deflate", zlib.compress(TEXT) + zlib.compress(TEXT))


def test_content_may_have_just_as_many_bytes_and_members_as_are_allowed():
    for encoding, body in (("", bytes(1_000)), ("gzip", gzip.compress(bytes(1_000)))):
        assert decode(encoding, body, max_bytes=1_000) == bytes(1_000)
        with pytest.raises(ListError, match="more than 999 bytes"):
            decode(encoding, body, max_bytes=999)
    assert decode("gzip", gzip.compress(b"") * 9_999 + gzip.compress(b"x")) == b"x"


def test_what_is_wrong_is_told_with_its_numbers():
    with pytest.raises(ListError, match=r"encoded as 'x{40}', which was not asked for"):
        Inflate("x" * 1000, 1)
    with pytest.raises(ListError, match=r"ends in the middle, after 16000 bytes of content"):
        decode("gzip", gzip.compress(TEXT)[:-1])
    with pytest.raises(ListError, match=r"^1 bytes of something else follow"):
        decode("gzip", gzip.compress(TEXT) + b"\x1f")
    with pytest.raises(ListError, match=r"something else follows its compressed content: b'x{20}'$"):
        decode("gzip", gzip.compress(TEXT) + b"x" * 30)


def test_members_are_bounded_and_so_is_their_content():
    with pytest.raises(ListError, match="gzip members"):
        decode("gzip", gzip.compress(b"") * (10_001))
    with pytest.raises(ListError, match="more than 1000000 bytes"):
        decode("gzip", gzip.compress(bytes(600_000)) * 2, max_bytes=1_000_000)


def test_a_body_of_one_byte_and_of_none():
    assert decode("", b"x") == b"x"
    assert decode("", b"\x1fx", step=1) == b"\x1fx"
    assert decode("", b"abc\x1f", step=3) == b"abc\x1f", "only at the beginning may it be that of gzip"
    assert decode("", b"abc\x1f\x8bdef", step=3) == b"abc\x1f\x8bdef"
    assert decode("", b"") == b""
