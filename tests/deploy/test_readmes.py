"""The documents for people: their lines, their tables of contents and their links."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from dnstap_bgp.commands.resolver_writers import WRITERS
from dnstap_bgp.config import parse
from dnstap_bgp.core.doctor.lists_and_state import _SOURCES as SOURCES
from dnstap_bgp.core.doctor.senders import MISTAKES
from dnstap_bgp.core.lists.formats import FORMATS

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "deploy/README.md", "deploy/CHANGELOG.md", "plugin/README.md", "tests/README.md")
FRONT_DOOR_LINES_MAX = 250


def headings(text: str) -> list[tuple[int, str]]:
    """Give each heading's level and text, without what stands in code."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [(len(mark), words) for mark, words in re.findall(r"^(#+) (.*)$", prose, re.MULTILINE)]


def anchor(heading: str) -> str:
    """Give the name by which GitHub and GitLab link to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(text: str) -> Iterator[tuple[str, str]]:
    """Give each relative link's file and anchor."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, name = target.partition("#")
            yield path, name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_line_is_longer_than_120_characters(name: str):
    lines = (ROOT / name).read_text().splitlines()
    assert [(number, line) for number, line in enumerate(lines, 1) if len(line) > 120] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_link_leads_somewhere(name: str):
    found = list(links((ROOT / name).read_text()))
    for path, wanted in found:
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), path
        if wanted:
            assert wanted in {anchor(words) for _, words in headings(target.read_text())}, f"{path}#{wanted}"


@pytest.mark.parametrize("name", ["deploy/README.md", "plugin/README.md", "tests/README.md"])
def test_a_long_page_begins_with_its_contents(name: str):
    text = (ROOT / name).read_text()
    wanted = [words for level, words in headings(text) if level == 2]
    head = text.partition("\n## ")[0]
    assert re.findall(r"^- \[(.*?)\]\(#", head, re.MULTILINE) == wanted
    inner = [words for level, words in headings(text) if level == 3]
    shown = re.findall(r"^ +- \[(.*?)\]\(#", head, re.MULTILINE)
    assert shown == (inner if shown else [])


def test_the_front_door_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= FRONT_DOOR_LINES_MAX


def toml_blocks() -> Iterator[str]:
    for name in DOCUMENTS:
        yield from re.findall(r"^```toml\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", list(toml_blocks()), ids=lambda block: block.split("\n")[0])
def test_each_piece_of_configuration_is_good(block: str):
    """With what it leaves out: a list, a tap and a next-hop."""
    table = tomllib.loads(block)
    if "list" not in table:
        table.setdefault("domains", "domains.txt")
    table["dnstap"] = {"listen": "/run/tap.sock"} | table.get("dnstap", {})
    table["bgp"] = {"next_hop": "192.0.2.254"} | table.get("bgp", {})
    parse(tomli_w.dumps(table).encode(), Path("/etc/dnstap-bgp/dnstap-bgp.toml"), with_secrets=False)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_path_of_the_sources_that_a_document_names_exists(name: str):
    text = (ROOT / name).read_text()
    for path in re.findall(r"(?<![\w./-])(?:deploy|plugin|tests)/[\w./-]*\w(?!\w*<)", text):
        assert (ROOT / path).exists(), path


def steps() -> list[tuple[str, str]]:
    """Give the module and the name of each step in the pictures of the ways."""
    text = (ROOT / "plugin/README.md").read_text()
    return re.findall(r"^  ([a-z_/]+\.py) +([\w.]+)  ", text, re.MULTILINE)


@pytest.mark.parametrize(("module", "name"), steps(), ids=":".join)
def test_each_step_of_the_ways_is_in_the_code(module: str, name: str):
    tree: ast.AST = ast.parse((ROOT / "plugin/dnstap_bgp" / module).read_text())
    for part in name.split("."):
        found = [
            node
            for node in ast.iter_child_nodes(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part
        ]
        assert found, f"{module} has no {name}"
        tree = found[0]


def test_each_module_that_the_guide_names_exists():
    text = (ROOT / "plugin/README.md").read_text()
    modules = re.findall(r"(?<![\w./])((?:core|workers|config|commands)/[\w/]+\.(?:py|proto))", text)
    assert len(modules) > 50
    for module in modules:
        assert (ROOT / "plugin/dnstap_bgp" / module).exists(), module
    lone = set(re.findall(r"(?<![\w./])(\w+\.py)\b", text)) - {"test_formats.py"}
    everywhere = {path.name for path in (ROOT / "plugin/dnstap_bgp").rglob("*.py")}
    assert lone <= everywhere


def test_the_manual_tells_of_every_finding():
    sources = [*(ROOT / "plugin/dnstap_bgp/core/doctor").glob("*.py"), ROOT / "plugin/dnstap_bgp/app.py"]
    code = "\n".join(path.read_text() for path in (*sources, ROOT / "plugin/dnstap_bgp/commands/doctor.py"))
    kinds = set(re.findall(r'Finding\(\s*"(?:error|warning|note)",\s*"([a-z-]+)"', code))
    kinds |= {f"sender-{kind}" for kind in MISTAKES} | {f"list-{state}" for state in SOURCES}
    assert len(kinds) > 50
    manual = (ROOT / "deploy/README.md").read_text()
    assert {kind for kind in kinds if f"`{kind}`" not in manual} == set()


def test_the_manual_tells_of_every_format_and_what_to_give_resolver_conf():
    manual = (ROOT / "deploy/README.md").read_text()
    told = manual.partition("\n**Formats.**")[2].partition("\n**")[0]
    assert [form for form in FORMATS if not re.search(rf"^- .*`{form}`", told, re.MULTILINE)] == []
    told = manual.partition("`dnstap-bgp resolver-conf RESOLVER`")[2].partition("\n\n")[0]
    assert [resolver for resolver in WRITERS if f"`{resolver}`" not in told] == []


@pytest.mark.parametrize("folder", ["resolvers", "routers"])
def test_the_manual_names_every_file_for_a_resolver_or_a_router(folder: str):
    manual = (ROOT / "deploy/README.md").read_text()
    for before, choices, behind in re.findall(r"`([\w.-]*)\{([\w,]+)\}([\w.-]*)`", manual):
        manual += "".join(f"`{before}{choice}{behind}`" for choice in choices.split(","))
    assert [path.name for path in (ROOT / "deploy" / folder).iterdir() if f"`{path.name}`" not in manual] == []


def test_each_threat_is_shown_by_tests_that_there_are():
    manual = (ROOT / "deploy/README.md").read_text().partition("\n## Threats")[2].partition("\n## ")[0]
    threats = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| [^|]+ \|$", manual, re.MULTILINE)
    text = (ROOT / "tests/README.md").read_text().partition("\n## The attacks of the manual")[2].partition("\n## ")[0]
    shown = re.findall(r"^- (\d+): `([^:`]+)::(\w+)`$", text, re.MULTILINE)
    assert threats == [str(number) for number in range(1, len(threats) + 1)]
    assert {number for number, _, _ in shown} == set(threats)
    for _, path, name in shown:
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), f"{path}::{name}"
