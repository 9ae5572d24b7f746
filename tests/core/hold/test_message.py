"""Questions and replies as bytes: the contract with the hooks, and everything that is none."""

import random
import struct

import pytest

from dnstap_bgp.core.hold.message import (
    QUESTION_MAX_BYTES,
    TOKEN_BYTES,
    Question,
    Verdict,
    id_of,
    read_question,
    reply,
)
from dnstap_bgp.errors import HoldMessageError

ID = b"\0\x01abcdef"


def packed(hook=b"unbound", wire=b"wire", *, version=1, flags=0, length=None):
    return struct.pack("!BB8sB", version, flags, ID, len(hook) if length is None else length) + hook + wire


def test_a_question_is_taken_apart():
    assert read_question(packed()) == Question(ID, "unbound", False, True, b"wire")
    assert read_question(packed(flags=1)) == Question(ID, "unbound", True, True, b"wire")
    assert read_question(packed(flags=2)) == Question(ID, "unbound", False, False, b"wire")
    assert read_question(packed(flags=0xFC)) == Question(ID, "unbound", False, True, b"wire"), "later flags"
    assert read_question(packed(b"x" * 64, b"w" * 65_535)).response == b"w" * 65_535
    assert read_question(packed(b"a.B_9-z", b"")).hook == "a.B_9-z"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packed()[:11],
        packed(version=0),
        packed(version=2),
        packed(b"", b"wire"),
        packed(b"x" * 65),
        packed(b"un bound"),
        packed(b"un/bound"),
        packed("ü".encode()),
        packed(b"ab\n"),
        packed(b"abc", b"", length=4),
        packed(b"x" * 64, b"w" * 65_536),
    ],
)
def test_what_is_no_question_is_told_so(data):
    with pytest.raises(HoldMessageError, match=r"."):
        read_question(data)


def test_any_bytes_are_a_question_or_none():
    dice = random.Random(1)
    for _ in range(5_000):
        data = bytearray(packed(b"unbound", bytes(dice.randrange(20))))
        for _ in range(dice.randrange(4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        data = data[: dice.randrange(len(data) + 1)]
        try:
            found = read_question(bytes(data))
        except HoldMessageError:
            continue
        assert 1 <= len(found.hook) <= 64
        assert found.hook.isascii()


def test_the_longest_question_fits():
    assert len(packed(b"x" * 64, b"w" * 65_535)) == QUESTION_MAX_BYTES == 65_610
    assert TOKEN_BYTES == 16


def test_a_reply_is_sixteen_bytes():
    data = reply(Verdict.INSTALLED, ID, 110, 7)
    assert len(data) == 16
    assert struct.unpack("!BB8sHI", data) == (1, 2, ID, 110, 7)


def test_the_id_of_what_is_no_question_is_told_if_it_has_one():
    assert id_of(packed(version=9)) == ID
    assert id_of(packed()[:10]) == ID
    assert id_of(packed()[:9]) is None


def test_verdicts_are_those_of_the_contract():
    words = "not_ours there installed refused off no_neighbor gave_up too_many not_understood"
    assert [verdict.word for verdict in Verdict] == words.split()
    assert [*Verdict] == [*range(9)]
