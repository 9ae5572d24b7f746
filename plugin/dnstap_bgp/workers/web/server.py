"""Web server of the instance: control socket and [http], opened at once and served with their first client.

The part that `app` starts, configures and stops; without a thread of its own.
"""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

from dnstap_bgp.config import Config, UnixAddress
from dnstap_bgp.config.addresses import UNIX_PATH_MAX_BYTES
from dnstap_bgp.config.settings import HttpConfig
from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.status.report import ListenerStatus, WebStatus
from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.net.lazy_listeners import Endpoint, LazyListeners
from dnstap_bgp.workers.process.loop import Loop, supervise
from dnstap_bgp.workers.process.thread import CrashHandler
from dnstap_bgp.workers.web.feed import EventFeed
from dnstap_bgp.workers.web.inspector import Inspector, Parts

if TYPE_CHECKING:
    import ssl

    from dnstap_bgp.workers.web.http_app import HttpApp

logger = logging.getLogger(__name__)


class WebServer:
    """Control socket and [http], with all that they can be asked.

    Attributes:
        inspector: What can be asked; `inspector.peers` is for whoever syncs to set.
    """

    def __init__(self, config: Config, parts: Parts, loop: Loop, on_crash: CrashHandler) -> None:
        self.inspector = Inspector(parts, config, self._status)
        self._loop = loop
        self._feed = EventFeed(parts.keeper)
        self._refused: Counter[str] = Counter()
        self._listeners = LazyListeners(on_crash)
        self._serve_control = partial(self._serve, control=True)  # one object each: an endpoint is compared by it
        self._serve_http = partial(self._serve, control=False)
        self._tls: ssl.SSLContext | None = None
        self._tls_files: object = None  # what the context was made of
        self._closed: tuple[ListenerStatus, ...] = ()  # of [http], for want of a certificate
        self._socket = _reachable(config.control_socket)  # no reload can change it
        self._app: HttpApp | None = None

    def start(self) -> None:
        """Listen: from now on anybody may ask."""
        self.configure(self.inspector.config)
        self._listeners.start()

    def restored(self) -> None:
        """Take note that what the state file had is back."""
        self.inspector.restored = True

    def configure(self, config: Config) -> None:
        """Put a new configuration in force."""
        self.inspector.config = config
        http = config.http
        problem = None if http is None else self._load_tls(http)
        group = config.control.group
        # Without a group ours alone: a resolver may be in our own group, to reach the tap, and is not to steer by that.
        perm = 0o600 if group is None else 0o660
        endpoints = [Endpoint(UnixAddress(self._socket), self._serve_control, perm=perm, group=group)]
        self._closed = ()
        if http is not None and problem is not None:
            self._closed = tuple(ListenerStatus(str(address), problem) for address in http.listen)
        elif http is not None:
            limits = http.allow, http.connections_max, http.token, self._tls
            endpoints += [Endpoint(address, self._serve_http, limits) for address in http.listen]
        self._listeners.listen(endpoints)

    def tick(self, now: float, claims: Sequence[Claim]) -> None:
        """Take what the timer brings, a few times a second: claims that are new, or were refreshed enough."""
        self.inspector.sample(now)
        self._feed.take(claims)

    def shutdown(self) -> None:
        """Stop listening; returns at once."""
        self._listeners.shutdown()

    def join(self, deadline_s: float) -> None:
        """Wait until nobody listens any more, at most so long."""
        self._listeners.join(deadline_s)

    def _status(self) -> WebStatus:
        http = self.inspector.config.http
        is_steered = http is not None and (http.token is not None or http.token_file is not None)
        return WebStatus(
            (*self._listeners.status(), *self._closed),
            len(self._feed),
            self._feed.lost,
            dict(self._refused),
            steering=is_steered,
        )

    def _load_tls(self, http: HttpConfig) -> str | None:
        """Read the certificate of [http]; returns what is wrong with it where there is none from before either."""
        if http.tls_cert is None:
            self._tls = self._tls_files = None
            return None
        from dnstap_bgp.workers.net import tls  # noqa: PLC0415 - ssl takes 5 MB, and few have it

        try:
            files = tuple((path, path.read_bytes()) for path in (http.tls_cert, http.tls_key) if path is not None)
            if files != self._tls_files:
                self._tls = tls.server_context(http.tls_cert, http.tls_key, None)
                self._tls_files = files
        except (OSError, ListenerError) as error:
            kept = "the one from before stays in use" if self._tls else "nothing listens until a reload can read it"
            logger.error("http: %s; %s", error, kept)
            return None if self._tls else f"{error}; nothing listens until a reload can read it"
        return None

    def _serve(self, listening: socket, *, control: bool) -> "Future[None] | None":
        """Have the loop serve a listening socket; in the thread "listeners", with the first client."""
        from dnstap_bgp.workers.web.http_app import HttpApp  # noqa: PLC0415 - imports aiohttp

        if self._app is None:
            self._app = HttpApp(self.inspector, self._feed, self._refused)
        name, app = "control socket" if control else "http", self._app

        async def serve() -> None:
            try:
                await supervise(
                    name, partial(app.serve, listening, control=control, tls=None if control else self._tls)
                )
            finally:
                listening.close()

        return self._loop.run(name, serve)


def _reachable(path: Path) -> Path:
    """Give a path to the same file that a socket can have, of at most 107 bytes (unix(7)): through its open folder."""
    if len(os.fsencode(path)) <= UNIX_PATH_MAX_BYTES:
        return path
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # as long as the process
    except OSError:  # which is told when the socket can't be opened
        return path
    return Path(f"/proc/self/fd/{folder}/{path.name}")
