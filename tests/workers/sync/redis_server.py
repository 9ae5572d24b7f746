"""A real redis-server for a test, on a unix socket or a port of loopback; ended by its own process id."""

import signal
import subprocess
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.integration.lab import eventually
from tests.ports import free_port

COMMAND = ("redis-server", "--bind", "127.0.0.1", "--save", "")


class RedisServer:
    """The server, and a client of the test's own in `client`."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.options = options
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port, socket_timeout=10)
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)

    def start(self) -> "RedisServer":
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--port", str(self.port), "--dir", str(self.folder), *self.options],
                stdout=log,
                stderr=log,
            )

        def answers() -> bool:
            try:
                return bool(self.client.ping())
            except RedisConnectionError:
                return False

        eventually(answers, 15, "redis-server answers")
        return self

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self.kill()
        self.client.close()
