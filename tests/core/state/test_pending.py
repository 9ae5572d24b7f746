from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Claim, ViewPrefix
from dnstap_bgp.core.state.pending import Pending

ONE, TWO = Attributes(b"\x0a\x00\x00\x01"), Attributes(b"\x0a\x00\x00\x02")
THREE = Attributes(b"\x0a\x00\x00\x03")
CLAIM = Claim(b"abcd", "ads", b"example.com", 1.0, 1.0, 60.0)


def test_the_newest_word_on_a_prefix_counts():
    pending = Pending()
    pending.add([], [(b"aaaa", ONE), (b"bbbb", ONE)])
    pending.add([], [(b"cccc", TWO), (b"aaaa", None)])
    pending.add([], [(b"bbbb", TWO)])
    assert pending.take().records == [(b"cccc", TWO), (b"aaaa", None), (b"bbbb", ONE), (b"bbbb", TWO)]
    assert len(pending) == 0


def test_of_a_prefix_told_and_untold_at_once_the_last_counts():
    pending = Pending()
    pending.add([], [(b"aaaa", None), (b"aaaa", ONE), (b"bbbb", ONE), (b"bbbb", None)])
    assert pending.take().records == [(b"aaaa", ONE), (b"bbbb", None)]


ALL, SOME = ViewPrefix(b"aaaa", EVERYONE), ViewPrefix(b"aaaa", Audience(("192.0.2.1",)))


def test_of_neighbors_that_overlap_the_order_is_kept():
    """Views were split and joined again: the last record that is about a neighbor says what it has."""
    pending = Pending()
    pending.add([], [(ALL, ONE)])
    pending.add([], [(SOME, TWO)])
    pending.add([], [(ALL, None)])
    assert pending.take().records == [(SOME, TWO), (ALL, None)]


def test_what_is_given_back_goes_before_what_came_since():
    pending = Pending()
    pending.add([], [(ALL, ONE), (SOME, TWO), (b"bbbb", ONE)])
    batch = pending.take()
    pending.add([], [(b"cccc", ONE), (ALL, TWO)])
    pending.give_back(batch)
    assert pending.take().records == [
        (SOME, TWO),
        (b"bbbb", ONE),
        (b"cccc", ONE),
        (ALL, ONE),
        (ALL, TWO),
    ]


def test_the_attributes_before_a_change_stay_before_those_after_it():
    """ExaBGP may not have read the change yet when the process is killed."""
    pending = Pending()
    for attributes in (THREE, ONE, TWO, TWO):
        pending.add([], [(b"aaaa", attributes)])
    assert len(pending) == 2
    batch = pending.take()
    assert batch.records == [(b"aaaa", ONE), (b"aaaa", TWO)]
    pending.give_back(batch)
    assert pending.take().records == batch.records
    pending.give_back(batch)
    pending.add([], [(b"aaaa", THREE)])
    assert pending.take().records == [(b"aaaa", TWO), (b"aaaa", THREE)]
    pending.give_back(batch)
    pending.add([], [(b"aaaa", None), (b"aaaa", THREE)])
    assert pending.take().records == [(b"aaaa", THREE)], "it was withdrawn between: there is nothing before that"


def test_what_is_given_back_lies_behind_what_came_since():
    pending = Pending()
    pending.add([CLAIM], [(b"aaaa", ONE), (b"bbbb", ONE)])
    batch = pending.take()
    pending.add([CLAIM._replace(seen=2.0)], [(b"aaaa", None)])
    pending.give_back(batch)
    again = pending.take()
    assert [claim.seen for claim in again.claims] == [1.0, 2.0]
    assert again.records == [(b"bbbb", ONE), (b"aaaa", None)]


def test_past_the_limit_nothing_is_kept():
    pending = Pending(at_most=10)
    pending.add([CLAIM] * 10, [])
    assert not pending.dropped
    batch = pending.take()
    pending.add([CLAIM] * 5, [])
    pending.give_back(batch)
    assert pending.dropped
    pending.add([CLAIM] * 5, [(b"aaaa", ONE)])
    assert len(pending) == 0
    pending.give_back(batch)
    assert len(pending) == 0
    pending.clear()
    pending.add([CLAIM], [])
    assert (len(pending), pending.dropped) == (1, False)


def test_all_that_waits_counts_towards_the_limit():
    """Claims, prefixes, and the attributes before a change."""
    pending = Pending(at_most=4)
    pending.add([CLAIM], [(b"aaaa", ONE), (b"bbbb", ONE)])
    pending.add([], [(b"aaaa", TWO)])
    assert (len(pending), pending.dropped) == (4, False)
    pending.add([], [(b"bbbb", TWO)])
    assert (len(pending), pending.dropped) == (0, True)
    assert pending.take().records == []
