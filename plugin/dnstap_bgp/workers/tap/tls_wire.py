"""TLS on the connections of DNSTap senders, without a thread of its own; imported only where a listener speaks it.

OpenSSL never sees a socket: a `TlsWire` carries bytes between the socket and OpenSSL's memory, so nothing
can block, and has the calls of a non-blocking socket that `senders.py` uses. The handshake is a matter of the first
chunks, under the same deadline as that of Frame Streams; who fails it gets the alert and is closed.

A handshake costs the tap thread 0.6 ms with client certificates on elliptic curves, 4 ms with an RSA key of 4,096
bits; who has no business here is kept from it by `allow`, which is looked at before. A frame costs 0.1 us more than a
plain one in records of 16 KiB, and 2 us more in two records of its own, as unbound sends it.
"""

import contextlib
import errno
import socket
import ssl
from typing import NoReturn

from dnstap_bgp.config import DnstapConfig
from dnstap_bgp.core.tap.framestream import BUFFER_BYTES, Fault
from dnstap_bgp.errors import FrameError
from dnstap_bgp.workers.net.tls import server_context

SEND_BUFFER_BYTES = 1 << 16
"""What we send at once must fit: the longest is our certificate chain with the names of all of `tls_client_ca`."""

_NO_CERTIFICATE = (
    "it has no certificate, and tls_client_ca asks for one"
    " (unbound: dnstap-tls-client-cert-file and dnstap-tls-client-key-file)"
)
_PLAIN = "it speaks no TLS, and this listener does (unbound: dnstap-tls: yes; a plain listener: tcp://host:port)"
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _NO_CERTIFICATE,
    "WRONG_VERSION_NUMBER": _PLAIN,
    "HTTP_REQUEST": "an HTTP request on a DNSTap listener",
    "UNSUPPORTED_PROTOCOL": "it speaks only TLS before 1.2",
    "NO_SHARED_CIPHER": "it has no cipher in common with us",
}
_OUR_CERTIFICATE = "it does not accept our certificate, tls_cert ({})"
_ALERTS = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REVOKED")


class TapTls:
    """The tap's certificate, its key and whom it trusts, as their files were when this was made."""

    def __init__(self, config: DnstapConfig) -> None:
        """Read the files of a configuration that speaks TLS.

        Raises:
            ListenerError: One of them can't be used; the message names its key and path.
        """
        assert config.tls_cert is not None, "the configuration refuses a TLS endpoint without it"
        client_ca = None if config.tls_client_ca is None else ("tls_client_ca", config.tls_client_ca)
        self._context = server_context(config.tls_cert, config.tls_key, client_ca)

    def wire(self, sock: socket.socket) -> "TlsWire":
        """TLS on a connection that was just accepted and doesn't block."""
        return TlsWire(sock, self._context)


class TlsWire:
    """The bytes of one connection behind TLS, for the calls of a non-blocking socket.

    Attributes:
        began: Whether anything has come.
        more: Whether decrypted bytes may be left over, of which no selector tells: call `recv_into` again.
    """

    __slots__ = ("_error", "_incoming", "_is_open", "_outgoing", "_said_goodbye", "_sock", "_tls", "began", "more")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.began = False
        self.more = False
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = False
        self._said_goodbye = False
        self._error: ssl.SSLError | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the TLS handshake is over."""
        return self._is_open

    def recv_into(self, buffer: memoryview) -> int:
        """Receive decrypted bytes.

        Args:
            buffer: At least one byte; as much of it is filled as there is.

        Returns:
            How many; 0: the sender has ended the connection.

        Raises:
            BlockingIOError: There is nothing yet.
            FrameError: The handshake or the encryption failed; the sender has got its alert.
            OSError: The connection is broken.
        """
        if self.more:
            n = self._decrypt(buffer)
            if n or self._said_goodbye:
                return n
        chunk = self._sock.recv(BUFFER_BYTES)
        if not chunk:
            return 0
        self.began = True
        self._incoming.write(chunk)
        if not self._is_open:
            self._shake_hands()
        n = self._decrypt(buffer) if self._is_open else 0
        if not n and not self._said_goodbye:
            raise BlockingIOError
        return n

    def send(self, data: bytes | bytearray) -> int:
        """Encrypt and send all of it.

        Raises:
            OSError: It doesn't fit, or the connection is broken.
        """
        self._tls.write(data)
        self._flush()
        return len(data)

    def shutdown(self, how: int) -> None:
        """Say that no more bytes come from us.

        Raises:
            OSError: The connection is gone.
        """
        with contextlib.suppress(ssl.SSLError):  # it wants the other side's goodbye, for which nobody waits
            self._tls.unwrap()
        self._flush()
        self._sock.shutdown(how)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self._is_open = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error)
        self._flush()

    def _decrypt(self, buffer: memoryview) -> int:
        """Fill the buffer with what has come; an error waits until the bytes before it are taken."""
        n, self.more = 0, False
        if self._error is not None:
            self._fail(self._error)
        try:
            while n < len(buffer) and not self._said_goodbye:
                got = _read(self._tls, buffer[n:])
                self._said_goodbye = not got
                n += got
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the same goodbye after ours
            self._said_goodbye = True
        except ssl.SSLError as error:
            if not n:
                self._fail(error)
            self._error = error
        self.more = n == len(buffer) or self._said_goodbye or self._error is not None
        self._flush()  # an answer to a change of keys
        return n

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and self._sock.send(data) < len(data):
            raise OSError(errno.ENOBUFS, "does not take what we send")

    def _fail(self, error: ssl.SSLError) -> NoReturn:
        with contextlib.suppress(OSError):  # the alert is a courtesy
            self._flush()
        raise _told(error) from error


def _read(tls: ssl.SSLObject, buffer: memoryview) -> int:
    return int(tls.read(len(buffer), buffer))


def _told(error: ssl.SSLError) -> FrameError:
    """Put into words what went wrong in TLS, and what to change."""
    reason = error.reason or str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"its certificate is not accepted: {error.verify_message} (tls_client_ca says whose are)"
        return FrameError(text, Fault.TLS_CERTIFICATE)
    if reason.endswith(_ALERTS):
        words = reason.rpartition("ALERT_")[2].lower().replace("_", " ")
        return FrameError(_OUR_CERTIFICATE.format(words), Fault.TLS_CERTIFICATE)
    kind = Fault.TLS_CERTIFICATE if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" else Fault.TLS_HANDSHAKE
    return FrameError(_REASONS.get(reason, f"TLS failed: {reason.lower().replace('_', ' ')}"), kind)
