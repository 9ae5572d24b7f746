r"""Questions of hooks and our replies, as bytes; one message each, network byte order.

    question   version 1, flags, id (8 bytes, the hook's own), length of the identity, identity, DNS response (RFC 1035)
    reply      version 1, verdict, id, bound in ms (16 bits), generation of the lists (32 bits): 16 bytes

The flags: 1 a policy of the resolver's rewrote the answer; 2 the hook only tells, and wants no reply. Over UDP a
question has 16 bytes of token in front; over TLS each message has its length, 16 bits, in front.
"""

import enum
import re
import struct
from typing import NamedTuple

from dnstap_bgp.errors import HoldMessageError

VERSION = 1
REWRITTEN, TELLS_ONLY = 1, 2
IDENTITY_MAX_BYTES = 64
RESPONSE_MAX_BYTES = 65_535
TOKEN_BYTES = 16

_HEAD = struct.Struct("!BB8sB")
_REPLY = struct.Struct("!BB8sHI")
_ID_BYTES = slice(2, 10)
_IDENTITY = re.compile(rb"[A-Za-z0-9._-]{1,64}")

QUESTION_MAX_BYTES = _HEAD.size + IDENTITY_MAX_BYTES + RESPONSE_MAX_BYTES


class Verdict(enum.IntEnum):
    """Verdict of a reply: the answer may leave, and why.

    THERE: the routes were in the routers' tables already. INSTALLED: they were new and waited for, and are there by
    now, as far as acknowledgments and margins tell.
    """

    NOT_OURS = 0
    THERE = 1
    INSTALLED = 2
    REFUSED = 3
    OFF = 4
    NO_NEIGHBOR = 5
    GAVE_UP = 6
    TOO_MANY = 7
    NOT_UNDERSTOOD = 8

    @property
    def word(self) -> str:
        """The verdict in lower case, for status and metrics."""
        return self.name.lower()


class Question(NamedTuple):
    """One question.

    Attributes:
        id: The hook's own, echoed.
        hook: The hook's identity, ASCII letters, digits, `.`, `_` and `-`.
        is_rewritten: A policy of the resolver's rewrote the answer.
        wants_reply: False: the hook only tells.
        response: The DNS response as the client gets it.
    """

    id: bytes
    hook: str
    is_rewritten: bool
    wants_reply: bool
    response: bytes


def read_question(data: bytes) -> Question:
    """Take a question apart.

    Args:
        data: One message, without token and length.

    Raises:
        HoldMessageError: It is none; the message tells what was read and what is right.
    """
    if not _HEAD.size < len(data) <= QUESTION_MAX_BYTES:
        raise HoldMessageError(f"{len(data)} bytes are no question: {_HEAD.size + 1} to {QUESTION_MAX_BYTES} are")
    version, flags, question_id, length = _HEAD.unpack_from(data)
    if version != VERSION:
        raise HoldMessageError(f"version {version}; {VERSION} is known here")
    end = _HEAD.size + length
    identity = data[_HEAD.size : end]
    if len(identity) != length or not _IDENTITY.fullmatch(identity):
        raise HoldMessageError(f"no identity of 1 to {IDENTITY_MAX_BYTES} letters, digits, `.`, `_` and `-` at 11")
    return Question(
        question_id,
        identity.decode("ascii"),
        bool(flags & REWRITTEN),
        not flags & TELLS_ONLY,
        data[end:],
    )


def id_of(data: bytes) -> bytes | None:
    """Give the id of a message that may be no question; None: it is too short for one."""
    found = data[_ID_BYTES]
    return found if len(found) == 8 else None


def reply(verdict: Verdict, question_id: bytes, bound_ms: int, generation: int) -> bytes:
    """Make a reply.

    Args:
        verdict: Why the answer may leave.
        question_id: 8 bytes.
        bound_ms: The longest that the service lets a question wait.
        generation: A number that another rule set has another of, below 2^32.
    """
    return _REPLY.pack(VERSION, verdict, question_id, bound_ms, generation)
