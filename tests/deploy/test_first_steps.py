"""The documents' commands as written: ours are understood, and those of the front door work on a bare machine."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dnstap_bgp.cli import main as program
from tests.deploy.machine import debootstrap
from tests.integration.lab import run

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "deploy/README.md", "deploy/CHANGELOG.md", "plugin/README.md", "tests/README.md")
PROMPT = re.compile(r"^ {4}(?:\$ )?(.*)$")


def blocks(text: str) -> Iterator[str]:
    """The lines of all code: indented, after a prompt or not, and between backticks."""
    fenced = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    prose = fenced.sub("", text)
    for line in prose.splitlines():
        if found := PROMPT.match(line):
            yield found[1]
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose))


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each `dnstap-bgp COMMAND ...` of the documents, by document, in words."""
    for name in DOCUMENTS:
        for code in dict.fromkeys(blocks((ROOT / name).read_text())):
            if not code.startswith("dnstap-bgp "):
                continue
            try:
                words = shlex.split(re.split(r"\s[|>]|;|&&", code)[0], comments=True)[1:]
            except ValueError:  # an apostrophe of prose
                continue
            if words and re.fullmatch(r"[a-z-]+", words[0]):
                yield name, tuple(words)


@pytest.mark.parametrize(("name", "words"), list(commands()), ids=lambda found: " ".join(found)[:60])
def test_each_command_of_ours_that_a_document_names_is_understood(name: str, words: tuple[str, ...]):
    """Up to the values of its options: command, subcommand, and the options' names."""
    command: click.Command = program
    left = list(words)
    context = click.Context(program, info_name="dnstap-bgp")
    while isinstance(command, click.Group) and left and not left[0].startswith("-"):
        found = command.get_command(context, left[0])
        if found is None:
            break
        command, context = found, click.Context(found, info_name=left.pop(0), parent=context)
    assert command is not program or left[0].startswith("-"), f"{name}: there is no command {words[0]}"
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    unknown = [word for word in left if re.match(r"--?[a-z]", word) and word.split("=")[0] not in {*options, "--help"}]
    assert unknown == [], name


def test_the_documents_have_their_commands():
    assert len(list(commands())) > 60


def section(heading: str) -> list[str]:
    """The commands of one section of the front door, without their comments."""
    text = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [found[1].partition(" # ")[0].strip() for line in text.splitlines() if (found := PROMPT.match(line))]


@pytest.mark.long
@pytest.mark.netns  # root
@pytest.mark.timeout(1200)
@pytest.mark.real("debootstrap", "unshare")
def test_the_front_door_s_commands_work_on_a_bare_machine(tmp_path: Path):
    """Debian with Python and nothing else; its way to the packages is this machine's."""
    root = tmp_path / "root"
    debootstrap(root, ("ca-certificates", "python3"))
    source = root / "root/dnstap-bgp"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "exabgp.conf.example", "plugin", "deploy"):
        run("cp", "-R", str(ROOT / name), str(source))
    for path in ("etc/pip.conf", "etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", path).exists():
            run("cp", "--dereference", f"/{path}", str(root / path))
    script = "mount -t proc proc $0/proc && mount --rbind /dev $0/dev && exec chroot $0 sh -e -c 'cd ~/dnstap-bgp; $1'"
    enter = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script.replace("$1'", '\'"$1"'), str(root)]
    clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"]

    tried = section("Try it")
    assert tried == ["./deploy/quickstart.sh"]
    assert "12 routes." in run(*clean, *enter, tried[0], timeout_s=500)

    installed = section("Install")
    assert len(installed) == 3
    lines = [line.replace("apt-get install", "apt-get install --yes") for line in installed]
    told = run(*clean, *enter, "\n".join(["apt-get update -q", *lines, "dnstap-bgp --version"]), timeout_s=600)
    assert "dnstap-bgp, version 0." in told
