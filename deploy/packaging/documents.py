# ruff: noqa: INP001 - a script for the build, no part of a package
"""Writes the man pages and the shells' completions below a folder, all made from the program itself.

    python deploy/packaging/documents.py FOLDER

What `--help` says is what dnstap-bgp(1) says, and what the models of the configuration say is dnstap-bgp.toml(5): there
is no second text that could grow stale. Click has a completion
for each shell; it asks the installed program for the words, so these files are small and fit every version.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from dnstap_bgp import __version__
from dnstap_bgp.cli import main as program
from dnstap_bgp.config import reference

NAME = "dnstap-bgp"
COMPLETE_VARIABLE = "_DNSTAP_BGP_COMPLETE"
COMPLETIONS = (
    (BashComplete, "usr/share/bash-completion/completions/dnstap-bgp"),
    (ZshComplete, "usr/share/zsh/vendor-completions/_dnstap-bgp"),
    (FishComplete, "usr/share/fish/vendor_completions.d/dnstap-bgp.fish"),
)

CLIENT = (
    "ExaBGP's own client, set to the instance that runs here: `exabgpcli show adj-rib out` lists what is announced, "
    "`exabgpcli show neighbor summary` the sessions."
)
FORM = """
The file is TOML 1.0 in UTF-8, of at most 1 MB. A list (`domains`, or a `[[list]]`), `listen` in `[dnstap]` and a
next-hop in `[bgp]` are enough. Case and underscores of keys don't count: `routerID` is `router_id`.

A key that nobody knows is an error, and so is a value beyond its limits: `dnstap-bgp check` tells all of them at once,
each with its key. `dnstap-bgp reload` takes over changes of all keys but `runtime_dir`, `pidfile`, `cache` and those of
`[process]`. Where a list is allowed, a lone value stands for a list of one.
"""
FILES = (
    ("/etc/dnstap-bgp/dnstap-bgp.toml", "The configuration; what it names is relative to its folder."),
    ("/etc/dnstap-bgp/domains.txt", "The list of domains that the packages' configuration names."),
    ("/run/dnstap-bgp", "The runtime folder: the tap's socket, pidfiles, what ExaBGP was started with."),
    ("/var/lib/dnstap-bgp/state", "The state file: what was learnt, kept across restarts."),
    ("/usr/lib/dnstap-bgp", "The program with ExaBGP and all else that it needs, where a package installed it."),
)
ENVIRONMENT = (
    ("RUNTIME_DIRECTORY", "The runtime folder, where the configuration names none; set by systemd."),
    ("DNSTAP_BGP_RUNTIME_DIR", "For exabgpcli: the runtime folder of the instance that is meant."),
    ("exabgp_log_...", "What ExaBGP logs: exabgp_log_level=INFO dnstap-bgp up."),
)
STATUS = "0; 1 where something is wrong, with the reason on standard error; 2 for wrong arguments. up: ExaBGP's own."


def main() -> None:
    """Write all of it."""
    root = Path(sys.argv[1])
    _write(root / "usr/share/man/man1/dnstap-bgp.1", man_page())
    _write(root / "usr/share/man/man1/exabgpcli.1", ".so man1/dnstap-bgp.1\n")
    _write(root / "usr/share/man/man5/dnstap-bgp.toml.5", configuration_page())
    for shell, path in COMPLETIONS:
        _write(root / path, shell(program, {}, NAME, COMPLETE_VARIABLE).source() + "\n")


def man_page() -> str:
    """The whole page: the program, then a section for each of its commands."""
    lines = [f'.TH DNSTAP-BGP 1 "" "{NAME} {__version__}" "User Commands"', ".SH NAME"]
    context = click.Context(program, info_name=NAME)
    lines += [f"{_roff(NAME)}, exabgpcli \\- announce what DNS answers as BGP routes"]
    lines += [".SH SYNOPSIS", f".B {_roff(NAME)}", "COMMAND [OPTIONS] [ARGUMENTS]", ".br"]
    lines += [".B exabgpcli", "[COMMAND OF EXABGP]"]
    lines += [".SH DESCRIPTION", *_text(program), ".SH COMMANDS"]
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        if command is not None and not command.hidden:
            lines += _command(command, click.Context(command, info_name=name, parent=context))
    lines += ['.SS "exabgpcli [COMMAND OF EXABGP]"', ".PP", _roff(CLIENT)]
    lines += [".SH FILES", *_terms(FILES), ".SH ENVIRONMENT", *_terms(ENVIRONMENT)]
    lines += [".SH EXIT STATUS", _roff(STATUS), ".SH SEE ALSO"]
    lines += [
        ".BR dnstap-bgp.toml (5),",
        ".BR unbound.conf (5),",
        ".BR named.conf (5),",
        ".BR systemctl (1),",
        ".BR fstrm_capture (1)",
    ]
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """The reference of the configuration file: its tables in order, each with all of its keys."""
    lines = [f'.TH DNSTAP-BGP.TOML 5 "" "{NAME} {__version__}" "File Formats"', ".SH NAME"]
    lines += [f"{_roff('dnstap-bgp.toml')} \\- configuration of {_roff(NAME)}", ".SH DESCRIPTION"]
    for paragraph in FORM.split("\n\n"):
        lines += [".PP", _marked(paragraph)]
    for section in reference.sections():
        lines += [f'.SH "{_roff(section.heading or "TOP OF THE FILE")}"', _marked(section.text)]
        for key in section.keys:
            lines += [".TP", f"\\fB{_roff(key.name)}\\fR", _marked(key.type)]
            lines += [_marked(bound) for bound in _bounds(key)]
            lines += [".br", _marked(key.text)]
    lines += [".SH FILES", *_terms(FILES[:2]), ".SH SEE ALSO", f".BR {_roff(NAME)} (1)"]
    return "\n".join(lines) + "\n"


def _bounds(key: reference.Key) -> Iterator[str]:
    """Say a key's limits and default, a sentence each."""
    if key.limits:
        yield f"{key.limits[:1].upper()}{key.limits[1:]}."
    if key.required:
        yield "Required."
    else:
        yield f"Default: `{key.default}`." if key.default else "Unset by default."


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f'.SS "{_roff(" ".join([NAME, str(command.name), *command.collect_usage_pieces(context)]))}"'
    yield from _text(command)
    records = [param.get_help_record(context) for param in command.get_params(context) if param.name != "help"]
    yield from _terms(record for record in records if record and record[1])


def _text(command: click.Command) -> Iterator[str]:
    """A help text's paragraphs: filled, or as they are written where they begin with click's mark for that."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        yield ".PP"
        if not paragraph.startswith("\b"):
            yield _roff(" ".join(paragraph.split()))
            continue
        yield ".nf"
        for line in paragraph.splitlines()[1:]:
            yield _roff(line)
        yield ".fi"


def _terms(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, what in records:
        yield ".TP"
        yield f"\\fB{_roff(term)}\\fR"
        yield _roff(" ".join(what.split()))


def _roff(text: str) -> str:
    """Text that roff takes for nothing but text."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = "".join(char if ord(char) < 128 else f"\\[u{ord(char):04X}]" for char in text)
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text


def _marked(text: str) -> str:
    """Text with what stands between backticks in bold."""
    parts = [_roff(part) for part in " ".join(text.split()).split("`")]
    return "".join(f"\\fB{part}\\fR" if index % 2 else part for index, part in enumerate(parts))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
    path.chmod(0o644)


if __name__ == "__main__":
    main()
