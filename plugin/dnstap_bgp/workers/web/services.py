"""How the instance is seen and steered, as one part: what `running` starts, tells and stops; no thread of its own."""

import os
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

from dnstap_bgp.config import Config, UnixAddress
from dnstap_bgp.config.addresses import UNIX_PATH_MAX_BYTES
from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.status.status import Web
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.process.thread import CrashHandler
from dnstap_bgp.workers.web.doors import Door, Doors
from dnstap_bgp.workers.web.feed import Feed
from dnstap_bgp.workers.web.refused import Refused
from dnstap_bgp.workers.web.view import Parts, View

if TYPE_CHECKING:
    from dnstap_bgp.workers.web.site import Site


class Services:
    """See above.

    Attributes:
        view: What can be asked; `view.peers` is for whoever syncs to set.
    """

    def __init__(self, config: Config, parts: Parts, loop: Loop, on_crash: CrashHandler) -> None:
        self.view = View(parts, config, self._web)
        self._loop = loop
        self._feed = Feed(parts.keeper)
        self._refused = Refused()
        self._doors = Doors(loop, on_crash)
        self._control = partial(self._serve, steering=True)
        self._http = partial(self._serve, steering=False)
        self._socket = _reachable(config.control_socket)  # no reload can change it
        self._site: Site | None = None

    def start(self) -> None:
        """Open the doors: from now on anybody may ask."""
        self.configure(self.view.config)
        self._doors.start()

    def restored(self) -> None:
        """What the state file had is back."""
        self.view.restored = True

    def configure(self, config: Config) -> None:
        """Put a new configuration in force."""
        self.view.config = config
        http = config.http
        doors = [Door(UnixAddress(self._socket), self._control, group=config.control.group)]
        if http is not None:
            limits = http.allow, http.connections_max
            doors += [Door(address, self._http, limits) for address in http.listen]
        self._doors.want(doors)

    def tick(self, now: float, claims: Sequence[Claim]) -> None:
        """Take what the timer brings, a few times a second: claims that are new, or were refreshed enough."""
        self.view.sample(now)
        self._feed.take(claims)

    def shutdown(self) -> None:
        """Close the doors; returns at once."""
        self._doors.shutdown()

    def join(self, deadline_s: float) -> None:
        """Wait until they are closed, at most so long."""
        self._doors.join(deadline_s)

    def _web(self) -> Web:
        return Web(self._doors.status(), len(self._feed), self._feed.lost, dict(self._refused.counts))

    def _serve(self, sock: socket, *, steering: bool) -> "Future[None] | None":
        """Have the loop serve a socket; in the thread "doors", with the first client."""
        from dnstap_bgp.workers.web.site import Site  # noqa: PLC0415 - imports aiohttp

        if self._site is None:
            self._site = Site(self.view, self._feed, self._refused)
        site = self._site
        return self._loop.run(lambda: site.serve(sock, steering=steering))


def _reachable(path: Path) -> Path:
    """The same path, through its folder where it is too long for a socket: 107 bytes, unix(7)."""
    if len(os.fsencode(path)) <= UNIX_PATH_MAX_BYTES:
        return path
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # as long as the process
    except OSError:  # which is told when the socket can't be opened
        return path
    return Path(f"/proc/self/fd/{folder}/{path.name}")
