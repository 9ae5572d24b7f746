"""The talk with ExaBGP as one part: reader, writer and status; its threads belong to `bgp_reader` and `bgp_writer`."""

import ipaddress
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dnstap_bgp.core.exabgp.batch import Backlog
from dnstap_bgp.core.exabgp.conversation import Conversation
from dnstap_bgp.core.exabgp.flight import Stage
from dnstap_bgp.core.exabgp.grammar import FAMILIES, IPV4, IPV6, Item
from dnstap_bgp.core.exabgp.neighbors import Neighbor
from dnstap_bgp.core.model import Address
from dnstap_bgp.workers.exabgp.reader import Reader
from dnstap_bgp.workers.exabgp.writer import Writer
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.thread import CrashHandler
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.state.store import Store


@dataclass(frozen=True, slots=True)
class NeighborStatus:
    """One BGP neighbor of ExaBGP's.

    Attributes:
        address: Its address.
        peer_as: Its AS number.
        up: Whether the session is established.
        families: What it takes in this session: `ipv4 unicast`, `ipv6 unicast`.
        lacking: Families of which there are routes and that it doesn't take.
        end_of_rib: Whether it has had End-of-RIB since it came up.
        replaying: Whether it is still being told what was told before it came.
        foreign: Whether ExaBGP has it, but not for us: `processes` in its api section names others.
    """

    address: str
    peer_as: int
    up: bool
    families: tuple[str, ...]
    lacking: tuple[str, ...]
    end_of_rib: bool
    replaying: bool
    foreign: bool


@dataclass(frozen=True, slots=True)
class HostStatus:
    """How things are with ExaBGP.

    Attributes:
        stage: `opening`, `barrier`, `ready`, or `refused`: it is of another major version.
        version: What it says it is.
        neighbors: All of them.
        told_ipv4: IPv4 routes that it was told and not untold.
        told_ipv6: The same of IPv6.
        backlog: What waits, in numbers.
        unanswered: Lines without an answer yet.
        silent_s: How long the oldest of them has waited.
        lines: Lines said; `acknowledged` and `errors` of them were answered so.
        acknowledged: See there.
        errors: See there.
        changes: Wishes that came from the table.
        stray: Answers that nothing had been asked for; 0 unless another process writes to our pipe.
        stalled_s: How long it has read nothing although there was something to read.
        durable: Whether announces are in the state file before they leave; True without one.
    """

    stage: str
    version: str
    neighbors: tuple[NeighborStatus, ...]
    told_ipv4: int
    told_ipv6: int
    backlog: Backlog
    unanswered: int
    silent_s: float
    lines: int
    acknowledged: int
    errors: int
    changes: int
    stray: int
    stalled_s: float
    durable: bool

    @property
    def waiting(self) -> int:
        """How many prefixes are to be told yet."""
        return sum(self.backlog) - self.backlog.refused

    @property
    def settled(self) -> bool:
        """Whether the host has taken all that is wanted: nothing waits, nothing is unanswered."""
        replaying = any(neighbor.replaying for neighbor in self.neighbors)
        return self.stage == Stage.READY.value and not self.waiting and not replaying and not self.unanswered


