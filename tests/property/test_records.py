"""Any records come back from the file's bytes as they were, however they are spread over appends."""

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.model import Attributes, Claim
from dnstap_bgp.core.state.blocks import Kind, file_header
from dnstap_bgp.core.state.pending import Pending
from dnstap_bgp.core.state.records import frames
from dnstap_bgp.core.state.stamps import Stamp
from dnstap_bgp.workers.state.restore import restore

NOW = Stamp(1.8e9, 500_000.0, bytes(range(16)))

addresses = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
prefixes = addresses | st.binary(min_size=5, max_size=5) | st.binary(min_size=17, max_size=17)
milliseconds = st.integers(0, 10**9).map(lambda ms: ms / 1000)


@st.composite
def claims(draw):
    seen = NOW.boottime_s - draw(milliseconds)
    first = seen - draw(milliseconds)
    name = draw(st.binary(min_size=1, max_size=1016))
    ttl_s = NOW.boottime_s - seen + 1 + draw(milliseconds)
    return Claim(draw(addresses), draw(st.text(max_size=20)), name, seen, first, ttl_s)


word = st.text(max_size=20)
attributes = st.builds(
    Attributes,
    next_hop=addresses,
    communities=st.lists(word, max_size=3).map(tuple),
    large_communities=st.lists(word, max_size=3).map(tuple),
    local_preference=st.none() | st.integers(0, 2**32 - 1),
    med=st.none() | st.integers(0, 2**32 - 1),
    neighbors=st.lists(word, max_size=2).map(tuple),
)
appends = st.tuples(
    st.lists(claims(), max_size=8),
    st.lists(st.tuples(prefixes, attributes), max_size=8),
    st.lists(prefixes, max_size=8),
)


@given(st.lists(appends, max_size=6), st.data())
def test_the_file_says_what_was_appended(history, data):
    pending, raw = Pending(), file_header()
    for append in history:
        pending.add(*append)
        if data.draw(st.booleans()):  # several appends may share a block
            raw += b"".join(frames(Kind.CHANGES, *pending.take().columns(), NOW))
    raw += b"".join(frames(Kind.CHANGES, *pending.take().columns(), NOW))

    found: list[Claim] = []
    told: dict[bytes, Attributes] = {}

    def recall(came, gone):
        assert not {prefix for prefix, _ in came} & set(gone)
        for prefix in gone:
            told.pop(prefix, None)
        told.update(came)

    report = restore(lambda at, length: raw[at : at + length], len(raw), NOW, found.extend, recall)

    expected: dict[bytes, Attributes] = {}
    for _, came, gone in history:
        for prefix in gone:
            expected.pop(prefix, None)
        expected.update(came)
    assert told == expected
    assert report.survey.holes_total == 0
    everything = [claim for made, _, _ in history for claim in made]
    assert [claim[:3] for claim in found] == [claim[:3] for claim in everything]
    for one, other in zip(found, everything, strict=True):
        assert abs(one.seen - other.seen) < 0.001
        assert abs(one.first - other.first) < 0.002
        assert abs(one.ttl_s - other.ttl_s) < 0.001
