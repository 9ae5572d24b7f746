from dnstap_bgp.core.model import Attributes, Claim
from dnstap_bgp.core.state.pending import Pending

ONE, TWO = Attributes(b"\x0a\x00\x00\x01"), Attributes(b"\x0a\x00\x00\x02")
CLAIM = Claim(b"abcd", "ads", b"example.com", 1.0, 1.0, 60.0)


def test_the_newest_word_on_a_prefix_counts():
    pending = Pending()
    pending.add([], [(b"aaaa", ONE), (b"bbbb", ONE)], [])
    pending.add([], [(b"cccc", TWO)], [b"aaaa"])
    pending.add([], [(b"bbbb", TWO)], [])
    _, told, untold = pending.take().columns()
    assert told == [(b"bbbb", TWO), (b"cccc", TWO)]
    assert untold == [b"aaaa"]
    assert len(pending) == 0


def test_a_prefix_told_and_untold_at_once_counts_as_told():
    pending = Pending()
    pending.add([], [(b"aaaa", ONE)], [b"aaaa"])
    assert pending.take().columns() == ([], [(b"aaaa", ONE)], [])


def test_what_is_given_back_lies_behind_what_came_since():
    pending = Pending()
    pending.add([CLAIM], [(b"aaaa", ONE), (b"bbbb", ONE)], [])
    batch = pending.take()
    pending.add([CLAIM._replace(seen=2.0)], [], [b"aaaa"])
    pending.give_back(batch)
    claims, told, untold = pending.take().columns()
    assert [claim.seen for claim in claims] == [1.0, 2.0]
    assert told == [(b"bbbb", ONE)]
    assert untold == [b"aaaa"]


def test_past_the_limit_nothing_is_kept():
    pending = Pending(at_most=10)
    pending.add([CLAIM] * 10, [], [])
    assert not pending.dropped
    batch = pending.take()
    pending.add([CLAIM] * 5, [], [])
    pending.give_back(batch)
    assert pending.dropped
    pending.add([CLAIM] * 5, [(b"aaaa", ONE)], [])
    assert len(pending) == 0
    pending.give_back(batch)
    assert len(pending) == 0
    pending.clear()
    pending.add([CLAIM], [], [])
    assert (len(pending), pending.dropped) == (1, False)
