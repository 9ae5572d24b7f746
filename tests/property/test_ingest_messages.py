"""The readers of DNS messages agree with dnspython, whatever comes and whatever came before."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.dns.answer import parse
from dnstap_bgp.core.dns.service import hints
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.screen import Screen
from dnstap_bgp.errors import DnsError
from tests.property.messages import HTTPS, addresses_in, draw_service, draw_wires, expected, rules

RULES = rules()
SCREEN = Screen(RULES)  # of all examples: what one leaves in the memo must not mislead the next


def screened(screen: Screen, wires: list[bytes]) -> list[list[Sighting]]:
    found: list[list[Sighting]] = [[] for _ in wires]
    for hit in screen.scan(wires):
        try:
            found[hit[0]] = screen.read(hit) or []
        except DnsError:
            continue
    return found


def parsed(wire: bytes) -> list[Sighting]:
    try:
        return parse(wire).sightings(RULES.lists)
    except DnsError:
        return []


@given(st.integers(0, 1 << 64))
@settings(max_examples=200, deadline=None)
def test_fast_and_exact_reader_agree_with_dnspython(seed: int):
    wires = draw_wires(random.Random(seed), 12)
    wanted = [sorted(expected(wire, RULES.lists)) for wire in wires]
    assert [sorted(parsed(wire)) for wire in wires] == wanted
    for screen in (SCREEN, SCREEN, Screen(RULES)):
        assert [sorted(found) for found in screened(screen, wires)] == wanted


@given(st.integers(0, 1 << 64))
@settings(max_examples=200, deadline=None)
def test_hints_agree_with_dnspython(seed: int):
    data = draw_service(random.Random(seed))
    try:
        found = list(hints(HTTPS, data))
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
    screen = Screen(RULES)
    screened(screen, wires)
    assert 1000 < len(screen.scan(wires)) < 2800
