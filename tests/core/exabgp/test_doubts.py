"""Whose fault a refusal is: bad prefixes are given up, neighbors that are not ours are left alone, and nobody else."""

import json
from itertools import pairwise

import pytest

from dnstap_bgp.core.exabgp import api_session, doubts
from dnstap_bgp.core.exabgp.api_session import POLL_S, POLL_SOON_S, RETAINED_S, WALK_PAUSE_S
from dnstap_bgp.core.exabgp.neighbors import DRAIN_WAIT_MAX_S, NEIGHBORS_MAX, PROBE_MIN_S, PROOF_AFTER_S
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Change, PerView
from dnstap_bgp.core.prefix_map import SHARDS
from tests.core.exabgp.test_api_session import DONE, ONE, Talk, X, neighbor_row, up_event

Y = bytes([10, 0, 0, 2])
TWO = Attributes(bytes([192, 0, 2, 2]))
PROBE = "withdraw attributes next-hop 192.0.0.8 nlri 192.0.0.8/32\n"
A, B, C = "192.0.2.9", "192.0.2.7", "192.0.2.5"
SIGNAL = b'{ "exabgp": "5.0.0", "type": "signal", "signal": {} }'


def announce(number, attributes="192.0.2.1"):
    return f"announce attributes next-hop {attributes} nlri 10.0.0.{number}/32\n"


class Host(Talk):
    """A talk with an ExaBGP that answers at once, and refuses the lines of which `refuses` says so."""

    def __init__(self, *rows, recalled=()):
        super().__init__()
        self.views.recall(recalled)
        self.rows = list(rows) or [neighbor_row()]
        self.refuses = lambda _line: False
        self.said = []
        self.file, self.records = {}, []
        self.ready(*self.rows)
        for neighbor in self.talk.tasks.neighbors:
            neighbor.draining = False
        self.talk.notes.take()

    def say(self):
        outgoing = self.talk.next(self.now)
        corrections = self.views.take_corrections()
        self.file.update(corrections)
        self.records += corrections
        if outgoing is None:
            return None
        self.file.update(outgoing.records)
        self.records += self.views.records(outgoing.records, outgoing.audience)
        return outgoing.data.decode()

    def turn(self, count=1):
        for _ in range(count):
            self.now += 0.1
            while (line := self.say()) is not None:
                self.said.append(line)
                rows = [json.dumps(self.rows).encode()] if "json" in line else []
                self.hear(*rows, b"error" if self.refuses(line) else DONE)

    def take_said(self, word="nlri"):
        said, self.said = [line for line in self.said if word in line], []
        return said

    def wish(self, *prefixes, attributes=ONE):
        self.views.put([Change(prefix, attributes) for prefix in prefixes])

    def told(self, word):
        return [note.text for note in self.talk.notes.take() if word in note.text]

    def neighbor(self, address=A):
        (found,) = self.talk.tasks.neighbors.at(address)
        return found


def of_two_views():
    """A list with `peers` for A, and one for all others."""
    host = Host(neighbor_row(A), neighbor_row(B))
    host.views.configure([Audience((A,)), Audience((A,), is_except=True)])
    host.talk.tasks.restored = True
    return host


def for_a(attributes):
    return PerView(attributes.next_hop, by_view=(attributes, None))


# -- the prefixes' fault


def test_a_lone_bad_prefix_is_given_up_at_once_and_delays_nobody():
    host = Host()
    host.refuses = lambda line: "10.0.0.1/32" in line
    host.wish(X)
    host.turn()
    assert host.take_said() == [announce(1), announce(1), PROBE, announce(1)]
    assert host.views.sole.backlog.refused == 1
    assert host.views.progress(X) == "refused"
    assert host.told("given up until the neighbors change (1 prefixes are refused in all)")
    host.wish(Y)
    assert host.say() == announce(2), "not even a pause"


def test_what_was_given_up_is_tried_again_once_a_neighbor_comes_up():
    host = Host()
    host.refuses = lambda line: "10.0.0.1/32" in line
    host.wish(X)
    host.turn()
    host.refuses = lambda _line: False
    host.hear(up_event())
    host.turn(3)
    assert host.views.progress(X) == "announced"


def test_what_was_given_up_is_tried_again_once_for_each_event_and_never_without_one():
    host = Host()
    host.refuses = lambda line: "10.0.0.1/32" in line
    host.wish(X)
    host.turn()
    host.take_said()
    host.turn(300)
    assert announce(1) not in host.take_said()
    for event in (up_event(), SIGNAL):
        host.hear(event)
        host.turn(300)
        assert announce(1) in host.take_said()
        host.turn(300)
        assert announce(1) not in host.take_said()


def test_what_was_given_up_is_not_tried_again_while_nothing_is_taken_at_all():
    host = Host()
    host.refuses = lambda line: "10.0.0.1/32" in line
    host.wish(X)
    host.turn()
    host.take_said()
    host.refuses = lambda line: "nlri" in line
    host.wish(Y)
    host.turn(300)
    said = host.take_said()
    assert announce(2) in said
    assert announce(1) not in said


def test_after_the_first_pause_a_suspect_and_another_line_take_turns():
    """Either may be the one that ExaBGP takes."""
    host = Host()
    host.refuses = lambda line: "nlri" in line
    host.wish(X)
    host.wish(Y, attributes=TWO)
    host.turn()
    assert host.take_said() == [announce(1), announce(2, "192.0.2.2"), PROBE]
    host.wish(bytes([10, 0, 0, 3]))
    host.turn(12)
    assert host.take_said() == [announce(1), PROBE]
    host.turn(22)
    assert host.take_said() == [announce(3), PROBE]


def test_a_signal_has_the_neighbors_asked_for_at_once():
    """It may be a reload, by which some come and go."""
    host = Host()
    host.turn(200)
    host.take_said()
    while not host.take_said("json"):
        host.turn()
    host.turn(50)
    assert not host.take_said("json"), "all is calm"
    host.hear(SIGNAL)
    host.turn()
    assert host.take_said("json")


