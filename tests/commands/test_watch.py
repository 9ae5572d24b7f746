"""`dnstap-bgp watch`: what happens, as it happens."""

import json
import subprocess
import sys

from tests.commands.asking_kit import Asked
from tests.commands.running import environment


def test_what_happens(asked: Asked):
    command = [sys.executable, "-m", "dnstap_bgp", "watch", "--json", "--config", str(asked.instance.config)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["event"] == "hello"
            asked.text("add", "198.51.100.5", "--list", "default", "--ttl", "1h")
            asked.text("forget", "198.51.100.5")
            events = [json.loads(process.stdout.readline()) for _ in range(2)]
        finally:
            process.terminate()
    told = [(one["event"], one["address"], one["name"]) for one in events]
    assert told == [("learnt", "198.51.100.5", "by hand"), ("ended", "198.51.100.5", "by hand")]
