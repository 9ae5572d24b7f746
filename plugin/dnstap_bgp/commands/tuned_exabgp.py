"""ExaBGP with fewer full garbage collections: `python -m dnstap_bgp.commands.tuned_exabgp server FILE`.

Its table is made of many small objects, and a full collection looks at all of them: 100 to 200 ms at 20,000 routes, in
which nothing is sent. By Python's defaults a growing table brings one such pause after the other; what they free can
wait. `python -m tests.bench router` shows it: a fresh address during a bulk load, p95 7 to 10 ms in place of 166 to
223, and a quarter more routes a second (five interleaved rounds of each).
"""

import gc
import runpy

THRESHOLDS = (700, 10, 1000)
"""Python's own, but for the last: a full collection after a hundred times as many."""


def main() -> None:
    """Be ExaBGP from here on: its arguments are ours."""
    gc.set_threshold(*THRESHOLDS)
    runpy.run_module("exabgp", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