def test_a_pause_after_refusals_ends_with_the_first_line_that_is_taken():
    host = Host()
    host.refuses = lambda line: "nlri" in line
    host.wish(X)
    host.turn(5)
    (view,) = host.views
    assert view.pause_s == 1.0
    host.refuses = lambda _line: False
    host.turn(15)
    assert host.views.progress(X) == "announced"
    assert (view.pause_s, view.pause_until) == (0.0, 0.0)
    host.refuses = lambda line: "nlri" in line
    host.wish(Y)
    host.turn(5)
    assert view.pause_s == 1.0, "and the next one begins anew"


def test_one_that_comes_up_after_an_attribute_change_is_due_no_flush():
    """One that comes up amid the change is: it may have read the announcement before the withdraw."""
    for amid in (False, True):
        host = Host(neighbor_row(A), neighbor_row(B, up=False))
        host.wish(X)
        host.turn()
        host.wish(X, attributes=TWO)
        while (line := host.say()) != f"neighbor {B} {announce(1).replace('announce', 'withdraw')}":
            host.hear(*([json.dumps(host.rows).encode()] if line and "json" in line else []), DONE)
            host.now += 0.1
        if not amid:
            host.hear(DONE)
            assert host.say() == announce(1, "192.0.2.2")
            host.hear(DONE)
        host.hear(up_event(B))
        assert host.neighbor(B).flush_due is amid


def test_a_host_that_takes_nothing_costs_no_prefix():
    host = Host()
    host.refuses = lambda line: "nlri" in line
    host.wish(X, Y)
    host.turn(600)
    assert host.views.sole.backlog.refused == 0
    host.refuses = lambda _line: False
    host.turn(310)  # the longest pause
    assert {host.views.progress(prefix) for prefix in (X, Y)} == {"announced"}


# -- replays


def with_a_new_neighbor():
    """Everything was told, and B comes by a reload."""
    host = Host(neighbor_row(A))
    host.talk.tasks.restored = True
    host.wish(*(bytes([10, 0, number, 1]) for number in range(1, 50)))
    host.turn()
    host.rows.append(neighbor_row(B))
    host.take_said()
    return host


def replayed(host):
    """The prefixes that B has been told, by ExaBGP's answers."""
    found = set()
    for line in host.said:
        if line.startswith(f"neighbor {B} announce attributes") and not host.refuses(line):
            found.update(line.split(" nlri ")[1].split())
    return found


def test_a_bad_prefix_in_a_replay_costs_no_other_its_way():
    host = with_a_new_neighbor()
    host.refuses = lambda line: f"neighbor {B} " in line and "10.0.7.1/32" in line
    host.turn(300)
    assert replayed(host) == {f"10.0.{number}.1/32" for number in range(1, 50) if number != 7}
    assert not host.neighbor(B).foreign
    assert host.told(f"announce 10.0.7.1/32 to {B} with next-hop 192.0.2.1")
    assert f"neighbor {B} announce eor ipv4 unicast\n" in host.said
    host.take_said()
    host.refuses = lambda _line: False
    host.hear(up_event())
    host.turn(110)
    assert replayed(host) == {"10.0.7.1/32"}, "it is tried again, and nothing else is"


def test_one_refusal_of_a_replay_costs_nothing():
    host = with_a_new_neighbor()
    refused: list[str] = []

    def once(line):
        if f"neighbor {B} announce attributes" in line and not refused:
            refused.append(line)
            return True
        return False

    host.refuses = once
    host.turn(300)
    assert len(refused) == 1
    host.refuses = lambda line: line in refused
    assert replayed(host) == {f"10.0.{number}.1/32" for number in range(1, 50)}
    assert not host.neighbor(B).foreign
    assert f"neighbor {B} announce eor ipv4 unicast\n" in host.said


# -- the neighbors' fault


def test_a_neighbor_is_foreign_once_a_harmless_line_is_refused_too():
    host = with_a_new_neighbor()
    host.refuses = lambda line: f"neighbor {B} " in line
    host.turn(110)
    named = host.take_said(B)
    assert [line for line in named if "announce" in line] == named[:1]
    assert named[1] == f"neighbor {B} {PROBE}"
    assert len(named) == 2
    assert host.neighbor(B).foreign
    assert not host.neighbor(A).foreign


def test_a_foreign_neighbor_is_tried_again_without_any_event():
    host = with_a_new_neighbor()
    host.refuses = lambda line: f"neighbor {B} " in line
    host.turn(110)
    host.refuses = lambda _line: False
    host.take_said()
    host.turn(int(10 * PROBE_MIN_S) + 110)
    assert not host.neighbor(B).foreign
    assert len(replayed(host)) == 49
    assert f"neighbor {B} flush adj-rib out\n" in host.said


def test_probes_of_a_foreign_neighbor_become_rare():
    host = with_a_new_neighbor()
    host.refuses = lambda line: f"neighbor {B} " in line
    host.turn(36_000)
    assert 4 <= len(host.take_said(f"neighbor {B} {PROBE}")) <= 8


def test_a_withdraw_waits_while_its_neighbor_is_foreign_and_has_a_row():
    """ExaBGP keeps the route of a list with `peers` for the neighbor: forgotten here, it would stay for good."""
    host = of_two_views()
    host.wish(X, attributes=for_a(ONE))
    host.turn()
    host.refuses = lambda line: f"neighbor {A} " in line
    host.hear(up_event(A).replace(b'"up"', b'"down"'), up_event(A, counter=4))
    host.turn(400)  # End-of-RIB is refused, and then the probe
    assert host.neighbor(A).foreign
    host.take_said()
    host.views.put([Change(X, None)])
    host.turn(20)
    assert host.views.of(A).reconciler.backlog.refused == 1
    host.refuses = lambda _line: False
    host.turn(int(10 * PROBE_MIN_S) + 110)
    assert f"neighbor {A} withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n" in host.take_said()
    assert host.views.announced(X) is None


def withdraw(number, address):
    return f"neighbor {address} withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.{number}/32\n"


