"""Resolvers' hooks: nobody asks, answers leave before their routes, and what keeps routes from being there in time."""

from collections.abc import Iterator, Mapping

from dnstap_bgp.core.doctor.evidence import Evidence, HoldEvidence
from dnstap_bgp.core.status.report import ExabgpStatus, Finding, HoldStatus, Status
from dnstap_bgp.core.text import duration_text

NEW_MIN = 20
"""New routes of late that make a share worth telling."""
GIVEN_UP_SHARE = 0.05
"""A burst behind a bulk load may cost some; more has a reason that lasts."""
DATAGRAM_QUEUE_MIN = 64
"""A burst of new names: a page brings some 30."""
NO_DELAY = "no-delay"
"""Name of the patch of ExaBGP by which it sends at once."""


def examine(status: Status, evidence: Evidence) -> Iterator[Finding]:
    """Find what is wrong with the hold service and the hooks that ask it."""
    hold, seen = status.hold, evidence.hold
    if hold is None:
        return
    for listener in hold.listeners:
        if listener.problem is not None and listener.problem != "not open yet":
            text = f"hooks can't ask at {listener.address}: {listener.problem}"
            yield Finding("error", "hold-listener", text, "it is tried again every few seconds", listener.address)
    if not hold.is_on:
        text = "answers are not held: that is switched off by hand"
        yield Finding("note", "hold-off", text, "`dnstap-bgp hold on` when it should be so again")
        return
    if status.exabgp is not None and status.exabgp.stage == "ready":
        yield from _nagle(status.exabgp)
    yield from _silent(hold, evidence)
    yield from _given_up(seen.replies, hold)
    if seen.datagram_queue is not None and seen.datagram_queue < DATAGRAM_QUEUE_MIN:
        text = f"only {seen.datagram_queue} datagrams wait at a unix socket here: of a burst the others are lost"
        advice = "sysctl net.unix.max_dgram_qlen=512, and in /etc/sysctl.d for the next start; then restart both sides"
        yield Finding("warning", "hold-datagram-queue", text, advice)
    yield from _outlived(hold, seen)


def _nagle(host: ExabgpStatus) -> Iterator[Finding]:
    reason = host.patches.get(NO_DELAY, "it was started without our patches")
    if not reason:
        return
    text = f"ExaBGP waits up to 43 ms before it sends a second update (no TCP_NODELAY): {reason}"
    advice = "start it by `dnstap-bgp up` or `dnstap-bgp exabgp`, with an ExaBGP that the patches were tried with"
    yield Finding("warning", "hold-delay", text, advice)


def _silent(hold: HoldStatus, evidence: Evidence) -> Iterator[Finding]:
    seen = evidence.hold
    # a sighting that is none of a new address may be of an answer from the cache, for which no hook asks
    if evidence.recent.sightings and evidence.recent.claims > 0 and not seen.told and not sum(seen.replies.values()):
        ever = "has asked of late" if any(one.asked or one.told for one in hold.hooks) else "has ever asked"
        text = f"the tap shows new addresses for names on lists, and no hook {ever}"
        advice = "is the hook loaded in the resolver, and may it open one of hold.listen? The resolver's log tells"
        yield Finding("warning", "hold-silent", text, advice)


def _given_up(replies: Mapping[str, int], hold: HoldStatus) -> Iterator[Finding]:
    given_up, installed = replies.get("gave_up", 0), replies.get("installed", 0)
    new = given_up + installed
    if new >= NEW_MIN and given_up > new * GIVEN_UP_SHARE:
        text = (
            f"{given_up} of {new} answers with new routes left before these were there:"
            f" {hold.bound_s * 1000:g} ms were not enough"
        )
        advice = (
            "a margin is larger than it need be (`dnstap-bgp margin NEIGHBOR`), ExaBGP is too slow (its CPU, another"
            " client's queries), or the machine is"
        )
        yield Finding("warning", "hold-gave-up", text, advice)


def _outlived(hold: HoldStatus, seen: HoldEvidence) -> Iterator[Finding]:
    """Find routes that end before the resolver asks again: what it answers from its cache no hook sees."""
    if seen.ttl_s is None or seen.ttl_s >= seen.cache_ttl_max_s or not any(one.asked or one.told for one in hold.hooks):
        return
    text = (
        f"routes end {duration_text(seen.ttl_s)} after they were last seen, and resolvers keep answers for up to"
        f" {duration_text(seen.cache_ttl_max_s)}: no hook sees what is answered from a cache"
    )
    advice = "set the resolver's longest time in cache (unbound: cache-max-ttl) below `ttl`, or `ttl` above it"
    yield Finding("warning", "hold-cache", text, advice)
