"""What the hub's carriers have in common: a way to peers, and how these are; no thread of its own."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from dnstap_bgp.core.model import Address

State: TypeAlias = Literal["connecting", "loading", "following", "failing", "refused", "self"]

Protocols: TypeAlias = Literal["delta", "compatible", "redis", "unknown"]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """How a peer is.

    Attributes:
        peer: As it is configured, without a password.
        carrier: `delta`, `compatible` (the Go program's protocol), `redis`, or `unknown` as yet.
        state: `loading`: everything is on its way. `following`: what is new comes. `failing`: tried again and again.
            `refused`: one of the two doesn't let the other in. `self`: it is this very process.
        last_contact_s: When it last said anything, process clock; None: never.
        lag_s: How old the last change was when it was taken; None: there was none.
        given: Claims that it got from us.
        taken: Claims of it that were news.
        refused: Claims of it that were not to be taken: on none of our lists, by guard or cap, expired, or no claims.
        errors: Failed tries.
        last_error: The last of them; "": there was none.
        is_configured: False: somebody who follows us, from anywhere.
    """

    peer: str
    carrier: Protocols
    state: State
    last_contact_s: float | None = None
    lag_s: float | None = None
    given: int = 0
    taken: int = 0
    refused: int = 0
    errors: int = 0
    last_error: str = ""
    is_configured: bool = True


class Carrier(Protocol):
    """A way to peers. `run` and `relearn` are called in the loop, the others by any thread."""

    async def run(self) -> None:
        """Carry until cancelled; what goes wrong outside is handled here, an exception is a fault of ours."""

    def relearn(self) -> None:
        """Load everything again: what was refused may be welcome by the rules of now."""

    def status(self) -> list[PeerStatus]:
        """How the peers are."""

    def addresses(self) -> frozenset[Address]:
        """The peers' addresses: they must never become routes."""
