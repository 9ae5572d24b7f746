"""Who sends, read from a connection's first frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.tap.introduction import TEXT_MAX, introduction


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


def text_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


MESSAGE = b"\x72\x02\x08\x06"  # field 14
TYPE = b"\x78\x01"  # field 15


def read(buffer: bytes) -> tuple[str, str] | None:
    return introduction(bytearray(buffer), 0, len(buffer))


def test_identity_and_version_come_out_wherever_they_stand():
    identity, version = text_field(1, b"ns1"), text_field(2, b"unbound 1.17.1")
    assert read(framed(identity + version + MESSAGE + TYPE)) == ("ns1", "unbound 1.17.1")
    assert read(framed(TYPE + MESSAGE + version + identity) + b"the next") == ("ns1", "unbound 1.17.1")


def test_a_sender_that_says_nothing_of_itself_has_neither():
    assert read(framed(MESSAGE + TYPE)) == ("", "")


@pytest.mark.parametrize("buffer", [b"", b"\0\0", framed(b"abc")[:-1], b"\0\0\0\0\0\0\0\x04\0\0\0\x02"])
def test_what_is_not_a_whole_data_frame_says_nothing_yet(buffer: bytes):
    assert read(buffer) is None


def test_text_is_printable_and_short():
    found = read(framed(text_field(1, b"a\x1b[2J\n\xff") + text_field(2, b"v" * 120)))
    assert found == ("a?[2J?\N{REPLACEMENT CHARACTER}", "v" * TEXT_MAX)


def test_other_kinds_of_fields_are_passed_over():
    fixed = b"\x19" + bytes(8) + b"\x25" + bytes(4)  # fields 3 and 4: 64 and 32 bits
    assert read(framed(fixed + text_field(1, b"ns1"))) == ("ns1", "")


@given(st.binary(max_size=64))
def test_any_bytes_are_an_answer(payload: bytes):
    found = read(framed(payload))
    assert (found is None) == (not payload)
    if found is not None:
        assert all(text.isprintable() and len(text) <= TEXT_MAX for text in found)
