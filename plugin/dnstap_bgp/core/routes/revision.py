"""What is held, brought in line with new lists and policies."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from dnstap_bgp.core.model import BY_HAND, Change, Name
from dnstap_bgp.core.routes.claims import Row
from dnstap_bgp.core.routes.elsewhere import Elsewhere
from dnstap_bgp.core.routes.held import HeldRoutes


class Revision:
    """Ends what the lists no longer cover, and has other lists claim what they cover now."""

    def __init__(self, held: HeldRoutes, elsewhere: Elsewhere) -> None:
        """Revise what is held; what a list claims anew was made before, and comes in as such."""
        self._held = held
        self._elsewhere = elsewhere

    def revise(
        self, shard: int, lists: Mapping[Name, Sequence[str]], now: float, unknown: AbstractSet[str]
    ) -> list[Change]:
        """Hold one shard against the lists and policies of now.

        A name that was seen is claimed by every list that it is on now: also by one that it was not on before.

        Args:
            shard: 0..255, see `PrefixMap`.
            lists: For each name of `names(shard)` the lists that match it now. A name that isn't there came after
                and was matched by the new lists already.
            now: Process clock.
            unknown: Lists whose rules are not known: their claims stay.

        Returns:
            The wish for every address that the shard held, changed or not: the outbox knows what was told.
        """
        held, rows = self._held, self._held.rows
        held.past.now = now
        changes: list[Change] = []
        before = held.addresses(shard)
        for row in list(held.of_shard(shard)):
            list_name = rows.lists[row]
            found = lists.get(rows.names[row], (list_name,))
            self._revise(row, (*found, list_name) if list_name in unknown else found, now, changes)
        addresses = dict.fromkeys([change.prefix for change in changes] + before)
        return [Change(address, held.wanted(address)) for address in addresses]

    def _revise(self, row: Row, lists: Sequence[str], now: float, changes: list[Change]) -> None:
        """Hold one claim against the lists that its name is on."""
        held, rows = self._held, self._held.rows
        if not rows.second[row]:
            return
        claim = rows.copy(row)
        address, name = claim.address, claim.name
        for list_name in lists:
            # one that had to make room for another is gone already, and its row may be the other's
            if held.find(address, claim.list, name) and not held.find(address, list_name, name):
                added = self._elsewhere.take(claim._replace(list=list_name), now, changes)
                if added:
                    held.record(added)
        if not held.find(address, claim.list, name):
            return
        policy = held.policies.by_list.get(claim.list)
        reason = held.policies.refusal(address, claim.list)
        if policy is None or claim.list not in lists or reason is not None:
            held.end(row, "list" if policy is None or claim.list not in lists else str(reason), changes)
            return
        ttl_s = claim.ttl_s if name == BY_HAND else policy.held_s(claim.ttl_s)
        if claim.ttl_s != ttl_s:
            rows.ttl_s[row] = ttl_s
            held.by_list[claim.list].hasten(row)
