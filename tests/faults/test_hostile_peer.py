"""Whoever answers at a peer's address, against the plugin's own process: none of it ends that, or fills its memory."""

import os
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgpack
import pytest

from dnstap_bgp.commands.control import Control
from dnstap_bgp.core.sync import delta
from dnstap_bgp.core.sync.delta import Deflater
from tests.commands.running import write_config
from tests.core.sync.test_delta import NESTED
from tests.integration.lab import eventually
from tests.test_plugin import log_of, plugin

HELLO = delta.encode_hello("f" * 16, 1000.0, resumed=False)
OURS = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-dnstap-bgp-changes\r\n\r\n"
NOT_OURS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

MEMORY_MAX_BYTES = 64 << 20
"""What an attack may add: buffers, a frame, what the allocator keeps."""


def stream(*payloads: bytes) -> bytes:
    return Deflater().burst([HELLO, *payloads])


def bomb() -> bytes:
    """100 MB of a frame in 100 KB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 14)
    return packer.compress((1 << 30).to_bytes(4, "big") + bytes(100 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)


ATTACKS = {
    **{f"nested {number}": (OURS + stream(payload), b"") for number, payload in enumerate(NESTED)},
    "a frame without end": (OURS + stream() + bomb(), b""),
    "a bomb": (OURS + bomb(), b""),
    "columns of other things": (OURS + stream(msgpack.packb([1, [], {}, None, 1.5, b"", "x", [[]]])), b""),
    "numbers that are none": (OURS + stream(msgpack.packb([2, float("nan"), float("inf")])), b""),
    "a header without end": (b"HTTP/1.1 200 " + b"x" * 1_000_000, b""),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000, b""),
    "terminal": (b"HTTP/1.1 500 \x1b[2J\x1b]0;x\x07\r\nContent-Length: 0\r\n\r\n", b""),
    "no HTTP": (os.urandom(1000), b""),
    "go: nested": (NOT_OURS, JSON + b"[" + b'{"a":' * 900 + b"1" + b"}" * 900 + b"]"),
    "go: brackets": (NOT_OURS, JSON + b"[" * 1_000_000),
    "go: one long entry": (NOT_OURS, JSON + b'[{"IP": "' + b"1" * 50_000_000),
    "go: blanks": (NOT_OURS, JSON + b"[" + b" " * 20_000_000),
    "go: numbers": (NOT_OURS, JSON + b'[{"IP": Infinity, "Domain": NaN, "TS": 1e999}, ' + b"9" * 100_000 + b"]"),
}


@contextmanager
def attacker(stream_answer: bytes, fetch_answer: bytes) -> Iterator[tuple[int, list[int]]]:
    """Answer every request of `/v1/changes` with one thing, and of `/fetch` with another; give port and requests."""
    asked = [0]

    def answer(sock: socket.socket) -> None:
        with closing(sock), suppress(OSError):
            sock.settimeout(10)
            request = sock.recv(65536)
            asked[0] += 1
            sock.sendall(fetch_answer if request.startswith(b"GET /fetch") else stream_answer)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], asked
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_peer_answers_ends_no_process(tmp_path: Path, attack: str):
    with attacker(*ATTACKS[attack]) as (port, asked):
        config = write_config(tmp_path, more=f'[syncer]\npeers = ["127.0.0.1:{port}", "127.0.0.1:1"]\n')
        with plugin(config) as process:
            eventually(lambda: asked[0] >= 1, 30, "the peer is asked")
            before = memory_bytes(process.pid)
            eventually(lambda: asked[0] >= 4, 60, "and again, after it failed")
            assert process.poll() is None

            def both_fail() -> bool:
                peers = Control(config).get("/v1/status")["peers"]
                return all(peer["state"] == "failing" and peer["errors"] >= 2 for peer in peers)

            eventually(both_fail, 20, "the status says so")
            assert memory_bytes(process.pid) - before < MEMORY_MAX_BYTES
            log = log_of(config)
        assert "Traceback" not in log
        assert "fault of ours" not in log
        assert all(line.isprintable() for line in log.splitlines())
