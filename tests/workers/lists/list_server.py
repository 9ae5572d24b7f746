"""A web server on the loopback that does what a test tells it: all the harm that a list's server can do."""

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Act = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request; `server.acts` has what to do by path."""

    protocol_version = "HTTP/1.1"
    server: "ListServer"

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        with suppress(BrokenPipeError, ConnectionResetError):
            self.server.acts[self.path](self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class ListServer(ThreadingHTTPServer):
    """`acts`: path -> what to do; `requests`: what came; `released`: lets what waits go."""

    daemon_threads = True

    def __init__(self, port: int = 0, address: str = "127.0.0.1") -> None:
        super().__init__((address, port), Handler)
        self.acts: dict[str, Act] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes is what these tests are about."""


@contextmanager
def serving(port: int = 0, address: str = "127.0.0.1") -> Iterator[ListServer]:
    with ListServer(port, address) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def content(text: str | bytes, **headers: str) -> Act:
    """Give this, with these headers; 304 where the client has it by its ETag."""
    body = text.encode() if isinstance(text, str) else text

    def act(handler: Handler) -> None:
        for asked, said in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last_Modified")):
            if said in headers and handler.headers.get(asked) == headers[said]:
                handler.begin(304)
                return
        handler.begin(200, **{"Content_Length": str(len(body)), "Content_Type": "text/plain", **headers})
        handler.wfile.write(body)

    return act


def status(code: int, **headers: str) -> Act:
    return lambda handler: handler.begin(code, Content_Length="0", **headers)


def redirect(target: str, code: int = 302) -> Act:
    return status(code, Location=target)


def endless(piece: bytes) -> Act:
    """Never stop sending."""

    def act(handler: Handler) -> None:
        handler.begin(200, Connection="close")
        while not handler.server.released.is_set():
            handler.wfile.write(piece)

    return act


def dripping(handler: Handler) -> None:
    """Send a byte now and then, for ever."""
    handler.begin(200, Connection="close")
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b"a")


def mute(handler: Handler) -> None:
    """Say nothing at all."""
    handler.server.released.wait()
    handler.close_connection = True


def stuck(handler: Handler) -> None:
    """Begin well and fall silent."""
    handler.begin(200, Content_Length="1000")
    handler.wfile.write(b"foo.com\n")
    handler.server.released.wait()
    handler.close_connection = True


def cut(handler: Handler) -> None:
    """Promise more than comes."""
    handler.begin(200, Content_Length="1000", Connection="close")
    handler.wfile.write(b"foo.com\n")
    handler.close_connection = True


def bomb(handler: Handler) -> None:
    """A gigabyte in a megabyte."""
    handler.begin(200, Content_Encoding="gzip", Connection="close")
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(1024):
        handler.wfile.write(packer.compress(b"#" * (1 << 20)))
    handler.wfile.write(packer.flush())


def gzipped(text: str) -> Act:
    return content(gzip.compress(text.encode()), Content_Encoding="gzip")
