"""What is routed no more, or never was: bounded, newest first."""

from dnstap_bgp.core.routes.past import REMEMBERED, Past

A, B = b"\1\2\3\4", b"\5\6\7\x08"


def address(number: int) -> bytes:
    return number.to_bytes(4)


def test_newest_first_of_an_address_and_of_a_name():
    past = Past()
    past.now = 1.0
    past.end("expired", A, "l", b"a.example")
    past.now = 2.0
    past.refuse("private", A, "l", b"b.example")
    past.now = 3.0
    past.end("list", B, "l", b"a.example")
    assert [(one.event, one.reason, one.at) for one in past.of_address(A, 9)] == [
        ("refused", "private", 2.0),
        ("ended", "expired", 1.0),
    ]
    assert [one.address for one in past.of_name(b"a.example", 9)] == [B, A]
    assert [one.address for one in past.of_name(b"a.example", 1)] == [B]


def test_the_same_refusal_again_takes_one_place():
    past = Past()
    for at in range(5):
        past.now = float(at)
        past.refuse("private", A, "l", b"a.example")
    [one] = past.of_address(A, 9)
    assert (one.times, one.at) == (5, 4.0)


def test_a_flood_pushes_out_the_oldest_and_no_more_is_held():
    past = Past()
    for number in range(REMEMBERED + 1):
        past.end("expired", address(number), "l", b"a.example")
        past.refuse("private", address(number), "l", b"b.example")
    assert past.of_address(address(0), 9) == []
    assert len(past.of_address(address(1), 9)) == 2
    assert len(past.of_name(b"b.example", 10**6)) == len(past.of_name(b"a.example", 10**6)) == REMEMBERED


def test_ends_since_are_those_that_came_after():
    past = Past()
    for number in range(3):
        past.end("expired", address(number), "l", b"a.example")
    assert [one.address for one in past.ended_since(1, 9)] == [address(1), address(2)]
    assert [one.address for one in past.ended_since(0, 2)] == [address(1), address(2)]
    assert past.ended_since(3, 9) == []
    for number in range(REMEMBERED):
        past.end("expired", address(number), "l", b"a.example")
    assert len(past.ended_since(0, 10**6)) == REMEMBERED
