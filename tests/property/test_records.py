"""Any records come back from the file's bytes as they were, however they are spread over appends."""

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.commands.dump import Dump
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Claim, ViewPrefix
from dnstap_bgp.core.state.blocks import BlockKind, file_header
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.core.state.records import frames
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.validation import WELL_KNOWN_COMMUNITIES, unusable_next_hop
from dnstap_bgp.workers.state.restore import restore

NOW = Stamp(1.8e9, 500_000.0, bytes(range(16)))

four, six = st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)
addresses = four | six


def networks(size: int) -> st.SearchStrategy[bytes]:
    """Networks without host bits, with their length behind."""
    return st.builds(
        lambda value, length: (value >> size - length << size - length).to_bytes(size // 8) + bytes([length]),
        st.integers(0, 2**size - 1),
        st.integers(0, size),
    )


octets = st.sampled_from([b"a", b"0", b"-", b"_", b"\\000", b"\\046", b"\\255"])
names = st.lists(st.lists(octets, min_size=1, max_size=63).map(b"".join), min_size=1, max_size=4).map(b".".join)
list_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
milliseconds = st.integers(0, 10**9).map(lambda ms: ms / 1000)


@st.composite
def claims(draw):
    seen = NOW.boottime_s - draw(milliseconds)
    first = seen - draw(milliseconds)
    name = draw(names)
    ttl_s = NOW.boottime_s - seen + 1 + draw(milliseconds)
    return Claim(draw(addresses), draw(list_names), name, seen, first, ttl_s)


uint16, uint32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)


def attributes(next_hops: st.SearchStrategy[bytes]) -> st.SearchStrategy[Attributes]:
    """All that a configuration could give."""
    return st.builds(
        Attributes,
        next_hop=next_hops,
        communities=st.lists(
            st.builds("{}:{}".format, uint16, uint16) | st.sampled_from(sorted(WELL_KNOWN_COMMUNITIES)), max_size=3
        ).map(tuple),
        large_communities=st.lists(st.builds("{}:{}:{}".format, uint32, uint32, uint32), max_size=3).map(tuple),
        local_preference=st.none() | uint32,
        med=st.none() | uint32,
        neighbors=st.lists(st.ip_addresses().map(str), max_size=2).map(tuple),
    )


usable_four = (
    st.ip_addresses(v=4).filter(lambda found: unusable_next_hop(found) is None).map(lambda found: found.packed)
)
usable_six = st.ip_addresses(v=6).filter(lambda found: unusable_next_hop(found) is None).map(lambda found: found.packed)
told = st.one_of(
    st.tuples(four | networks(32), attributes(usable_four)),
    st.tuples(six | networks(128), attributes(usable_six)),
)
prefixes = addresses | networks(32) | networks(128)
appends = st.tuples(
    st.lists(claims(), max_size=8),
    st.lists(told, max_size=8),
    st.lists(prefixes, max_size=8),
)


def changes(pending):
    batch = pending.take()
    return frames(BlockKind.CHANGES, batch.claims, batch.records, NOW)


@given(st.lists(appends, max_size=6), st.data())
def test_the_file_says_what_was_appended(history, data):
    pending, raw = Pending(), file_header()
    for append in history:
        made, came, gone = append
        pending.add(made, [*((prefix, None) for prefix in gone), *came])
        if data.draw(st.booleans()):  # several appends may share a block
            raw += b"".join(changes(pending))
    raw += b"".join(changes(pending))

    found: list[Claim] = []
    announced: dict[bytes, Attributes] = {}

    def recall(records):
        kinds = {(prefix, told is None) for prefix, told in records}
        assert len(kinds) == len({prefix for prefix, _ in records}), "withdrawn ones are read first"
        for prefix, told in records:
            announced.pop(prefix, None)
            if told is not None:
                announced[prefix] = told

    report = restore(lambda at, length: raw[at : at + length], len(raw), NOW, found.extend, recall)

    expected: dict[bytes, Attributes] = {}
    for _, came, gone in history:
        for prefix in gone:
            expected.pop(prefix, None)
        expected.update(came)
    assert announced == expected
    assert report.survey.holes_total == 0
    everything = [claim for made, _, _ in history for claim in made]
    assert [claim[:3] for claim in found] == [claim[:3] for claim in everything]
    for one, other in zip(found, everything, strict=True):
        assert abs(one.seen - other.seen) < 0.001
        assert abs(one.first - other.first) < 0.002
        assert abs(one.ttl_s - other.ttl_s) < 0.001


NAMED = ("192.0.2.1", "192.0.2.2", "2001:db8::3")
OTHER = "192.0.2.9"
audiences = st.builds(
    lambda names, is_except: Audience(tuple(names), is_except=is_except),
    st.lists(st.sampled_from(NAMED), max_size=3, unique=True),
    st.booleans(),
).filter(bool)
few = st.sampled_from([bytes((198, 51, 100, number)) for number in range(3)])
some_sets = st.sampled_from([None, *(Attributes(bytes((10, 0, 0, number))) for number in (1, 2))])
views_records = st.lists(
    st.tuples(few, st.none() | audiences, some_sets).map(
        lambda found: (found[0] if found[1] is None else ViewPrefix(found[0], found[1]), found[2])
    ),
    max_size=8,
)


def each_has(records):
    """What each neighbor has: the last record that is about it."""
    found = {}
    for key, told in records:
        prefix, audience = (key, EVERYONE) if isinstance(key, bytes) else key
        for neighbor in (*NAMED, OTHER):
            if neighbor in audience:
                found[neighbor, prefix] = told
    return {place: told for place, told in found.items() if told is not None}


fates = st.sampled_from(["written", "queued"]) | views_records  # those that come while a write fails


@given(st.lists(st.tuples(views_records, fates), max_size=6))
def test_each_neighbor_has_what_the_last_record_about_it_says(history):
    """However records about overlapping neighbors are spread over appends, blocks and writes that failed."""
    pending, raw, appended = Pending(), file_header(), []
    for records, fate in history:
        pending.add([], records)
        appended += records
        if fate == "written":
            raw += b"".join(changes(pending))
        elif fate != "queued":
            batch = pending.take()
            pending.add([], fate)
            appended += fate
            pending.give_back(batch)
    raw += b"".join(changes(pending))
    told, views, dumped = [], Views(), Dump(NOW)

    def recall(records):
        told.extend(records)
        views.recall(records)
        dumped.recall(records)

    restore(lambda at, length: raw[at : at + length], len(raw), NOW, lambda _: None, recall)
    expected = each_has(appended)
    assert each_has(told) == expected
    for neighbor in (*NAMED, OTHER):
        view = views.of(neighbor)
        shards = view.reconciler.adj_rib_out.shards if view is not None else []
        has = {prefix: found for shard in shards for prefix, found in shard.items()}
        assert has == {prefix: found for (of, prefix), found in expected.items() if of == neighbor}
    dumped_of = {
        (neighbor, prefix): found
        for prefix, _, by_audience in dumped.routes()
        for audience, found in by_audience.items()
        for neighbor in (*NAMED, OTHER)
        if audience is None or neighbor in audience
    }
    assert dumped_of == expected
