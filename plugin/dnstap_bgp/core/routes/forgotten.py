"""What an operator had forgotten by hand: for a while nothing from before, nor a peer, brings it back.

A sighting of our own does: who asked to forget an address that is in use has not asked never to route it again (that is
what `deny` and exceptions are for). So the hot path doesn't ask here, only the way in for claims that others made.
"""

from collections import OrderedDict

from dnstap_bgp.core.model import Address, Claim, Name

FORGET_S = 3600.0
"""A peer pulls everything from us within its `sync_interval`, 10 min by default, and its own claim ends or is refreshed
meanwhile."""

FORGOTTEN_MAX = 4_096
"""Typed by hand or by a script; beyond it the oldest gives way."""


class Forgotten:
    """For the holder of the keeper's lock."""

    __slots__ = ("_addresses", "_names")

    def __init__(self) -> None:
        self._addresses: OrderedDict[Address, float] = OrderedDict()
        self._names: OrderedDict[Name, float] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._addresses or self._names)

    def add_address(self, address: Address, until: float) -> None:
        """Forget an address until then, process clock."""
        _put(self._addresses, address, until)

    def add_name(self, name: Name, until: float) -> None:
        """Forget a name until then."""
        _put(self._names, name, until)

    def recall(self, address: Address) -> None:
        """Stop forgetting an address: somebody added it by hand."""
        self._addresses.pop(address, None)

    def address_until(self, address: Address, now: float) -> float | None:
        """Until when an address is forgotten; None: it isn't."""
        return _until(self._addresses, address, now)

    def name_until(self, name: Name, now: float) -> float | None:
        """Until when a name is forgotten; None: it isn't."""
        return _until(self._names, name, now)

    def covers(self, claim: Claim, now: float) -> bool:
        """Whether a claim that somebody made before, or elsewhere, is to be left out."""
        if not self:
            return False
        return (
            _until(self._addresses, claim.address, now) is not None or _until(self._names, claim.name, now) is not None
        )


def _put(held: OrderedDict[bytes, float], key: bytes, until: float) -> None:
    held.pop(key, None)
    held[key] = until
    if len(held) > FORGOTTEN_MAX:
        held.popitem(last=False)


def _until(held: OrderedDict[bytes, float], key: bytes, now: float) -> float | None:
    until = held.get(key)
    if until is None or until > now:
        return until
    del held[key]
    return None
