"""The man pages and the completions, made by deploy/packaging/documents.py from commands and models."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dnstap_bgp.cli import main as program
from dnstap_bgp.config import reference
from tests.integration.lab import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    script = ROOT / "deploy/packaging/documents.py"
    run("env", f"PYTHONPATH={ROOT}/plugin", sys.executable, str(script), str(folder))
    return folder / "usr/share"


@pytest.mark.real("man")
def test_man_shows_every_command_and_option_without_a_warning(documents: Path):
    command = ["man", "--warnings", "--local-file", str(documents / "man/man1/dnstap-bgp.1")]
    env = {"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    context = click.Context(program)
    for name in program.list_commands(context):
        command_object = program.get_command(context, name)
        assert command_object is not None
        if command_object.hidden:
            continue
        assert f"dnstap-bgp {name}" in done.stdout
        for param in command_object.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert param.opts[0] in done.stdout, f"{name} {param.opts[0]}"
    assert "exabgpcli show adj-rib out" in done.stdout


@pytest.mark.real("man")
def test_man_shows_every_key_without_a_warning(documents: Path):
    command = ["man", "--warnings", "--local-file", str(documents / "man/man5/dnstap-bgp.toml.5")]
    env = {"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for section in reference.sections():
        assert (section.heading or "TOP OF THE FILE") in done.stdout
        for key in section.keys:
            assert re.search(rf"^ +{key.name}\b", done.stdout, re.MULTILINE), key.name
            assert key.default in done.stdout
    assert "`" not in done.stdout


@pytest.mark.parametrize("page", ["man1/dnstap-bgp.1", "man5/dnstap-bgp.toml.5"])
def test_what_roff_would_take_for_a_command_is_text(documents: Path, page: str):
    known = {"B", "BR", "PP", "SH", "SS", "TH", "TP", "br", "fi", "nf", "so"}
    for line in (documents / "man" / page).read_text().splitlines():
        assert not line.startswith("'"), line
        assert not line.startswith(".") or line[1:].split()[0] in known, line


@pytest.mark.parametrize(
    ("shell", "path"),
    [
        ("bash", "bash-completion/completions/dnstap-bgp"),
        ("zsh", "zsh/vendor-completions/_dnstap-bgp"),
        ("fish", "fish/vendor_completions.d/dnstap-bgp.fish"),
    ],
)
def test_each_shell_reads_its_completion(documents: Path, shell: str, path: str):
    text = (documents / path).read_text()
    assert f"_DNSTAP_BGP_COMPLETE={shell}_complete" in text
    if shutil.which(shell):  # bash is everywhere; the others where somebody has them
        run(shell, "-n", str(documents / path))
