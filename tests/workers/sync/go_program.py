"""A stand-in for the Go program's syncer, as its users know it: `/fetch`, `/put`, push of each sighting, periodic pull.

It keeps one domain an address, compares wall clocks, and knows neither authentication nor any doubt.
"""

import http.client
import json
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class GoProgram:
    """One, on loopback; its clock is ahead of the machine's by `ahead_s`.

    Attributes:
        cache: Address -> (domain, time).
        requests: Method and path of each request that came.
    """

    def __init__(
        self, port: int, peers: list[int], ahead_s: float = 0.0, ttl_s: float = 3600.0, host: str = "127.0.0.1"
    ) -> None:
        self.host = host
        self.port, self.peers, self.ahead_s, self.ttl_s = port, peers, ahead_s, ttl_s
        self.cache: dict[str, tuple[str, datetime]] = {}
        self.requests: list[tuple[str, str]] = []
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server((self.host, self.port), self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._server.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def now(self) -> datetime:
        return datetime.now(timezone(timedelta(hours=2))) + timedelta(seconds=self.ahead_s)

    def routes(self) -> set[str]:
        return {address for address, (_, seen) in list(self.cache.items()) if not self.expired(seen)}

    def expired(self, seen: datetime) -> bool:
        return self.now() - seen > timedelta(seconds=self.ttl_s)

    def see(self, domain: str, *addresses: str) -> None:
        """Its own resolver answers: kept, and pushed to each peer."""
        for address in addresses:
            self.cache[address] = domain, self.now()
            for peer in self.peers:
                status, _ = request(peer, "PUT", "/put", self.entry(address).encode())
                assert status == 200

    def pull(self) -> None:
        for peer in self.peers:
            status, body = request(peer, "GET", "/fetch")
            assert status == 200
            for entry in json.loads(body) or []:
                self.add(entry)

    def add(self, entry: dict[str, str]) -> None:
        seen = datetime.fromisoformat(entry["TS"])
        if not self.expired(seen):
            self.cache.setdefault(entry["IP"], (entry["Domain"], seen))

    def entry(self, address: str) -> str:
        domain, seen = self.cache[address]
        text = seen.isoformat(timespec="microseconds")
        return json.dumps({"IP": address, "Domain": domain, "TS": text[:26] + "789" + text[26:]})


def request(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], program: GoProgram) -> None:
        super().__init__(address, _Handler)
        self.program = program
        self.connections: set[socket.socket] = set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        program = self.server.program
        if self.path == "/fetch":
            body = "[" + ",".join(program.entry(address) for address in list(program.cache)) + "]"
            self._answer(200, b"null" if not program.cache else body.encode())
        else:
            self._answer(404, b"404 page not found\n")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.server.program.add(json.loads(body))
        except (ValueError, KeyError):
            self._answer(400, b"")
        else:
            self._answer(200, b"")

    def _answer(self, status: int, body: bytes) -> None:
        program = self.server.program
        program.requests.append((self.command, self.path))
        self.send_response_only(status)
        self.send_header("Date", format_datetime(program.now().astimezone(UTC), usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
