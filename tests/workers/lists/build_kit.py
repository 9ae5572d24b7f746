"""Lists built from files of a test's own, in this process."""

from pathlib import Path

from dnstap_bgp.core.lists.source import AUTO, ListSource
from dnstap_bgp.workers.lists.compile_child import Built, build_lists
from dnstap_bgp.workers.lists.files import plan


def build(*paths: Path | str, form: str = AUTO, patterns: bool | None = None) -> Built:
    return build_lists(plan([ListSource("l", tuple(map(str, paths)), form, patterns=patterns)], None))


def rules(built: Built, *names: str) -> list[bool]:
    assert [report.error for report in built.reports if report.error] == []
    return [bool(built.rules.lists(name.encode())) for name in names]


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