def of_two_neighbors():
    """Two neighbors of one view, both of which have X and Y."""
    host = Host(neighbor_row(A), neighbor_row(B))
    host.talk.tasks.restored = True
    host.wish(X, Y)
    host.turn(100)
    return host


def test_what_is_withdrawn_while_a_neighbor_is_foreign_is_withdrawn_there_once_it_is_ours_again():
    host = of_two_neighbors()
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.hear(up_event(B).replace(b'"up"', b'"down"'), up_event(B, counter=4))
    host.turn(400)  # End-of-RIB is refused, and then the probe
    assert host.neighbor(B).foreign
    host.take_said()
    host.views.put([Change(X, None)])
    host.turn(20)
    assert host.take_said() == ["withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"]
    host.refuses = lambda _line: False
    host.turn(int(10 * PROBE_MIN_S) + 110)
    of_b = [line for line in host.take_said(B) if "eor" not in line and "flush" not in line and PROBE not in line]
    assert of_b == [withdraw(1, B), f"neighbor {B} {announce(2)}"], (
        "before the replay, and nothing of what is announced"
    )


def test_nothing_is_said_after_a_reload_to_a_neighbor_that_proves_to_be_ours():
    host = of_two_neighbors()
    host.hear(up_event(A), up_event(B))  # events reach us
    host.turn(400)
    host.take_said()
    host.hear(SIGNAL)
    host.views.put([Change(X, None)])
    host.turn(250)
    said = host.take_said()
    assert sorted(said) == sorted([withdraw(1, "")[10:], *(f"neighbor {one} {PROBE}" for one in (A, B))])
    assert host.neighbor(B).copies == ()


@pytest.mark.parametrize("is_foreign", [True, False], ids=["found foreign", "ours again before the proof"])
def test_a_neighbor_that_was_another_s_for_a_moment_of_two_reloads_is_told_all_that_it_missed(is_foreign):
    host = of_two_neighbors()
    host.hear(up_event(A), up_event(B))
    host.turn(400)
    host.take_said()
    host.hear(SIGNAL)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.views.put([Change(X, None)])
    host.turn(250 if is_foreign else 2)
    assert host.neighbor(B).foreign == is_foreign
    host.hear(SIGNAL)
    host.refuses = lambda _line: False
    host.turn(int(10 * PROBE_MIN_S) + 250)
    assert [line for line in host.take_said(B) if "next-hop 192.0.2.1" in line] == [
        withdraw(1, B),
        f"neighbor {B} {announce(2)}",
    ]


def test_a_foreign_neighbor_that_was_ours_for_a_moment_of_two_reloads_is_rid_of_what_it_got_then():
    host = of_two_neighbors()
    make_foreign(host)
    away = host.refuses
    host.hear(SIGNAL)
    host.refuses = lambda _line: False
    host.turn(3)
    host.wish(bytes([10, 0, 0, 3]))
    host.turn(3)
    host.hear(SIGNAL)
    host.refuses = away
    host.turn(3)
    host.views.put([Change(bytes([10, 0, 0, 3]), None)])
    host.turn(300)
    assert host.neighbor(B).foreign
    host.hear(SIGNAL)
    host.refuses = lambda _line: False
    host.take_said()
    host.turn(300)
    assert withdraw(3, B) in host.take_said(B)
    assert host.neighbor(B).copies == ()


def make_foreign(host, address=B):
    """Have a neighbor found foreign, by its End-of-RIB and then by the probe."""
    host.refuses = lambda line: line.startswith(f"neighbor {address} ")
    host.hear(up_event(address).replace(b'"up"', b'"down"'), up_event(address, counter=4))
    host.turn(400)
    assert host.neighbor(address).foreign


def test_a_neighbor_that_was_foreign_for_hours_is_tried_soon_after_a_reload():
    host = of_two_neighbors()
    make_foreign(host)
    host.turn(36_000)
    assert host.neighbor(B).probe_wait_s >= 1_000
    host.views.put([Change(X, None)])
    host.turn(10)
    host.hear(SIGNAL)
    host.refuses = lambda _line: False
    host.take_said()
    host.turn(int(10 * (PROOF_AFTER_S + POLL_S)) + 50)
    assert not host.neighbor(B).foreign
    assert host.take_said(f"neighbor {B} withdraw attributes next-hop 192.0.2.1") == [withdraw(1, B)]


def test_a_signal_that_gives_no_neighbor_back_has_it_tried_seldom_as_before():
    host = of_two_neighbors()
    make_foreign(host)
    host.turn(36_000)
    host.hear(SIGNAL)
    host.take_said()
    host.turn(36_000)
    assert 5 <= len(host.take_said(f"neighbor {B} {PROBE}")) <= 9


def begin_walk(host):
    """B is ours again, and the first line of what it kept is under way."""
    host.refuses = lambda _line: False
    for _ in range(int(10 * PROBE_MIN_S) + 110):
        host.now += 0.1
        while (line := host.say()) is not None:
            if line == withdraw(1, B):
                return
            host.hear(*([json.dumps(host.rows).encode()] if "json" in line else []), DONE)
    pytest.fail("no walk began")


def test_routes_go_on_at_once_behind_what_a_neighbor_kept_and_it_counts_as_asked_for():
    host = of_two_neighbors()
    make_foreign(host)
    host.views.put([Change(X, None)])
    host.turn(20)
    begin_walk(host)
    (view,) = host.views
    assert view.updates_asked == 2, "the probe, and what it kept"
    host.wish(bytes([10, 0, 0, 3]))
    host.hear(DONE)
    assert host.say() == announce(3)


def test_a_neighbor_that_no_list_serves_any_more_is_rid_of_what_it_kept():
    host = of_two_views()
    host.wish(X, attributes=PerView(ONE.next_hop, by_view=(None, ONE)))
    host.turn(200)
    host.hear(SIGNAL)
    host.views.configure([Audience((A,))])
    host.wish(X, attributes=None)
    host.turn()
    assert withdraw(1, B) in host.take_said(B)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.turn(200)
    assert host.neighbor(B).foreign, "it was already then, as its probe shows"
    host.now += RETAINED_S
    host.turn(int(20 * POLL_S))
    assert host.views.of(B) is None
    host.hear(SIGNAL)
    begin_walk(host)


