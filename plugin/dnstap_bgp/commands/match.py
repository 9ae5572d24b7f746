"""`dnstap-bgp match`: find the rule that decides over a name, and the line where it stands.

Reads the list files as they are now, which may be newer than what a running plugin has in force. Only rules that could
speak for one of the names are kept, so that a list of a million costs no more than reading it.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.options import config_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.core.dns import names
from dnstap_bgp.core.lists.lines import FileLines, Include, read_lines
from dnstap_bgp.core.lists.pattern_rules import with_patterns
from dnstap_bgp.core.lists.patterns import Pattern
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import BadNameError, CommandError
from dnstap_bgp.workers.lists.contents import Content, Shelf, contents
from dnstap_bgp.workers.lists.files import PATTERNS_USED, Plan, plan
from dnstap_bgp.workers.lists.loader import compiled_dir, waiting_in
from dnstap_bgp.workers.lists.steering import SwitchFile, switches_file
from dnstap_bgp.workers.lists.url_cache import UrlCache


@click.command("match")
@config_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def command(config_path: Path, names: tuple[str, ...]) -> None:
    """Say which rule decides over each NAME.

    Reads the lists as they are now, which may be newer than what a running plugin has in force.

    \b
    Examples:
        dnstap-bgp match www.example.com
        dnstap-bgp match bücher.example cdn.example.net --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    for answer in run(config_path, names):
        for line in answer.lines():
            say(line)


@dataclass(frozen=True, slots=True)
class ListDecision:
    """Rule of one list that decides over a name.

    Attributes:
        list: The list's name.
        rule: The rule that decides there.
        where: Its file and line, `domains.txt:12`; of a rule that stands in several places, the first.
        off: By whom the list is switched off, so that its rules don't count; empty: it is on.
    """

    list: str
    rule: Rule | Pattern
    where: str
    off: str = ""

    def __str__(self) -> str:
        verdict = "stopped by the exception" if self.rule.exception else "matched by"
        off = f", but the list is switched off {self.off}" if self.off else ""
        return f"{verdict} {self.rule} (list {self.list}, {self.where}){off}"


@dataclass(frozen=True, slots=True)
class MatchAnswer:
    """Rules of all lists that decide over a name.

    Attributes:
        name: As it was given.
        decisions: Of each list that has a rule for it, in list order.
    """

    name: str
    decisions: tuple[ListDecision, ...]

    def lines(self) -> list[str]:
        """Write the answer as a person reads it."""
        return [f"{self.name}: {decision}" for decision in self.decisions] or [f"{self.name}: no rule matches"]


def run(path: Path, given: Sequence[str]) -> list[MatchAnswer]:
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
    config = configuration.load(path, with_secrets=False)
    asked = _names(given)
    directory = compiled_dir(config)
    files = plan(config.list_sources(), UrlCache(directory), waiting_in(directory))
    places = _places(files, asked)
    of_lists = [(name, [rule for found, rule in places if found == name]) for name in files]
    rules = with_patterns(
        RuleSet.build([(name, [rule for rule in found if isinstance(rule, Rule)]) for name, found in of_lists]),
        [(number, one) for number, (_, found) in enumerate(of_lists) for one in found if isinstance(one, Pattern)],
    )
    off = SwitchFile(switches_file(config)).switches.off_texts(
        {one.name: one.enabled for one in config.all_lists}, time.time()
    )
    return [
        MatchAnswer(
            text,
            tuple(
                ListDecision(found, rule, places[found, rule], off.get(found, ""))
                for found, rule in rules.explain(name)
            ),
        )
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


def _places(files: Plan, names: Sequence[Name]) -> dict[tuple[str, Rule | Pattern], str]:
    """Find the rules and patterns that may speak for some names: (list, rule) -> the first place where it stands."""
    domains = {suffix for name in names for suffix in _suffixes(name)}
    places: dict[tuple[str, Rule | Pattern], str] = {}
    failures: list[str] = []
    shelf = Shelf()
    for list_name, found in files.items():
        for file in contents(list_name, found, shelf=shelf):
            for number, rule in _numbered_rules(file):
                if any(map(rule.speaks_for, names)) if isinstance(rule, Pattern) else rule.domain in domains:
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


def _numbered_rules(file: Content) -> Iterator[tuple[int, Rule | Pattern]]:
    """Read a file with the number of each rule's line, or its place in a document; patterns where they count."""
    wanted = Rule | Pattern if file.file.patterns == PATTERNS_USED else Rule
    if file.is_document:
        yield from ((place, item) for place, item in file.document() if isinstance(item, wanted))
        return
    lines = FileLines(file.data, file.form)
    for item in read_lines(lines, file.form):  # takes a line only when it is asked for the next rule
        if isinstance(item, wanted):
            yield lines.number, item
        elif isinstance(item, Include):
            file.include(item)
