"""The hub by itself: what it writes down, and when."""

import asyncio

import pytest

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync.delta import CLAIMS_MAX
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync import hub
from dnstap_bgp.workers.sync.hub import Hub
from tests.workers.sync.instance import Instance, config


def claim(number: int, *, age_s: float, ttl_s: float = 3600.0) -> Claim:
    now = process_clock()
    return Claim(bytes((11, 0, 0, number)), "default", b"www.example", now, now - age_s, ttl_s)


@pytest.mark.parametrize(("ttl_s", "frames"), [(3600.0, [1, 10]), (10.0, [11])], ids=["long", "short"])
def test_refreshes_wait_for_others_and_what_is_new_does_not(monkeypatch, ttl_s, frames):
    monkeypatch.setattr(hub, "REFRESH_S", 1.5)
    made = Hub(Instance(config(None)).keeper, None)

    async def scene() -> None:
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        for number in range(10):
            made.feed([claim(number, age_s=60, ttl_s=ttl_s)])
        made.feed([claim(10, age_s=0.1, ttl_s=ttl_s)])
        while sum(record.claims for record in made.replication_log.after(0, 1 << 20)) < 11:
            assert await made.changed(made.replication_log.seq, 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())
    assert [record.claims for record in made.replication_log.after(0, 1 << 20)] == frames


def test_refreshes_that_are_many_do_not_wait(monkeypatch):
    monkeypatch.setattr(hub, "REFRESH_S", 3600.0)
    made = Hub(Instance(config(None)).keeper, None)

    async def scene() -> None:
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        made.feed([claim(number % 250, age_s=60) for number in range(CLAIMS_MAX + 1)])
        assert await made.changed(0, 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())
