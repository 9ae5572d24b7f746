"""Addresses and names that an operator had forgotten by hand: for a while no peer and no file brings them back.

A sighting of our own does: who asked to forget an address that is in use has not asked never to route it again (that is
what `deny` and exceptions are for). So the hot path doesn't ask here, only the way in for other claims.
"""

from collections import OrderedDict

from dnstap_bgp.core.model import Address, Claim, Name

FORGET_S = 3600.0
"""How long a forgotten address or name stays so: a peer pulls everything from us within its `sync_interval`, 10 min by
default, and its own claim ends or is refreshed meanwhile."""

FORGOTTEN_MAX = 4_096
"""Forgotten addresses, and names: typed by hand or by a script; beyond it the oldest gives way."""


class Forgotten:
    """Forgotten addresses and names, each until its time is over; for the holder of the keeper's lock."""

    __slots__ = ("_addresses", "_names")

    def __init__(self) -> None:
        self._addresses: OrderedDict[Address, float] = OrderedDict()
        self._names: OrderedDict[Name, float] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._addresses or self._names)

    def add_address(self, address: Address, now: float) -> None:
        """Forget an address for `FORGET_S` from now on, process clock."""
        _put(self._addresses, address, now + FORGET_S)

    def add_name(self, name: Name, now: float) -> None:
        """Forget a name for `FORGET_S` from now on, process clock."""
        _put(self._names, name, now + FORGET_S)

    def recall(self, address: Address) -> None:
        """Stop forgetting an address: somebody added it by hand."""
        self._addresses.pop(address, None)

    def address_until(self, address: Address, now: float) -> float | None:
        """Tell until when an address is forgotten; None: it is not."""
        return _until(self._addresses, address, now)

    def name_until(self, name: Name, now: float) -> float | None:
        """Tell until when a name is forgotten; None: it is not."""
        return _until(self._names, name, now)

    def covers(self, claim: Claim, now: float, *, own: bool = False) -> bool:
        """Tell whether a claim is to be left out.

        Args:
            claim: It was made before, by a peer, or by a sighting of our own that had to wait.
            now: Process clock.
            own: A sighting of our own: what was seen behind the forgetting counts.
        """
        if not self:
            return False
        found = _until(self._addresses, claim.address, now), _until(self._names, claim.name, now)
        return any(until is not None and not (own and claim.seen > until - FORGET_S) for until in found)


def _put(forgotten: OrderedDict[bytes, float], key: bytes, until: float) -> None:
    forgotten.pop(key, None)
    forgotten[key] = until
    if len(forgotten) > FORGOTTEN_MAX:
        forgotten.popitem(last=False)


def _until(forgotten: OrderedDict[bytes, float], key: bytes, now: float) -> float | None:
    until = forgotten.get(key)
    if until is None or until > now:
        return until
    del forgotten[key]
    return None
