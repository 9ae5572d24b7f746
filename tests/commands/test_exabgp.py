"""`dnstap-bgp exabgp`: an operator's own configuration under an ExaBGP with our patches."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dnstap_bgp.commands import host_patches
from tests.commands.running import environment
from tests.integration.lab import eventually


@pytest.mark.parametrize("options", [[], ["--no-patches"]])
def test_it_becomes_exabgp(tmp_path: Path, options: list[str]):
    noted = tmp_path / "noted"
    program = tmp_path / "process.py"
    program.write_text(
        "import os, sys\n"
        f"open({str(noted)!r}, 'w').write(os.environ.get('DNSTAP_BGP_PATCHES', 'none') + '.')\n"
        "sys.stdin.read()\n"
    )
    (tmp_path / "exabgp.conf").write_text(
        f"process noting {{ run {sys.executable} {program}; encoder json; }}\n"
        "neighbor 127.0.0.2 { router-id 10.99.0.1; local-address 127.0.0.1; local-as 65001; peer-as 65002; connect 1;\n"
        "  api { processes [ noting ]; } }\n"
    )
    command = [sys.executable, "-m", "dnstap_bgp", "exabgp", *options, "exabgp.conf"]
    env = environment(
        exabgp_daemon_user="root" if os.geteuid() == 0 else os.environ.get("USER", ""), exabgp_tcp_bind=""
    )
    with subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            text = eventually(lambda: noted.exists() and noted.read_text(), 60, "the process below ExaBGP")
            assert text == ("none." if options else json.dumps(dict.fromkeys(host_patches.PATCHES, "")) + ".")
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            assert b"dnstap_bgp.commands.exabgp_server" in words, "the same process"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
