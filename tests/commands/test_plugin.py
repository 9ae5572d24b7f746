"""`dnstap-bgp plugin`: becomes what ExaBGP starts."""

import subprocess
import sys
from pathlib import Path

from tests.commands.running import environment, write_config
from tests.integration.lab import eventually


def test_typed_as_a_command_it_becomes_what_exabgp_starts(tmp_path):
    config = write_config(tmp_path)
    command = [sys.executable, "-c", "from dnstap_bgp.cli import main; main()", "plugin", "--config", config.name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment(), cwd=tmp_path
    ) as process:
        try:
            eventually((tmp_path / "dnstap.sock").exists, 20, "the listener")
            words = Path(f"/proc/{process.pid}/cmdline").read_text().rstrip("\0").split("\0")
        finally:
            process.terminate()
            process.wait(60)
    assert words[1:] == ["-P", "-m", "dnstap_bgp", "plugin", "--config", str(config)]
