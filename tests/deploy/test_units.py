"""The systemd units and AppArmor's additions, as the programs that read them see them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.lab import run

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"

EXPOSURE_MAX = 20
"""Tenths, of 100; 19 as measured. What is left: the network, unix sockets, the names of senders in /proc."""


def directives(unit: str) -> list[str]:
    text = (UNITS / unit).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.real("systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path: Path):
    for path in UNITS.iterdir():
        # the commands are not installed here; their lines are looked at in a Debian of their own (test_packages)
        text = re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", path.read_text(), flags=re.MULTILINE)
        (tmp_path / path.name.replace("@.", "@edge.")).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.real("systemd-analyze")
@pytest.mark.parametrize("unit", ["dnstap-bgp.service", "dnstap-bgp@.service", "dnstap-bgp-sniff.service"])
def test_the_sandbox_is_as_tight_as_it_was(unit: str, tmp_path: Path):
    path = tmp_path / unit.replace("@.", "@edge.")
    shutil.copy(UNITS / unit, path)
    run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(path))


def test_an_instance_differs_in_its_names_alone():
    expected = [
        re.sub(r"^(RuntimeDirectory=dnstap-bgp)$", r"\1-%i", line)
        .replace("StateDirectory=dnstap-bgp", "StateDirectory=dnstap-bgp/%i")
        .replace("/etc/dnstap-bgp/dnstap-bgp.toml", "/etc/dnstap-bgp/%i.toml")
        .replace("(dnstap-bgp under ExaBGP)", "(dnstap-bgp under ExaBGP), instance %i")
        for line in directives("dnstap-bgp.service")
    ]
    assert directives("dnstap-bgp@.service") == expected


def test_systemd_gives_up_later_than_our_own_limits():
    """`up` kills what hangs; where systemd were faster, the plugin would lose its last save."""
    from dnstap_bgp.commands import up  # noqa: PLC0415 - the only test that needs the program

    [found] = [line for line in directives("dnstap-bgp.service") if line.startswith("TimeoutStopSec=")]
    assert float(found.partition("=")[2].rstrip("s")) > up.STOP_TIMEOUT_S + up.LEFTOVER_TIMEOUT_S


@pytest.mark.parametrize("line", ["MemoryMax=75%", "TasksMax=128", "LimitCORE=0", "OOMPolicy=continue"])
def test_what_runs_away_has_a_limit(line: str):
    assert line in directives("dnstap-bgp.service")
    assert not any(found.startswith("MemoryHigh=") for found in directives("dnstap-bgp.service")), "it stalls ExaBGP"


@pytest.mark.real("apparmor_parser", "unbound", "named")
@pytest.mark.parametrize("profile", ["usr.sbin.unbound", "usr.sbin.named"])
def test_apparmor_takes_the_addition_into_the_distribution_s_profile(profile: str, tmp_path: Path):
    if not Path("/etc/apparmor.d", profile).exists():
        pytest.skip(f"this distribution has no profile {profile}")
    etc = tmp_path / "apparmor.d"
    shutil.copytree("/etc/apparmor.d", etc)
    parser = ("apparmor_parser", "--skip-kernel-load", "--skip-cache", f"--base={etc}")
    (etc / "local" / profile).write_text("")
    before = run(*parser, "--debug", str(etc / profile))
    shutil.copy(DEPLOY / "apparmor" / profile, etc / "local" / profile)
    run(*parser, str(etc / profile))
    after = run(*parser, "--debug", str(etc / profile))
    path = "/run/dnstap-bgp{,-*}/*.sock"
    assert path not in before.replace("{,var/}", "")
    [added] = [line for line in after.splitlines() if path in line.replace("{,var/}", "")]
    assert added.startswith("Mode:\trw"), added