@pytest.mark.parametrize("is_foreign", [True, False], ids=["is another's then", "is ours still"])
def test_a_reload_during_the_walk_over_what_a_neighbor_kept_is_not_forgotten(is_foreign):
    """What is announced is as it was before the walk: a second copy of the same must outlive the first one's walk."""
    host = of_two_neighbors()
    make_foreign(host)
    host.views.put([Change(X, None)])
    host.turn(20)
    begin_walk(host)
    host.hear(SIGNAL)
    host.hear(DONE)  # the answer to the walk's only line
    host.turn(2)
    assert host.talk.tasks.kept_routes is None
    assert host.neighbor(B).copies, "of the moment of the signal"
    if is_foreign:
        host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.views.put([Change(Y, None)])
    host.turn(250)
    assert host.neighbor(B).foreign == is_foreign
    host.refuses = lambda _line: False
    host.take_said()
    host.turn(int(10 * PROBE_MIN_S) + 110)
    assert host.neighbor(B).copies == ()
    assert (withdraw(2, B) in host.take_said(B)) == is_foreign


def test_a_neighbor_that_is_foreign_again_amid_the_walk_keeps_all_copies():
    host = of_two_neighbors()
    make_foreign(host)
    host.views.put([Change(X, None)])
    host.turn(20)
    begin_walk(host)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.hear(b"error")
    host.turn(2)
    assert host.neighbor(B).foreign
    assert host.talk.tasks.kept_routes is None
    host.refuses = lambda _line: False
    host.take_said()
    host.turn(int(10 * PROBE_MIN_S) + 110)
    assert withdraw(1, B) in host.take_said(B)
    assert host.neighbor(B).copies == ()


def of_an_earlier_process():
    """Both neighbors have X and Y from an earlier process, and only Y is wanted."""
    host = Host(neighbor_row(A), neighbor_row(B), recalled=[(X, ONE), (Y, ONE)])
    host.wish(Y)
    for shard in range(SHARDS):
        host.views.resync(shard)
    host.talk.tasks.restored = True
    return host


def test_what_is_withdrawn_by_a_process_that_begins_while_a_neighbor_is_foreign_is_withdrawn_there_later():
    host = of_an_earlier_process()
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.turn(100)
    assert "withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n" in host.take_said()
    assert host.neighbor(B).foreign
    assert host.neighbor(A).copies == ()
    host.refuses = lambda _line: False
    host.turn(int(10 * PROBE_MIN_S) + 110)
    assert [line for line in host.take_said(B) if "next-hop 192.0.2.1" in line] == [
        withdraw(1, B),
        f"neighbor {B} {announce(2)}",
    ]
    assert host.neighbor(B).copies == ()


def test_a_process_that_begins_says_nothing_more_to_neighbors_that_are_ours():
    host = of_an_earlier_process()
    assert host.neighbor(A).copies
    assert host.neighbor(A).copies[0] is host.neighbor(B).copies[0]
    host.turn(100)
    assert sorted(host.take_said()) == [announce(2), "withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n"]
    assert host.talk.tasks.copied_routes == 0


def recorded(host):
    """Give the prefixes that a state file has as announced."""
    return {prefix for prefix, attributes in host.file.items() if attributes is not None}


def recorded_of(host, address):
    """Give the prefixes that a state file of views has as announced to a neighbor."""
    found: dict[bytes, Attributes | None] = {}
    for key, attributes in host.records:
        prefix, audience = (key, EVERYONE) if isinstance(key, bytes) else key
        if address in audience:
            found[prefix] = attributes
    return {prefix for prefix, attributes in found.items() if attributes is not None}


def of_a_file():
    """Two neighbors that have X and Y, as the state file has them."""
    host = of_two_neighbors()
    host.hear(up_event(A), up_event(B))
    host.turn(200)
    return host


def turn(host, count=1):
    host.turn(count)
    walked = dict(entry for shard in range(SHARDS) for entry in host.views.walk(shard))
    assert recorded(host) == walked.keys(), "a snapshot says the same"


def reload_gives_back(host):
    """ExaBGP has all neighbors for us again, and each has proven it."""
    host.refuses = lambda _line: False
    host.hear(SIGNAL)
    turn(host, 300)


def test_a_withdraw_after_a_reload_is_recorded_once_all_neighbors_have_proven_to_be_ours():
    host = of_a_file()
    host.hear(SIGNAL)
    host.views.put([Change(X, None)])
    turn(host, 10)
    assert host.views.announced(X) is None
    assert recorded(host) == {X, Y}
    turn(host, 250)
    assert recorded(host) == {Y}


def test_a_process_that_begins_before_a_proof_withdraws_again_what_a_neighbor_keeps():
    """It was withdrawn within the seconds after a reload that gave the neighbor to another process."""
    host = of_a_file()
    host.hear(SIGNAL)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.views.put([Change(X, None)])
    turn(host, 10)
    begun = Host(neighbor_row(A), neighbor_row(B), recalled=host.file.items())
    begun.refuses = host.refuses
    begun.wish(Y)
    for shard in range(SHARDS):
        begun.views.resync(shard)
    begun.talk.tasks.restored = True
    begun.file = host.file
    turn(begun, 100)
    assert recorded(begun) == {X, Y}, "withdrawn, and neighbor B has it"
    begun.refuses = lambda _line: False
    turn(begun, int(10 * PROBE_MIN_S) + 210)
    assert withdraw(1, B) in begun.take_said(B)
    assert recorded(begun) == {Y}


