"""Policies in force, as one immutable value: attributes by list, the guard, the caps, static prefixes.

The route table decides with it, and so does the difference that a reload would make: one definition of what is wanted
of an address.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter

from dnstap_bgp.core.aggregation import aggregated
from dnstap_bgp.core.model import EVERYONE, Address, Attributes, Audience, PerView, Policy, Prefix
from dnstap_bgp.core.routes.guard import Guard

ROUTES_MAX = 1_000_000
"""What one core and 350 MB carry; a router's table ends earlier."""

CLAIMS_PER_ROUTE = 32
"""Claims on one address: more names than this add nothing to the decision; the owner with the most gives way."""

CLAIMS_PER_ROUTE_DEFAULT = 4
"""Claims for each of `routes_max`, unless said. Content networks have some names on an address; 32 of them on each of
100,000 addresses would take 1.2 GB."""

RULE_ROUTES_MIN, RULE_ROUTES_SHARE = 4_096, 8
"""Addresses of one rule, unless said: an eighth of `routes_max`, or this if that is more. The largest content networks
have some 3,000 addresses under one domain."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of the route table, beside each list's own `routes_max`.

    Attributes:
        routes_max: Addresses, static prefixes not counted.
        name_routes_max: Addresses that one name may hold in one list. Some thousands or no limit, for they are looked
            through when it is reached.
        new_routes_per_s: New addresses a second; None: any number.
        evicts: At a cap the least recently seen gives way; False: the newcomer is refused.
        rule_routes_max: Addresses that one owner may hold in one list, see `RuleSet.owner`: beyond it newcomers are
            refused.
        claims_max: Claims in all, not less than `routes_max`; beyond it only claims go whose address has others.
    """

    routes_max: int = ROUTES_MAX
    name_routes_max: int = ROUTES_MAX
    new_routes_per_s: float | None = None
    evicts: bool = False
    rule_routes_max: int = ROUTES_MAX
    claims_max: int = CLAIMS_PER_ROUTE_DEFAULT * ROUTES_MAX


@dataclass(frozen=True, slots=True)
class RefusedPrefix:
    """A static prefix that is not announced, and the guard's word for the reason (or `family`)."""

    prefix: Prefix
    list: str
    reason: str


@dataclass(frozen=True, slots=True)
class ViewDecision:
    """Decision about a prefix for the neighbors of one view.

    Attributes:
        number: Number of the view among the policies'.
        audience: The neighbors.
        list: The list that decides for them; None: none that claims the prefix serves them.
        wanted: The attributes; None: no route.
        covered_by: The static network that says it already.
    """

    number: int
    audience: Audience
    list: str | None
    wanted: Attributes | None
    covered_by: Prefix | None


