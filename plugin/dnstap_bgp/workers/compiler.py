"""The child process that reads and compiles lists (no threads; nothing but `lists.py` starts it).

Building the trie of a million names holds the GIL for seconds, in which the tap would stand still. So it happens here:
the job comes as JSON on stdin, the compiled set goes with the reports on its sources into an open file.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dnstap_bgp.core.compiled import pack
from dnstap_bgp.workers.sources import ListSource, build_here, to_json

TIME_LIMIT_S = 120
"""Ten times what four million rules take; past it this process ends, also when its parent is gone."""

NICENESS = 10
"""The tap and BGP come first: a list is in force a little later."""


def job(sources: Sequence[ListSource]) -> bytes:
    """What a child reads on stdin."""
    return json.dumps([(source.name, [str(path) for path in source.paths]) for source in sources]).encode()


def main() -> int:
    """Do one job: `compiler.py FD < job > failure`; the failure, if any, is why the result couldn't be written."""
    signal.alarm(TIME_LIMIT_S)
    os.nice(NICENESS)
    sources = [ListSource(name, tuple(map(Path, paths))) for name, paths in json.load(sys.stdin)]
    rules, reports = build_here(sources)
    try:
        with os.fdopen(int(sys.argv[1]), "wb") as output:
            output.write(pack(rules, to_json(reports)))
    except OSError as error:
        sys.stdout.write(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
