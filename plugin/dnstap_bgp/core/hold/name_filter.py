"""Filter of names for hooks: what proves to a hook that a name is on no list, so that it need not ask.

The filter is the rules' tail table (`lists.tail_table`) as the bytes of one file. A hook that has read it looks at the
question's name and at the targets of the answer's CNAME records, as the prefilter does: where each is ruled out, the
answer leaves at once. A name that is not ruled out may be on no list all the same; one that is ruled out is on none.

    magic      8 bytes
    version    1: another one is not understood, and rules out nothing
    flags      1: bit 0: some rule's domain has one label, so that a name's last label is looked up as well
    size       1: the table has 2^n bytes
    unused     1
    crowded    u32, network order: the bytes of the crowded pairs
    id         8 bytes, of this content: a hook looks at these 24 bytes now and then, and reads on where they differ
    pairs      each crowded pair of labels as on the wire, with its length in a byte before it
    marks      64 bytes: the bits of a CRC-32 in its byte of the table, by its last six bits
    table      2^n bytes; the first n bits of a CRC-32 tell a byte: where any of its bits is set there, no rule is near
"""

import struct

from dnstap_bgp.core.digest import sha256
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.lists.tail_table import MARKS

MAGIC = b"DNSTAPHF"
VERSION = 1
HAS_SINGLE = 1
HEADER = struct.Struct("!8sBBBxI8s")
"""As many bytes as a hook reads each time: 24."""


def pack(rules: RuleSet) -> bytes | None:
    """Write the filter of a rule set; None: nothing short of asking can tell what is on no list.

    That is so with keywords and expressions, which no table of domains speaks for, and with compiled lists of an
    earlier release, which have no table.
    """
    tails = rules.domain_tails
    if tails is None or rules.patterns is not None:
        return None
    pairs = b"".join(bytes((len(pair),)) + pair for pair in sorted(tails.crowded))
    content = pairs + MARKS + tails.bits
    flags = HAS_SINGLE if tails.has_single else 0
    size = len(tails.bits).bit_length() - 1
    number = sha256(bytes((flags,)) + content).digest()[:8]
    return HEADER.pack(MAGIC, VERSION, flags, size, len(pairs), number) + content
