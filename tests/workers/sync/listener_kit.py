"""A sync listener that answers, what is put to it, and certificates for both."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnstap_bgp.core.sync import go_json
from tests.integration.lab import eventually
from tests.workers.sync.go_program import request
from tests.workers.sync.instance import Instance, running

TOKEN = "0123456789abcdef"  # noqa: S105 - of this test alone


@contextmanager
def serving(instance: Instance) -> Iterator[None]:
    """It runs, and answers."""
    with running(instance):
        assert instance.config.listen is not None
        eventually(lambda: is_open(instance.config.listen.port), 5, "it listens")  # type: ignore[union-attr] # as asserted
        yield


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def put(port: int, **entry: object) -> int:
    found = {"IP": "11.0.0.1", "Domain": "a.example", "TS": "2026-11-22T01:00:00Z", **entry}
    return request(port, "PUT", "/put", json.dumps({k: v for k, v in found.items() if v is not None}).encode())[0]


def now(ahead_s: float = 0.0) -> str:
    return go_json.write_time(time.time() + ahead_s)


def certify(folder: Path, name: str, ca: str | None = None) -> None:
    signed = () if ca is None else ("-CA", f"{folder}/{ca}.pem", "-CAkey", f"{folder}/{ca}.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem",
         *(("-addext", "basicConstraints=critical,CA:FALSE") if ca else ()), *signed],
        check=True, capture_output=True,
    )  # fmt: skip


def files(folder: Path, name: str) -> dict[str, Path]:
    ca = folder / "ca.pem"
    return {"tls_cert": folder / f"{name}.pem", "tls_key": folder / f"{name}.key", "tls_ca": ca}


def status_or_none(port: int) -> int | None:
    try:
        return request(port, "GET", "/fetch", Authorization=f"Bearer {TOKEN}")[0]
    except (OSError, http.client.HTTPException):
        return None
