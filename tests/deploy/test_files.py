"""What holds for the packages' files before any package is built from them."""

import re
import subprocess
from pathlib import Path

import pytest

from dnstap_bgp.commands import check

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRIPTS = [
    *(
        DEPLOY / name
        for name in ("build-deb", "build-rpm", "build-image", "lock", "packaging/stage", "packaging/upgraded")
    ),
    *(DEPLOY / "packaging/deb" / name for name in ("preinst", "postinst", "prerm", "postrm")),
]
SAID_ELSEWHERE = ("packaging/deb/copyright",)
"""Files of a form that leaves no room for a comment at the top."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_shell_reads_the_script_and_its_reason(script: Path):
    first, second = script.read_text().splitlines()[:2]
    assert first == "#!/bin/sh"
    assert second.startswith("# ")
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", script], check=True, timeout=10)


def test_every_file_says_at_its_top_what_it_is_for():
    files = [
        path for folder in ("packaging", "systemd", "apparmor", "container") for path in (DEPLOY / folder).rglob("*")
    ]
    for path in files:
        if path.is_file() and "__pycache__" not in path.parts and str(path.relative_to(DEPLOY)) not in SAID_ELSEWHERE:
            assert re.match(r'#|"""', path.read_text()), path


def test_the_packaged_configuration_is_good_with_its_comments_taken_off(tmp_path: Path):
    """Each key that it offers exists, and the values shown work together."""
    text = (DEPLOY / "packaging/dnstap-bgp.toml").read_text()
    text = re.sub(r"^#(?=\w+ *=)", "", text, flags=re.MULTILINE)
    assert 'peers         = ["192.0.2.1"]' in text
    text = text.replace('"unbound"', '"root"').replace("/var/lib/dnstap-bgp", str(tmp_path))
    (tmp_path / "dnstap-bgp.toml").write_text(text)
    rules = (DEPLOY / "packaging/domains.txt").read_text()
    examples = re.findall(r"^# (\S+) {3,}", rules, re.MULTILINE)
    (tmp_path / "domains.txt").write_text("\n".join(examples) + "\n")
    report = check.run(tmp_path / "dnstap-bgp.toml")
    assert len(examples) == 5
    assert report.errors == ()


def test_the_packaged_configuration_and_list_say_what_is_missing(tmp_path: Path):
    for name in ("dnstap-bgp.toml", "domains.txt"):
        (tmp_path / name).write_text((DEPLOY / "packaging" / name).read_text())
    told = "\n".join(map(str, check.run(tmp_path / "dnstap-bgp.toml").errors))
    assert "bgp.next_hop" in told
    assert "no rule in any list" in told
