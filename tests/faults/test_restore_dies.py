"""Deaths in the middle of a restore: whatever came meanwhile, the restore that comes to its end keeps the caps."""

import threading
from pathlib import Path

import pytest

from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.state.blocks import Block, BlockKind, scan
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store

CAP, SEEN = 60, 80
ATTRIBUTES = Attributes(next_hop=bytes((192, 0, 2, 1)))
POLICY = Policy(list="default", ipv4=ATTRIBUTES, ipv6=None, ttl_s=100_000.0)


def live(path: Path, net: int, ends: str, count: int = SEEN) -> Keeper:
    """A process sees new addresses of one rule as soon as it may, then dies or takes back what the file has."""
    policies = Policies([POLICY], Guard(), Caps(rule_routes_max=CAP))
    keeper = Keeper(RouteTable(policies), Views(), RuleSet.build([("default", [Rule(b"big.example")])]))
    store = Store(path, lambda: None)
    assert store.lock(threading.Event())
    keeper.begin_restore()
    store.recall(keeper.recall)
    store.start(keeper.walk)
    keeper.end_recall()
    seen = [(bytes((11, net, 0, one)), "default", b"%d.big.example" % one, 300) for one in range(count)]
    if seen:
        keeper.observe(seen, keeper.rules)
    claims = keeper.dirty()
    assert store.append(claims=claims, records=[(claim.address, ATTRIBUTES) for claim in claims]).wait(60.0)
    if ends != "killed before":
        is_whole = store.adopt(keeper.adopt, lambda: ends == "killed midway", keeper.adopt_newcomers)
        assert (is_whole is None) == (ends == "killed midway")
    if ends == "killed judged":
        keeper.resync()
    if ends in ("killed behind", "whole"):
        store.end_restore(rewrite=keeper.resync() > 0)
    store.append(claims=keeper.dirty())
    if ends == "whole":
        assert store.save().wait(60.0)
    store.shutdown()
    assert store.join(60.0)
    return keeper


def held(keeper: Keeper) -> dict[int, int]:
    """How many addresses of each process are held."""
    found = [address[1] for shard in range(256) for address in keeper.table.claims.addresses(shard)]
    return {net: found.count(net) for net in sorted(set(found))}


@pytest.mark.parametrize("how", ["killed before", "killed midway"])
def test_newcomers_of_restores_that_were_killed_do_not_add_up_beyond_the_cap_of_their_rule(tmp_path: Path, how: str):
    path = tmp_path / "state"
    assert held(live(path, 0, "whole")) == {0: CAP}
    for number in range(1, 5):
        live(path, number, how)
    for number, ends in ((5, "killed behind"), (6, "whole"), (7, "whole")):
        assert held(live(path, number, ends)) == {0: CAP}


def test_newcomers_of_a_restore_that_was_killed_are_kept_where_there_is_room(tmp_path: Path):
    path = tmp_path / "state"
    live(path, 0, "whole", CAP - 10)
    live(path, 1, "killed before", 10)
    assert _kinds(path)[-1] is BlockKind.EARLY
    assert held(live(path, 2, "whole", 0)) == {0: CAP - 10, 1: 10}
    assert _kinds(path)[-1] is not BlockKind.EARLY
    assert held(live(path, 3, "whole")) == {0: CAP - 10, 1: 10}


def test_a_restore_that_found_nothing_to_refuse_says_so_in_the_file(tmp_path: Path):
    path = tmp_path / "state"
    live(path, 0, "whole", 5)
    live(path, 1, "killed behind", 5)
    assert _kinds(path)[-2:] == [BlockKind.EARLY, BlockKind.CHANGES]
    assert held(live(path, 2, "whole", 0)) == {0: 5, 1: 5}


def test_a_restart_loop_with_the_whole_file_read_each_time_records_no_newcomer_twice(tmp_path: Path):
    path = tmp_path / "state"
    live(path, 0, "whole", 20)
    live(path, 1, "killed before", 30)
    size = path.stat().st_size
    for _ in range(20):
        assert held(live(path, 2, "killed judged", 0)) == {0: 20, 1: 30}
    assert path.stat().st_size - size < 20 * 200
    assert held(live(path, 2, "whole", 0)) == {0: 20, 1: 30}


def _kinds(path: Path) -> list[BlockKind]:
    data = path.read_bytes()
    return [
        BlockKind(part.kind) for part in scan(lambda at, n: data[at : at + n], len(data)) if isinstance(part, Block)
    ]
