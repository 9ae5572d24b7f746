"""Domain names as people, peers and files write them -> `Name`.

Unicode and punycode of one name give the same `Name`: UTS 46 maps the Unicode form (case, width, other dots) and its
labels become A-labels (RFC 5890, 2.3.2.1), which is what a resolver is asked for. IDNA 2008 alone would refuse names
that exist, with an emoji, say; a browser looks them up all the same, so they are encoded as they are.
"""

import re

from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import BadNameError

NAME_MAX = 253
"""Bytes of a name without the trailing dot: 255 on the wire (RFC 1035, 2.3.4)."""
LABEL_MAX = 63
"""Bytes of a label (RFC 1035, 2.3.4)."""

_REASON_MAX = 160
"""Characters of what the library for UTS 46 says: it quotes all of the text."""

_LABEL = re.compile(r"[a-z0-9_-]*")  # `_` and `-` anywhere: r3---sn-x.googlevideo.com, _dmarc.example.com
_NUMBERS = re.compile(r"[0-9.]+")


def from_text(text: str) -> Name:
    """Read a domain name.

    Args:
        text: In any case, Unicode or punycode, with or without dots before and after.

    Raises:
        BadNameError: It is no name: says why.
    """
    import idna  # noqa: PLC0415 - 1 MB of tables, and the plugin itself reads names that people wrote when asked only

    try:
        name = text.lower() if text.isascii() else idna.uts46_remap(text, std3_rules=False)
        labels = [_to_ascii(label) for label in name.strip(".").split(".")]
    except idna.IDNAError as error:
        reason = str(error)
        reason = reason if len(reason) <= _REASON_MAX else f"{reason[:_REASON_MAX]}..."
        raise BadNameError(f"no internationalized name (UTS 46): {reason}") from error
    for label in labels:
        _check(label)
    name = ".".join(labels)
    if len(name) > NAME_MAX:
        raise BadNameError(f"the name has {len(name)} bytes, {NAME_MAX} are allowed")
    if _NUMBERS.fullmatch(name):
        raise BadNameError("only numbers: an address, not a domain")
    return name.encode("ascii")


def to_unicode(text: str) -> str | None:
    """Give the Unicode form of a name with A-labels (RFC 5890, 2.3.2.1), for people.

    Args:
        text: A name, lower case: `xn--mnchen-3ya.de`.

    Returns:
        `münchen.de`; None where the name has no A-label, or where its Unicode form is not surely the same name: it must
        be read as just this name again, and have no character that can't be seen.
    """
    if "xn--" not in text or len(text) > NAME_MAX:
        return None
    try:
        found = ".".join(
            label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
            for label in text.split(".")
        )
        is_same = found != text and found.isprintable() and from_text(found) == text.encode("ascii")
    except (UnicodeError, BadNameError, OverflowError):
        return None
    return found if is_same else None


def _to_ascii(label: str) -> str:
    if label.isascii():
        return label
    import idna  # noqa: PLC0415 - as above

    try:
        return idna.alabel(label).decode("ascii")
    except idna.InvalidCodepoint:  # valid in UTS 46 but not in IDNA 2008: an emoji, say
        return "xn--" + label.encode("punycode").decode("ascii")


def _check(label: str) -> None:
    good = _LABEL.match(label)
    if good is not None and good.end() < len(label):
        raise BadNameError(f"{label[good.end()]!r} can't be part of a name")
    if not label:
        raise BadNameError("an empty label: two dots in a row, or no name at all")
    if len(label) > LABEL_MAX:
        raise BadNameError(f"a label has {len(label)} bytes, {LABEL_MAX} are allowed")
