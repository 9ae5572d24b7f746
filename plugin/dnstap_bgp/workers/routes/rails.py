"""What may become a route, by the configuration and by what was learnt since; no thread of its own."""

import logging
from collections.abc import Mapping

from dnstap_bgp.config import Config, DnstapConfig, asked
from dnstap_bgp.core.model import Address, Prefix
from dnstap_bgp.core.routes import remedies
from dnstap_bgp.core.routes.policies import Policies, RefusedPrefix
from dnstap_bgp.core.state.records import prefix_text
from dnstap_bgp.core.tap.trust import Trust
from dnstap_bgp.workers.routes.own_addresses import own_addresses

logger = logging.getLogger(__name__)

PREFIXES_TOLD = 20
"""Static prefixes that are refused, one by one in the log; the rest is only counted."""


class Rails:
    """For the main thread; the tap adds to the resolvers' addresses meanwhile, which whoever asks the guard reads."""

    def __init__(self) -> None:
        """Look at this machine's addresses."""
        self._neighbors: frozenset[Address] = frozenset()
        self._own: frozenset[Address] = frozenset()
        self._own_error = ""
        self._resolvers: set[Address] = set()
        self._resolvers_known = 0
        self._refused: list[RefusedPrefix] = []
        self._look_at_own()

    def learn(self, neighbors: frozenset[Address]) -> bool:
        """Take note of what must not become a route, or stay one.

        Args:
            neighbors: ExaBGP's neighbors, and our ends of their sessions.

        Returns:
            Whether that, this machine's own addresses, or those that answers come from, are others than before.
        """
        before = self._neighbors, self._own, self._resolvers_known
        self._neighbors = neighbors
        self._resolvers_known = len(self._resolvers)
        self._look_at_own()
        return (self._neighbors, self._own, self._resolvers_known) != before

    def policies(self, config: Config, prefixes: Mapping[str, tuple[Prefix, ...]]) -> Policies:
        """What a configuration asks for, given all that is known.

        Args:
            config: The configuration.
            prefixes: List name -> the static prefixes in its sources; those in the file itself come before them.
        """
        guard = asked.guard(config, (*self._neighbors, *self._own), self._resolvers)
        of_lists = {name: (*written, *prefixes.get(name, ())) for name, written in config.prefixes().items()}
        return Policies(config.policies(), guard, config.caps(), of_lists)

    def tell(self, policies: Policies) -> None:
        """Say which static prefixes are not announced, but for those that were told the last time."""
        before, self._refused = set(self._refused), policies.refused
        new = [refused for refused in policies.refused if refused not in before]
        for refused in new[:PREFIXES_TOLD]:
            text = "list %s: %s is not announced: %s"
            said = remedies.sentence(refused.reason, refused.prefix)
            logger.warning(text, refused.list, prefix_text(refused.prefix), said)
        if len(new) > PREFIXES_TOLD:
            logger.warning("%d static prefixes are not announced in all", len(policies.refused))

    def trust(self, config: DnstapConfig) -> Trust:
        """Whose answers count."""
        identities = frozenset(identity.encode() for identity in config.identities)
        return Trust(identities, rewritten=config.rewritten, resolvers=self._resolvers)

    def _look_at_own(self) -> None:
        try:
            self._own = own_addresses()
        except OSError as error:
            if not self._own and str(error) != self._own_error:  # this is tried every second
                self._own_error = str(error)
                logger.warning("this machine's addresses are not known, and so not protected: %s", error)
