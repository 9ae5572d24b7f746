"""The Adj-RIB-Out: what an earlier process announced with attributes that nobody knows is withdrawn, and never said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.exabgp.adj_rib_out import AdjRibOut, Replay
from dnstap_bgp.core.exabgp.grammar import FAMILIES, IPV4, IPV6, Verb
from dnstap_bgp.core.exabgp.reconciler import Reconciler
from dnstap_bgp.core.exabgp.update_queue import ATTRIBUTE_CHANGE
from dnstap_bgp.core.model import Attributes, Change, Prefix, unknown_attributes
from dnstap_bgp.core.prefix_map import SHARDS

A, SIX = bytes((203, 0, 113, 7)), bytes.fromhex("20010db8") + bytes(11) + b"\7"
ONE = Attributes(bytes((192, 0, 2, 1)))


def test_only_unknown_attributes_make_a_repair_due():
    rib = AdjRibOut()
    rib.recall([(A, ONE)], [])
    assert not rib.repair_due
    rib.recall([(SIX, unknown_attributes(SIX))], [])
    assert rib.repair_due
    assert (rib.count[IPV4], rib.count[IPV6]) == (1, 1)
    assert rib.is_stale(SIX)


def test_a_replay_leaves_unknown_attributes_out():
    rib = AdjRibOut()
    rib.recall([(A, unknown_attributes(A)), (SIX, unknown_attributes(SIX)), (bytes((203, 0, 113, 8)), ONE)], [])
    replay = Replay("192.0.2.9", frozenset(FAMILIES))
    said = []
    while (update := replay.next(rib)) is not None:
        said += [(update.wanted, prefix) for prefix in replay.take(1)]
    assert said == [(ONE, bytes((203, 0, 113, 8)))]


@pytest.mark.parametrize("wanted", [None, ONE])
def test_what_is_unknown_is_withdrawn_or_announced_anew(wanted: Attributes | None):
    reconciler = Reconciler()
    reconciler.recall([(A, unknown_attributes(A))])
    if wanted is not None:
        reconciler.put([Change(A, wanted)], bulk=True)
    for shard in range(256):
        reconciler.resync(shard)
    batch = reconciler.take(0, low_latency=False, attribute_changes=True)
    assert batch is not None
    assert batch.prefixes == (A,)
    assert batch.transition.verb is (Verb.WITHDRAW if wanted is None else Verb.ANNOUNCE)
    assert batch.transition.wanted == wanted


def test_what_was_recalled_and_could_not_be_withdrawn_is_said_again_where_it_is_wanted_after_all():
    """ExaBGP may have it otherwise, whatever the records say, and has refused the withdraw."""
    reconciler = Reconciler()
    reconciler.recall([(A, ONE)])
    reconciler.resync(A[-1])
    while (batch := reconciler.take(0, low_latency=False, attribute_changes=True)) is not None:
        assert batch.transition.verb is Verb.WITHDRAW
        reconciler.answered(batch, done=False)
        reconciler.line_taken()
    assert reconciler.progress(A) == "refused"
    reconciler.put([Change(A, ONE)])
    batch = reconciler.take(0, low_latency=False, attribute_changes=True)
    assert batch is not None
    assert (batch.transition.verb, batch.transition.wanted) == (Verb.ANNOUNCE, ONE)


TWO = Attributes(bytes((192, 0, 2, 2)))
PREFIXES = [bytes((10, 0, number // 7, number % 7)) for number in range(40)]
PREFIXES += [bytes.fromhex("20010db8") + bytes(11) + bytes((number,)) for number in range(7)]
ENTRIES = st.lists(st.tuples(st.sampled_from(PREFIXES), st.sampled_from([ONE, TWO])), max_size=12)
CHOSEN = st.lists(st.sampled_from(PREFIXES), max_size=12, unique=True)


class PlainRib:
    """The same as dicts, without any of the shortcuts."""

    def __init__(self) -> None:
        self.entries: dict[Prefix, Attributes] = {}
        self.stale: set[Prefix] = set()
        self.previous: dict[Prefix, Attributes] = {}

    def recall(self, announced: list[tuple[Prefix, Attributes]], withdrawn: list[Prefix]) -> None:
        for prefix in withdrawn:
            self.previous.pop(prefix, None)
            self.withdraw(prefix)
        for prefix, attributes in announced:
            before = self.entries.get(prefix, attributes)
            if before != attributes:
                self.previous.pop(prefix, None)
                self.previous[prefix] = before
                if len(self.previous) > ATTRIBUTE_CHANGE.prefixes_max:
                    del self.previous[next(iter(self.previous))]
            self.entries[prefix] = attributes
            self.stale.add(prefix)

    def announce(self, prefix: Prefix, attributes: Attributes) -> None:
        self.entries[prefix] = attributes
        self.stale.discard(prefix)

    def withdraw(self, prefix: Prefix) -> bool:
        self.stale.discard(prefix)
        return self.entries.pop(prefix, None) is not None


@given(st.lists(st.one_of(st.tuples(ENTRIES, CHOSEN), st.tuples(st.sampled_from([ONE, TWO, None]), CHOSEN))))
def test_entries_stale_marks_previous_attributes_and_counts_are_as_a_plain_dict_has_them(steps):
    rib, plain = AdjRibOut(), PlainRib()
    for what, prefixes in steps:
        if isinstance(what, list):
            rib.recall(what, prefixes)
            plain.recall(what, prefixes)
        elif what is None:
            assert [rib.withdrawn(prefix) for prefix in prefixes] == [plain.withdraw(prefix) for prefix in prefixes]
        else:
            for size in (4, 16):
                line = [prefix for prefix in prefixes if len(prefix) == size]
                if line:
                    rib.announced_line(line, what)
                for prefix in line:
                    plain.announce(prefix, what)
        for one in (rib, rib.fork()):
            assert {prefix: one.get(prefix) for shard in one.shards for prefix in shard} == plain.entries
            assert {prefix for shard in range(SHARDS) for prefix in one.stale(shard)} == plain.stale
            assert [entry for shard in range(SHARDS) for entry in one.previous(shard)] == sorted(
                plain.previous.items(), key=lambda entry: entry[0][-1]
            )
            assert one.has_previous == bool(plain.previous)
            assert [one.count[kind] for kind in FAMILIES] == [
                sum(len(prefix) == size for prefix in plain.entries) for size in (4, 16)
            ]
            assert len(one) == len(plain.entries)


def test_previous_attributes_are_taken_a_line_at_a_time_and_what_is_refused_goes_alone():
    rib, six = AdjRibOut(), PREFIXES[-1]
    rib.recall([(prefix, attributes) for prefix in (*PREFIXES[:3], six) for attributes in (ONE, TWO)], [])
    batch = rib.take_previous()
    assert (batch.transition.announced, batch.transition.wanted, batch.prefixes) == (ONE, None, tuple(PREFIXES[:3]))
    assert not rib.refuse_previous(batch)
    assert rib.take_previous().prefixes == (six,), "the others wait behind it"
    for prefix in PREFIXES[:3]:
        alone = rib.take_previous()
        assert alone.prefixes == (prefix,)
        assert rib.refuse_previous(alone), "given up"
    assert not rib.has_previous
    rib.recall([(prefix, ONE) for prefix in PREFIXES[:3]], [])
    assert rib.take_previous().prefixes == tuple(PREFIXES[:3]), "another time it is as good as any other"


def test_of_previous_attributes_the_last_line_s_worth_is_known():
    """Only the last line can have been lost: what is older was answered."""
    rib = AdjRibOut()
    rib.recall([(prefix, attributes) for prefix in PREFIXES[:30] for attributes in (ONE, TWO)], [])
    assert rib.take_previous().prefixes == tuple(PREFIXES[6:30])
    assert not rib.has_previous


def test_what_was_given_up_once_is_no_more_refused_than_others():
    rib = AdjRibOut()
    rib.recall([(prefix, attributes) for prefix in PREFIXES[:2] for attributes in (ONE, TWO)], [])
    rib.refuse_previous(rib.take_previous())
    rib.forget_previous()
    rib.recall([(prefix, ONE) for prefix in PREFIXES[:2]], [])
    assert rib.take_previous().prefixes == tuple(PREFIXES[:2])
