"""Replaying all changes of the route table yields exactly the set that a naive definition calls live."""

from hypothesis import assume, given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable

TTLS = {"one": 10.0, "two": 4.0}
POLICIES = [
    Policy(list=name, ipv4=Attributes(next_hop=bytes((192, 0, 2, index))), ipv6=None, ttl_s=ttl_s)
    for index, (name, ttl_s) in enumerate(TTLS.items(), 1)
]
ADDRESSES = [bytes((198, 51, 100, host)) for host in range(1, 4)]

steps = st.lists(
    st.tuples(
        st.sampled_from(ADDRESSES),
        st.sampled_from(list(TTLS)),
        st.sampled_from([b"a.example", b"b.example"]),
        st.floats(0, 6),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(steps)
def test_changes_replay_to_the_live_set(plan):
    table = RouteTable(Policies(POLICIES, Guard()))
    told: dict[bytes, Attributes | None] = {}
    seen, now = {}, 0.0
    for address, list_name, name, pause, at_most in plan:
        now += pause
        changes, _ = table.expire(now, at_most)
        changes += table.observe([(address, list_name, name, 0)], now)
        seen[address, list_name, name] = now
        told |= dict(changes)
    # A claim ends in the second after its deadline: look at a moment when all that is due has ended.
    now = float(int(now) + 1)
    # One that was refreshed may end right at its deadline, where an entry of its former one is looked at then.
    assume(all(moment + TTLS[list_name] != now for (_, list_name, _), moment in seen.items()))
    changes, more = table.expire(now, 10_000)
    assert not more
    told |= dict(changes)
    told = {prefix: attributes for prefix, attributes in told.items() if attributes is not None}
    live = {}
    for policy in reversed(POLICIES):
        for (address, list_name, _), moment in seen.items():
            if list_name == policy.list and int(moment + TTLS[list_name]) + 1 > now:
                live[address] = policy.ipv4
    assert told == live
    assert len(table) == len(live)
