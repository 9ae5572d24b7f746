"""StdinReader and writer on pipes: floods, stalls, ends."""

from tests.workers.exabgp.bgp_kit import Plugin, fill, has_caught_up, ipv4


def test_what_is_wanted_is_said(script, plugin):
    script.start()
    plugin.keeper.put(ipv4(1))
    script.wait(1)
    assert script.lines == [b"announce attributes next-hop 192.0.2.1 nlri 10.0.0.0/32\n"]
    plugin.wait(has_caught_up)
    plugin.keeper.put({bytes([10, 0, 0, 0]): None})
    script.wait(2)
    plugin.wait(has_caught_up)
    assert plugin.keeper.told() == {}


def test_a_host_that_reads_nothing_does_not_hold_up_the_end(script):
    fill(script.stdout)
    plugin = Plugin(script.stdin, script.stdout)
    plugin.wait(lambda status: status.stalled_s > 0)
    plugin.stop()
    assert plugin.bgp._writer is not None
    assert not plugin.bgp._writer._thread.is_alive()


def test_a_stall_loses_nothing(script, plugin):
    script.start()
    plugin.wait(lambda status: status.stage == "ready")
    script.answering.clear()
    plugin.keeper.put(ipv4(5_000), bulk=True)
    plugin.keeper.put(dict.fromkeys(ipv4(2_000), None), bulk=True)
    script.answering.set()
    plugin.wait(has_caught_up)
    assert plugin.keeper.told() == plugin.keeper.live
    assert len(plugin.keeper.live) == 3_000
