"""Judgement of all TLS files that a configuration names, before it comes into force."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from dnstap_bgp.config import Config
from dnstap_bgp.errors import ListenerError

_Files: TypeAlias = tuple[Path | None, Path | None, tuple[str, Path | None] | None]
"""Certificate, key, and the authority of the other side with its key in the configuration; as for `server_context`."""


def unusable_certificates(config: Config) -> Iterator[tuple[str, str]]:
    """Give each table whose TLS files can't be used, by its name, and what is wrong, which begins with the key."""
    for table, (cert, key, authority) in _tables(config).items():
        if cert is None:
            continue
        from dnstap_bgp.workers.net import tls  # noqa: PLC0415 - ssl takes 5 MB, and few have it

        name, ca = authority or ("", None)
        try:
            tls.server_context(cert, key, None if ca is None else (name, ca))
        except ListenerError as error:
            yield table, str(error)


def _tables(config: Config) -> dict[str, _Files]:
    """Name the files of each table that speaks TLS."""
    dnstap, hold, http, syncer = config.dnstap, config.hold, config.http, config.syncer
    found: dict[str, _Files] = {}
    if dnstap.speaks_tls:
        found["dnstap"] = dnstap.tls_cert, dnstap.tls_key, ("tls_client_ca", dnstap.tls_client_ca)
    if hold is not None and hold.speaks_tls:
        found["hold"] = hold.tls_cert, hold.tls_key, ("tls_client_ca", hold.tls_client_ca)
    if http is not None:
        found["http"] = http.tls_cert, http.tls_key, None
    if syncer is not None:
        found["syncer"] = syncer.tls_cert, syncer.tls_key, ("tls_ca", syncer.tls_ca)
    return found
