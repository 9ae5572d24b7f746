"""Mistakes with DNSTap senders, recognised from what arrives, and what to change there."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dnstap_bgp.core.doctor.evidence import Evidence, SenderSamples
from dnstap_bgp.core.status.report import Finding, Level, SenderStatus, TapStatus, Trouble
from dnstap_bgp.core.text import duration_text

TROUBLE_S = 300.0
"""What was wrong longer ago is taken to be mended: senders try again within seconds, the slowest within a minute."""

ALONE_S = 60.0
"""unbound connects again within a second, BIND within five, others within a minute."""

QUIET_S = 120.0
"""A resolver that anybody uses has answered something by then."""

SAMPLED_MIN = 20
"""Frames of a sender that are looked at before its mix of messages is judged."""

JUDGED_AFTER_S = 30.0
"""Since it connected: queries come first, the answers as fast as the slowest server."""

LOOKS_MIN = 5
"""Samples, each from another place of the stream: one burst must not speak for all."""

TYPES = {
    1: "AUTH_QUERY",
    2: "AUTH_RESPONSE",
    3: "RESOLVER_QUERY",
    4: "RESOLVER_RESPONSE",
    5: "CLIENT_QUERY",
    6: "CLIENT_RESPONSE",
    7: "FORWARDER_QUERY",
    8: "FORWARDER_RESPONSE",
    9: "STUB_QUERY",
    10: "STUB_RESPONSE",
    11: "TOOL_QUERY",
    12: "TOOL_RESPONSE",
}
"""The messages of dnstap.proto by number."""

_ON = "unbound: dnstap-log-client-response-messages: yes; BIND: dnstap { client response; }"


class Mistake(NamedTuple):
    """A kind of trouble with senders: how bad it is, what to change, and how the finding begins."""

    level: Level
    advice: str
    text: str = "a DNSTap sender was turned away"


MISTAKES = {
    "tls": Mistake(
        "warning",
        "unbound: `dnstap-tls: no` (over TCP it speaks TLS unless told so), or give this listener a certificate"
        " (dnstap.tls_cert)",
    ),
    "tls-handshake": Mistake(
        "warning", "unbound: `dnstap-tls: yes`; a sender without TLS needs a listener of its own: tcp://host:port"
    ),
    "tls-certificate": Mistake(
        "warning",
        "the sender's certificate must be signed by dnstap.tls_client_ca, and ours by what the sender trusts (unbound:"
        " dnstap-tls-cert-bundle, dnstap-tls-server-name)",
    ),
    "raw-protobuf": Mistake(
        "warning",
        "dnsdist: newRemoteLogger and RemoteLogResponseAction speak another protocol; use newFrameStreamUnixLogger or"
        " newFrameStreamTcpLogger with DnstapLogResponseAction, for cache hits too (addCacheHitResponseAction)",
    ),
    "http": Mistake("note", "a browser or a scraper has the wrong port: [http] listen is the one for them"),
    "no-start": Mistake(
        "warning", "the sender must speak Frame Streams (fstrm) with content type protobuf:dnstap.Dnstap"
    ),
    "content-type": Mistake(
        "warning",
        "set the sender's content type to protobuf:dnstap.Dnstap (fstrm_replay, fstrm_capture: -t"
        " protobuf:dnstap.Dnstap)",
    ),
    "control": Mistake("warning", "the sender breaks the Frame Streams format: tell who maintains it"),
    "oversize": Mistake("warning", "raise dnstap.frame_max_bytes if this sender is to be trusted"),
    "out-of-step": Mistake(
        "warning",
        "two writers on one socket, a relay that drops bytes, or another protocol: let each resolver connect by itself",
    ),
    "cut": Mistake("note", "the sender died or the network broke: look into its own log"),
    "limit": Mistake("warning", "raise dnstap.connections_max, or find out who opens so many connections"),
    "crowded": Mistake("warning", "somebody opens many connections and says nothing: say in dnstap.allow who may"),
    "not-allowed": Mistake("warning", "add its address to dnstap.allow if it is a resolver of yours"),
    "silent": Mistake(
        "note",
        "a sender begins by itself: is this a port check, or another collector in place of a resolver?",
    ),
    "slow-handshake": Mistake("warning", "a slow or lossy path, or a sender that waits for something else than ACCEPT"),
    "costly": Mistake(
        "note",
        "somebody asks that resolver for names whose answers are made to hurt: look at who asks, if it goes on",
        "answers in DNSTap were skipped for their cost",
    ),
}


def examine(tap: TapStatus, evidence: Evidence) -> Iterator[Finding]:
    """Find what is wrong with senders."""
    for trouble in tap.troubles:
        if trouble.age_s <= TROUBLE_S:
            yield _trouble(trouble)
    for sender in tap.connections:
        if sender.state == "streaming":
            yield from _sender(sender, evidence.samples.get(sender.peer, SenderSamples()), evidence.messages)
    if evidence.alone_s > ALONE_S and not any(listener.problem for listener in tap.listeners):
        yield _alone(tap)


def _trouble(trouble: Trouble) -> Finding:
    level, advice, text = MISTAKES.get(trouble.kind, Mistake("warning", ""))
    times = f" ({trouble.count} times)" if trouble.count > 1 else ""
    return Finding(level, f"sender-{trouble.kind}", f"{text}: {trouble.last}{times}", advice)


def _alone(tap: TapStatus) -> Finding:
    if tap.accepted:
        text, advice = "no DNSTap sender is connected any more", "does the resolver run? Its log says why it left"
    else:
        text = "no DNSTap sender has ever connected"
        advice = (
            "is DNSTap switched on in the resolver, to just this path or address? A chroot (unbound) or AppArmor may"
            " stand between: `journalctl -k | grep DENIED`"
        )
    return Finding("warning", "no-sender", text, advice)


def _sender(sender: SenderStatus, samples: SenderSamples, wanted: frozenset[int]) -> Iterator[Finding]:
    who = f"{sender.peer} ({sender.version})" if sender.version else sender.peer
    subject = _name(sender.peer)
    if not sender.frames:
        if sender.age_s > QUIET_S:
            text = f"{who} is connected and has sent no message for {duration_text(sender.age_s, 1)}"
            advice = f"ask it something; if nothing comes, switch its messages on. {_ON}"
            yield Finding("note", "quiet-sender", text, advice, subject)
    elif samples.frames < SAMPLED_MIN or samples.looks < LOOKS_MIN or sender.age_s < JUDGED_AFTER_S:
        return
    elif samples.undecodable == samples.frames and not samples.messages:
        text = f"{who} sends frames that are no DNSTap messages"
        yield Finding("warning", "not-dnstap", text, "another program's stream goes to this listener", subject)
    elif not samples.messages and not any(samples.types.get(number) for number in wanted):
        text = f"{who} sends no {_names(wanted)}, only {_names(samples.types)}"
        yield Finding("warning", "no-client-response", text, _messages_advice(samples, sender.version), subject)
    elif samples.messages == samples.empty and not any(samples.wires.get(number) for number in wanted):
        text = f"{who} sends its messages without the DNS answer in them"
        advice = "CoreDNS: write `full` at the end of its dnstap line; others: switch on that the response is included"
        yield Finding("warning", "no-dns-message", text, advice, subject)


def _messages_advice(samples: SenderSamples, version: str) -> str:
    if "recursor" in version.lower() or (4 in samples.types and 5 not in samples.types):
        return (
            "pdns-recursor has no CLIENT_RESPONSE: put dnsdist in front of it and tap that, or set dnstap.messages ="
            ' ["resolver_response"], which shows no cache hits and no whole CNAME chains. Others: ' + _ON
        )
    if 8 in samples.types:
        return f'set dnstap.messages = ["forwarder_response"], or switch client responses on. {_ON}'
    return f"switch client responses on. {_ON}"


def _names(types: Iterable[int]) -> str:
    return ", ".join(TYPES.get(number, f"type {number}") for number in sorted(types)) or "messages"


def _name(peer: str) -> str:
    """Name a sender without what changes with each of its connections: `unbound[123]`, `192.0.2.1:4567`."""
    return peer.rpartition("[" if peer.endswith("]") else ":")[0] or peer
