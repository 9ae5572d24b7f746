"""Managed lists: the lists that the program itself writes, as people add and remove names by command or on the page.

Such a list is a file in the plain format with one name a line, and behind it who added it, when and why:

    example.com  # 2026-11-28T19:20:00Z alice: the video portal

So it is read as any other list, and can be moved to a list of one's own as it stands.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from dnstap_bgp.core.lists.rules import Rule
from dnstap_bgp.core.text import count_text
from dnstap_bgp.errors import CommandError, ListError

NAMES_MAX = 100_000
"""Names of a list: a hundred times what a person writes; more come from a file or a URL."""

COMMENT_MAX = 200
WHO_MAX = 64
"""Characters of a comment, and of who has made the change."""

_LINE = re.compile(r"(\S+)\s+# (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?: ([^:]*))?(?:: (.*))?", re.ASCII)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class ManagedName(NamedTuple):
    """Name of a managed list.

    Attributes:
        rule: As the plain format writes it: `example.com`, `=example.com`, `!www.example.com`.
        at: When it was added, in UTC as ISO 8601; empty: not known.
        who: Who added it; empty: not known.
        comment: What they say of it; mostly empty.
    """

    rule: str
    at: str = ""
    who: str = ""
    comment: str = ""

    def __str__(self) -> str:
        if not self.at:
            return self.rule
        return f"{self.rule}  # {self.at} {self.who or 'somebody'}" + (f": {self.comment}" if self.comment else "")


class Edit(NamedTuple):
    """Change of a managed list.

    Attributes:
        add: Rules to add, canonical; those that are there already stay as they are.
        remove: Rules to remove.
        who: Who makes it.
        comment: Kept with each added name.
    """

    add: tuple[str, ...]
    remove: tuple[str, ...]
    who: str
    comment: str = ""


class EditRequest(NamedTuple):
    """Request to change a managed list.

    Attributes:
        list: Its name.
        edit: The change.
        is_preview: Only say what it would do.
    """

    list: str
    edit: Edit
    is_preview: bool = False


def make_edit(add: Iterable[str], remove: Iterable[str], who: str, comment: str = "") -> Edit:
    """Check what a person asks for.

    Args:
        add: Names as people write them, with the signs of the plain format.
        remove: Alike.
        who: Who asks; what is not printable in it is left out.
        comment: Of the names to be added.

    Raises:
        CommandError: A name is none, there is nothing to do, or the comment is too long or not one printable line.
    """
    added, removed = tuple(dict.fromkeys(map(_canonical, add))), tuple(dict.fromkeys(map(_canonical, remove)))
    if not added and not removed:
        raise CommandError("there is no name to add or remove")
    if both := sorted(set(added) & set(removed)):
        raise CommandError(f"{both[0]} is to be added and removed")
    if len(comment) > COMMENT_MAX or not comment.isprintable():
        raise CommandError(f"a comment is one line of at most {COMMENT_MAX} printable characters")
    return Edit(added, removed, _who(who), comment.strip())


def edited(entries: Mapping[str, ManagedName], edit: Edit, now: float) -> dict[str, ManagedName]:
    """Return a list's names with a change made.

    Args:
        entries: Rule -> entry, as `parse` gives them.
        edit: The change.
        now: Wall clock.

    Raises:
        CommandError: A name to be removed is not there, nothing changes, or there are too many.
    """
    missing = [rule for rule in edit.remove if rule not in entries]
    if missing:
        more = f", and {count_text(len(missing) - 1, 'other')}" if len(missing) > 1 else ""
        raise CommandError(f"{missing[0]} is not on the list{more}: nothing is changed")
    new = [rule for rule in edit.add if rule not in entries]
    if not new and not edit.remove:
        raise CommandError(f"{edit.add[0]} is on the list already" if len(edit.add) == 1 else "all are on the list")
    at = datetime.fromtimestamp(now, UTC).strftime(_TIME)
    removed = frozenset(edit.remove)  # a body of 1 MB removes 50,000 names, of twice as many
    found = {rule: entry for rule, entry in entries.items() if rule not in removed}
    found |= {rule: ManagedName(rule, at, edit.who, edit.comment) for rule in new}
    if len(found) > NAMES_MAX:
        raise CommandError(f"a managed list has at most {NAMES_MAX} names: put the rest into a file, as `sources`")
    return found


def parse(text: str) -> dict[str, ManagedName]:
    """Read a managed list's file: rule -> entry. A line that holds no name, as nobody should have written, is left out.

    Args:
        text: Its content; at most `NAMES_MAX` names of it count.
    """
    found: dict[str, ManagedName] = {}
    for line in text.splitlines():
        entry = _entry(line)
        if entry is not None and len(found) < NAMES_MAX:
            found.setdefault(entry.rule, entry)
    return found


def write(entries: Iterable[ManagedName]) -> str:
    """Write a managed list's file."""
    return "".join(f"{entry}\n" for entry in ("# written by dnstap-bgp: `dnstap-bgp lists add`, `remove`", *entries))


def _entry(line: str) -> ManagedName | None:
    matched = _LINE.fullmatch(line.strip())
    try:
        if matched is not None:
            rule, at, who, comment = matched.groups(default="")
            if who.isprintable() and comment.isprintable():
                return ManagedName(_canonical(rule), at, who[:WHO_MAX], comment[:COMMENT_MAX])
        return ManagedName(_canonical(line.partition("#")[0].strip()))
    except CommandError:
        return None


def _who(text: str) -> str:
    """Keep of a name what a line can hold behind its time."""
    return "".join(filter(str.isprintable, text)).replace(":", "")[:WHO_MAX].strip() or "somebody"


def _canonical(text: str) -> str:
    """Bring a rule into the form in which it stands in the file.

    Raises:
        CommandError: It is none, or a prefix.
    """
    from dnstap_bgp.core.lists.formats import plain  # noqa: PLC0415 - 1 MB, where a list is changed by hand

    try:
        items: Sequence[object] = tuple(plain.read(text.strip())) if text.strip() else ()
    except ListError as error:
        raise CommandError(f"{text[:60]!r}: {error}") from None
    if len(items) != 1 or not isinstance(items[0], Rule):
        raise CommandError(f"{text[:60]!r} is no name: static prefixes stand in the configuration, as `prefixes`")
    return str(items[0])
