"""What a reload would do, without doing it; in the caller's thread, holding the keeper's lock for moments only."""

import time
from collections.abc import Set as AbstractSet
from itertools import groupby

from dnstap_bgp.core.lists.domains import RuleSet
from dnstap_bgp.core.routes.policies import Policies
from dnstap_bgp.core.routes.preview import Preview
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.routes.keeper import Keeper


def foresee(keeper: Keeper, rules: RuleSet, policies: Policies, unknown: AbstractSet[str]) -> Preview:
    """Hold all that is held against other rules and policies; some seconds for a million claims or rules.

    Args:
        keeper: What is in force and held now.
        rules: What would be in force.
        policies: What would be.
        unknown: Lists whose new rules are not known yet.
    """
    preview = Preview(keeper.table.policies, policies, unknown)
    for _ in preview.take_rules(keeper.rules, rules):
        time.sleep(0)  # gives up the interpreter: the others wait for a step at most
    now = process_clock()
    for claims, _ in keeper.walk():
        for _, of_address in groupby(claims, key=lambda claim: claim.address):
            preview.take_claims(list(of_address), rules.lists, now)
        time.sleep(0)
    preview.take_statics()
    return preview