class Policies:
    """All that the configuration asks of routes; immutable.

    Attributes:
        by_list: List name -> policy, in the file's order: of several lists that claim an address, the first decides.
        guard: Which addresses may never be routes.
        caps: How much may be held.
        statics: The static prefixes that are announced.
        refused: Those that are not.
        audiences: The neighbors of each view: those for which the same lists speak. With one view, what is wanted is
            plain attributes, which say whom they are for; with more it is `PerView`.
        budgets: Neighbors of which each is a view of its own -> the most prefixes to announce there.
        is_divided: Whether what is wanted is `PerView`: not all neighbors have the same routes.
    """

    __slots__ = (
        "_order",
        "_per_view",
        "_prefixes",
        "_static_lists",
        "audiences",
        "budgets",
        "by_list",
        "caps",
        "guard",
        "is_divided",
        "refused",
        "statics",
    )

    def __init__(
        self,
        policies: Sequence[Policy],
        guard: Guard,
        caps: Caps | None = None,
        prefixes: Mapping[str, Sequence[Prefix]] | None = None,
        feeds: Mapping[str, Sequence[Prefix]] | None = None,
        *,
        budgets: Mapping[str, int] | None = None,
    ) -> None:
        """Put the policies together.

        Args:
            policies: The lists in the file's order; names are unique.
            guard: Which addresses may never be routes.
            caps: How much may be held.
            prefixes: List name -> its static prefixes. One that several lists have is the first one's.
            feeds: List name -> those of its sources, which are aggregated: what the guard refuses of them costs the
                others nothing, so it is asked first.
            budgets: Addresses of neighbors -> the most prefixes to announce there; those that no list serves don't
                count.
        """
        self.audiences = _audiences(policies, budgets or {})
        self.budgets = {
            address: limit for address, limit in (budgets or {}).items() if Audience((address,)) in self.audiences
        }
        self.is_divided = len(self.audiences) > 1 or bool(self.budgets)
        self._per_view: dict[tuple[Attributes | None, ...], PerView] = {}
        if self.is_divided:
            policies = [self._of_views(policy) for policy in policies]
        self.by_list = {policy.list: policy for policy in policies}
        self._order = {policy.list: order for order, policy in enumerate(policies)}
        self.guard = guard
        self.caps = caps or Caps()
        self.refused: list[RefusedPrefix] = []
        self._prefixes = {
            policy.list: (
                *self._accepted(policy, (prefixes or {}).get(policy.list, ())),
                *aggregated(self._accepted(policy, (feeds or {}).get(policy.list, ()))),
            )
            for policy in policies
        }
        announced: dict[Prefix, Attributes] = {}
        for policy in policies:
            for prefix in self._prefixes[policy.list]:
                attributes = policy.attributes(prefix)
                if attributes is not None:
                    announced[prefix] = self._merged([announced.get(prefix), attributes]) or attributes
        self.statics = Statics(announced)
        self._static_lists: dict[Prefix, list[str]] = {}  # for each its lists; only where neighbors differ
        for list_name in self.by_list if self.is_divided else ():
            for prefix in self._prefixes[list_name]:
                self._static_lists.setdefault(prefix, []).append(list_name)

    def _accepted(self, policy: Policy, prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
        """Give the static prefixes of a list that may be announced; note the others."""
        for prefix, reason in self.guard.prefix_refusals(prefixes, policy.list):
            if reason is not None or policy.attributes(prefix) is None:
                self.refused.append(RefusedPrefix(prefix, policy.list, reason or "family"))
            else:
                yield prefix

    def static_owners(self) -> dict[Prefix, str]:
        """Work out the list that each static prefix is announced for."""
        owners: dict[Prefix, str] = {}
        for list_name in self.by_list:
            for prefix in self._prefixes[list_name]:
                owners.setdefault(prefix, list_name)
        return owners

    def refusal(self, address: Address, list_name: str) -> str | None:
        """Say why a list may not claim an address, as a counter's label; None: it may."""
        policy = self.by_list.get(list_name)
        if policy is None or policy.attributes(address) is None:
            return "family"
        return self.guard.refusal(address, list_name)

    def first(self, lists: Iterable[str]) -> Policy | None:
        """Give the policy of the first of these lists in the file's order; None: none of them is configured."""
        order = self._order
        name = min(lists, key=lambda name: order.get(name, len(order)))
        return self.by_list.get(name)

    def wanted(self, address: Address, lists: Iterable[str]) -> Attributes | None:
        """Give the attributes with which to announce an address that these lists claim; None: not at all.

        Args:
            address: Packed.
            lists: At least one name.
        """
        if self.is_divided:
            order = self._order
            known = sorted((name for name in set(lists) if name in order), key=order.__getitem__)
            wanted = self._merged([self.by_list[name].attributes(address) for name in known])
            return self._statics_of_views(address, wanted) if self.statics else wanted
        policy = self.first(lists)
        wanted = None if policy is None else policy.attributes(address)
        return self.statics.wanted(address, wanted) if self.statics else wanted

    def covering(self, address: Address, lists: Sequence[str]) -> list[Prefix]:
        """Find the static networks that are announced in place of a route for an address.

        Args:
            address: Packed.
            lists: The lists that claim it; none: every network that it lies in may count.

        Returns:
            The longest network; of several views, those of each, which may differ.
        """
        if self.is_divided:
            found = (decision.covered_by for decision in self.decisions(address, lists))
            return list(dict.fromkeys(network for network in found if network is not None))
        policy = self.first(lists) if lists else None
        if lists and (policy is None or policy.attributes(address) is None):
            return []
        network = self.statics.covering(address)
        return [] if network is None else [network]

    def is_same(self, wanted: Attributes | None, others: "Policies", others_wanted: Attributes | None) -> bool:
        """Tell whether other policies want the same of a prefix, for each neighbor."""
        if not (isinstance(wanted, PerView) or isinstance(others_wanted, PerView)):
            return wanted == others_wanted
        return self._by_neighbors(wanted) == others._by_neighbors(others_wanted)  # noqa: SLF001 - of this class

    def _by_neighbors(self, wanted: Attributes | None) -> dict[Attributes, Audience]:
        if wanted is None:
            return {}
        if not isinstance(wanted, PerView):
            return {replace(wanted, neighbors=()): _audience(wanted)}
        found: dict[Attributes, Audience] = {}
        for audience, attributes in zip(self.audiences, wanted.by_view, strict=True):
            if attributes is not None:
                found[attributes] = found.get(attributes, Audience()) | audience
        return found

    # -- more than one view

    def decisions(self, prefix: Prefix, lists: Iterable[str]) -> list[ViewDecision]:
        """Work out for each view who decides about a prefix, and how; nothing where all neighbors have the same.

        Args:
            prefix: An address, or a static network.
            lists: The lists that claim it.
        """
        if not self.is_divided:
            return []
        claiming = set(lists)
        known = [name for name in self.by_list if name in claiming]
        wanted = self.wanted(prefix, known) if known else self.statics.announced.get(prefix)
        statics = self._static_lists.get(prefix, ())
        covering = self.statics.networks_of(prefix) if len(prefix) in _HOST_BYTES else []
        found = []
        for number, audience in enumerate(self.audiences):
            claimed = next((name for name in (*statics, *known) if self._in_view(name, prefix, number)), None)
            own = wanted.by_view[number] if isinstance(wanted, PerView) else None
            networks = (
                network
                for network, attributes in covering
                if isinstance(attributes, PerView) and attributes.by_view[number] is not None
            )
            longest = next(networks, None) if own is None and (claimed or not known) else None
            found.append(ViewDecision(number, audience, claimed, own, longest))
        return found

    def _in_view(self, list_name: str, prefix: Prefix, number: int) -> bool:
        attributes = self.by_list[list_name].attributes(prefix)
        return isinstance(attributes, PerView) and attributes.by_view[number] is not None

    def _of_views(self, policy: Policy) -> Policy:
        """Make a list's policy one that says for each view what the list wants there."""
        return replace(policy, ipv4=self._spread(policy.ipv4), ipv6=self._spread(policy.ipv6))

    def _spread(self, attributes: Attributes | None) -> Attributes | None:
        if attributes is None:
            return None
        served = _audience(attributes)
        bare = replace(attributes, neighbors=())
        return self._intern(tuple(None if audience - served else bare for audience in self.audiences))

    def _merged(self, wishes: Sequence[Attributes | None]) -> Attributes | None:
        """Give each view the attributes of the first list that serves it; equal results are one object."""
        found = [wanted for wanted in wishes if wanted is not None]
        if len(found) < 2:
            return found[0] if found else None
        if not all(isinstance(wanted, PerView) for wanted in found):
            return found[0]
        views = zip(*(wanted.by_view for wanted in found if isinstance(wanted, PerView)), strict=True)
        return self._intern(tuple(next((one for one in of_view if one is not None), None) for of_view in views))

    def _intern(self, by_view: tuple[Attributes | None, ...]) -> PerView | None:
        first = next((one for one in by_view if one is not None), None)
        if first is None:
            return None
        found = self._per_view.get(by_view)
        if found is None:
            values = {field.name: getattr(first, field.name) for field in fields(Attributes)}
            found = self._per_view[by_view] = PerView(**values, by_view=by_view)
        return found

    def _statics_of_views(self, address: Address, wanted: Attributes | None) -> Attributes | None:
        """Adjust what is wanted of an address, view by view: a static prefix itself, or none where one covers it."""
        itself = self.statics.announced.get(address)
        covering = [attributes for _, attributes in self.statics.networks_of(address)]
        if itself is None and not covering:
            return wanted
        nothing = (None,) * len(self.audiences)
        by_view = list(wanted.by_view if isinstance(wanted, PerView) else nothing)
        for network in covering:
            for number, covered in enumerate(network.by_view if isinstance(network, PerView) else nothing):
                by_view[number] = None if covered is not None else by_view[number]
        for number, own in enumerate(itself.by_view if isinstance(itself, PerView) else nothing):
            by_view[number] = own if own is not None else by_view[number]
        return self._intern(tuple(by_view))


def _audience(attributes: Attributes) -> Audience:
    return Audience(tuple(dict.fromkeys(attributes.neighbors))) if attributes.neighbors else EVERYONE


def _audiences(policies: Sequence[Policy], budgets: Iterable[str]) -> tuple[Audience, ...]:
    """Divide the neighbors into views: those for which the same lists speak, each with a budget in a view of its own.

    Whom no list serves has none.
    """
    served = [_audience(found) for policy in policies for found in (policy.ipv4 or policy.ipv6,) if found is not None]
    alone = [Audience((address,)) for address in budgets]
    pieces = [EVERYONE]
    for audience in dict.fromkeys((*served, *alone)):
        pieces = [part for piece in pieces for part in (piece & audience, piece - audience) if part]
    views: dict[tuple[Audience | None, tuple[bool, ...]], Audience] = {}
    for piece in pieces:
        lists = tuple(not piece - audience for audience in served)
        kind = piece if piece in alone else None, lists
        if any(lists):
            views[kind] = views.get(kind, Audience()) | piece
    return tuple(views.values()) or (EVERYONE,)


_HOST_BYTES = frozenset({4, 16})


class Statics:
    """The static prefixes that are announced; immutable.

    Where not all neighbors have the same, `Policies` decides view by view with `networks_of`. Otherwise all networks
    and all routes are for the same neighbors, so that one in which an address lies says all that its route would.

    Attributes:
        announced: Each with its attributes.
    """

    __slots__ = ("_levels", "announced")

    def __init__(self, announced: Mapping[Prefix, Attributes]) -> None:
        self.announced = dict(announced)
        levels: dict[int, dict[int, set[int]]] = {}  # address bytes -> bits to drop -> networks
        for prefix in self.announced:
            if len(prefix) not in _HOST_BYTES:
                size = len(prefix) - 1
                dropped = size * 8 - prefix[-1]
                levels.setdefault(size, {}).setdefault(dropped, set()).add(int.from_bytes(prefix[:-1]) >> dropped)
        self._levels = {size: sorted(of_size.items(), key=itemgetter(0)) for size, of_size in levels.items()}

    def __bool__(self) -> bool:
        return bool(self.announced)

    def __len__(self) -> int:
        return len(self.announced)

    def wanted(self, address: Address, wanted: Attributes | None) -> Attributes | None:
        """Adjust the attributes wanted of an address: those of a static prefix, none where one covers it, or as wanted.

        Costs a look into a dict for each prefix length in use.
        """
        itself = self.announced.get(address)
        if itself is not None or wanted is None:
            return itself
        levels = self._levels.get(len(address))
        if levels:
            value = int.from_bytes(address)
            for dropped, networks in levels:
                if value >> dropped in networks:
                    return None
        return wanted

    def networks_of(self, address: Address) -> list[tuple[Prefix, Attributes]]:
        """Find the networks that an address lies in with their attributes, the longest first."""
        levels = self._levels.get(len(address), ())
        value, size = int.from_bytes(address), len(address)
        found = (
            (value >> dropped << dropped).to_bytes(size) + bytes([size * 8 - dropped])
            for dropped, networks in levels
            if value >> dropped in networks
        )
        return [(network, self.announced[network]) for network in found]

    def covering(self, address: Address) -> Prefix | None:
        """Find the longest network that an address lies in; None: it lies in none."""
        return next((network for network, _ in self.networks_of(address)), None)

    def difference(self, before: "Statics") -> tuple[list[Prefix], list[Prefix]]:
        """List the prefixes that are new or changed where `before` was in force, and those to withdraw."""
        added = [prefix for prefix, found in self.announced.items() if before.announced.get(prefix) != found]
        return added, [prefix for prefix in before.announced if prefix not in self.announced]
