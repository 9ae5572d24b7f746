"""The line that will most likely be said next: made and recorded while others wait for their answers.

What is foreseen counts for nothing until it is said. So anything may overtake it, and then all that is left to do is
to have the state file unlearn what was recorded for it.
"""

from dnstap_bgp.core.exabgp import grammar
from dnstap_bgp.core.exabgp.batch import Batch
from dnstap_bgp.core.exabgp.flight import Outgoing
from dnstap_bgp.core.exabgp.outbox import Outbox


def routes(batch: Batch) -> Outgoing:
    """The line for a batch."""
    what = batch.step
    neighbors = (batch.replay_to,) if batch.replay_to else what.attributes.neighbors
    return Outgoing(grammar.route_line(what.verb, what.attributes, batch.prefixes, neighbors), batch.news)


class Ahead:
    """At most one line, for a batch that is still in the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._prepared: tuple[Batch, Outgoing] | None = None

    def prepare(self, batch: Batch | None) -> Outgoing | None:
        """Make the line for what is foreseen now.

        Returns:
            The line, to be recorded; None: nothing is foreseen, or it was made before.
        """
        if self._prepared is not None:
            if batch is not None and _are_same(batch, self._prepared[0]):
                return None
            self._drop()
        if batch is None:
            return None
        self._prepared = batch, routes(batch)
        return self._prepared[1]

    def say(self, batch: Batch) -> Outgoing:
        """The line for a batch that was taken: the very object that was prepared, if it is that."""
        if self._prepared is not None:
            foreseen, outgoing = self._prepared
            if _are_same(batch, foreseen):
                self._prepared = None
                return outgoing
            if not set(foreseen.prefixes).isdisjoint(batch.prefixes):
                self._drop()  # what was recorded for it isn't the last word on these any more
        return routes(batch)

    def _drop(self) -> None:
        assert self._prepared is not None
        self._outbox.disown(self._prepared[1].news)
        self._prepared = None


def _are_same(batch: Batch, foreseen: Batch) -> bool:
    return batch.prefixes == foreseen.prefixes and batch.step == foreseen.step and not batch.replay_to
