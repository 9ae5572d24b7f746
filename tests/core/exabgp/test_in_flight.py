"""What follows from the numbers of lines alone: which are alone in flight, and when a batch is settled."""

from dnstap_bgp.core.exabgp.grammar import BARRIER_BARE, BARRIER_HEADED
from dnstap_bgp.core.exabgp.in_flight import BARRIER_BITS, SETTLE_LINES, Barrier, LineKind, SettlingBatches
from dnstap_bgp.core.exabgp.update_queue import UpdateBatch, transition
from dnstap_bgp.core.model import Attributes

PREFIX = bytes([192, 0, 2, 1])


def batch() -> UpdateBatch:
    return UpdateBatch(transition(PREFIX, None, Attributes(bytes([192, 0, 2, 254]))), (PREFIX,))


def test_only_routes_and_neighbors_share_the_flight():
    assert {kind for kind in LineKind if not kind.exclusive} == {LineKind.ROUTES, LineKind.NEIGHBORS}


def test_a_batch_is_settled_once_later_lines_are_answered_and_the_neighbors_are_known_from_after_it():
    settling, one = SettlingBatches(), batch()
    settling.add(one, number=1)  # the next line's number: the batch's own was 0
    assert settling.lacks_neighbors
    settling.neighbors_known(1)
    assert not settling.lacks_neighbors
    assert [settling.line_answered(number, following=number + 1) for number in (1, 2, 3)] == [[], [one], []]


def test_neighbors_known_from_before_a_batch_settle_nothing():
    settling, one = SettlingBatches(), batch()
    settling.neighbors_known(0)
    settling.add(one, number=1)
    for number in range(1, SETTLE_LINES + 3):
        assert settling.line_answered(number, number + 1) == []
    settling.neighbors_known(SETTLE_LINES + 3)
    assert settling.line_answered(SETTLE_LINES + 3, SETTLE_LINES + 4) == [one]


def test_lines_that_were_in_flight_together_count_as_one():
    """They may share a turn of ExaBGP's, in which it sends nothing between."""
    settling, one = SettlingBatches(), batch()
    settling.add(one, number=1)
    settling.neighbors_known(9)
    assert settling.line_answered(1, following=3) == []
    assert settling.line_answered(2, following=4) == []  # was written before the first was answered
    assert settling.line_answered(3, following=5) == [one]


def test_a_fork_counts_by_itself():
    settling, one, other = SettlingBatches(), batch(), batch()
    settling.add(one, number=1)
    settling.neighbors_known(9)
    settling.line_answered(1, following=2)
    twin = settling.fork()
    twin.add(other, number=2)
    assert settling.line_answered(2, following=3) == [one]
    assert settling.clear() == []
    assert twin.line_answered(2, following=3) == [one], "it had counted one line before"
    assert twin.clear() == [other]


def test_a_barrier_settles_everything():
    settling, one, other = SettlingBatches(), batch(), batch()
    settling.add(one, number=1)
    settling.add(other, number=2)
    assert settling.clear() == [one, other]
    assert not settling.lacks_neighbors
    assert settling.clear() == []


def test_a_barrier_asks_in_the_drawn_order_with_a_header_first():
    drawn = 0b1011_0010
    barrier = Barrier(lambda _: drawn)
    wanted = [bit == "1" for bit in f"{drawn:0{BARRIER_BITS}b}"]
    wanted[0] = True
    assert barrier.lines == b"".join(BARRIER_HEADED if headed else BARRIER_BARE for headed in wanted)