def test_what_a_neighbor_keeps_is_recorded_for_an_hour():
    host = of_a_file()
    host.hear(SIGNAL)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    turn(host, 200)
    assert host.neighbor(B).foreign
    host.views.put([Change(X, None)])
    turn(host)
    withdrawn = host.now
    host.wish(bytes([10, 0, 0, 3]))
    turn(host)
    host.views.put([Change(bytes([10, 0, 0, 3]), None)])  # never was at B
    turn(host)
    assert recorded(host) == {X, Y}
    host.now = withdrawn + RETAINED_S - 2 * POLL_S
    turn(host, int(10 * POLL_S))
    assert recorded(host) == {X, Y}
    turn(host, int(20 * POLL_S))
    assert recorded(host) == {Y}
    reload_gives_back(host)
    assert withdraw(1, B) in host.take_said(B), "this process knows it for longer"


def test_what_came_and_went_between_a_reload_and_its_reading_is_withdrawn_at_a_neighbor_that_kept_it():
    host = of_a_file()
    host.hear(SIGNAL)
    host.wish(bytes([10, 0, 0, 3]))
    turn(host, 2)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.views.put([Change(bytes([10, 0, 0, 3]), None)])
    turn(host, 200)
    assert host.neighbor(B).foreign
    assert recorded(host) == {X, Y, bytes([10, 0, 0, 3])}
    reload_gives_back(host)
    assert withdraw(3, B) in host.take_said(B)
    assert recorded(host) == {X, Y}


def test_attributes_before_a_change_that_is_under_way_at_a_reload_are_withdrawn_at_a_neighbor_that_kept_them():
    host = of_a_file()
    host.turn(300)  # settled
    host.wish(X, attributes=TWO)
    line = host.say()
    assert line == announce(1, "192.0.2.2")
    host.hear(SIGNAL)  # before the answer: B may not have got it
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.hear(DONE)
    turn(host, 200)
    assert host.neighbor(B).foreign
    host.views.put([Change(X, None)])
    turn(host, 10)
    host.take_said()
    reload_gives_back(host)
    assert withdraw(1, B) in host.take_said(B), "as it was before the change"


def test_what_is_announced_again_while_it_is_retained_stays_recorded():
    host = of_a_file()
    host.hear(SIGNAL)
    host.views.put([Change(X, None)])
    turn(host, 5)
    host.wish(X)
    turn(host, 250)
    assert recorded(host) == {X, Y}
    host.views.put([Change(X, None)])
    turn(host, 5)
    assert recorded(host) == {Y}, "no doubt is left"


def test_a_line_that_is_prepared_before_a_release_is_recorded_behind_it():
    host = of_a_file()
    host.hear(SIGNAL)
    host.views.put([Change(X, None)])
    turn(host, 5)
    for neighbor in host.talk.tasks.neighbors:  # no doubt is left, and nobody has noticed yet
        neighbor.proof_due_at = None
        neighbor.keep_nothing()
    host.wish(bytes([10, 0, 0, 3]))
    assert host.say() == announce(3)
    host.views.put([Change(X, ONE)], bulk=True)
    prepared = host.talk.prepare(host.now)
    host.file.update(prepared.records)
    assert recorded(host) == {X, Y, bytes([10, 0, 0, 3])}
    host.now += POLL_S
    assert host.say() == "show neighbor json\n"
    host.hear(DONE, json.dumps(host.rows).encode(), DONE)
    host.file.update(host.views.take_corrections())
    assert recorded(host) == {Y, bytes([10, 0, 0, 3])}
    assert host.say() == announce(1)
    assert recorded(host) == {X, Y, bytes([10, 0, 0, 3])}


def test_a_withdraw_that_names_one_neighbor_alone_is_recorded_once_it_is_taken():
    """It has reached that one. Retained it would count in a budget after a restart, with what has its place by now."""
    host = of_two_views()
    host.wish(X, Y, attributes=for_a(ONE))
    host.hear(up_event(A), up_event(B))
    host.turn(200)
    assert recorded_of(host, A) == {X, Y}
    host.hear(SIGNAL)
    host.views.put([Change(X, None)])
    host.turn(5)
    assert withdraw(1, A) in host.take_said(A)
    assert host.neighbor(A).proof_due_at is not None
    assert recorded_of(host, A) == {Y}


def test_a_withdraw_that_names_the_only_neighbor_left_is_retained_for_one_that_is_foreign():
    host = Host(neighbor_row(A), neighbor_row(B), neighbor_row(C))
    host.views.configure([Audience((A,)), Audience((A,), is_except=True)])
    host.talk.tasks.restored = True
    host.wish(X, Y, attributes=PerView(ONE.next_hop, by_view=(None, ONE)))
    host.turn(200)
    host.hear(SIGNAL)
    host.refuses = lambda line: line.startswith(f"neighbor {C} ")
    host.turn(200)
    assert host.neighbor(C).foreign
    host.take_said()
    host.views.put([Change(X, None)])
    host.turn(5)
    assert withdraw(1, B) in host.take_said(B)
    assert recorded_of(host, C) == {X, Y}


def test_what_comes_and_goes_while_a_neighbor_is_foreign_is_recorded_for_an_hour_from_its_last_withdraw():
    host = of_a_file()
    host.hear(SIGNAL)
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    turn(host, 200)
    assert host.neighbor(B).foreign
    for wanted in (None, ONE, None):
        host.now += RETAINED_S / 3
        host.views.put([Change(X, wanted)])
        turn(host, int(12 * POLL_S))
    host.now += RETAINED_S / 2
    turn(host, int(12 * POLL_S))
    assert recorded(host) == {X, Y}
    host.now += RETAINED_S / 2
    turn(host, int(12 * POLL_S))
    assert recorded(host) == {Y}


