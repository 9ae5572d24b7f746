"""Certificates for tests, made by openssl: an authority, and leaves that it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates with `key`; to trust `cert` is to trust them."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        own = self._made(name, "-x509", "-subj", f"/CN={name}")
        self.cert, self.key = own.cert, own.key

    def issue(self, name: str, *more: str) -> Certificate:
        """Make a certificate for localhost and its addresses; `more` are arguments of `openssl req`."""
        return self._made(
            name, "-x509", "-CA", str(self.cert), "-CAkey", str(self.key), "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE", *more,
        )  # fmt: skip

    def _made(self, name: str, *argv: str) -> Certificate:
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        subprocess.run(
            ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-keyout", made.key, "-out", made.cert, *argv],
            check=True, capture_output=True,
        )  # fmt: skip
        return made
