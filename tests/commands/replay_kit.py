"""A capture, and listeners that play their part by hand."""

import contextlib
import socket
import threading

FRAMES = [b"frame %d" % i * (1 + i % 50) for i in range(5000)]


@contextlib.contextmanager
def listener(path, play):
    """A listener that plays its part by hand, for one connection."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()

        def serve():
            connection, _ = sock.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(60)
                play(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield str(path)
        finally:
            thread.join(60)


def until_closed(sock):
    while sock.recv(65536):
        pass
