"""The formats of list files, one module each; `detection` tells them apart, `parts` has what they share.

A format is a `Format`: a function from a line's text to what it gives, and a pattern for the lines that are simple.
"""

from dnstap_bgp.core.lists.formats.adblock import ADBLOCK, exceptions, under
from dnstap_bgp.core.lists.formats.detection import HEAD_BYTES, detect
from dnstap_bgp.core.lists.formats.dnsmasq import DNSMASQ
from dnstap_bgp.core.lists.formats.hosts import HOSTS
from dnstap_bgp.core.lists.formats.parts import Format, Include, Item, Kind, Skipped
from dnstap_bgp.core.lists.formats.plain import PLAIN
from dnstap_bgp.core.lists.formats.v2fly import V2FLY, filtered

FORMATS = {"plain": PLAIN, "hosts": HOSTS, "adblock": ADBLOCK, "dnsmasq": DNSMASQ, "v2fly": V2FLY}
"""By the names that the configuration has for them."""

ALIASES = {"adguard": "adblock", "domains": "plain", "geosite": "v2fly"}
"""Other names that people know them by."""

__all__ = [
    "ALIASES",
    "FORMATS",
    "HEAD_BYTES",
    "Format",
    "Include",
    "Item",
    "Kind",
    "Skipped",
    "detect",
    "exceptions",
    "filtered",
    "under",
]
