"""The end of a process: what it has said is written, its status is what was asked for, and nothing is freed."""

import subprocess
import sys

import pytest

from tests.commands.running import environment

CODE = """
import logging, sys, threading, time
from dnstap_bgp.workers.process.ending import end_as_said, end_process

class Route:
    def __del__(self):
        print("freed", flush=True)

held = Route()
logging.basicConfig()
logging.warning("logged")
print("printed")  # into a buffer, as this is a pipe
threading.Thread(target=lambda: (time.sleep(0.2), print("done"))).start()
try:
    {end}
except SystemExit as end:
    end_as_said(end)
"""


@pytest.mark.parametrize(
    ("end", "status", "printed", "logged"),
    [
        ("sys.exit()", 0, "printed\ndone\n", "WARNING:root:logged\n"),
        ("sys.exit(3)", 3, "printed\ndone\n", "WARNING:root:logged\n"),
        ("sys.exit('why')", 1, "printed\ndone\n", "WARNING:root:logged\nwhy\n"),
        ("end_process(4)", 4, "printed\n", "WARNING:root:logged\n"),
    ],
)
def test_everything_is_written_and_nothing_freed(end: str, status: int, printed: str, logged: str):
    command = [sys.executable, "-c", CODE.format(end=end)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, printed, logged)


def test_a_stream_that_nobody_reads_is_no_obstacle():
    code = "import sys; from dnstap_bgp.workers.process.ending import end_process\n"
    code += "import os; r, w = os.pipe(); os.close(r); sys.stdout = open(w, 'w'); print('x'); end_process(5)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 5
