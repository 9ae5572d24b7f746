"""Margins by neighbor, and the bound that follows from them."""

import pytest

from dnstap_bgp.core.hold.margins import Margins


def test_a_named_neighbor_has_its_own_margin_and_others_the_default():
    margins = Margins(0.003, {"192.0.2.1": 0.07})
    assert (margins.of("192.0.2.1"), margins.of("192.0.2.2")) == (0.07, 0.003)
    assert margins.largest_s == 0.07


def test_where_nothing_is_said_a_route_stands_after_3_ms_and_is_waited_for_50():
    margins = Margins()
    assert (margins.of("192.0.2.1"), margins.largest_s, margins.bound_s) == (0.003, 0.003, 0.05)


@pytest.mark.parametrize(
    ("default_s", "named_s", "give_up_s", "bound_s"),
    [
        (0.003, 0.003, None, 0.05),
        (0.003, 0.07, None, 0.11),
        (0.03, 0.003, None, 0.07),
        (0.003, 0.19, None, 0.2),
        (0.003, 0.07, 0.08, 0.08),
    ],
)
def test_the_bound_leaves_time_beside_the_largest_margin(default_s, named_s, give_up_s, bound_s):
    assert Margins(default_s, {"192.0.2.1": named_s}, give_up_s).bound_s == pytest.approx(bound_s)
