"""The Adj-RIB-Out: what an earlier process announced with attributes that nobody knows is withdrawn, and never said."""

import pytest

from dnstap_bgp.core.exabgp.adj_rib_out import AdjRibOut, Replay
from dnstap_bgp.core.exabgp.grammar import FAMILIES, IPV4, IPV6, Verb
from dnstap_bgp.core.exabgp.reconciler import Reconciler
from dnstap_bgp.core.model import Attributes, Change, unknown_attributes

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