def test_withdraws_that_were_retained_are_recorded_some_at_a_time(monkeypatch):
    """All at once they would hold the keeper's lock, and be more than the store's queue takes."""
    monkeypatch.setattr(api_session, "RELEASED_AT_ONCE", 4)
    host = of_a_file()
    many = [bytes([10, 1, number, number % 3]) for number in range(30)]
    host.wish(*many)
    turn(host, 5)
    host.hear(SIGNAL)
    host.views.put([Change(prefix, None) for prefix in many])
    turn(host, 5)
    assert recorded(host) == {X, Y, *many}
    host.now += PROOF_AFTER_S + POLL_S
    left = [len(recorded(host))]
    while host.talk.wait_s(host.now) == WALK_PAUSE_S or len(left) < 8:
        line = host.say()
        left.append(len(recorded(host)))
        if line is not None:
            host.hear(*([json.dumps(host.rows).encode()] if "json" in line else []), DONE)
    assert recorded(host) == {X, Y}
    assert max(before - after for before, after in pairwise(left)) <= 2 * 4


def test_a_neighbor_that_is_down_is_tried_once_after_a_start():
    """No End-of-RIB shows whether it is ours, and what it may keep would be remembered for good."""
    host = Host(neighbor_row(A), neighbor_row(B, up=False), recalled=[(X, ONE), (Y, ONE)])
    host.wish(X, Y)
    host.talk.tasks.restored = True
    host.turn(10)
    assert host.neighbor(B).copies
    host.turn(int(10 * (PROOF_AFTER_S + POLL_S)))
    assert not host.neighbor(B).copies
    assert host.take_said(B) == [f"neighbor {B} {PROBE}"]
    host.turn(1000)
    assert not host.take_said(B)


def test_copies_share_what_is_the_same_and_count_it_once(monkeypatch):
    host = of_two_neighbors()
    monkeypatch.setattr(doubts, "KEPT_ROUTES_MAX", 3)
    tasks, rib = host.talk.tasks, host.views.sole.adj_rib_out
    host.hear(SIGNAL)
    (first,) = host.neighbor(B).copies
    assert host.neighbor(A).copies[0] is first
    assert tasks.copied_routes == 2
    host.hear(SIGNAL)
    assert host.neighbor(B).copies == (first,), "the same again is none"
    z = bytes([10, 0, 0, 3])
    host.wish(z)
    host.turn()
    host.hear(SIGNAL)
    _, second = host.neighbor(B).copies
    assert tasks.copied_routes == 3
    assert tuple(map(dict, rib.shards)) == second
    assert sum(one is not other for one, other in zip(first, second, strict=True)) == 1
    assert not any(one is other for one, other in zip(second, rib.shards, strict=True)), "a copy never changes"
    assert not host.told("may be another process's now")


def test_many_neighbors_with_nothing_to_withdraw_are_no_recursion():
    addresses = [f"198.51.{number >> 8}.{number & 255}" for number in range(NEIGHBORS_MAX)]
    host = Host(*map(neighbor_row, addresses))
    host.talk.tasks.restored = True
    host.wish(X)
    host.turn(2)
    host.hear(SIGNAL)
    host.hear(SIGNAL)  # what they may have missed between is said again
    host.now += PROOF_AFTER_S
    for neighbor in host.talk.tasks.neighbors:
        host.talk.tasks.adopt(neighbor.address, host.now)
    assert host.talk.tasks.kept_routes is not None
    host.wish(Y)
    host.take_said()
    steps = 0
    while host.talk.tasks.kept_routes is not None:
        line = host.say()
        if line == "show neighbor json\n":
            host.hear(json.dumps(host.rows).encode(), DONE)
        else:
            assert line is None or host.talk.tasks.kept_routes is None
            steps += 1
            assert (host.talk.wait_s(host.now) == WALK_PAUSE_S) == (host.talk.tasks.kept_routes is not None)
    assert steps >= NEIGHBORS_MAX
    assert host.talk.wait_s(host.now) > WALK_PAUSE_S


def test_a_prefix_that_can_not_be_withdrawn_at_a_neighbor_keeps_no_other():
    host = of_two_neighbors()
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.hear(up_event(B).replace(b'"up"', b'"down"'), up_event(B, counter=4))
    host.turn(400)
    host.views.put([Change(X, None), Change(Y, None)])
    host.turn(20)
    host.refuses = lambda line: (
        line.startswith(f"neighbor {B} withdraw attributes next-hop 192.0.2.1") and ".1/" in line
    )
    host.take_said()
    host.turn(int(10 * PROBE_MIN_S) + 110)
    assert withdraw(2, B) in host.take_said(B)
    assert host.talk.tasks.kept_routes is None
    assert not host.neighbor(B).foreign


def test_more_routes_than_can_be_kept_track_of_are_told(monkeypatch):
    monkeypatch.setattr(doubts, "KEPT_ROUTES_MAX", 1)
    host = of_two_neighbors()
    host.refuses = lambda line: line.startswith(f"neighbor {B} ")
    host.hear(up_event(B).replace(b'"up"', b'"down"'), up_event(B, counter=4))
    host.turn(400)
    assert host.told("what is withdrawn meanwhile may stay there")
    assert host.neighbor(B).copies == ()


def test_nothing_is_told_of_routes_of_an_earlier_process_that_are_too_many(monkeypatch):
    """No neighbor is in doubt by then: a warning at each start would be of nothing."""
    monkeypatch.setattr(doubts, "KEPT_ROUTES_MAX", 1)
    host = Talk()
    host.views.recall([(X, ONE), (Y, ONE)])
    host.ready(neighbor_row(A))
    (neighbor,) = host.talk.tasks.neighbors
    assert neighbor.copies == ()
    assert not [note.text for note in host.talk.notes.take() if "kept track of" in note.text]


def test_a_neighbor_whose_row_could_not_be_read_is_rid_of_what_it_kept():
    host = Host(neighbor_row(A))
    host.wish(X, Y)
    host.turn()
    host.rows = [neighbor_row(A), {"peer": {}}]
    host.turn(110)
    assert host.talk.tasks.neighbors.incomplete
    host.views.put([Change(X, Attributes(bytes([192, 0, 2, 2]), neighbors=(A,)))])  # B gets it no more
    host.turn(110)
    host.take_said()
    host.rows = [neighbor_row(A), neighbor_row(B)]
    host.turn(110)
    of_b = [line for line in host.take_said(B) if "next-hop 192.0.2.1" in line]
    assert of_b == [withdraw(1, B), f"neighbor {B} {announce(2)}"]


