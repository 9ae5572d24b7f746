"""Mutual TLS: a member is who has a certificate of the fleet's own authority; no thread of its own.

Names in certificates are not compared: peers are often told by address, and every member may speak for every other
anyway. So `tls_ca` must sign for members alone.
"""

import ssl

from dnstap_bgp.config.tables import SyncerConfig
from dnstap_bgp.errors import PeerError


def contexts(config: SyncerConfig) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """For the listener and for clients; None: plain.

    Raises:
        PeerError: A file can't be used; says which.
    """
    if config.tls_cert is None:
        return None, None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise PeerError(f"syncer.tls_cert {config.tls_cert}, tls_key {config.tls_key}: {error}") from error
        try:
            context.load_verify_locations(config.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise PeerError(f"syncer.tls_ca {config.tls_ca}: {error}") from error
    return server, client


def _no_password() -> str:  # OpenSSL would ask on the terminal, and wait
    raise ValueError("the key has a passphrase, and nobody is there to type it")
