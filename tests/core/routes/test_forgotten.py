"""What was forgotten by hand: bounded, for an hour, and by address and name apart."""

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.routes.forgotten import FORGET_S, FORGOTTEN_MAX, Forgotten

A = bytes([198, 51, 100, 1])


def claim(address: bytes, name: bytes = b"a.example", seen: float = 0.0) -> Claim:
    return Claim(address, "default", name, seen, seen, 100.0)


def test_what_is_forgotten_is_bounded_and_the_oldest_gives_way():
    forgotten = Forgotten()
    for number in range(FORGOTTEN_MAX + 1):
        forgotten.add_address(number.to_bytes(4), 100.0)
        forgotten.add_name(b"n%d" % number, 100.0)
    assert forgotten.address_until(bytes(4), 100.0) is forgotten.name_until(b"n0", 100.0) is None
    assert forgotten.address_until((1).to_bytes(4), 100.0) == 100.0 + FORGET_S
    assert len(forgotten._addresses) == len(forgotten._names) == FORGOTTEN_MAX


def test_an_address_and_a_name_of_the_same_bytes_are_two():
    forgotten = Forgotten()
    forgotten.add_name(b"a.bc", 0.0)
    assert forgotten.address_until(b"a.bc", 0.0) is None
    assert not forgotten.covers(claim(b"a.bc"), 0.0)
    assert forgotten.covers(claim(A, b"a.bc"), 0.0)


def test_it_is_over_after_a_while_and_a_sighting_of_our_own_counts_from_then_on():
    forgotten = Forgotten()
    forgotten.add_address(A, 10.0)
    assert forgotten.covers(claim(A, seen=11.0), 11.0)
    assert forgotten.covers(claim(A, seen=9.0), 11.0, own=True)
    assert not forgotten.covers(claim(A, seen=11.0), 11.0, own=True)
    assert not forgotten.covers(claim(A, seen=11.0), 10.0 + FORGET_S)
    assert not forgotten


def test_what_was_seen_at_the_moment_of_its_forgetting_is_forgotten():
    forgotten = Forgotten()
    forgotten.add_name(b"a.example", 10.0)
    assert forgotten.covers(claim(A, seen=10.0), 11.0, own=True)
    assert not forgotten.covers(claim(A, seen=10.001), 11.0, own=True)
    assert forgotten.covers(claim(A, seen=11.0), 10.0 + FORGET_S - 0.001)
    assert FORGET_S == 3600


def test_what_is_forgotten_again_is_forgotten_for_longer_and_is_the_last_to_give_way():
    forgotten = Forgotten()
    for number in range(FORGOTTEN_MAX):
        forgotten.add_address(number.to_bytes(4), 100.0)
    forgotten.add_address(bytes(4), 200.0)
    assert forgotten.address_until(bytes(4), 200.0) == 200.0 + FORGET_S
    forgotten.add_address(b"more", 200.0)
    assert forgotten.address_until(bytes(4), 200.0) is not None
    assert forgotten.address_until((1).to_bytes(4), 200.0) is None
    forgotten.recall(bytes(4))
    assert forgotten.address_until(bytes(4), 200.0) is None
    forgotten.recall(bytes(4))
