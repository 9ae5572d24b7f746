"""Which format a file is in, by a vote of its first lines."""

import re
from collections import Counter

from dnstap_bgp.core.lists.formats.hosts import ADDRESS
from dnstap_bgp.core.lists.formats.parts import COSMETIC_MARK

HEAD_BYTES = 1 << 16
"""Of a file that are looked at: some 2,000 lines, behind the longest head of comments in use."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ADBLOCK_HEAD = re.compile(rb"\[(?:adblock|adguard|ublock)[^\]]*\]\s*", re.IGNORECASE)

_NAME = rb"[A-Za-z0-9._\x80-\xff-]+"
_FORMS = {  # the first that a line has is its vote
    "adblock": rb"(?:@@)?\|.*|!(?:\s.*)?|!#.*|@@\S.*|" + _NAME + COSMETIC_MARK.encode() + rb"\S.*",
    "dnsmasq": rb"(?:server|address|local|ipset|nftset)\s*=\s*/.*",
    "hosts": ADDRESS.encode() + rb"\s+[^\s#].*",
    "v2fly": rb"(?:domain|full|keyword|regexp|include):\S.*|" + _NAME + rb"\s+[@&]\S.*",
    "name": rb"(?=\S*[^\s.]\.[^\s.])" + _NAME + rb"(?:\s*#.*)?",
    "plain": rb"(?:!?=|!?\*\.|!)" + _NAME + rb"(?:\s*#.*)?|[0-9a-f:.]+/[0-9]+(?:\s*#.*)?",
}
_VOTE = re.compile(b"|".join(b"(?P<%s>%s)" % (name.encode(), form) for name, form in _FORMS.items()), re.IGNORECASE)


def detect(content: bytes) -> str:
    """Tell a file's format.

    Plain is what no other format claims with more lines. A mere name (with a dot, unlike a keyword of
    some program) stands in plain files and in those of v2fly, so it speaks against all others but these.

    Args:
        content: The whole file, or at least its first `HEAD_BYTES`.

    Returns:
        A key of `FORMATS`.
    """
    votes: Counter[str] = Counter()
    for line in content[:HEAD_BYTES].removeprefix(_BYTE_ORDER_MARK).split(b"\n"):
        if _ADBLOCK_HEAD.fullmatch(line):
            return "adblock"
        form = _VOTE.fullmatch(line.strip())
        if form is not None and form.lastgroup is not None:
            votes[form.lastgroup] += 1
    names = votes.pop("name", 0)
    best = max(("plain", "hosts", "adblock", "dnsmasq", "v2fly"), key=lambda name: votes[name])  # the first of equals
    rivals = votes["plain"] + (0 if best == "v2fly" else names)
    return best if votes[best] > rivals else "plain"
