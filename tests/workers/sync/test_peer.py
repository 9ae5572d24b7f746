"""Configured peers, and who follows our stream."""

import asyncio
import logging

import pytest

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.core.sync.clock_offset import SKEW_TOLD_S, Offset
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.sync.peer import Followers, Peer

LOG = RateLimitedLog(logging.getLogger("dnstap_bgp.tests"), process_clock)
ONE, TWO = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
OURS, THEIRS = "0" * 16, "f" * 16


def peer(host: str = "192.0.2.1") -> Peer:
    return Peer(TcpAddress(host, 8080), LOG)


def test_an_address_needs_no_look_up_and_has_one_form():
    assert peer().addresses == {ONE}
    assert peer("::ffff:192.0.2.1").addresses == {ONE}
    found = peer("localhost")
    assert found.addresses == frozenset()
    asyncio.run(found.look_up())
    assert bytes([127, 0, 0, 1]) in found.addresses


def test_a_name_that_can_be_none_is_no_fault():
    for name in ("a..b", "x" * 70 + ".example", "no-such-name.invalid"):
        with pytest.raises(OSError, match=r".+"):
            asyncio.run(peer(name).look_up())


def test_a_clock_that_is_off_is_logged_once_until_it_is_right(caplog: pytest.LogCaptureFixture):
    found = peer()
    for skew_s in (SKEW_TOLD_S + 1, SKEW_TOLD_S + 5, 0.0, -SKEW_TOLD_S - 1):
        found.clock_is(Offset(skew_s, skew_s))
    assert [("ahead of" in text, "behind" in text) for text in caplog.messages] == [(True, False), (False, True)]


def test_followers_are_told_apart_by_process_and_by_address():
    one, two = peer(), peer("192.0.2.2")
    followers = Followers([one, two], OURS)
    one.node = THEIRS
    with followers.joined("198.51.100.9", b"\xc6\x33\x64\x09", THEIRS) as known_by_node:
        assert known_by_node.peer is one
    with followers.joined("192.0.2.2", TWO, "") as known_by_address:
        assert known_by_address.peer is two
        known_by_address.give(3)
        assert two.given == known_by_address.given == 3
        assert followers.status() == [], "a configured peer has its own status"
        assert two.knocked.is_set()
    with followers.joined("198.51.100.9", b"\xc6\x33\x64\x09", "") as stranger:
        stranger.give(2)
        (found,) = followers.status()
        assert (found.address, found.given, found.is_configured) == ("198.51.100.9 (follows us)", 2, False)
    assert len(followers) == 0


def test_two_peers_at_one_address_are_not_mixed_up():
    one, two = peer(), peer()
    with Followers([one, two], OURS).joined("192.0.2.1", ONE, "") as found:
        assert found.peer is None
        assert one.knocked.is_set()
        assert two.knocked.is_set()


def test_our_own_stream_to_ourselves_is_no_reason_to_try_again():
    found = peer()
    with Followers([found], OURS).joined("192.0.2.1", ONE, OURS):
        assert not found.knocked.is_set()
