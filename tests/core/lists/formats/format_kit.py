"""The lines of a format, read one by one, for the tests of each format."""

import pytest

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.lines import Complaint, Include, SkippedKind, open_document, read_document, read_lines
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.errors import ListError


def read(form: str, *lines: str) -> tuple[list[bytes | Include | str], list[Complaint]]:
    """What lines give: rules as text, prefixes and includes as they are; and what was skipped."""
    items = list(read_lines([line.encode() for line in lines], FORMATS[form]))
    good = [item if isinstance(item, bytes | Include) else str(item) for item in items if type(item) is not Complaint]
    return good, [item for item in items if isinstance(item, Complaint)]


def gives(form: str, line: str, rules: str) -> None:
    """A line gives just these rules, separated by blanks."""
    assert read(form, line) == (rules.split(), [])


def is_skipped(form: str, line: str, kind: SkippedKind | str, reason: str) -> None:
    """A line gives no rule, and this is said of it."""
    rules, complaints = read(form, line)
    assert rules == []
    (complaint,) = complaints
    assert complaint.kind == kind
    assert reason in complaint.reason
    assert complaint.line == 1


def read_whole(form: str, content: bytes, selector: str = "") -> tuple[list[str], list[Complaint]]:
    """What a file gives that is read as a whole: rules and prefixes as text, and what was skipped."""
    document = FORMATS[form].document
    assert document is not None
    items = [item for _, item in read_document(open_document(document, content), selector)]
    good = [
        prefix_text(item) if isinstance(item, bytes) else str(item) for item in items if type(item) is not Complaint
    ]
    return good, [item for item in items if isinstance(item, Complaint)]


def is_refused(form: str, content: bytes, reason: str, selector: str = "") -> None:
    """A file can't be used as a whole, and this is said of it."""
    with pytest.raises(ListError) as raised:
        read_whole(form, content, selector)
    assert reason in str(raised.value)
