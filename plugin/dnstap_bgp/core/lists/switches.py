"""Switches of lists: which lists a person has turned on or off, for good or for a time, in place of `enabled`.

A switch stands until it is undone: by its time, by another switch, or by one that says what the configuration says.
Times are by the wall clock, as they outlive a process.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dnstap_bgp.core.timing import DURATION_MAX_S
from dnstap_bgp.core.validation import is_list_name
from dnstap_bgp.errors import CommandError

SWITCHES_MAX = 256
"""Lists with a switch: four times as many as a configuration may have, as some are of lists that are gone for now."""

WHO_MAX = 128
"""Characters of the name of who has switched."""


class Switch(NamedTuple):
    """Switch of one list.

    Attributes:
        enabled: The list counts.
        until: Wall clock when the switch undoes itself; None: never.
        at: Wall clock when it was made.
        who: Who made it, in printable characters; empty: not known.
    """

    enabled: bool
    until: float | None
    at: float
    who: str = ""


class SwitchRequest(NamedTuple):
    """Request to switch a list.

    Attributes:
        list: Its name.
        enabled: It is to count.
        for_s: Seconds after which the switch undoes itself; None: never.
        who: Who asks.
    """

    list: str
    enabled: bool
    for_s: float | None = None
    who: str = ""


class Switches:
    """Switches by list name; immutable, so that a change can be written before it is in force.

    Args:
        by_list: The switches; also of lists that the configuration doesn't name now.
    """

    def __init__(self, by_list: Mapping[str, Switch] | None = None) -> None:
        self.by_list: Mapping[str, Switch] = dict(by_list or {})

    def off(self, configured: Mapping[str, bool], now: float) -> frozenset[str]:
        """Name the lists that don't count now.

        Args:
            configured: List name -> its `enabled` in the configuration.
            now: Wall clock.
        """
        switches = self.at(now).by_list
        return frozenset(
            name
            for name, enabled in configured.items()
            if not (switches[name].enabled if name in switches else enabled)
        )

    def off_texts(self, configured: Mapping[str, bool], now: float) -> dict[str, str]:
        """Tell of each list that doesn't count now by whom it is off and until when: `by alice until ...`.

        Args:
            configured: See `off`.
            now: Wall clock.
        """
        switches = self.at(now).by_list
        return {name: _off_text(switches.get(name)) for name in sorted(self.off(configured, now))}

    def at(self, now: float) -> "Switches":
        """Return the switches that stand at a time; this very object where all do.

        Args:
            now: Wall clock.
        """
        standing = {name: one for name, one in self.by_list.items() if one.until is None or one.until > now}
        return self if len(standing) == len(self.by_list) else Switches(standing)

    def switched(self, name: str, switch: Switch, *, configured: bool) -> "Switches":
        """Return the switches with one list's changed.

        Args:
            name: The list.
            switch: What it is to be. If that is what the configuration says, the list needs no switch any more.
            configured: Its `enabled` in the configuration.

        Raises:
            CommandError: There are too many.
        """
        others = {other: one for other, one in self.by_list.items() if other != name}
        if switch.enabled == configured:
            return Switches(others)
        if len(others) >= SWITCHES_MAX:
            raise CommandError(f"{SWITCHES_MAX} lists are switched by hand: undo some that are no longer configured")
        return Switches({**others, name: switch})

    def to_json(self) -> str:
        """Write them as JSON: list name -> `{"enabled", "until", "at", "who"}`."""
        return json.dumps({name: one._asdict() for name, one in self.by_list.items()}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Switches":
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else: what and where.
        """
        try:
            found = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(found, dict) or len(found) > SWITCHES_MAX:
            raise ValueError(f"it is no JSON object of at most {SWITCHES_MAX} lists")
        return cls({name: _read(name, one) for name, one in found.items()})


def _off_text(switch: Switch | None) -> str:
    if switch is None:
        return "by the configuration (enabled = false)"
    who = f"by {switch.who}" if switch.who else "by hand"
    if switch.until is None:
        return who
    return f"{who} until {datetime.fromtimestamp(switch.until, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _read(name: str, found: Any) -> Switch:  # noqa: ANN401 - JSON
    """Read one switch.

    Raises:
        ValueError: It is none.
    """
    if not is_list_name(name):
        raise ValueError("it names a list whose name no list can have")
    found = found if isinstance(found, dict) else {}
    enabled, until, at, who = (found.get(key) for key in ("enabled", "until", "at", "who"))
    is_whole = isinstance(enabled, bool) and _is_time(at) and (until is None or _is_time(until))
    if not is_whole or not isinstance(who, str) or len(who) > WHO_MAX or not who.isprintable():
        raise ValueError(f"{name}: `enabled`, `until`, `at` or `who` is missing or wrong")
    return Switch(enabled, until, at, who)


def _is_time(found: object) -> bool:
    """Tell whether a value is a wall-clock time: finite, and less than ten years after the year 2100."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return 0 <= found < 4_102_444_800 + DURATION_MAX_S  # also false of NaN, and of what no float can hold
