"""TLS contexts from the PEM files of the configuration, for all listeners; imported only where TLS is configured.

OpenSSL's own words don't say which file is wrong, and it would wait at a pipe or ask for a passphrase on the terminal:
so each file is looked at before OpenSSL gets it, and an error names key and path.
"""

import ssl
import stat
from pathlib import Path

from dnstap_bgp.errors import ListenerError

_PEM_MAX_BYTES = 1 << 20  # a whole system's certificate authorities take 220 KB
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = b"PRIVATE KEY-----"


def server_context(cert: Path, key: Path | None, client_ca: tuple[str, Path] | None) -> ssl.SSLContext:
    """Make the context of a listener: TLS 1.2 or later, without session tickets and renegotiation.

    Args:
        cert: PEM file of our certificate, its chain behind it (`tls_cert`).
        key: PEM file of its key (`tls_key`); None: the key is in `cert`.
        client_ca: Who signs the clients' certificates: the configuration's key, for messages, and its PEM file; None:
            clients need no certificate.

    Raises:
        ListenerError: A file can't be used; the message names its key and path.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, cert, key, client_ca)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET  # of no use to clients that stay for weeks
    context.num_tickets = 0
    return context


def client_context(cert: Path, key: Path | None, server_ca: tuple[str, Path]) -> ssl.SSLContext:
    """Make the context of connections to members of a fleet, which all have certificates of its own authority.

    Names in certificates are not compared: peers are often configured by address, and every member may speak for every
    other anyway. So the authority must sign for members alone.

    Args:
        cert: As for `server_context`.
        key: Likewise.
        server_ca: Who signs the servers' certificates: the configuration's key, for messages, and its PEM file.

    Raises:
        ListenerError: A file can't be used; the message names its key and path.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, cert, key, server_ca)


def _context(protocol: int, cert: Path, key: Path | None, trusted: tuple[str, Path] | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, cert, key)
    if trusted is not None:
        _trust(context, *trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_own(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    named = f"tls_cert {cert}" if key is None else f"tls_key {key}"

    def refuse() -> str:  # OpenSSL would ask on the terminal, and wait
        raise ListenerError(f"{named}: the key has a passphrase, and nobody is there to type it: take it off")

    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "tls_cert", cert)  # tells a broken certificate from a broken key
    _require(named, key or cert, _PRIVATE_KEY, "private key")
    try:
        context.load_cert_chain(cert, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ListenerError(f"{named}: the key is not that of the first certificate in {cert}") from error
        raise ListenerError(f"{named}: the key can't be used: {_plain(error)}") from error


def _trust(context: ssl.SSLContext, name: str, path: Path) -> None:
    _require(f"{name} {path}", path, _CERTIFICATE, "certificate")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ListenerError(f"{name} {path}: a certificate can't be read: {_plain(error)}") from error


def _require(named: str, path: Path, mark: bytes, what: str) -> None:
    """Look at a file ourselves: OpenSSL doesn't tell which one is missing, and would wait at a pipe."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _PEM_MAX_BYTES:
            raise ListenerError(f"{named}: is no file of at most {_PEM_MAX_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise ListenerError(f"{named}: {error.strerror}") from error
    if mark not in content:
        raise ListenerError(f"{named}: holds no {what} in PEM form")


def _plain(error: ssl.SSLError) -> str:
    return error.reason.lower().replace("_", " ") if error.reason else "it is damaged or cut"
