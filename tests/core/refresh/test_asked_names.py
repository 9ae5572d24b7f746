"""Notes of names: whose question an answer is for, and that they are bounded."""

import dns.message
import dns.rrset
import pytest

from dnstap_bgp.core.refresh import asked_names
from dnstap_bgp.core.refresh.asked_names import AskedNames, NotedName, question_id

ADDRESS = bytes((11, 0, 0, 1))


def wire(name: str = "www.example", number: int = 7, kind: str = "A") -> bytes:
    question = dns.message.make_query(name, kind, use_edns=0)
    question.id = number
    return question.to_wire()


def own(name: str = "www.example", kind: str = "A") -> bytes:
    return wire(name, question_id(wire(name, kind=kind)), kind)


def seen(name: bytes = b"www.example", list_name: str = "tunnel", dns_ttl_s: int = 300):
    return (ADDRESS, list_name, name, dns_ttl_s)


def test_an_answer_for_a_client_is_told_from_one_for_us():
    names = AskedNames({"tunnel"})
    names.note(wire(), [seen()])
    assert names.take() == [(b"www.example", NotedName("tunnel", 300, by_client=True))]
    names.note(own(), [seen()])
    assert names.take() == [(b"www.example", NotedName("tunnel", 300, by_client=False))]
    assert names.take() == []
    assert names.returned == 1


def test_what_tells_no_id_is_nobodys():
    """A resolver's hook writes 0, and clients of DoH do."""
    names = AskedNames({"tunnel"})
    names.note(wire(number=0), [seen()])
    assert names.take() == [(b"www.example", NotedName("tunnel", 300, by_client=False, by_unknown=True))]
    for message in (wire(number=0), own(), wire()):
        names.note(message, [seen()])
    assert names.take() == [(b"www.example", NotedName("tunnel", 300, by_client=True, by_unknown=True))]
    assert names.returned == 1


def test_our_id_is_never_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asked_names, "crc32", lambda _: 0x10000)
    assert question_id(wire()) == 1


def test_our_id_depends_on_name_and_type_alone():
    assert question_id(wire("WWW.example", 1)) == question_id(wire("www.example", 9))
    assert question_id(wire(kind="A")) != question_id(wire(kind="AAAA"))
    answer = dns.message.make_response(dns.message.from_wire(own("wWw.example")))
    assert question_id(answer.to_wire()) == answer.id
    answer.answer.append(dns.rrset.from_text("www.example.", 300, "IN", "A", "11.0.0.1"))
    assert question_id(answer.to_wire()) == answer.id


@pytest.mark.parametrize("first", [True, False])
def test_of_several_answers_the_client_and_the_shortest_ttl_count(first):
    names = AskedNames({"tunnel"})
    answers = [(wire(), [seen(dns_ttl_s=300)]), (own(), [seen(dns_ttl_s=20), seen(dns_ttl_s=40)])]
    for message, sightings in answers if first else reversed(answers):
        names.note(message, sightings)
    assert names.take() == [(b"www.example", NotedName("tunnel", 20, by_client=True))]


def test_whose_question_one_name_of_a_chain_was_is_not_told_of_the_next_one():
    """A client has asked for the first name alone; our own answer then shows a chain of both."""
    names = AskedNames({"tunnel"})
    names.note(wire(), [seen()])
    names.note(wire("other.example", 0), [seen(b"other.example")])
    names.note(own(), [seen(), seen(b"other.example"), seen(b"edge.example")])
    assert dict(names.take()) == {
        b"www.example": NotedName("tunnel", 300, by_client=True),
        b"other.example": NotedName("tunnel", 300, by_client=False, by_unknown=True),
        b"edge.example": NotedName("tunnel", 300, by_client=False),
    }


def test_lists_that_are_not_refreshed_leave_no_note():
    names = AskedNames({"tunnel"})
    names.note(own(), [seen(list_name="other")])
    assert names.take() == []
    assert names.returned == 0


def test_notes_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asked_names, "NOTED_MAX", 3)
    names = AskedNames({"tunnel"})
    for number in range(10):
        names.note(wire(), [seen(b"%d.example" % number)])
    names.note(own(), [seen(b"0.example", dns_ttl_s=1)])  # what is noted already has its place
    assert sorted(names.take()) == [
        (b"0.example", NotedName("tunnel", 1, by_client=True)),
        (b"1.example", NotedName("tunnel", 300, by_client=True)),
        (b"2.example", NotedName("tunnel", 300, by_client=True)),
    ]


@pytest.mark.parametrize("message", [b"", bytes(11), bytes(12), b"x" * 40])
def test_no_message_is_too_broken(message):
    assert 1 <= question_id(message) <= 0xFFFF
