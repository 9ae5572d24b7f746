"""A machine as the Go program left it, and a syncer of that program as far as /fetch goes."""

import datetime as dt
import http.server
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from dnstap_bgp.cli import main
from dnstap_bgp.commands import dump

ORIGINAL = (Path(__file__).parents[1] / "config" / "original.toml").read_text()


class Files:
    """A machine's files as the Go program left them, and where ours go."""

    def __init__(self, folder: Path) -> None:
        self.old = folder / "dnstap-bgp.conf"
        self.defaults = folder / "defaults"
        self.to = folder / "etc" / "dnstap-bgp.toml"
        self.cache = folder / "lib" / "state.msgpack"
        self.drop_in = folder / "systemd" / "import.conf"
        self.old.write_text(ORIGINAL)
        self.defaults.write_text(f"CONFIG={self.old}\n")

    def run(self, *more: str, status: int = 0) -> Result:
        places = [
            f"--defaults={self.defaults}",
            f"--to={self.to}",
            f"--cache={self.cache}",
            f"--drop-in={self.drop_in}",
        ]
        done = CliRunner().invoke(main, ["import", *places, *more])
        assert done.exit_code == status, done.output
        return done

    def held(self) -> dict[str, set[str]]:
        """Address -> names, of the state file."""
        found: dict[str, set[str]] = {}
        for address, _, name in dump.read(self.cache).claims:
            found.setdefault(str(ipaddress.ip_address(address)), set()).add(name.decode())
        return found


@contextmanager
def go_program(answer: bytes, status: int = 200) -> Iterator[str]:
    """A Go program's syncer, as far as /fetch goes; gives its `host:port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/fetch"
            self.send_response(status if found else 404)
            self.end_headers()
            self.wfile.write(answer if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def entry(address: str, name: str, age_s: float = 60) -> dict[str, str]:
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    return {"IP": address, "Domain": name, "TS": (dt.datetime.now(zone) - dt.timedelta(seconds=age_s)).isoformat()}
