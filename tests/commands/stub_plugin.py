"""A plugin that does only what `up` sees of it: holds the pidfile, announces, answers reloads, ends when told to.

python stub_plugin.py up CONFIG             runs `up` with this file as the plugin
python stub_plugin.py plugin --config ...   what ExaBGP then runs
"""

import os
import signal
import sys
import threading
from pathlib import Path

from dnstap_bgp import cli
from dnstap_bgp import config as configuration
from dnstap_bgp.commands import host, up
from dnstap_bgp.workers.process.instance import PidFile
from dnstap_bgp.workers.process.mailbox import RELOAD_PLUGIN, Mailbox, Outcome


def run_up(path: str) -> None:
    up.HOST_FIRST_S = float(os.environ.get("HOST_FIRST_S", up.HOST_FIRST_S))
    host.plugin_command = lambda config_path: (sys.executable, __file__, "plugin", "--config", str(config_path))
    cli.main(["up", "--config", path])


def run_plugin(path: Path) -> None:
    os.umask(0o077)
    config = configuration.load(path)
    noted = config.path.parent / "noted"

    def note(text: str) -> None:
        with noted.open("a") as file:
            file.write(text + "\n")

    def on_hangup(*_: object) -> None:
        note("HUP")
        mailbox = Mailbox(config.runtime_dir, RELOAD_PLUGIN)
        request = mailbox.take()
        if request is not None:
            ok, in_part = not request.force, request.force == frozenset({"part"})
            counts = {"rules": 3, "routes": 1}
            mailbox.answer(request, Outcome(ok, () if ok else ("no",), counts, in_part=in_part))

    def on_term(*_: object) -> None:
        note("TERM")
        sys.exit(0)

    signal.signal(signal.SIGHUP, on_hangup)
    signal.signal(signal.SIGUSR1, lambda *_: note("USR1"))
    signal.signal(signal.SIGTERM, on_term)
    pidfile = PidFile(config.pidfile)
    pidfile.acquire(threading.Event())  # last: who sees it held may send signals
    note(f"uid {os.getuid()} netns {Path('/proc/self/ns/net').readlink()}")
    os.write(1, b"announce attributes next-hop 192.0.2.254 nlri 203.0.113.7/32\n")
    for line in sys.stdin:
        note(line.strip())
    note("EOF")


if __name__ == "__main__":
    if sys.argv[1] == "up":
        run_up(sys.argv[2])
    run_plugin(Path(sys.argv[3]))
