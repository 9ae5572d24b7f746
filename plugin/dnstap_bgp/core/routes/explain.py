"""Explanation of why an address or a name is routed or is not: facts in, an answer for people and machines out.

The field names of the answer are those of the JSON; times are seconds ago, or to come.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dnstap_bgp.core.lists.patterns import Pattern
from dnstap_bgp.core.lists.rules import Rule
from dnstap_bgp.core.model import BY_HAND, Address, Attributes, Audience, Claim, Name, Prefix
from dnstap_bgp.core.routes.history import HistoryEntry
from dnstap_bgp.core.routes.policy import ViewDecision
from dnstap_bgp.core.routes.refusal_texts import refusal_text, sentence
from dnstap_bgp.core.state.records import attributes_object
from dnstap_bgp.core.text import duration_text, name_text, prefix_text

Rules = Sequence[tuple[str, Rule | Pattern]]
"""(list, the rule that decides there), in list order."""

PAST_MAX = 32
EXCEPTED_MAX = 32
"""Excepted names of an address that are told."""

CLAIMANTS_MAX = 8
"""Claims of an excepted name's address that are told."""

CLAIMS_MAX = 256
"""Of a name; of an address there are `CLAIMS_PER_ROUTE` at most."""

_ENDS = {
    "expired": "it was not seen for as long as its TTL",
    "list": "its name is no longer on the list",
    "forgotten": "it was forgotten by hand",
    "crowded": "it gave way to other names on the same address",
}
"""Why a claim ended that nothing had refused."""

