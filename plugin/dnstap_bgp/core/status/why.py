"""Why an address or a name is routed, or isn't: facts in, an answer for people and machines out.

The field names of the answer are those of the JSON; times are seconds ago, or to come.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dnstap_bgp.core.lists.domains import Rule
from dnstap_bgp.core.model import BY_HAND, Address, Attributes, Claim, Name, Prefix
from dnstap_bgp.core.routes import remedies
from dnstap_bgp.core.routes.past import Bygone
from dnstap_bgp.core.state.records import attributes_object, prefix_text

Rules = Sequence[tuple[str, Rule]]
"""(list, the rule that decides there), in list order."""

PAST_MAX = 32
CLAIMS_MAX = 256
"""Of a name; of an address there are `CLAIMS_PER_ROUTE` at most."""

_ENDS = {
    "expired": "it was not seen for as long as its TTL",
    "list": "its name is no longer on the list",
    "forgotten": "it was forgotten by hand",
    "crowded": "it gave way to other names on the same address",
}
"""Why a claim ended that nothing had refused."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim, the rule that its name is on the list by (None: by hand, or none any more), and its route's state."""

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
class Event:
    """A `Bygone`, for people."""

    address: str
    list: str
    name: str
    event: str
    reason: str
    s_ago: float
    times: int


@dataclass(frozen=True, slots=True)
class OfAddress:
    """What there is about an address.

    Attributes:
        address: As text.
        state: See `Facts`.
        list: The list that decides; None: none claims it.
        attributes: What is wanted of it; None: no route.
        told: What ExaBGP was told; None: nothing, or it was withdrawn.
        guard: Why no list may claim it, a word; None: some may.
        block: The block or `deny` prefix that says so, where it is one.
        covered_by: The static network that says it already.
        static: It is a static prefix itself.
        claims: By whom it is held.
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
    claims: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one list says about a name."""

    list: str
    rule: str
    exception: bool


@dataclass(frozen=True, slots=True)
class OfName:
    """What there is about a name: what the lists say, and what it holds."""

    name: str
    rules: tuple[Decision, ...]
    claims: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """The answer.

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
    past: tuple[Event, ...]
    forgotten_for_s: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known, as copies of one moment.

    Attributes:
        now: Process clock.
        claims: On the address, or of the name.
        states: Address -> `announced` (and acknowledged), `unanswered`, `waiting`, `refused` (by ExaBGP), `covered` (by
            a static network), `unrouted` (nothing is wanted of it).
        rules: Name -> the rules that decide over it; the asked name and those of the claims.
        past: Newest first.
        forgotten_until: Process clock.
        muted: `dry_run` is set.
    """

    now: float
    claims: Sequence[Claim]
    states: Mapping[Address, str]
    rules: Mapping[Name, Rules]
    past: Sequence[Bygone]
    forgotten_until: float | None
    muted: bool


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """What is known of an address beside `Facts`: see `OfAddress`."""

    list: str | None
    wanted: Attributes | None
    told: Attributes | None
    guard: str | None
    block: str | None
    covered_by: Prefix | None
    static: bool


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
    )
    routed = more.wanted is not None or more.covered_by is not None
    said = _why_routed(held, facts) if routed else _why_not(address, held, facts)
    return Why(text, "address", routed, tuple(said), held, None, _events(facts), _forgotten_for_s(facts))


def of_name(name: Name, facts: Facts) -> Why:
    """Answer for a name."""
    text = name_text(name)
    rules = facts.rules.get(name, ())
    found = tuple(Decision(list_name, str(rule), rule.exception) for list_name, rule in rules)
    held = OfName(text, found, tuple(_held(claim, facts) for claim in facts.claims))
    routed = any(one.state not in ("unrouted", "refused") for one in held.claims)
    said = tuple(_about_name(held, facts))
    return Why(text, "name", routed, said, None, held, _events(facts), _forgotten_for_s(facts))


def name_text(name: Name) -> str:
    """A name as people read it."""
    return name.decode("ascii", "backslashreplace")


# -- sentences


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
    yield from _what_became(held.state, facts)


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


def _why_not(address: Address, held: OfAddress, facts: Facts) -> Iterator[str]:
    yield from _forgotten_text(facts)
    if held.guard is not None:
        exactly = f" ({held.block})" if held.guard == "denied" and held.block is not None else ""
        yield f"it is {remedies.sentence(held.guard, address)}{exactly}"
    for one in facts.past:
        yield _past_text(one, facts.now)
    if held.claims:
        yield "names on lists claim it, but their list announces no address of this family: there is no next-hop"
    elif held.guard is None and not facts.past:
        yield "it was never seen in an answer for a name on a list, as far as is remembered"


def _about_name(held: OfName, facts: Facts) -> Iterator[str]:
    yield from _forgotten_text(facts)
    listed = [found for found in held.rules if not found.exception]
    for found in held.rules:
        how = "stopped by the exception" if found.exception else "on the list by the rule"
        yield f"list {found.list}: {how} {found.rule}"
    if not held.rules:
        yield "no list has a rule for it"
    for claim in held.claims:
        text = f"{claim.address} was seen {duration_text(claim.seen_s_ago)} ago: {claim.state}"
        yield f"{text}, for {duration_text(claim.ends_in_s)} more"
    for one in facts.past:
        yield _past_text(one, facts.now)
    if listed and not held.claims and not facts.past:
        yield "no answer with an address was seen for it, as far as is remembered"


def _forgotten_text(facts: Facts) -> Iterator[str]:
    left_s = _forgotten_for_s(facts)
    if left_s is not None:
        text = f"it was forgotten by hand: for {duration_text(left_s)} more no peer brings it back; a new answer does"
        yield text


def _past_text(one: Bygone, now: float) -> str:
    who = f"{prefix_text(one.address)} for {name_text(one.name)} (list {one.list})"
    ago = duration_text(now - one.at)
    if one.event == "ended" and one.reason in _ENDS:
        return f"{who} ended {ago} ago: {_ENDS[one.reason]}"
    cause, remedy = remedies.told(one.reason, one.address)
    if one.event == "ended":
        return f"{who} had to go {ago} ago, {cause}; {remedy}"
    times = f" {one.times} times, the last" if one.times > 1 else ""
    return f"{who} was refused{times} {ago} ago {cause}; {remedy}"


# -- helpers


def duration_text(seconds: float) -> str:
    """A duration in its two largest units, `2 h 5 min`."""
    left = max(0, round(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _held(claim: Claim, facts: Facts) -> Held:
    rules = facts.rules.get(claim.name, ()) if claim.name != BY_HAND else ()
    found = next((rule for list_name, rule in rules if list_name == claim.list and not rule.exception), None)
    return Held(
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


def _events(facts: Facts) -> tuple[Event, ...]:
    return tuple(
        Event(
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