def test_a_neighbor_whose_row_could_not_be_read_is_rid_of_what_all_were_told_meanwhile():
    host = Host(neighbor_row(A), neighbor_row(C), {"peer": {}})
    assert host.talk.tasks.neighbors.incomplete
    host.wish(X, Y)
    host.turn(10)
    host.views.configure([Audience((A,)), Audience((A,), is_except=True)])
    host.wish(Y)
    host.views.put([Change(X, None)])
    host.turn(110)
    assert withdraw(1, C) in host.take_said(C), "a line that names those that are known"
    host.rows = [neighbor_row(A), neighbor_row(C), neighbor_row(B)]
    host.turn(110)
    assert withdraw(1, B) in host.take_said(B)
    host.rows += [neighbor_row("192.0.2.3")]
    host.turn(110)
    assert not [line for line in host.take_said("192.0.2.3") if "withdraw" in line], "it is new: all could be read"


@pytest.mark.parametrize(("routes_max", "copied"), [(2, 2), (1, 0)])
def test_what_is_kept_for_neighbors_that_can_not_be_read_is_bounded(monkeypatch, routes_max, copied):
    monkeypatch.setattr(doubts, "KEPT_ROUTES_MAX", routes_max)
    host = Host(neighbor_row(A))
    host.wish(X, Y)
    host.turn()
    host.rows = [neighbor_row(A), {"peer": {}}]
    host.turn(110)
    assert host.talk.tasks.neighbors.incomplete
    assert host.talk.tasks.copied_routes == copied


def test_what_a_neighbor_had_is_forgotten_with_its_row():
    host = of_two_views()
    host.wish(X, attributes=for_a(ONE))
    host.turn()
    host.rows = [neighbor_row(B)]
    host.turn(110)
    host.take_said()
    host.views.put([Change(X, None)])
    host.turn(20)
    assert host.take_said(A) == []
    assert host.views.announced(X) is None


@pytest.mark.parametrize("is_bad", [True, False], ids=["the prefix is bad", "the neighbor is foreign"])
def test_a_withdraw_before_an_attribute_change_that_is_refused(is_bad):
    host = Host(neighbor_row(A), neighbor_row(B, up=False))
    host.wish(X)
    host.turn(30)
    host.take_said()
    host.refuses = lambda line: f"neighbor {B} " in line and not (is_bad and line.endswith(PROBE))
    host.wish(X, attributes=TWO)
    host.turn(30)
    assert (announce(1, "192.0.2.2") in host.take_said()) == (not is_bad)
    assert host.neighbor(B).foreign == (not is_bad)
    assert host.views.progress(X) == ("refused" if is_bad else "announced")
    assert host.views.announced(X) == (ONE if is_bad else TWO)


def test_who_waits_for_an_attribute_change_that_is_refused_hears_of_it_also_without_a_margin():
    host = Host(neighbor_row(A), neighbor_row(B, up=False))
    host.wish(X)
    host.turn(30)
    host.views.acknowledgments.keep_s, host.views.acknowledgments.awaited = 0.0, {X: ()}
    host.refuses = lambda line: f"neighbor {B} " in line and not line.endswith(PROBE)
    host.wish(X, attributes=TWO)
    host.turn(30)
    assert host.views.acknowledgments.news[-1].stage == "refused"


def test_an_attribute_change_that_is_refused_leaves_the_old_attributes_unsure():
    """The old ones were withdrawn where a neighbor is down: wanted again, they are announced again."""
    host = Host(neighbor_row(A), neighbor_row(B, up=False))
    host.wish(X)
    host.turn(30)
    host.refuses = lambda line: line.startswith("announce") and "192.0.2.2" in line
    host.wish(X, attributes=TWO)
    host.turn(30)
    assert f"neighbor {B} withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n" in host.take_said()
    host.wish(X)
    host.turn(30)
    assert host.take_said() == [announce(1)]


def test_refused_cleaning_goes_prefix_by_prefix():
    host = Host(neighbor_row(A, up=False))
    host.views.recall([(X, ONE), (Y, ONE)])
    host.views.recall([(X, TWO), (Y, TWO)])
    host.refuses = lambda line: "10.0.0.1/32" in line and "192.0.2.1 " in line
    host.wish(X, Y, attributes=TWO)
    host.turn(20)
    cleaned = [line for line in host.said if line.startswith(f"neighbor {A} withdraw attributes next-hop 192.0.2.1")]
    assert [line.split(" nlri ")[1].split() for line in cleaned] == [
        ["10.0.0.1/32", "10.0.0.2/32"],
        ["10.0.0.1/32"],
        ["10.0.0.2/32"],
    ]
    assert {host.views.progress(prefix) for prefix in (X, Y)} == {"announced"}
    assert host.neighbor(A).flush_due, "that repairs what could not be cleaned"


# -- what is due beside routes


@pytest.mark.parametrize("task", ["flush adj-rib out", "announce eor ipv4 unicast"])
def test_what_was_refused_in_haste_is_asked_for_again(task):
    host = Host(neighbor_row(A, families=("ipv4 unicast",)))
    host.neighbor().want_flush()
    host.talk.tasks.restored = True
    refused: list[str] = []

    def once(line):
        if task in line and not refused:
            refused.append(line)
            return True
        return False

    host.refuses = once
    host.turn(1_000)
    assert host.said.count(f"neighbor {A} {task}\n") == 2
    assert not host.neighbor().foreign


def of_two_views_with_bulk():
    """A has all that is for it, and many routes wait for all others."""
    host = of_two_views()
    wide = [bytes([10, 1, number >> 8, number & 255]) for number in range(2_000)]
    host.views.put([Change(prefix, PerView(ONE.next_hop, by_view=(None, ONE))) for prefix in wide], bulk=True)
    return host


