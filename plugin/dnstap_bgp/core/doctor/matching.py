"""Answers that don't become routes: nothing matches, all is refused, a family has no next-hop, a cap is reached."""

from collections.abc import Iterator

from dnstap_bgp.core.doctor.evidence import Evidence, Recent
from dnstap_bgp.core.status.report import Finding, Status

MESSAGES_MIN = 1_000
"""Answers after which a list that none of them matched is worth a word: a household's hour."""

REFUSED_MIN = 10
"""Refusals in the last minutes that may be no accident."""

FULL_SHARE = 0.75
"""Of a cap: early enough to raise it, late enough to mean something."""

CAPS = {
    "routes": "raise guard.max_routes, or look for a list that is too broad",
    "list-routes": "raise the list's max_routes, or look for a rule that is too broad",
    "rule-routes": "one rule has more addresses than guard.max_routes_per_rule; raise that if you trust its owner",
    "claims": "more names share the addresses than guard.max_claims has room for; routes stay, raise that to see why",
    "name-routes": "a name has more addresses than guard.max_routes_per_name; raise that if you know the name",
    "rate": "raise guard.max_new_routes_per_second",
    "restore": "once the state file is read, their next answers bring them",
}
"""Refusals that are caps, by their reason."""

_FAMILY = "family"

_NO_IPV6_WAY = (
    "set next_hop_ipv6, of [bgp] or of the lists; or have the resolver withhold AAAA of these names "
    "(`dnstap-bgp resolver-conf` prints how), and say ipv6 = false"
)


def examine(status: Status, evidence: Evidence) -> Iterator[Finding]:
    """Find why answers don't become routes."""
    yield from _rules(status)
    yield from _trust(evidence.recent)
    yield from _refused(evidence.recent)
    yield from _next_hops(evidence)
    held = [("the table", status.routes.routes, status.routes.max, "routes")]
    held += [(f"list {one.name}", one.routes, one.max, "list-routes") for one in status.lists if one.max is not None]
    held += [(name, routes, most, "rule-routes") for name, routes, most in evidence.crowded_rules]
    for name, routes, most, cap in held:
        if routes >= most * FULL_SHARE:
            yield Finding("warning", "nearly-full", f"{name} holds {routes} of at most {most} routes", CAPS[cap], name)
    if evidence.static_refused:
        text = f"{evidence.static_refused} static prefixes are not announced"
        yield Finding("warning", "static-refused", text, "`dnstap-bgp check` and the log name each with the reason")


def _rules(status: Status) -> Iterator[Finding]:
    if not any(one.rules or one.prefixes for one in status.lists) and not status.routes.static:
        advice = "`dnstap-bgp lists` and `dnstap-bgp check` tell what became of the sources"
        yield Finding("error", "no-rules", "no list has a rule, so nothing is ever routed", advice)
        return
    counters = status.tap.counters
    if counters["messages"] >= MESSAGES_MIN and not counters["matched"] and any(one.rules for one in status.lists):
        text = f"{counters['messages']} answers have come and none of them was for a listed name"
        advice = "`dnstap-bgp match NAME` tells which rule decides over a name that you expect to be routed"
        yield Finding("warning", "nothing-matches", text, advice)


def _trust(recent: Recent) -> Iterator[Finding]:
    if recent.sightings:
        return
    if recent.foreign:
        text = f"all {recent.foreign} answers for listed names came from identities that don't count"
        advice = "dnstap.identities must have what the resolver calls itself (`dnstap-bgp status` shows it)"
        yield Finding("warning", "all-foreign", text, advice)
    if recent.rewritten:
        text = f"all {recent.rewritten} answers for listed names were made by the resolver's own policy (RPZ)"
        advice = "take these names out of that policy, or set dnstap.rewritten = true"
        yield Finding("warning", "all-rewritten", text, advice)


def _refused(recent: Recent) -> Iterator[Finding]:
    """Find that nearly all sightings are refused; a family without next-hop is told by itself."""
    refused = {reason: count for reason, count in recent.refused.items() if reason != _FAMILY}
    total = sum(refused.values())
    if total < REFUSED_MIN or total + recent.refused.get(_FAMILY, 0) < 0.99 * recent.sightings:
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items(), key=lambda one: -one[1])[:5])
    most = max(refused, key=lambda reason: refused[reason])
    advice = CAPS.get(most) or f"if {most} addresses are what you want routed, open them with guard.allow"
    yield Finding("warning", "all-refused", f"all addresses of listed names are refused: {reasons}", advice)


def _next_hops(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.recent.refused.get(_FAMILY):
        return
    for family in evidence.no_next_hop:
        text = f"{family} addresses of listed names are not announced, since there is no {family} next-hop"
        if family == "IPv6":
            text += ": clients prefer IPv6, and go around the IPv4 routes"
            yield Finding("note", "no-next-hop", text, _NO_IPV6_WAY, family)
        else:
            yield Finding("warning", "no-next-hop", text, "set bgp.next_hop", family)
    if not evidence.no_next_hop:  # IPv6 is off by a word of the configuration, or for some lists
        text = "AAAA answers for listed names lead around their routes, which are IPv4 only: clients prefer IPv6"
        advice = (
            "have the resolver withhold AAAA of these names (`dnstap-bgp resolver-conf` prints how), or route them "
            "by next_hop_ipv6, too"
        )
        yield Finding("note", "ipv6-leak", text, advice)
