"""What the configuration asks for, as one immutable value: all lists' policies, the guard, the caps, static prefixes.

The route table decides with it, and so does a preview of a reload: one definition of what is wanted of an address.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dnstap_bgp.core.model import Address, Attributes, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.statics import Statics

ROUTES_MAX = 1_000_000
"""What one core and 350 MB carry; a router's table ends earlier."""


@dataclass(frozen=True, slots=True)
class Caps:
    """How much may be held, beside each list's own `routes_max`.

    Attributes:
        routes_max: Addresses, static prefixes not counted.
        name_routes_max: Addresses that one name may hold in one list. Some thousands or no limit, for they are looked
            through when it is reached.
        new_routes_per_s: New addresses a second; None: any number.
        evicts: At a cap the least recently seen gives way; False: the newcomer is refused.
    """

    routes_max: int = ROUTES_MAX
    name_routes_max: int = ROUTES_MAX
    new_routes_per_s: float | None = None
    evicts: bool = False


@dataclass(frozen=True, slots=True)
class RefusedPrefix:
    """A static prefix that the guard does not let out, and the guard's word for it (or `family`)."""

    prefix: Prefix
    list: str
    reason: str


class Policies:
    """See above.

    Attributes:
        by_list: List name -> policy, in the file's order: of several lists that claim an address, the first decides.
        guard: Which addresses may never be routes.
        caps: How much may be held.
        statics: The static prefixes that are announced.
        refused: Those that are not.
    """

    __slots__ = ("_order", "_prefixes", "by_list", "caps", "guard", "refused", "statics")

    def __init__(
        self,
        policies: Sequence[Policy],
        guard: Guard,
        caps: Caps | None = None,
        prefixes: Mapping[str, Sequence[Prefix]] | None = None,
    ) -> None:
        """Put it together.

        Args:
            policies: The lists in the file's order; names are unique.
            guard: Which addresses may never be routes.
            caps: How much may be held.
            prefixes: List name -> its static prefixes. One that several lists have is the first one's.
        """
        self.by_list = {policy.list: policy for policy in policies}
        self._order = {policy.list: order for order, policy in enumerate(policies)}
        self.guard = guard
        self.caps = caps or Caps()
        self._prefixes = prefixes or {}
        self.refused: list[RefusedPrefix] = []
        announced: dict[Prefix, Attributes] = {}
        for policy in policies:
            for prefix, reason in guard.prefix_refusals(self._prefixes.get(policy.list, ()), policy.list):
                attributes = policy.attributes(prefix)
                if reason is not None or attributes is None:
                    self.refused.append(RefusedPrefix(prefix, policy.list, reason or "family"))
                else:
                    announced.setdefault(prefix, attributes)
        self.statics = Statics(announced)

    def static_owners(self) -> dict[Prefix, str]:
        """The list that each static prefix is announced for; worked out anew each time."""
        refused = {(found.prefix, found.list) for found in self.refused}
        owners: dict[Prefix, str] = {}
        for list_name in self.by_list:
            for prefix in self._prefixes.get(list_name, ()):
                if (prefix, list_name) not in refused:
                    owners.setdefault(prefix, list_name)
        return owners

    def refusal(self, address: Address, list_name: str) -> str | None:
        """Why a list may not claim an address, as a counter's label; None: it may."""
        policy = self.by_list.get(list_name)
        if policy is None or policy.attributes(address) is None:
            return "family"
        return self.guard.refusal(address, list_name)

    def first(self, lists: Iterable[str]) -> Policy | None:
        """The policy of the first of these lists in the file's order; None: none of them is configured."""
        order = self._order
        name = min(lists, key=lambda name: order.get(name, len(order)))
        return self.by_list.get(name)

    def wanted(self, address: Address, lists: Iterable[str]) -> Attributes | None:
        """The attributes with which an address is to be announced that these lists claim; None: not at all.

        Args:
            address: Packed.
            lists: At least one name.
        """
        policy = self.first(lists)
        wanted = None if policy is None else policy.attributes(address)
        return self.statics.wanted(address, wanted) if self.statics else wanted
