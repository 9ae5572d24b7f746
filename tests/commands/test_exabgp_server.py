"""ExaBGP as `up` starts it: the same program, with our patches or without."""

import json
import subprocess
import sys

import pytest

from dnstap_bgp.commands import host_patches
from dnstap_bgp.workers.process.runtime import PATCHES_VARIABLE
from tests.commands.running import environment, up, write_config

LOOK = """
import gc, os, runpy, sys
runpy.run_module = lambda *_args, **_more: print(gc.get_threshold()[2], sys.argv[1:], os.environ.get({name!r}))
from dnstap_bgp.commands import exabgp_server, host_patches
host_patches.TRIED = {tried!r}
exabgp_server.main()
"""


def look(*arguments: str, tried: frozenset[str] = host_patches.TRIED) -> tuple[str, str]:
    """The threshold, ExaBGP's arguments, and what the plugin is told; and what the log is told."""
    code = LOOK.format(name=PATCHES_VARIABLE, tried=set(tried))
    command = [sys.executable, "-c", code, *arguments]
    stale = {PATCHES_VARIABLE: '{"of another": ""}'}
    done = subprocess.run(command, env=environment(**stale), capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def test_it_is_exabgp_with_its_arguments():
    command = [sys.executable, "-P", "-m", "dnstap_bgp.commands.exabgp_server", "version"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert "ExaBGP" in done.stdout


def test_patched():
    told = json.dumps(dict.fromkeys(host_patches.PATCHES, ""))
    assert look("server", "x.conf") == (f"1000 ['server', 'x.conf'] {told}", "")


def test_without_patches():
    assert look("--no-patches", "server", "x.conf") == ("10 ['server', 'x.conf'] None", "")


def test_what_is_left_out_is_told():
    shown, log = look("server", "x.conf", tried=frozenset({"4.0"}))
    assert '"no-delay": "not tried with ExaBGP' in shown
    assert log.count("is left out: not tried with ExaBGP") == 4


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("", "  patches: full-collections, no-delay, shared-attributes, known-families, ended-process\n"),
        ("[process]\npatches = false", None),
    ],
)
def test_the_status_tells(tmp_path, more, line):
    config = write_config(tmp_path, more=more)
    with up(config) as found:
        command = [sys.executable, "-m", "dnstap_bgp", "status", "--config", str(config)]

        def shown() -> str:
            return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False).stdout

        found.until(lambda: "ready; " in shown(), "ExaBGP")
        text = shown()
        assert (line in text) if line else ("patch" not in text)
        assert ("started without patches" in found.log) == (line is None)


def test_its_end_frees_nothing():
    """100,000 routes would take 1.5 s, in which no router sees its successor."""
    code = (
        "import runpy, sys\n"
        "class Table:\n    def __del__(self): print('freed')\n"
        "def run(*_args, **_more):\n    global table; table = Table(); sys.exit(3)\n"
        "runpy.run_module = run\n"
        "from dnstap_bgp.commands import exabgp_server\nexabgp_server.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
