"""`[syncer] redis`: where a fleet's engine is."""

import importlib.util
from dataclasses import dataclass
from urllib.parse import urlsplit

from dnstap_bgp.config import values

SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Redis or Valkey.

    Attributes:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database as redis-py reads them. With
            sentinels its host doesn't count.
        sentinels: Host and port of the Sentinels that know the primary; empty: the URL is the primary.
        service: The name that they know it by.
    """

    url: str
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = "mymaster"

    @property
    def host(self) -> str | None:
        """The engine's host; None: a unix socket."""
        parts = urlsplit(self.url)
        return None if parts.scheme == "unix" else parts.hostname

    @property
    def shown(self) -> str:
        """The URL for people: without user, password and options."""
        parts = urlsplit(self.url)
        if self.sentinels:
            return f"{parts.scheme}+sentinel://{self.service}"
        where = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{where}{parts.path}"


def url(value: object) -> str:
    """An engine's URL."""
    written = values.text(value)
    try:
        parts = urlsplit(written)
        _ = parts.port
    except ValueError as error:
        msg = f"is no URL: {error}"
        raise ValueError(msg) from None
    if parts.scheme not in SCHEMES or not (parts.path if parts.scheme == "unix" else parts.hostname):
        msg = "must be redis://HOST:PORT/DATABASE, rediss://... (TLS) or unix:///PATH"
        raise ValueError(msg)  # without the value, which may hold a password
    if importlib.util.find_spec("redis") is None:
        msg = "needs redis-py: pip install 'dnstap-bgp[redis]'"
        raise ValueError(msg)
    return written
