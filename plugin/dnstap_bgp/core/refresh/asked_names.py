"""Names of refreshing lists that answers were seen for, told from those that only we have asked for.

A name that nobody but us asks for must end at some time. So each of our questions has the one ID that its question
gives (`question_id`), and a resolver's tap shows the ID that its client has chosen. No state is needed for that, and an
instance knows the questions of another one which asks the same resolver. Of clients' questions one in 65,536 has that
ID by chance, and then doesn't count. Who forges it keeps nothing but his own question from counting.

The ID 0 tells nothing: a resolver's hook sends it, as it knows no ID, and so do DoH and DoQ (RFC 8484, 9250).
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from zlib import crc32

from dnstap_bgp.core.model import Name, Sighting

NOTED_MAX = 8_192
"""Names between two looks: 2 MB. A resolver that answers for more names of lists in a quarter of a second is busy
enough that they come again."""

_HEADER_BYTES = 12
_BEHIND_NAME_BYTES = 5  # its last byte, type and class (RFC 1035, 4.1.2)


class NotedName(NamedTuple):
    """Note of the answers for a name.

    Attributes:
        list: The list that the name is on.
        dns_ttl_s: The smallest TTL among their records.
        by_client: One of them was for somebody else's question.
        by_unknown: One of them was for a question that may be anybody's.
    """

    list: str
    dns_ttl_s: int
    by_client: bool
    by_unknown: bool = False


def question_id(message: bytes) -> int:
    """Give the ID that our own question has, never 0.

    Args:
        message: A DNS message with one question, of which neither the ID nor the spelling of the name matters.
    """
    end = message.find(b"\0", _HEADER_BYTES) + _BEHIND_NAME_BYTES
    return crc32(message[_HEADER_BYTES:end].lower()) & 0xFFFF or 1


class AskedNames:
    """Notes of names; threads that read answers add them, the loop takes them.

    Attributes:
        lists: The lists that are refreshed.
        returned: Answers for our own questions, ever.
    """

    __slots__ = ("_noted", "lists", "returned")

    def __init__(self, lists: AbstractSet[str]) -> None:
        self.lists = lists
        self.returned = 0
        self._noted: dict[Name, NotedName] = {}

    def note(self, message: bytes, sightings: Iterable[Sighting]) -> None:
        """Take note of an answer that counts.

        Args:
            message: The whole DNS message.
            sightings: What it gave.
        """
        noted: dict[tuple[Name, str], int] = {}
        for _, list_name, name, ttl_s in sightings:
            if list_name in self.lists:
                noted[name, list_name] = min(ttl_s, noted.get((name, list_name), ttl_s))
        if not noted:
            return
        number = int.from_bytes(message[:2])
        is_own = number == question_id(message)
        by_unknown = not number
        by_client = not is_own and not by_unknown
        self.returned += is_own
        # Each of these is one step of the interpreter on a dict, which `take` may empty between any two of them.
        for (name, list_name), ttl_s in noted.items():
            note, before = NotedName(list_name, ttl_s, by_client, by_unknown), self._noted.get(name)
            if before is not None:
                note = note._replace(
                    dns_ttl_s=min(ttl_s, before.dns_ttl_s),
                    by_client=by_client or before.by_client,
                    by_unknown=by_unknown or before.by_unknown,
                )
            elif len(self._noted) >= NOTED_MAX:
                continue
            self._noted[name] = note

    def take(self) -> list[tuple[Name, NotedName]]:
        """Take all notes."""
        return [self._noted.popitem() for _ in range(len(self._noted))]  # nobody else takes any away