class Bgp:
    """What the plugin has to do with ExaBGP."""

    def __init__(self, host_in: int, host_out: int, on_end: Callable[[], None], on_crash: CrashHandler) -> None:
        """Make it: `start_reading` first of all, `start` when there is something to say.

        Args:
            host_in: Where ExaBGP's lines come from; stays the caller's.
            host_out: Where commands go; becomes non-blocking, and stays the caller's.
            on_end: Called, in a worker's thread, when ExaBGP ends or is gone: the process should end too.
            on_crash: See `worker_thread`.
        """
        self._host_out = host_out
        self._on_end = on_end
        self._on_crash = on_crash
        self._reader = Reader(host_in, on_end, on_crash)
        self._keeper: Keeper | None = None
        self._conversation: Conversation | None = None
        self._writer: Writer | None = None

    def start_reading(self) -> None:
        """Drain ExaBGP's pipe from now on, whatever else happens."""
        self._reader.start()

    def start(self, keeper: Keeper, store: Store | None) -> None:
        """Talk: tell ExaBGP what the keeper's outbox holds."""
        conversation = Conversation(keeper.outbox, secrets.randbits)

        writer = Writer(self._host_out, keeper, store, conversation, on_end=self._on_end, on_crash=self._on_crash)

        def deliver(items: list[Item]) -> None:
            now = process_clock()
            with keeper.lock:
                for item in items:
                    conversation.receive(item, now)
                writer.turn()

        self._keeper, self._conversation, self._writer = keeper, conversation, writer
        self._reader.attach(deliver)
        writer.start()

    def restored(self) -> None:
        """All that is live was put and the outbox is resynced: neighbors may have their End-of-RIB after that."""
        if self._keeper is None or self._conversation is None:
            return
        with self._keeper.lock:
            self._conversation.duties.restored = True
            self._keeper.turn()

    def session_addresses(self) -> frozenset[Address]:
        """Both ends of all BGP sessions, packed, as far as ExaBGP has told of them: none of these may be a route."""
        if self._keeper is None or self._conversation is None:
            return frozenset()
        with self._keeper.lock:
            sessions = [neighbor.session for neighbor in self._conversation.duties.neighbors]
        packed = set()
        for end in (end for session in sessions for end in (session.address, session.local)):
            with suppress(ValueError):  # `auto`, before the session is up
                packed.add(ipaddress.ip_address(end).packed)
        return frozenset(packed)

    def status(self) -> HostStatus | None:
        """A copy of how things are; None before `start`."""
        if self._keeper is None or self._conversation is None or self._writer is None:
            return None
        now = process_clock()
        with self._keeper.lock:
            talk, outbox = self._conversation, self._keeper.outbox
            told = outbox.told_count
            stalled_since = self._writer.stalled_since
            return HostStatus(
                stage=talk.stage.value,
                version=talk.version,
                neighbors=tuple(
                    _neighbor_status(neighbor, told, replaying=talk.duties.replaying(neighbor))
                    for neighbor in talk.duties.neighbors
                ),
                told_ipv4=told[IPV4],
                told_ipv6=told[IPV6],
                backlog=outbox.backlog,
                unanswered=talk.unanswered,
                silent_s=talk.silent_s(now),
                lines=talk.lines,
                acknowledged=talk.acknowledged,
                errors=talk.errors,
                changes=outbox.changes,
                stray=talk.stray,
                stalled_s=now - stalled_since if stalled_since is not None else 0.0,
                durable=self._writer.durable,
            )

    def shutdown(self) -> None:
        """Say nothing more; returns at once. Reading goes on to the end of the process."""
        if self._writer is not None:
            self._writer.shutdown()

    def join(self, deadline_s: float) -> None:
        """Wait for the writer's end, at most so long."""
        if self._writer is not None:
            self._writer.join(deadline_s)

    def close(self, deadline_s: float = 1.0) -> None:
        """Stop reading, too: only for a process that goes on without ExaBGP."""
        self._reader.close(deadline_s)
        if self._writer is not None and self._writer.join(deadline_s):
            self._writer.close()


def _neighbor_status(neighbor: Neighbor, told: dict[str, int], *, replaying: bool) -> NeighborStatus:
    known = neighbor.up and neighbor.negotiated is not None
    families = neighbor.negotiated or frozenset()
    return NeighborStatus(
        address=neighbor.address,
        peer_as=neighbor.session.peer_as,
        up=neighbor.up,
        families=tuple(family for family in FAMILIES if family in families),
        lacking=tuple(family for family in FAMILIES if known and told.get(family) and family not in families),
        end_of_rib=neighbor.up and neighbor.eor_due_since is None,
        replaying=replaying,
        foreign=neighbor.foreign,
    )
