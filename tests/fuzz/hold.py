"""Hooks' questions: any bytes; what is read agrees with dnspython's reading of the answer, and bounds hold.

Questions of the input go to a book of waiting questions, too, with acknowledgments and time between: everybody gets one
reply, never after the bound, and never "installed" before all that was awaited.
"""

import random
import struct
from collections.abc import Callable, Iterator

from dnstap_bgp.core.hold.held_questions import Answered, HeldQuestion, HeldQuestions
from dnstap_bgp.core.hold.hook_answers import HookAnswers
from dnstap_bgp.core.hold.message import (
    REWRITTEN,
    TELLS_ONLY,
    Question,
    Verdict,
    id_of,
    read_question,
    reply,
)
from dnstap_bgp.errors import HoldMessageError
from tests.fuzz.choices import Choices
from tests.property.messages import draw_wires, expected, rules

COVERS = {
    "dnstap_bgp.core.hold.message": 0.9,
    "dnstap_bgp.core.hold.hook_answers": 0.9,
    "dnstap_bgp.core.hold.held_questions": 0.95,
}
RULES = rules()
PREFIXES = [bytes((11, 0, 0, number)) for number in range(6)]
BOUND_S, MARGIN_S = 0.05, 0.003


def one_input(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind < b"\x80":
        check_question(rest)
    else:
        check_waiting(Choices(rest))


def printable_error(read: Callable[[bytes], Question], data: bytes) -> Question | None:
    """Read a message; the reason why it is none can be shown on a terminal."""
    reason = ""
    try:
        return read(data)
    except HoldMessageError as error:
        reason = str(error)
    assert reason.isprintable()
    return None


def check_question(data: bytes) -> None:
    assert (id_of(data) is None) == (len(data) < 10)
    question = printable_error(read_question, data)
    if question is None:
        return
    assert (
        struct.pack("!BB8sB", 1, data[1], question.id, len(question.hook))
        + question.hook.encode()
        + (question.response)
        == data
    )
    assert question.is_rewritten == bool(data[1] & REWRITTEN)
    assert question.wants_reply != bool(data[1] & TELLS_ONLY)
    assert len(reply(Verdict.THERE, question.id, 50, 7)) == 16
    wanted = expected(question.response, RULES.lists)
    answers = HookAnswers(RULES, identities=frozenset({"hook"}))
    for _ in range(2):  # the second time by the memo
        found = answers.read(question)
        if not wanted:
            assert not found or answers.counters.rewritten, found
        elif found is None:
            assert question.hook != "hook" or question.is_rewritten
        else:
            assert sorted(found) == sorted(wanted)
            assert question.hook == "hook"
            assert not question.is_rewritten


class Book:
    """What each question awaits, and when it may be answered how; from scratch."""

    def __init__(self) -> None:
        self.at: dict[HeldQuestion[int], float] = {}
        self.acknowledged: dict[HeldQuestion[int], dict[bytes, float]] = {}
        self.awaited: dict[HeldQuestion[int], set[bytes]] = {}

    def answered(self, answered: Answered[int], now: float) -> None:
        question = answered.question
        began, waited = self.at.pop(question), self.awaited.pop(question)
        acknowledged = self.acknowledged.pop(question)
        missing = waited - acknowledged.keys()
        ready_at = max([at + MARGIN_S for at in acknowledged.values() if at >= 0], default=0.0)
        if answered.verdict is Verdict.INSTALLED:
            assert not missing
            assert ready_at <= now
        elif answered.verdict is Verdict.GAVE_UP:
            assert missing or ready_at > began + BOUND_S
        elif answered.verdict is Verdict.REFUSED:
            assert not missing
            assert all(at < 0 for at in acknowledged.values())


def check_waiting(dice: Choices) -> None:  # noqa: C901 - five things that can happen, in any order
    held: HeldQuestions[int] = HeldQuestions(4)
    book, now = Book(), 1000.0
    while dice:
        match dice.randrange(5):
            case 0 | 1:
                owner = dice.randrange(3)
                room = held.make_room(owner)
                for one in room or ():
                    assert one.verdict is Verdict.TOO_MANY
                    book.answered(one, now)
                if room is not None:
                    awaited = set(dice.sample(PREFIXES, dice.randrange(1, 4)))
                    question = HeldQuestion(0, owner, set(awaited), times=(now, now + BOUND_S, 0.0), margin_s=MARGIN_S)
                    held.hold(question)
                    book.at[question], book.awaited[question] = now, awaited
                    book.acknowledged[question] = {}
            case 2:
                prefix, is_done = dice.choice(PREFIXES), dice.random() < 0.7
                for question in held.by_prefix.get(prefix, ()):
                    book.acknowledged[question][prefix] = now if is_done else -1.0
                (held.acknowledged(prefix, now) if is_done else held.refused(prefix))
            case 3:
                now += dice.choice([0.0, 0.001, 0.003, 0.02, 0.05])
            case 4 if dice.random() < 0.05:
                for one in held.release():
                    book.answered(one, now)
        for one in held.due(now):
            book.answered(one, now)
        assert len(held) == len(book.at) <= 4
        assert set(held) == set(book.at)
        assert all(began + BOUND_S > now for began in book.at.values()), "nobody waits beyond the bound"
        assert all(any(prefix in one.awaited for one in book.at) for prefix in held.by_prefix)


def seeds() -> Iterator[bytes]:
    for seed in range(80):
        pick = random.Random(seed)
        hook = pick.choice((b"hook", b"hook", b"other", b""))
        for wire in draw_wires(pick, 3):
            flags = pick.choice((0, 0, 0, 1, 2))
            yield b"\0" + struct.pack("!BB8sB", 1, flags, pick.randbytes(8), len(hook)) + hook + wire
        yield b"\xff" + pick.randbytes(60)
