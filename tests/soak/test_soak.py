"""Five minutes of the soak; `python -m tests.soak --hours N` takes as long as one likes."""

from pathlib import Path

import pytest

from tests.soak.rounds import soak

SECONDS = 300


@pytest.mark.long
@pytest.mark.netns
@pytest.mark.timeout(900)
@pytest.mark.real("bird", "birdc", "named", "unbound", "dnsperf", "redis-server", "redis-cli", "mount", "ip")
def test_five_minutes_leave_equal_sets_and_no_slope(tmp_path: Path):
    found = soak(tmp_path, tmp_path / "out", SECONDS, 1, print)
    assert not found.failures, "\n".join(found.failures)
    assert found.quiet >= 3
    assert len(found.slopes) > 8
