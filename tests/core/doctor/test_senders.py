"""Mistakes with senders, recognised from what they leave in the status and in samples."""

import struct
from dataclasses import replace

import pytest

from dnstap_bgp.core.doctor.evidence import Evidence, SenderSamples
from dnstap_bgp.core.doctor.senders import MISTAKES, TYPES
from dnstap_bgp.core.status.report import ListenerStatus, Trouble
from dnstap_bgp.core.tap.framestream import Fault
from tests.core.doctor.cases import SENDER, found, only, tap
from tests.core.doctor.frames import frames


def seen(*types, wire=b"dns", **counted):
    """Samples of five places of a stream, each with the same frames."""
    return of(frames(*types, wire=wire), **counted)


def of(sample, looks=5, **counted):
    samples = SenderSamples(**counted)
    for _ in range(looks):
        samples = samples.plus(sample)
    return Evidence(samples={SENDER.peer: samples})


def test_messages_are_called_as_the_protocol_calls_them():
    roles = ("AUTH", "RESOLVER", "CLIENT", "FORWARDER", "STUB", "TOOL")  # two each, in dnstap.proto's order
    names = [f"{role}_{what}" for role in roles for what in ("QUERY", "RESPONSE")]
    assert dict(enumerate(names, 1)) == TYPES


def test_nothing_is_wrong():
    assert found() == ()
    assert found(seen(*[5, 6] * 20)) == ()


def test_every_kind_of_trouble_has_its_advice():
    assert set(MISTAKES) == set(map(str, Fault))
    for kind, mistake in MISTAKES.items():
        finding = only(tap=tap(troubles=(Trouble(kind, 3, "10.0.0.1:7: odd", 1.0),)))
        assert (finding.kind, finding.level, finding.advice) == (f"sender-{kind}", mistake.level, mistake.advice)
        assert finding.text == f"{mistake.text}: 10.0.0.1:7: odd (3 times)"


@pytest.mark.parametrize(("count", "times"), [(1, ""), (2, " (2 times)")])
def test_trouble_that_comes_again_is_counted(count, times):
    finding = only(tap=tap(troubles=(Trouble("tls", count, "odd", 1.0),)))
    assert finding.text == f"a DNSTap sender was turned away: odd{times}"


def test_trouble_passes():
    assert found(tap=tap(troubles=(Trouble("tls", 3, "odd", 300.0),)))
    assert not found(tap=tap(troubles=(Trouble("tls", 3, "odd", 300.5),)))


@pytest.mark.parametrize(
    ("types", "version", "advice"),
    [
        ([3, 4], "PowerDNS Recursor 4.8", "pdns-recursor has no CLIENT_RESPONSE"),
        ([4], "", "pdns-recursor has no CLIENT_RESPONSE"),
        ([4, 5], "", "switch client responses on"),
        ([5, 8], "", 'dnstap.messages = ["forwarder_response"]'),
        ([5], "unbound 1.17", "unbound: dnstap-log-client-response-messages: yes"),
        ([2], "", "BIND: dnstap { client response; }"),
        ([99], "", "switch client responses on"),
    ],
)
def test_no_client_response(types, version, advice):
    connections = (replace(SENDER, version=version),)
    finding = only(seen(*types * 20), tap=tap(connections=connections))
    assert (finding.kind, finding.subject) == ("no-client-response", "unbound")
    assert "no CLIENT_RESPONSE, only" in finding.text
    assert advice in finding.advice


def test_resolver_responses_that_are_asked_for_are_well():
    assert found(replace(seen(*[4] * 20), messages=frozenset({4}))) == ()


def test_messages_without_the_wire():
    finding = only(seen(*[5, 6] * 10, wire=b""))
    assert finding.kind == "no-dns-message"
    assert "`full`" in finding.advice


def test_frames_that_are_no_dnstap():
    sample = b"".join(struct.pack("!I", 5) + b"\xffabcd" for _ in range(20))
    assert only(of(sample)).kind == "not-dnstap"


def test_too_few_frames_prove_nothing():
    assert found(seen(*[4] * 3)) == ()
    assert only(seen(*[4] * 4)).kind == "no-client-response"


@pytest.mark.parametrize(
    ("samples", "counted"),
    [
        (frames(*[5] * 40), {"messages": 1, "empty": 0}),
        (frames(*[6] * 40, wire=b""), {"messages": 41, "empty": 40}),
        (b"".join(struct.pack("!I", 5) + b"\xffabcd" for _ in range(40)), {"messages": 1}),
    ],
)
def test_the_absence_of_what_is_counted_is_never_claimed(samples, counted):
    assert found(of(samples, **counted)) == ()
    assert found(of(samples)) != ()


def test_one_burst_does_not_speak_for_all():
    once = Evidence(samples={SENDER.peer: SenderSamples().plus(frames(*[5] * 40))})
    assert found(once) == ()
    assert found(of(frames(*[5] * 40), looks=4)) == ()
    assert only(of(frames(*[5] * 40), looks=5)).kind == "no-client-response"


def test_a_sender_is_judged_after_a_while():
    young = tap(connections=(replace(SENDER, age_s=29.5),))
    assert found(seen(*[5] * 40), tap=young) == ()
    old = tap(connections=(replace(SENDER, age_s=30.0),))
    assert only(seen(*[5] * 40), tap=old).kind == "no-client-response"


def test_a_sender_that_says_nothing():
    quiet = replace(SENDER, frames=0, age_s=120.5)
    assert only(tap=tap(connections=(quiet,))).kind == "quiet-sender"
    assert not found(tap=tap(connections=(replace(quiet, age_s=120.0),)))


@pytest.mark.parametrize(
    ("version", "who"), [("unbound 1.17.1", "unbound[123] (unbound 1.17.1)"), ("", "unbound[123]")]
)
def test_a_sender_is_told_with_its_version_if_it_says_one(version, who):
    quiet = replace(SENDER, frames=0, age_s=3_725.0, version=version)
    finding = only(tap=tap(connections=(quiet,)))
    assert finding.text == f"{who} is connected and has sent no message for 1 h"


def test_nobody_is_connected():
    alone = Evidence(alone_s=60.5)
    assert not found(Evidence(alone_s=60.0), tap=tap(connections=()))
    assert "any more" in only(alone, tap=tap(connections=())).text
    assert "AppArmor" in only(alone, tap=tap(connections=(), accepted=0)).advice
    closed = tap(connections=(), listeners=(ListenerStatus("/run/tap.sock", "another process listens on it"),))
    assert only(alone, tap=closed).kind == "tap-listener"


@pytest.mark.parametrize("address", ["192.0.2.1:4000", "[2001:db8::1]:4000", "un[bou]nd[12]"])
def test_the_subject_is_the_same_when_it_comes_back(address):
    sender = replace(SENDER, peer=address, frames=0, age_s=121.0)
    assert only(tap=tap(connections=(sender,))).subject in ("192.0.2.1", "[2001:db8::1]", "un[bou]nd")