def one_by_one(host, step_s, lines=1_000):
    """Answer each line at once, for as long as routes of the bulk wait; gives the lines."""
    said: list[str] = []
    while host.views.of(B).reconciler.bulk and len(said) < lines:
        host.now += step_s
        line = host.say()
        if line is not None:
            said.append(line)
            host.hear(*([json.dumps(host.rows).encode()] if "json" in line else []), DONE)
    return said


def test_end_of_rib_waits_for_no_other_view_s_routes_and_holds_none_up():
    host = of_two_views_with_bulk()
    assert host.say() == f"neighbor {A} announce eor ipv4 unicast\n"
    assert host.say() is None, "it is alone in flight"
    host.hear(DONE)
    assert host.say() == f"neighbor {A} announce eor ipv6 unicast\n"
    host.hear(DONE)
    lines = [host.say() for _ in range(3)]
    assert [line is not None and f"neighbor {B} announce attributes" in line for line in lines] == [True, True, False]


def test_a_flush_waits_for_no_other_view_s_routes_but_for_its_own_and_for_the_replay():
    host = of_two_views_with_bulk()
    for address in (A, B):
        host.neighbor(address).want_flush()
    host.neighbor(A).replay_all()
    host.wish(X, attributes=for_a(ONE))
    said = one_by_one(host, 0.001)
    assert f"neighbor {A} flush adj-rib out\n" in said
    assert said.index(f"neighbor {A} flush adj-rib out\n") > said.index(f"neighbor {A} {announce(1)}")
    assert f"neighbor {B} flush adj-rib out\n" not in said
    host.turn(2)
    assert f"neighbor {B} flush adj-rib out\n" in host.said


def test_an_attribute_change_waits_for_no_other_view_s_routes_and_asks_seldom():
    host = of_two_views_with_bulk()
    one_by_one(host, 0.0, lines=4)  # End-of-RIB
    host.wish(X, attributes=for_a(ONE))
    assert host.say() == f"neighbor {A} {announce(1)}"
    host.hear(DONE)
    host.wish(X, attributes=for_a(TWO))
    said = one_by_one(host, 0.02)
    assert f"neighbor {A} {announce(1, '192.0.2.2')}" in said
    asked = [number for number, line in enumerate(said) if "json" in line]
    assert len(asked) <= len(said) * 0.02 / POLL_SOON_S + 1


def test_an_attribute_change_waits_a_minute_for_a_neighbor_that_drains_also_while_it_gets_more_routes():
    host = of_two_views()
    host.wish(X, attributes=for_a(ONE))
    host.turn()
    host.neighbor().draining, host.neighbor().updates = True, None
    host.wish(X, attributes=for_a(TWO))
    begun = host.now
    while f"neighbor {A} {announce(1, '192.0.2.2')}" not in host.said:
        assert host.now < begun + DRAIN_WAIT_MAX_S + 1.0
        host.rows[0]["messages"]["sent"]["update"] += 1_000
        host.wish(bytes([10, 1, 0, int(host.now) % 256]), attributes=for_a(ONE))
        host.turn()
    assert host.now >= begun + DRAIN_WAIT_MAX_S


# -- rows


def unreadable(address=A, **more):
    return {**neighbor_row(address), "families": 7, **more}


@pytest.mark.parametrize("row", [unreadable(), unreadable(peer={}), 7], ids=["but the address", "nothing", "no row"])
def test_a_row_that_can_not_be_read_costs_no_route(row):
    host = of_two_views()
    host.wish(X, attributes=for_a(ONE))
    host.turn()
    host.rows = [row, neighbor_row(B)]
    host.turn(210)
    host.take_said()
    host.views.put([Change(X, None)])
    host.wish(Y, attributes=for_a(ONE))
    host.turn(20)
    assert set(host.take_said()) == {
        f"neighbor {A} withdraw attributes next-hop 192.0.2.1 nlri 10.0.0.1/32\n",
        f"neighbor {A} announce attributes next-hop 192.0.2.1 nlri 10.0.0.2/32\n",
    }
    assert host.told("1 rows of `show neighbor json` can't be read (ExaBGP 5.0.15)")


def test_an_exabgp_all_of_whose_rows_can_not_be_read_gets_all_routes():
    host = Host(7)
    host.wish(X)
    host.turn()
    assert host.take_said() == [announce(1)]


def test_a_neighbor_of_which_only_the_address_can_be_read_is_told_everything():
    host = with_a_new_neighbor()
    host.rows[-1] = unreadable(B)
    host.turn(210)
    assert len(replayed(host)) == 49
    host.rows[-1] = neighbor_row(B)
    host.turn(210)
    assert len(host.talk.tasks.neighbors.at(B)) == 1
    assert host.neighbor(B).session.peer_as == 2


def test_neighbors_over_the_bound_get_their_routes_and_it_is_told():
    rows = [neighbor_row(f"198.51.{number >> 8}.{number & 255}") for number in range(NEIGHBORS_MAX)]
    host = Host(*rows, neighbor_row(A))
    assert len(host.talk.tasks.neighbors) == NEIGHBORS_MAX
    host.views.configure([Audience((A,)), Audience((A,), is_except=True)])
    host.wish(X, attributes=for_a(ONE))
    host.turn()
    assert host.take_said() == [f"neighbor {A} {announce(1)}"]
    host.views.configure([EVERYONE])
    host.turn(700)
    host.views.configure([Audience((rows[0]["peer"]["address"],), is_except=True)])
    host.wish(Y, attributes=PerView(ONE.next_hop, by_view=(ONE,)))
    host.turn()
    assert any(f"neighbor {A} announce" in line for line in host.take_said()), "everyone except one is all others"
    (told,) = host.told("neighbors; at most")
    assert f"ExaBGP has {NEIGHBORS_MAX + 1} neighbors; at most {NEIGHBORS_MAX}" in told
    assert "`[bgp] peers`" in told


def test_a_session_over_the_bound_takes_no_place_of_one_that_is_known():
    host = Host()
    host.rows = [neighbor_row(f"198.51.{number >> 8}.{number & 255}") for number in range(NEIGHBORS_MAX)] + host.rows
    host.turn(210)
    assert host.neighbor(A).up
