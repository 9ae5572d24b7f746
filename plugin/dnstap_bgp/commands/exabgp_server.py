"""ExaBGP with our patches: `python -m dnstap_bgp.commands.exabgp_server [--no-patches] server FILE`.

Everything else is ExaBGP's own, its arguments included; see `host_patches`. Only its end is ours, as its table would be
freed route by route, while routers wait for its successor.
"""

import importlib.metadata
import json
import os
import runpy
import sys

from dnstap_bgp.commands import host_patches
from dnstap_bgp.workers.process.ending import end_as_said
from dnstap_bgp.workers.process.runtime import PATCHES_VARIABLE

NO_PATCHES = "--no-patches"


def main() -> None:
    """Be ExaBGP from here on: its arguments are ours."""
    os.environ.pop(PATCHES_VARIABLE, None)
    if sys.argv[1:2] == [NO_PATCHES]:
        del sys.argv[1]
    else:
        _patch()
    try:
        runpy.run_module("exabgp", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        end_as_said(end)


def _patch() -> None:
    """Apply the patches, tell the plugin of them, and the log of those that are left out."""
    version = importlib.metadata.version("exabgp")
    found = host_patches.apply(version)
    os.environ[PATCHES_VARIABLE] = json.dumps(found)
    for name, reason in found.items():
        if reason:
            sys.stderr.write(f"dnstap-bgp: the patch {name} of ExaBGP is left out: {reason}\n")


if __name__ == "__main__":
    main()
