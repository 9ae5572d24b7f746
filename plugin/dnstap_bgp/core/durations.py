"""Durations as people write them: `24h`, `1h30m`, `1.5h`, `500ms`, `0`."""

import re

UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each unit: those of Go's durations, which existing files hold, and days."""

_TERM = r"([0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(ns|us|µs|ms|s|m|h|d)"
_ONE_TERM = re.compile(_TERM)
_WHOLE = re.compile(f"(?:{_TERM}){{1,8}}")


def parse_duration(text: str) -> float:
    """Read a duration: numbers with their units, added up.

    Args:
        text: `1h30m`, `90s`, `0`. Every number but a lone 0 needs its unit; nothing is negative.

    Returns:
        Seconds.

    Raises:
        ValueError: It is no duration.
    """
    if text == "0":
        return 0.0
    if not _WHOLE.fullmatch(text):
        msg = f"{text!r} is no duration: write it as `24h`, `90s` or `1h30m`"
        raise ValueError(msg)
    return sum(float(number) * UNITS_S[unit] for number, unit in _ONE_TERM.findall(text))
