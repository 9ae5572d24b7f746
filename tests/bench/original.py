"""The Go program that this one succeeds, beside it in a benchmark: started with a configuration of its own kind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.figure import LackingError
from tests.bench.plugin_process import cpu_s, wait_until

PROGRAM = "DNSTAP_BGP_ORIGINAL"
"""The environment variable that names its executable file."""
SETTLED_S = 0.5
"""It counts nothing that could be asked for: it has read all once it has used no CPU for so long."""


class Original:
    """The Go program with a list, without BGP neighbors; as a context manager it is ended."""

    def __init__(self, program: str, folder: Path, domains: Iterable[str]) -> None:
        """Start it, and wait for its socket."""
        self._socket = folder / "original.sock"
        listed = folder / "original.txt"
        listed.write_text("".join(f"{domain}\n" for domain in domains))
        config = folder / "original.toml"
        config.write_text(
            f"""domains = "{listed}"
ttl = "24h"
[dnstap]
listen = "{self._socket}"
perm = "0666"
[bgp]
as = 65001
routerID = "10.99.0.1"
peers = []
"""
        )
        self._process = subprocess.Popen([program, "-config", str(config)], stdout=subprocess.DEVNULL)
        wait_until(lambda: self._socket.exists() or self._process.poll() is not None, "the Go program listens")
        if self._process.poll() is not None:
            raise LackingError(f"{program} has ended: {self._process.returncode}")

    def run_s(self, stream: Path) -> float:
        """CPU seconds of its process for one connection that brings the stream as fast as it can."""
        began = cpu_s(self._process.pid)
        command = [sys.executable, "-m", "tests.bench.ingest", "--send", str(self._socket), str(stream)]
        subprocess.run(command, check=True, env=os.environ)
        spent = cpu_s(self._process.pid)
        while True:
            time.sleep(SETTLED_S)
            before, spent = spent, cpu_s(self._process.pid)
            if spent - before < SETTLED_S / 100:
                return spent - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