_NO_ROUTE = frozenset({"unrouted", "refused", "left-out"})
"""States in which no router has a route, see `Facts.states`."""


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A live claim, the rule that has its name on the list (None: by hand, or none any more), and its route's state."""

    address: str
    list: str
    rule: str | None
    name: str
    seen_s_ago: float
    first_s_ago: float
    ttl_s: float
    ends_in_s: float
    state: str


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A `HistoryEntry`, for people."""

    address: str
    list: str
    name: str
    event: str
    reason: str
    s_ago: float
    times: int


@dataclass(frozen=True, slots=True)
class ExceptedName:
    """A name that an exception keeps off a list, and that was seen at an address all the same."""

    name: str
    list: str
    rule: str


@dataclass(frozen=True, slots=True)
class SharedAddress:
    """An address that an excepted name was seen at.

    Attributes:
        address: As text.
        state: See `Facts`.
        claims: (name, list) that hold it, the first `CLAIMANTS_MAX`.
    """

    address: str
    state: str
    claims: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OfView:
    """Decision about an address for some neighbors, where not the same lists speak for all; see `OfAddress`.

    Attributes:
        neighbors: Their addresses.
        except_these: Whether it is about everyone except these.
        state: See `Facts`.
        list: The list that decides; None: none that claims it serves them.
        attributes: What is wanted of it; None: no route.
        told: What ExaBGP was told; None: nothing, or it was withdrawn.
        covered_by: The static network that says it already.
        budget: The most prefixes to announce there, where that leaves no room for this one; None: there is room.
    """

    neighbors: tuple[str, ...]
    except_these: bool
    state: str
    list: str | None
    attributes: dict[str, object] | None
    told: dict[str, object] | None
    covered_by: str | None
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class OfAddress:
    """All that is known of an address.

    Attributes:
        address: As text.
        state: See `Facts`.
        list: The list that decides; None: none claims it.
        attributes: What is wanted of it; None: no route.
        told: What ExaBGP was told; None: nothing, or it was withdrawn.
        guard: Why no list may claim it, a word; None: some may.
        block: The block or `deny` prefix that says so, where it is one.
        covered_by: The static network that says it already, the same to all neighbors.
        static: It is a static prefix itself.
        claims: By whom it is held.
        views: What of this differs between neighbors; empty where all have the same lists.
        excepted: Names that were seen at it and are on no list for an exception.
    """

    address: str
    state: str
    list: str | None
    attributes: dict[str, object] | None
    told: dict[str, object] | None
    guard: str | None
    block: str | None
    covered_by: str | None
    static: bool
    claims: tuple[HeldClaim, ...]
    views: tuple[OfView, ...] = ()
    excepted: tuple[ExceptedName, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleDecision:
    """The rule of one list that decides about a name.

    Attributes:
        list: The list.
        rule: As the plain format writes it.
        exception: It keeps the name off the list.
        off: By whom the list is switched off, so that the rule doesn't count; empty: it is on.
    """

    list: str
    rule: str
    exception: bool
    off: str = ""


@dataclass(frozen=True, slots=True)
class OfName:
    """All that is known of a name: the rules that decide about it, and the claims that it holds."""

    name: str
    rules: tuple[RuleDecision, ...]
    claims: tuple[HeldClaim, ...]
    shared: tuple[SharedAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """Answer to why an address or a name is routed, or is not.

    Attributes:
        target: What was asked for, as it is written here.
        kind: `address` or `name`.
        routed: Whether there is a route (of a name: at least one).
        reasons: Sentences, the most telling first.
        address: Of an address.
        name: Of a name.
        past: What ended or was refused, newest first.
        forgotten_for_s: For how long nobody but the tap may bring it back; None: anybody may.
    """

    target: str
    kind: str
    routed: bool
    reasons: tuple[str, ...]
    address: OfAddress | None
    name: OfName | None
    past: tuple[PastEvent, ...]
    forgotten_for_s: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts that an explanation is made of, as copies of one moment.

    Attributes:
        now: Process clock.
        claims: On the address, or of the name.
        states: Address -> `announced` (and acknowledged), `unanswered`, `waiting`, `refused` (by ExaBGP), `covered` (by
            a static network), `left-out` (of the budget of each neighbor that it is for), `unrouted` (nothing is
            wanted of it).
        rules: Name -> the rules that decide over it; the asked name and those of the claims.
        past: Newest first.
        forgotten_until: Process clock.
        muted: `dry_run` is set.
        cut: Names for which an answer came truncated of late.
        excepted: Of an address: names that an exception keeps off a list and that were seen at it -> their rules.
        shared: Of such a name: addresses that it was seen at -> the claims on them; None: it was not seen.
        off: Lists that are switched off -> by whom, see `Switches.off_texts`.
    """

    now: float
    claims: Sequence[Claim]
    states: Mapping[Address, str]
    rules: Mapping[Name, Rules]
    past: Sequence[HistoryEntry]
    forgotten_until: float | None
    muted: bool
    cut: frozenset[Name] = frozenset()
    excepted: Mapping[Name, Rules] = field(default_factory=dict)
    shared: Mapping[Address, Sequence[Claim]] | None = None
    off: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """Facts of an address for the neighbors of one view: what is decided, what they were told, and the state.

    Attributes:
        budget: See `OfView`.
    """

    decision: ViewDecision
    told: Attributes | None
    state: str
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """Facts of an address beside `Facts`; the fields are those of `OfAddress`."""

    list: str | None
    wanted: Attributes | None
    told: Attributes | None
    guard: str | None
    block: str | None
    covered_by: Prefix | None
    static: bool
    views: Sequence[ViewFacts] = ()


def of_address(address: Address, facts: Facts, more: AddressFacts) -> Why:
    """Answer for an address."""
    text, state = prefix_text(address), facts.states[address]
    held = OfAddress(
        address=text,
        state=state,
        list=more.list,
        attributes=_attributes(more.wanted),
        told=_attributes(more.told),
        guard=more.guard,
        block=more.block,
        covered_by=None if more.covered_by is None else prefix_text(more.covered_by),
        static=more.static,
        claims=tuple(_held(claim, facts) for claim in facts.claims),
        excepted=tuple(
            ExceptedName(name_text(name), list_name, str(rule))
            for name, found in sorted(facts.excepted.items())
            for list_name, rule in found
            if rule.exception
        ),
        views=tuple(map(_of_view, more.views)),
    )
    covered = (more.covered_by, *(view.decision.covered_by for view in more.views))
    wanted = more.wanted is not None or any(network is not None for network in covered)
    said = _why_routed(held, facts) if wanted else _why_not(address, held, facts)
    states = [view.state for view in more.views] or ["covered" if more.covered_by is not None else state]
    return Why(
        text,
        "address",
        wanted and not _NO_ROUTE.issuperset(states),
        tuple(said),
        held,
        None,
        _events(facts),
        _forgotten_for_s(facts),
    )


