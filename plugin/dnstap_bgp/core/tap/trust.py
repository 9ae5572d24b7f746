"""Trust in DNSTap senders: who sends, whose answers count, and the resolvers' own addresses.

Frames are judged only where their message has an outcome, so that what is read here costs nothing for the rest. The
resolvers' addresses are learnt on the way, because none of them may become a route: the way to a resolver would lead
through what its answers decide.
"""

from collections.abc import Set as AbstractSet
from enum import Enum

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from dnstap_bgp.core.model import Address
from dnstap_bgp.core.tap.dnstap_pb2 import Frame, FrameMessage, FrameSender

RESOLVERS_MAX = 256
"""Addresses that answers come from: a farm has dozens. More are made up, to fill the memory."""
RESOLVER_AGE_S = 24 * 3600.0
"""An address that no counted answer came from for so long, at least, is no resolver's any more: one whose addresses
change, or a sender that made them up, keeps nothing from being a route for ever."""
SENDER_TEXT_MAX = 64
"""Characters that are kept of a sender's identity and version: a host name, `unbound 1.17.1`."""

_LENGTH_BYTES = 4  # of a frame, before it
_PASS = 3  # dnstap PolicyAction: the answer is as it came
_MAPPED = bytes(10) + b"\xff\xff"
_CLIENT_RESPONSE = 6
_QUERY_ADDRESS = 4  # dnstap Message.query_address


class Distrust(Enum):
    """Reasons why an answer doesn't count."""

    FOREIGN = "foreign"  # of an identity that is not among those that count
    REWRITTEN = "rewritten"  # the resolver's policy (RPZ) made it


class ResolverAddresses(set[Address]):
    """The addresses of resolvers, packed, as their frames tell them; old ones go.

    The tap thread adds, the main thread lets them age, and whoever asks the guard looks: each is one step of the
    interpreter on a set.
    """

    def __init__(self) -> None:
        super().__init__()
        self._recent: set[Address] = set()  # those of the period at hand
        self._due: float | None = None

    def note(self, address: bytes) -> None:
        """Take note of the address that an answer came from; other lengths than 4 and 16 are none."""
        if address in self._recent or len(address) not in (4, 16):
            return
        for one in (address, address[len(_MAPPED) :]) if address.startswith(_MAPPED) else (address,):
            if one not in self and len(self) >= RESOLVERS_MAX:
                self.intersection_update(self._recent)  # who has not answered of late makes room
            if one in self or len(self) < RESOLVERS_MAX:
                self._recent.add(one)
                self.add(one)

    def age(self, now: float) -> None:
        """Forget who has not answered for a whole period of `RESOLVER_AGE_S`; called at any pace.

        Args:
            now: Process clock, seconds.
        """
        if self._due is None:
            self._due = now + RESOLVER_AGE_S
        elif now >= self._due:
            self._due = now + RESOLVER_AGE_S
            self.intersection_update(self._recent)
            self._recent = set()


class Trust:
    """Says whose answers count, by the configuration.

    Attributes:
        resolvers: The addresses that counted answers came from; grows.
    """

    __slots__ = ("_identities", "_rewritten", "resolvers")

    def __init__(
        self,
        identities: AbstractSet[bytes] = frozenset(),
        *,
        rewritten: bool = False,
        resolvers: ResolverAddresses | None = None,
    ) -> None:
        """Make the trust that a configuration says.

        Args:
            identities: The DNSTap identities that count; empty: all.
            rewritten: Answers that a policy rewrote count too.
            resolvers: Addresses that are known already, to be added to.
        """
        self.resolvers = resolvers if resolvers is not None else ResolverAddresses()
        self._identities = identities
        self._rewritten = rewritten

    def distrust(self, frame: Frame) -> Distrust | None:
        """Say why the answer in a frame doesn't count; None: it does.

        A resolver's own address is the one that answers a client (CLIENT_RESPONSE), and the one that asked in what it
        hears from others (RESOLVER_RESPONSE, FORWARDER_RESPONSE): there the one that answers is a name server of
        somebody's domain, which may well become a route.
        """
        if self._identities and frame.identity not in self._identities:
            return Distrust.FOREIGN
        message = frame.message
        if message.type == _CLIENT_RESPONSE:
            self.resolvers.note(message.response_address)
        else:
            self.resolvers.note(_query_address(message))
        if not self._rewritten and message.HasField("policy") and message.policy.action != _PASS:
            return Distrust.REWRITTEN
        return None


def _query_address(message: FrameMessage) -> bytes:
    """Read the field that the schema leaves out because it is private, and costs, where a client asks."""
    unknown = UnknownFieldSet(message)
    fields = [unknown[index] for index in range(len(unknown))]
    found = [field.data for field in fields if field.field_number == _QUERY_ADDRESS]
    return found[-1] if found and isinstance(found[-1], bytes) else b""


def read_sender(buffer: bytes | bytearray, start: int, end: int) -> tuple[str, str] | None:
    """Read who sends from the first data frame of a connection.

    Args:
        buffer: Bytes of a Frame Streams connection.
        start: Offset of a frame, with its length.
        end: Offset behind the valid bytes.

    Returns:
        Identity and version, printable, empty where the sender leaves them out or the frame is broken; None: the frame
        is not whole yet, or it is a control frame.
    """
    size = int.from_bytes(buffer[start : start + _LENGTH_BYTES])
    first = start + _LENGTH_BYTES
    if not size or end < first + size:
        return None
    try:
        sender = FrameSender.FromString(bytes(buffer[first : first + size]))
    except DecodeError:  # whoever decodes the frame's message counts it
        return "", ""
    return _printable(sender.identity), _printable(sender.version)


def _printable(value: bytes) -> str:
    text = value[: 4 * SENDER_TEXT_MAX].decode("utf-8", "replace")[:SENDER_TEXT_MAX]
    return "".join(char if char.isprintable() else "?" for char in text)
