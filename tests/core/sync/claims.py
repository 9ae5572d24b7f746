"""What the tests of the sync draw."""

import re

from hypothesis import strategies as st

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.validation import packed_peer_address

ADDRESSES = (st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)).map(packed_peer_address)
NAMES = st.from_regex(re.compile(rb"(?:[a-z0-9_-]|\\[01][0-9]{2}|[!-+]){1,9}(?:\.[a-z0-9-]{1,9}){0,3}"), fullmatch=True)
CLAIMS = st.builds(
    lambda address, list_name, name, age_s, ttl_s: Claim(address, list_name, name, 1e6 - age_s, 1e6 - age_s, ttl_s),
    ADDRESSES,
    st.sampled_from(["default", "other", ""]),
    NAMES,
    st.floats(0, 1e6),
    st.sampled_from([60.0, 3600.0, 86400.0]),
)