def of_name(name: Name, facts: Facts) -> Why:
    """Answer for a name."""
    text = name_text(name)
    rules = facts.rules.get(name, ())
    found = tuple(
        RuleDecision(list_name, str(rule), rule.exception, facts.off.get(list_name, "")) for list_name, rule in rules
    )
    shared = tuple(
        SharedAddress(
            prefix_text(address),
            facts.states.get(address, "unrouted"),
            tuple((name_text(claim.name), claim.list) for claim in claims[:CLAIMANTS_MAX]),
        )
        for address, claims in (facts.shared or {}).items()
    )
    held = OfName(text, found, tuple(_held(claim, facts) for claim in facts.claims), shared)
    routed = any(one.state not in _NO_ROUTE for one in held.claims)
    said = tuple(_about_name(held, facts))
    return Why(text, "name", routed, said, None, held, _events(facts), _forgotten_for_s(facts))


# -- sentences

_CUT = "the addresses that came whole count, and a client that asks again over TCP gets the others"


def _why_routed(held: OfAddress, facts: Facts) -> Iterator[str]:
    if held.static:
        yield "it is a static prefix of the configuration"
    if held.covered_by is not None:
        yield f"the static prefix {held.covered_by} announces it already"
    for claim in held.claims:
        ago = duration_text(claim.seen_s_ago)
        if claim.name == name_text(BY_HAND):
            yield f"it was added by hand, with the attributes of the list {claim.list}, {ago} ago"
        else:
            by = f" by the rule {claim.rule}" if claim.rule is not None else ""
            yield f"{claim.name} is on the list {claim.list}{by}, and was seen {ago} ago"
    yield from _excepted_text(held, "and what goes there for it is routed all the same")
    for name in sorted(facts.cut):
        yield f"answers for {name_text(name)} came truncated (TC): {_CUT}"
    if not held.views:
        yield from _what_became(held.state, facts)
    for view in held.views:
        yield from _for_view(view, facts)


def _for_view(view: OfView, facts: Facts) -> Iterator[str]:
    who = f"for {Audience(view.neighbors, is_except=view.except_these)}"
    if view.covered_by is not None:
        yield f"{who}: the static prefix {view.covered_by} announces it already"
    elif view.budget is not None:
        where = f"not at {Audience(view.neighbors, is_except=view.except_these)}"
        full = f"its budget of {view.budget} is full, and nothing there gave way to this prefix when it was last seen"
        yield f"{where}: {full}; max_prefixes of [bgp], or of the neighbor in [[bgp.peers]], raises it"
    elif view.attributes is None:
        yield f"{who}: no list that claims it serves them, so they get no route"
    else:
        for became in _what_became(view.state, facts):
            yield f"{who}: the list {view.list} decides; {became}"


def _what_became(state: str, facts: Facts) -> Iterator[str]:
    if state == "announced":
        yield "ExaBGP was told, and has acknowledged it"
    elif state == "unanswered":
        yield "ExaBGP was told, and has not answered yet"
    elif state == "refused":
        yield "ExaBGP refuses it, or none of its neighbors is to get it: see its log"
    elif facts.muted:
        yield "dry_run is set: ExaBGP is told nothing"
    elif state == "waiting":
        yield "it waits for its turn with ExaBGP"


def _excepted_text(held: OfAddress, and_so: str) -> Iterator[str]:
    for one in held.excepted:
        yield f"{one.name} was seen at it, too: the exception {one.rule} keeps it off the list {one.list}, {and_so}"


def _why_not(address: Address, held: OfAddress, facts: Facts) -> Iterator[str]:
    yield from _forgotten_text(facts)
    if held.guard is not None:
        exactly = f" ({held.block})" if held.guard == "denied" and held.block is not None else ""
        yield f"it is {sentence(held.guard, address)}{exactly}"
    for one in facts.past:
        yield _past_text(one, facts)
    if held.claims:
        yield "names on lists claim it, but their list announces no address of this family: there is no next-hop"
    yield from _excepted_text(held, "and no other name holds the address")
    if not held.claims and held.guard is None and not facts.past:
        yield "it was never seen in an answer for a name on a list, as far as is remembered"


