import pytest

from dnstap_bgp.core.lists.plausible import refusal


@pytest.mark.parametrize(
    ("had", "has", "shrink_max", "growth_max", "word"),
    [
        (0, 0, None, None, None),
        (0, 1_000_000, None, None, None),
        (10, 0, None, None, "empty"),
        (10, 0, 1.0, None, "empty"),
        (999, 1, None, None, None),
        (1000, 499, None, None, "half-written"),
        (1000, 500, None, None, None),
        (10, 4, 0.5, None, "half-written"),
        (10, 9, 0.0, None, "half-written"),
        (10, 1, 1.0, None, None),
        (10, 9_999, None, None, None),
        (10, 10_000, None, None, "another list"),
        (1001, 10_010, None, None, None),
        (1000, 10_001, None, None, "another list"),
        (10, 20, None, 1.0, None),
        (10, 21, None, 1.0, "another list"),
        (10, 11, None, 0.0, "another list"),
    ],
)
def test_refusal(had: int, has: int, shrink_max: float | None, growth_max: float | None, word: str | None):
    found = refusal(had, has, shrink_max, growth_max)
    assert (found is None) == (word is None)
    assert (word or "") in (found or "")


def test_for_what_is_fetched_a_loss_counts_at_any_size():
    assert refusal(10, 4, None, None, shrink_from=0)
    assert not refusal(10, 5, None, None, shrink_from=0)
