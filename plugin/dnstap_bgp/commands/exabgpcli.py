"""`exabgpcli`: ExaBGP's own client, set to the FIFOs of the instance that runs here.

All arguments are ExaBGP's. Which instance: DNSTAP_BGP_RUNTIME_DIR, else the first runtime folder with a running
`dnstap-bgp up` of those that the configuration and the defaults name; where there is none, ExaBGP's client looks for
an ExaBGP by its own rules, as for an operator who starts ExaBGP without `up`.
"""

import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from dnstap_bgp.config import DEFAULT_PATH, default_runtime_dir
from dnstap_bgp.config.settings import SYSTEM_RUNTIME_DIR
from dnstap_bgp.workers.process import instance, runtime


def main() -> None:
    """Run ExaBGP's client with our arguments; its exit status is ours."""
    named = os.environ.get("DNSTAP_BGP_RUNTIME_DIR")
    folder = Path(named).absolute() if named else next(filter(_runs, candidates()), None)
    if folder is not None:
        if named and not _runs(folder):
            sys.exit(f"exabgpcli: no `dnstap-bgp up` runs in {folder}")
        _require_access(folder)
        _point_at(folder)
    try:
        from exabgp.application.cli import main as client  # noqa: PLC0415 - it reads the environment when imported

        client()
    except (KeyboardInterrupt, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no complaint about a reader that has left
        sys.exit(1)


def candidates() -> Iterator[Path]:
    """Give the runtime folders that an instance on this machine may have, the likeliest first."""
    try:
        told = tomllib.loads(DEFAULT_PATH.read_text(encoding="utf-8")).get("runtime_dir")
    except (OSError, ValueError):
        told = None  # not for us to read, or not for us to judge
    if isinstance(told, str):
        yield DEFAULT_PATH.parent / told
    yield default_runtime_dir()
    yield SYSTEM_RUNTIME_DIR  # of the system's instance, where we are another user than it


def _runs(folder: Path) -> bool:
    return instance.holder(runtime.up_pidfile(folder)) is not None


def _require_access(folder: Path) -> None:
    """End with a clear word where the FIFOs are not ours to use; ExaBGP's client would say that there are none."""
    for fifo in runtime.fifos(folder):
        if not os.access(fifo, os.R_OK | os.W_OK):
            sys.exit(f"exabgpcli: {fifo} is there for its owner (uid {folder.stat().st_uid}) and root alone")


def _point_at(folder: Path) -> None:
    for name in list(os.environ):
        if name.lower().replace(".", "_") in {"exabgp_api_pipename", "exabgp_api_ack", "exabgp_cli_pipe"}:
            del os.environ[name]
    os.environ["EXABGP_ROOT"] = str(folder)
    os.environ["exabgp_api_pipename"] = runtime.pipe_name(folder)  # noqa: SIM112 - ExaBGP's own spelling


if __name__ == "__main__":
    main()
