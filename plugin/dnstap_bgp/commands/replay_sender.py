"""Sender of a bidirectional Frame Streams connection, blocking, every wait with a deadline."""

import socket
import ssl
import time
from pathlib import Path

from dnstap_bgp.config import TcpAddress, UnixAddress, addresses
from dnstap_bgp.core.tap.framestream import (
    CONTENT_TYPE,
    CONTROL_MAX_BYTES,
    PREFIX_BYTES,
    ControlType,
    control_frame,
    read_control,
)
from dnstap_bgp.errors import CommandError, FrameError

HANDSHAKE_TIMEOUT_S = 10.0
"""For the connection, ACCEPT and FINISH; a listener answers within milliseconds."""

STALL_TIMEOUT_S = 60.0
"""A listener that takes nothing for so long is stuck; one that is busy takes something every second."""

OPENING_S = 1.0
"""A listener that is just being opened refuses for a moment."""

RETRY_S = 0.02


class Sender:
    """Connection to a DNSTap listener.

    Attributes:
        frames: Data frames sent so far.
    """

    def __init__(self, sock: socket.socket, to: str) -> None:
        """Make a sender; the caller closes the socket.

        Args:
            sock: Connected.
            to: What people call the listener.
        """
        self.frames = 0
        self._sock = sock
        self._to = to

    def open(self) -> None:
        """Do the handshake.

        Raises:
            CommandError: The listener doesn't accept.
        """
        self._sock.settimeout(HANDSHAKE_TIMEOUT_S)
        self._send(control_frame(ControlType.READY))
        content_types = self._await(ControlType.ACCEPT)
        if content_types and CONTENT_TYPE not in content_types:
            raise CommandError(f"{self._to} does not accept DNSTap, but {content_types}")
        self._send(control_frame(ControlType.START))
        self._sock.settimeout(STALL_TIMEOUT_S)

    def send(self, frames: list[bytes]) -> None:
        """Send data frames.

        Raises:
            CommandError: The listener takes no more.
        """
        self._send(b"".join([len(frame).to_bytes(PREFIX_BYTES, "big") + frame for frame in frames]))
        self.frames += len(frames)

    def look(self) -> None:
        """Look whether the listener is still there; never waits.

        Between ACCEPT and FINISH a listener says nothing, so whatever can be read is its end; over TLS it may be a
        session ticket, which the library takes by itself.

        Raises:
            CommandError: It has closed the connection.
        """
        self._sock.settimeout(0)
        try:
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._sock.settimeout(STALL_TIMEOUT_S)
        except OSError as error:
            raise self._closed(error) from error
        else:
            raise self._closed()

    def close(self) -> None:
        """Say STOP and wait for FINISH: then the listener has taken every frame.

        Raises:
            CommandError: It does not say so.
        """
        self._sock.settimeout(HANDSHAKE_TIMEOUT_S)
        self._send(control_frame(ControlType.STOP))
        self._await(ControlType.FINISH)

    def _send(self, wire: bytes) -> None:
        try:
            self._sock.sendall(wire)
        except TimeoutError:
            raise CommandError(f"{self._to} takes no more data, after {self.frames:,} frames") from None
        except OSError as error:
            raise self._closed(error) from error

    def _await(self, wanted: ControlType) -> list[bytes]:
        """Receive this control frame and return its content types."""
        try:
            head = self._receive(2 * PREFIX_BYTES)
            length = int.from_bytes(head[PREFIX_BYTES:], "big")
            if any(head[:PREFIX_BYTES]) or not PREFIX_BYTES <= length <= CONTROL_MAX_BYTES:
                raise CommandError(f"{self._to} does not speak Frame Streams: it sent {head.hex(' ')}")
            control, content_types = read_control(head + self._receive(length))
        except TimeoutError:
            seconds = f"{HANDSHAKE_TIMEOUT_S:.0f} s"
            raise CommandError(f"{self._to} sent no {wanted.name} within {seconds}: is it a DNSTap listener?") from None
        except FrameError as error:
            raise CommandError(f"{self._to}: {error}") from error
        except OSError as error:
            raise self._closed(error) from error
        if control is not wanted:
            raise CommandError(f"{self._to} sent {control.name} in place of {wanted.name}")
        return content_types

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            more = self._sock.recv(size - len(received))
            if not more:
                raise self._closed()
            received += more
        return received

    def _closed(self, error: OSError | None = None) -> CommandError:
        reason = f" ({error.strerror})" if error else ""
        return CommandError(f"{self._to} closed the connection after {self.frames:,} frames{reason}")


def connect(to: str) -> socket.socket:
    """Connect to a listener.

    Args:
        to: A unix socket's path, HOST:PORT or [IPv6]:PORT.

    Raises:
        CommandError: That is no address, or nobody listens there.
    """
    if not to.strip():
        raise CommandError("no listener is named: give a socket's path, HOST:PORT or [IPv6]:PORT")
    try:
        address = addresses.listen_address(to if ":" in to else str(Path(to).absolute()), Path.cwd())
    except ValueError as error:
        raise CommandError(f"{to}: {error}") from None
    if isinstance(address, TcpAddress) and address.tls:
        raise CommandError(f"{to}: this command speaks no TLS: give a unix socket or a `tcp://` listener")
    deadline = time.monotonic() + OPENING_S
    while True:
        try:
            return _connected(address)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise CommandError(f"{to}: nobody listens there (connection refused)") from None
        except FileNotFoundError:
            raise CommandError(f"{to}: there is no such socket") from None
        except TimeoutError:
            raise CommandError(f"{to}: no answer within {HANDSHAKE_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise CommandError(f"{to}: {error.strerror or error}") from error
        time.sleep(RETRY_S)


def _connected(address: UnixAddress | TcpAddress) -> socket.socket:
    if isinstance(address, TcpAddress):
        return socket.create_connection((address.host, address.port), timeout=HANDSHAKE_TIMEOUT_S)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(address.path))
    except OSError:
        sock.close()
        raise
    return sock
