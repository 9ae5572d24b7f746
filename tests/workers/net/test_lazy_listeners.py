"""Lazy listeners: opened at once, served from the first client on, mended when their file is removed."""

import os
import socket
import threading
from collections.abc import Iterator, Sized
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from dnstap_bgp.config import TcpAddress, UnixAddress
from dnstap_bgp.workers.net.lazy_listeners import Endpoint, LazyListeners
from tests.integration.lab import eventually
from tests.ports import free_port
from tests.workers.web.site_kit import Site

A = b"\1\1\1\1"


def test_a_reload_that_changes_nothing_of_it_keeps_its_clients(site: Site, tmp_path):
    with closing(HTTPConnection("localhost")) as connection:
        connection.sock = site.tcp()
        for _ in range(2):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"ok\n"
            site.server.configure(site.write(tmp_path, "", ""))
            assert site.get("/healthz", control=True) == "ok\n"


def test_the_control_socket_comes_back_when_its_file_is_removed(site: Site):
    assert site.get("/healthz", control=True) == "ok\n"
    site.config.control_socket.unlink()
    assert site.get("/healthz", control=True) == "ok\n"
    assert site.config.control_socket.stat().st_mode & 0o777 == 0o600


def test_only_a_group_that_the_configuration_names_reaches_the_control_socket(site: Site, tmp_path: Path):
    def has(mode: int) -> bool:
        return site.config.control_socket.stat().st_mode & 0o777 == mode

    for more, mode in ((f'[control]\ngroup = "{os.getegid()}"\n', 0o660), ("", 0o600)):
        site.server.configure(site.write(tmp_path, more, ""))
        eventually(partial(has, mode), 20, f"mode {mode:o}")
        assert site.get("/healthz", control=True) == "ok\n"


@contextmanager
def listening(*endpoints: Endpoint) -> Iterator[LazyListeners]:
    crashed = threading.Event()
    listeners = LazyListeners(crashed.set)
    listeners.listen(endpoints)
    listeners.start()
    try:
        eventually(lambda: [one.problem for one in listeners.status()] == [None] * len(endpoints), 20, "all are open")
        yield listeners
    finally:
        listeners.shutdown()
        listeners.join(20)
    assert not crashed.is_set()


def reaches(found: Sized, count: int) -> bool:
    return len(found) >= count


def knock(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    return sock


def test_nothing_serves_before_the_first_client(tmp_path):
    served: list[socket.socket] = []

    def serve(sock: socket.socket) -> "Future[None]":
        served.append(sock)
        return Future()

    path = tmp_path / "s"
    with listening(Endpoint(UnixAddress(path), serve)):
        assert not served
        with knock(path), knock(path):
            eventually(lambda: served, 20, "it is served")
            client, _ = served[0].accept()  # its own copy of the listening socket
            client.close()
    assert len(served) == 1
    served[0].close()
    assert not path.exists()


def test_other_limits_come_into_force_at_the_same_socket():
    """As with a changed [http]: what serves ends in its own time, and has a copy of the socket until then."""
    served: list[tuple[str, socket.socket, Future[None]]] = []

    def serve(limits: str, sock: socket.socket) -> "Future[None]":
        served.append((limits, sock, Future()))
        return served[-1][2]

    def endpoint(port: int, limits: str) -> Endpoint:
        return Endpoint(TcpAddress("127.0.0.1", port), partial(serve, limits), limits)

    port = free_port()
    with listening(endpoint(port, "old")) as listeners:
        with socket.create_connection(("127.0.0.1", port)):
            eventually(partial(reaches, served, 1), 20, "it is served")
            served[0][1].accept()[0].close()
        listeners.listen([endpoint(port, "new")])
        eventually(served[0][2].cancelled, 20, "the one before is told to end")
        with socket.create_connection(("127.0.0.1", port)):  # its copy is open still
            eventually(partial(reaches, served, 2), 20, "the new one serves")
        assert [limits for limits, _, _ in served] == ["old", "new"]
        assert [one.problem for one in listeners.status()] == [None]
        listeners.listen([])
        eventually(served[1][2].cancelled, 20, "it is told to end")
    for _, sock, _ in served:
        sock.close()


def test_what_can_not_be_served_leaves_the_others_and_is_tried_again(tmp_path, caplog):
    """A fault where a first client comes in: no thread ends by it."""
    tries: list[int] = []
    served: list[socket.socket] = []

    def failing(_: socket.socket) -> "Future[None]":
        tries.append(1)
        raise ImportError("planted")

    def serve(sock: socket.socket) -> "Future[None]":
        served.append(sock)
        return Future()

    bad, good = tmp_path / "bad", tmp_path / "good"
    with listening(Endpoint(UnixAddress(bad), failing), Endpoint(UnixAddress(good), serve)) as listeners:

        def tried_again() -> bool:
            with suppress(OSError), knock(bad):  # one that comes while the door is closed and opened anew is lost
                return len(tries) >= 2
            return False

        eventually(tried_again, 20, "it is tried, and tried again")
        eventually(lambda: listeners.status()[0].problem is None, 20, "it is open again")
        with knock(good):
            eventually(lambda: served, 20, "the other is served")
    served[0].close()
    assert "planted" in caplog.text


def test_an_end_that_nobody_asked_for_begins_anew_with_the_next_client(tmp_path):
    served: list[tuple[socket.socket, Future[None]]] = []

    def serve(sock: socket.socket) -> "Future[None]":
        future: Future[None] = Future()
        served.append((sock, future))
        return future

    path = tmp_path / "s"
    with listening(Endpoint(UnixAddress(path), serve)):
        for count in (1, 2):
            with knock(path):
                eventually(partial(reaches, served, count), 20, "it is served")
                sock, future = served[-1]
                sock.accept()[0].close()
            future.set_result(None)
            sock.close()
