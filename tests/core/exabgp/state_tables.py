"""The tables of a module's docstring as data, so that tests and text can't part."""

import re


def rows(docstring, heading):
    """The rows below a line that begins with the heading: sets of words of the columns from, event and to."""
    lines = iter(docstring.splitlines())
    for line in lines:
        if line.startswith(heading):
            break
    else:
        raise AssertionError(f"no {heading!r}")
    found = []
    for line in lines:
        columns = re.split(r"\s{2,}", line.strip()) if line.startswith("    ") else []
        if len(columns) == 3:
            start, event, end = ([word.strip() for word in column.split("|")] for column in columns)
            found.append((frozenset(start), event[0], frozenset(end)))
        elif found:
            break
    assert found
    return found


def transitions(docstring, heading):
    """The same, one (from, event, to) for each combination; `any` stays a word."""
    return {(start, event, end) for starts, event, ends in rows(docstring, heading) for start in starts for end in ends}
