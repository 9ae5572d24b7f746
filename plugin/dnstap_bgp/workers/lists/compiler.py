"""The child process that reads and compiles lists (no threads; nothing but `lists.py` starts it).

Building the trie of a million names holds the GIL for seconds, in which the tap would stand still. So it happens here:
the job comes as JSON on stdin, the compiled set goes with the reports on its sources into an open file.
"""

import json
import os
import signal
import sys

from dnstap_bgp.core.lists.compiled import pack
from dnstap_bgp.workers.lists.files import Place, SourceReport, from_json, to_json
from dnstap_bgp.workers.lists.sources import Plan, build_here, inspect

TIME_LIMIT_S = 120
"""Ten times what four million rules take; past it this process ends, also when its parent is gone."""

NICENESS = 10
"""The tap and BGP come first: a list is in force a little later."""


def job(places: Plan) -> bytes:
    """What a child reads on stdin to compile these lists."""
    return json.dumps(list(places.items())).encode()


def counting_job(place: Place) -> bytes:
    """What a child reads on stdin to count what one file gives."""
    return json.dumps(place).encode()


def counted(output: bytes) -> SourceReport:
    """Read what a child counted."""
    return from_json(output.decode())[0]


def command(*arguments: str) -> list[str]:
    """The command line of a child: `FD`, an open file for the compiled set; or nothing, for counting."""
    return [sys.executable, "-P", "-m", __name__, *arguments]


def environment() -> dict[str, str]:
    """The environment of a child, which finds our modules as we did."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


def main() -> int:
    """Do one job: `compiler.py FD < job > failure`, where a failure is why the result couldn't be written."""
    signal.alarm(TIME_LIMIT_S)
    os.nice(NICENESS)
    work = json.load(sys.stdin)
    if len(sys.argv) == 1:
        sys.stdout.write(to_json([inspect(Place(*work))]))
        return 0
    built = build_here({name: tuple(Place(*place) for place in places) for name, places in work})
    try:
        with os.fdopen(int(sys.argv[1]), "wb") as output:
            output.write(pack(built.rules, built.prefixes, to_json(built.reports)))
    except OSError as error:
        sys.stdout.write(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
