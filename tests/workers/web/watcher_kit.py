"""Watcher's end of /v1/events, for tests."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

from tests.workers.web.site_kit import Site


class Watching:
    """A watcher's end."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._response = connection.getresponse()
        assert self._response.status == 200
        assert self._response.headers["Content-Type"] == "text/event-stream"
        assert self.next()[0] == "hello"

    def next(self) -> tuple[str, dict[str, Any]]:
        kind = ""
        while line := self._response.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                kind = value
            elif field == "data":
                return kind, json.loads(value)
        raise AssertionError("the stream has ended")


@contextmanager
def watching(site: Site, *, control: bool = False) -> Iterator[Watching]:
    with closing(HTTPConnection("localhost")) as connection:
        connection.sock = site.control() if control else site.tcp()
        connection.request("GET", "/v1/events")
        yield Watching(connection)
