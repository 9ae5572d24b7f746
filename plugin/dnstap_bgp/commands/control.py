"""Client of the control socket: HTTP over a unix socket, by the standard library alone."""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.printing import complain, say
from dnstap_bgp.config import DEFAULT_PATH
from dnstap_bgp.config.addresses import UNIX_PATH_MAX_BYTES
from dnstap_bgp.config.settings import CONTROL_SOCKET, SYSTEM_RUNTIME_DIR
from dnstap_bgp.errors import CommandError, ConfigError, OlderPluginError, UnreachableError

TIMEOUT_S = 35.0
"""The longest that anything asked for may take is a save: 30 s."""

ANSWER_MAX_BYTES = 64 << 20
"""A page of 10,000 routes has 3 MB; names are long at most."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP connection over a unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        _connect(self.sock, self._path)


class Control:
    """Client of the instance that a configuration file describes."""

    def __init__(self, config_path: Path, timeout_s: float = TIMEOUT_S) -> None:
        """Find the control socket.

        Args:
            config_path: The configuration file.
            timeout_s: The longest to wait for an answer.

        Raises:
            ConfigError: The file can't be used, and nobody listens where it says.
        """
        self._path = _socket(config_path)
        self._timeout_s = timeout_s

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Ask for an answer by GET.

        Raises:
            CommandError: The plugin can't be reached, or refuses: why.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Ask for a change by POST.

        Raises:
            OlderPluginError: The plugin has no such path.
            CommandError: The plugin can't be reached, or refuses: why.
        """
        return self._ask("POST", path, json.dumps(body).encode())

    @contextmanager
    def stream(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """Ask for an answer without an end, such as events.

        Raises:
            CommandError: The plugin can't be reached, or refuses: why.
        """
        with closing(UnixConnection(self._path, self._timeout_s)) as connection, self._in_words():
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise CommandError(_error(response.status, response.read(ANSWER_MAX_BYTES)))
            yield response

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:  # noqa: ANN401 - JSON
        with closing(UnixConnection(self._path, self._timeout_s)) as connection:
            with self._in_words():
                connection.request(method, path, body)
                response = connection.getresponse()
                data = response.read(ANSWER_MAX_BYTES)
            if response.status in (http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED):
                raise OlderPluginError(f"the running plugin does not know {method} {path}: it is of another version")
            if response.status != http.client.OK:
                raise CommandError(_error(response.status, data))
            return json.loads(data)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn an error of the connection into words and advice."""
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


def _socket(config_path: Path) -> Path:
    """Find the control socket: where the file says, or else that of the service, whose default folder is another.

    Raises:
        ConfigError: The file can't be used, and there is no socket where it says.
    """
    found = _configured_socket(config_path)
    service = SYSTEM_RUNTIME_DIR / CONTROL_SOCKET
    is_default = config_path == DEFAULT_PATH and found == configuration.default_runtime_dir() / CONTROL_SOCKET
    return service if is_default and not found.exists() and service.exists() else found


def _configured_socket(config_path: Path) -> Path:
    """Find a file's control socket; one that was spoilt while the plugin runs is told, and no reason not to ask.

    Raises:
        ConfigError: The file can't be used, and there is no socket where it says.
    """
    try:
        return configuration.load(config_path, with_secrets=False).control_socket
    except ConfigError as error:
        found = configuration.control_socket(config_path)
        if found is None or not found.is_socket():
            raise
        for problem in error.problems:
            complain(f"warning: {problem}")
        return found


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
    """Write an answer as JSON on one line."""
    return json.dumps(found)


def steer(config_path: Path, path: str, body: dict[str, object], *, as_json: bool) -> None:
    """Have the running plugin do something, and print what it says of it.

    Args:
        config_path: The configuration file.
        path: Of the control socket's HTTP.
        body: What is asked for.
        as_json: Print the whole answer as JSON, not only its message.

    Raises:
        ConfigError: The file can't be used.
        CommandError: The plugin can't be reached, or refuses: why.
    """
    answer = Control(config_path).post(path, body)
    say(json_line(answer) if as_json else answer["message"], as_is=as_json)