def _about_name(held: OfName, facts: Facts) -> Iterator[str]:
    yield from _forgotten_text(facts)
    listed = [found for found in held.rules if not found.exception and not found.off]
    for found in held.rules:
        how = "stopped by the exception" if found.exception else "on the list by the rule"
        off = f", but the list is switched off {found.off}" if found.off else ""
        yield f"list {found.list}: {how} {found.rule}{off}"
    if not held.rules:
        yield "no list has a rule for it"
    for claim in held.claims:
        text = f"{claim.address} was seen {duration_text(claim.seen_s_ago)} ago (list {claim.list}): {claim.state}"
        yield f"{text}, for {duration_text(claim.ends_in_s)} more"
    yield from _shared_text(held, facts)
    for one in facts.past:
        yield _past_text(one, facts)
    if facts.cut:
        yield f"answers for it came truncated (TC): {_CUT}"
    if listed and not held.claims and not facts.past:
        yield "no answer with an address was seen for it, as far as is remembered"


def _shared_text(held: OfName, facts: Facts) -> Iterator[str]:
    """Tell of an excepted name whether its addresses are routed for others, as far as is known."""
    if not any(found.exception and not found.off for found in held.rules):
        return
    if facts.shared is None:
        yield "whether its address is routed for another name is not known: no answer for it was seen since the start"
    for one in held.shared:
        if one.claims and one.state != "unrouted":
            others = ", ".join(f"{name} (list {list_name})" for name, list_name in one.claims)
            yield f"its address {one.address} is routed all the same ({one.state}), for {others}"
        elif one.state != "unrouted":
            yield f"its address {one.address} is routed all the same ({one.state}), as a static prefix"
        else:
            yield f"its address {one.address} is not routed"


def _forgotten_text(facts: Facts) -> Iterator[str]:
    left_s = _forgotten_for_s(facts)
    if left_s is not None:
        text = f"it was forgotten by hand: for {duration_text(left_s)} more no peer brings it back; a new answer does"
        yield text


def _past_text(one: HistoryEntry, facts: Facts) -> str:
    who = f"{prefix_text(one.address)} for {name_text(one.name)} (list {one.list})"
    ago = duration_text(facts.now - one.at)
    if one.event == "ended" and one.reason == "list" and one.list in facts.off:
        return f"{who} ended {ago} ago; its list is switched off {facts.off[one.list]}"
    if one.event == "ended" and one.reason in _ENDS:
        return f"{who} ended {ago} ago: {_ENDS[one.reason]}"
    cause, remedy = refusal_text(one.reason, one.address)
    if one.event == "ended":
        return f"{who} had to go {ago} ago, {cause}; {remedy}"
    times = f" {one.times} times, the last" if one.times > 1 else ""
    return f"{who} was refused{times} {ago} ago {cause}; {remedy}"


# -- helpers


def _of_view(view: ViewFacts) -> OfView:
    decision = view.decision
    return OfView(
        neighbors=decision.audience.names,
        except_these=decision.audience.is_except,
        state=view.state,
        list=decision.list,
        attributes=_attributes(decision.wanted),
        told=_attributes(view.told),
        covered_by=None if decision.covered_by is None else prefix_text(decision.covered_by),
        budget=view.budget,
    )


def _held(claim: Claim, facts: Facts) -> HeldClaim:
    rules = facts.rules.get(claim.name, ()) if claim.name != BY_HAND else ()
    found = next((rule for list_name, rule in rules if list_name == claim.list and not rule.exception), None)
    return HeldClaim(
        address=prefix_text(claim.address),
        list=claim.list,
        rule=None if found is None else str(found),
        name=name_text(claim.name),
        seen_s_ago=round(facts.now - claim.seen, 3),
        first_s_ago=round(facts.now - claim.first, 3),
        ttl_s=claim.ttl_s,
        ends_in_s=round(claim.seen + claim.ttl_s - facts.now, 3),
        state=facts.states.get(claim.address, "unrouted"),
    )


def _events(facts: Facts) -> tuple[PastEvent, ...]:
    return tuple(
        PastEvent(
            address=prefix_text(one.address),
            list=one.list,
            name=name_text(one.name),
            event=one.event,
            reason=one.reason,
            s_ago=round(facts.now - one.at, 3),
            times=one.times,
        )
        for one in facts.past
    )


def _forgotten_for_s(facts: Facts) -> float | None:
    return None if facts.forgotten_until is None else round(facts.forgotten_until - facts.now, 3)


def _attributes(found: Attributes | None) -> dict[str, object] | None:
    return None if found is None else attributes_object(found)
