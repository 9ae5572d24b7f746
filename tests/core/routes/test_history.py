"""What is routed no more, or never was: bounded, newest first."""

from dnstap_bgp.core.routes.history import REMEMBERED, History, HistoryEntry, RefusalCount, Refusals

A, B = b"\1\2\3\4", b"\5\6\7\x08"


def address(number: int) -> bytes:
    return number.to_bytes(4)


def test_newest_first_of_an_address_and_of_a_name():
    history = History()
    history.end("expired", A, "l", b"a.example", 1.0)
    history.refuse("private", A, "l", b"b.example", 2.0)
    history.end("list", B, "l", b"a.example", 3.0)
    assert [(one.event, one.reason, one.at) for one in history.of_address(A, 9)] == [
        ("refused", "private", 2.0),
        ("ended", "expired", 1.0),
    ]
    assert [one.address for one in history.of_name(b"a.example", 9)] == [B, A]
    assert [one.address for one in history.of_name(b"a.example", 1)] == [B]


def test_the_same_refusal_again_takes_one_place():
    history = History()
    for at in range(5):
        history.refuse("private", A, "l", b"a.example", float(at))
    [one] = history.of_address(A, 9)
    assert (one.times, one.at) == (5, 4.0)


def test_a_flood_pushes_out_the_oldest_and_no_more_is_held():
    history = History()
    for number in range(REMEMBERED + 1):
        history.end("expired", address(number), "l", b"a.example", 0.0)
        history.refuse("private", address(number), "l", b"b.example", 0.0)
    assert history.of_address(address(0), 9) == []
    assert len(history.of_address(address(1), 9)) == 2
    assert len(history.of_name(b"b.example", 10**6)) == len(history.of_name(b"a.example", 10**6)) == REMEMBERED


def test_ends_since_are_those_that_came_after():
    history = History()
    for number in range(3):
        history.end("expired", address(number), "l", b"a.example", 0.0)
    assert [one.address for one in history.ended_since(1, 9)] == [address(1), address(2)]
    assert [one.address for one in history.ended_since(0, 2)] == [address(1), address(2)]
    assert history.ended_since(3, 9) == []
    for number in range(REMEMBERED):
        history.end("expired", address(number), "l", b"a.example", 0.0)
    assert len(history.ended_since(0, 10**6)) == REMEMBERED


def test_refusals_since_the_last_time_are_told_with_their_first_example():
    refusals = Refusals()
    for number in range(3):
        refusals.refuse("routes", address(number), "l", b"%d.example" % number)
    refusals.evict("routes", A, "m", b"m.example")
    assert sorted(refusals.take()) == [
        RefusalCount("routes", False, 3, address(0), "l", b"0.example"),
        RefusalCount("routes", True, 1, A, "m", b"m.example"),
    ]
    assert refusals.take() == []
    refusals.evict("routes", B, "n", b"n.example")
    assert refusals.take() == [RefusalCount("routes", True, 1, B, "n", b"n.example")]
    assert (refusals.refused, refusals.evicted) == ({"routes": 3}, {"routes": 2}), "ever"


def test_an_end_is_told_with_all_that_is_known_of_it():
    history = History()
    history.end("expired", A, "l", b"a.example", 7.0)
    history.refuse("rate", A, "m", b"b.example", 8.0)
    assert history.of_address(A, 9) == [
        HistoryEntry(A, "m", b"b.example", "refused", "rate", 8.0, 1),
        HistoryEntry(A, "l", b"a.example", "ended", "expired", 7.0, 1),
    ]
    assert history.ended_since(0, 9) == history.of_address(A, 9)[1:]
    assert (history.ends, history.ended_since(0, 0)) == (1, [])
