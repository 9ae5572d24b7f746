"""`dnstap-bgp match`: which rule decides over a name, and where it stands.

Reads the list files as they are now, which may be newer than what a running plugin has in force. Only rules that could
speak for one of the names are kept, so that a list of a million costs no more than reading it.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.domains import Rule, RuleSet
from dnstap_bgp.core.lists.formats import Include
from dnstap_bgp.core.lists.lines import read_rules
from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import BadNameError, CommandError
from dnstap_bgp.workers.lists.copies import Copies
from dnstap_bgp.workers.lists.files import Content, contents
from dnstap_bgp.workers.lists.loader import compiled_dir
from dnstap_bgp.workers.lists.sources import Plan, plan


@dataclass(frozen=True, slots=True)
class Decision:
    """What one list says about a name.

    Attributes:
        list: The list's name.
        rule: The rule that decides there.
        where: Its file and line, `domains.txt:12`; of a rule that stands in several places, the first.
    """

    list: str
    rule: Rule
    where: str

    def __str__(self) -> str:
        verdict = "stopped by the exception" if self.rule.exception else "matched by"
        return f"{verdict} {self.rule} (list {self.list}, {self.where})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What all lists say about a name.

    Attributes:
        name: As it was given.
        decisions: Of each list that has a rule for it, in list order.
    """

    name: str
    decisions: tuple[Decision, ...]

    def lines(self) -> list[str]:
        """The answer as a person reads it."""
        return [f"{self.name}: {decision}" for decision in self.decisions] or [f"{self.name}: no rule matches"]


def run(path: Path, given: Sequence[str]) -> list[Answer]:
    """Find the rules that decide over names.

    Args:
        path: The configuration file.
        given: Names, in any form that a list may have them in.

    Returns:
        An answer for each name, in order.

    Raises:
        ConfigError: The configuration file can't be used.
        CommandError: A text is no domain name, or a list file can't be read; every one of them.
    """
    config = configuration.load(path)
    asked = _names(given)
    files = plan(config.list_sources(), Copies(compiled_dir(config)))
    places = _places(files, {suffix for name in asked for suffix in _suffixes(name)})
    rules = RuleSet.build([(name, [rule for found, rule in places if found == name]) for name in files])
    return [
        Answer(text, tuple(Decision(found, rule, places[found, rule]) for found, rule in rules.explain(name)))
        for text, name in zip(given, asked, strict=True)
    ]


def _names(given: Iterable[str]) -> list[Name]:
    asked: list[Name] = []
    failures: list[str] = []
    for text in given:
        try:
            asked.append(names.from_text(text))
        except BadNameError as error:
            failures.append(f"{text!r} is no domain name: {error}")
    if failures:
        raise CommandError("\n".join(failures))
    return asked


def _places(files: Plan, domains: set[Name]) -> dict[tuple[str, Rule], str]:
    """Find the rules for some domains: (list, rule) -> the first place where it stands."""
    places: dict[tuple[str, Rule], str] = {}
    failures: list[str] = []
    for list_name, found in files.items():
        for file in contents(list_name, found):
            for number, rule in _numbered_rules(file):
                if rule.domain in domains:
                    places.setdefault((list_name, rule), f"{file.report.path}:{number}")
            if file.report.error is not None:
                failures.append(f"{file.report.path}: {file.report.error}")
    if failures:
        raise CommandError("\n".join(failures))
    return places


def _suffixes(name: Name) -> Iterator[Name]:
    """Give the name itself and every domain that it lies below."""
    labels = name.split(b".")
    return (b".".join(labels[start:]) for start in range(len(labels)))


def _numbered_rules(file: Content) -> Iterator[tuple[int, Rule]]:
    """Read a file with the number of each rule's line."""
    number = 0

    def lines() -> Iterator[bytes]:
        nonlocal number
        for number, line in enumerate(io.BytesIO(file.data), 1):  # noqa: B007 - read by the caller below
            yield line

    for item in read_rules(lines(), file.form):  # takes a line only when it is asked for the next rule
        if isinstance(item, Rule):
            yield number, item
        elif isinstance(item, Include):
            file.include(item)
