"""How a command asks the running plugin: HTTP over its control socket, by the standard library alone."""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dnstap_bgp import config as configuration
from dnstap_bgp.config.addresses import UNIX_PATH_MAX_BYTES
from dnstap_bgp.errors import CommandError, UnreachableError

TIMEOUT_S = 35.0
"""The longest that anything asked for may take is a save: 30 s."""

ANSWER_MAX_BYTES = 64 << 20
"""A page of 10,000 routes has 3 MB; names are long at most."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        _connect(self.sock, self._path)


class Control:
    """The control socket of the instance that a configuration file is about."""

    def __init__(self, config_path: Path) -> None:
        """Find it.

        Raises:
            ConfigError: The file can't be used.
        """
        self._path = configuration.load(config_path).control_socket

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Ask something.

        Raises:
            CommandError: The plugin can't be reached, or refuses: why.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Change something.

        Raises:
            CommandError: The plugin can't be reached, or refuses: why.
        """
        return self._ask("POST", path, json.dumps(body).encode())

    @contextmanager
    def stream(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """Ask for something without an end.

        Raises:
            CommandError: As above.
        """
        with closing(UnixConnection(self._path, TIMEOUT_S)) as connection, self._in_words():
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                raise CommandError(_error(response.status, response.read(ANSWER_MAX_BYTES)))
            yield response

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:  # noqa: ANN401 - JSON
        with closing(UnixConnection(self._path, TIMEOUT_S)) as connection:
            with self._in_words():
                connection.request(method, path, body)
                response = connection.getresponse()
                data = response.read(ANSWER_MAX_BYTES)
            if response.status != 200:
                raise CommandError(_error(response.status, data))
            return json.loads(data)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Say what it means that the plugin can't be reached."""
        try:
            yield
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise UnreachableError(f"no plugin is running: nobody listens on {self._path}") from error
        except PermissionError as error:
            text = f"{self._path} is not for this user: ask as the plugin's user, a member of its group, or root"
            raise UnreachableError(text) from error
        except TimeoutError as error:
            raise UnreachableError(f"no answer from {self._path}: the plugin's log says what it is doing") from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self._path}: {error or type(error).__name__}") from error


def _connect(sock: socket.socket, path: Path) -> None:
    """Connect to a unix socket, also where its path is too long for the call: through its folder."""
    if len(os.fsencode(path)) <= UNIX_PATH_MAX_BYTES:
        sock.connect(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _error(status: int, data: bytes) -> str:
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the plugin answers {status}"


def json_line(found: object) -> str:
    """JSON on one line."""
    return json.dumps(found)
