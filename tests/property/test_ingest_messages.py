"""The readers of DNS messages agree with dnspython, whatever comes and whatever came before."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.dns.answer import parse
from dnstap_bgp.core.dns.svcb import address_hints
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.prefilter import Prefilter
from dnstap_bgp.errors import DnsError
from tests.property.messages import HTTPS, addresses_in, draw_svcb, draw_wires, expected, rules

RULES = rules()
PREFILTER = Prefilter(RULES)  # of all examples: what one leaves in the memo must not mislead the next


def prefiltered(prefilter: Prefilter, wires: list[bytes]) -> list[list[Sighting]]:
    found: list[list[Sighting]] = [[] for _ in wires]
    for candidate in prefilter.scan(wires):
        try:
            found[candidate[0]] = prefilter.read(candidate) or []
        except DnsError:
            continue
    return found


def parsed(wire: bytes) -> list[Sighting]:
    try:
        return parse(wire, RULES.lists).sightings()
    except DnsError:
        return []


@given(st.integers(0, 1 << 64))
@settings(max_examples=200, deadline=None)
def test_fast_and_exact_reader_agree_with_dnspython(seed: int):
    wires = draw_wires(random.Random(seed), 12)
    wanted = [sorted(expected(wire, RULES.lists)) for wire in wires]
    assert [sorted(parsed(wire)) for wire in wires] == wanted
    for prefilter in (PREFILTER, PREFILTER, Prefilter(RULES)):
        assert [sorted(found) for found in prefiltered(prefilter, wires)] == wanted


@given(st.integers(0, 1 << 64))
@settings(max_examples=200, deadline=None)
def test_hints_agree_with_dnspython(seed: int):
    data = draw_svcb(random.Random(seed))
    try:
        found = list(address_hints(HTTPS, data))
    except DnsError:
        found = []
    try:
        wanted = addresses_in(HTTPS, data)
    except Exception:  # noqa: BLE001 - whatever dnspython refuses it with
        wanted = []
    assert found == wanted


def test_the_generator_makes_what_matters():
    pick = random.Random(1)
    wires = draw_wires(pick, 3000)
    wanted = [expected(wire, RULES.lists) for wire in wires]
    assert sum(map(bool, wanted)) > 250
    assert sum(len({sighting[2] for sighting in found}) > 1 for found in wanted) > 30
    prefilter = Prefilter(RULES)
    prefiltered(prefilter, wires)
    assert 1000 < len(prefilter.scan(wires)) < 2800
