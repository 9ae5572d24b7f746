"""Addresses, prefixes and endpoints, as the file has them."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from dnstap_bgp.config.values import distinct, text

V = TypeVar("V")

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

UNIX_PATH_MAX_BYTES = 107  # sun_path of unix(7) has 108 with its closing NUL
_HOST_MAX = 253  # RFC 1035, 2.3.4, in text without the trailing dot

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket.

    Attributes:
        path: Absolute, at most 107 bytes long.
        kind: The socket's type (unix(7)).
    """

    path: Path
    kind: Literal["stream", "seqpacket", "dgram"] = "stream"

    def __str__(self) -> str:
        return f"dgram:{self.path}" if self.kind == "dgram" else str(self.path)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP endpoint.

    Attributes:
        host: An address in canonical text, or a host name.
        port: 1..65535.
        tls: Whether TLS is spoken there.
    """

    host: str
    port: int
    tls: bool = False

    @property
    def ip(self) -> IPAddress | None:
        """The address, or None where the host is a name."""
        return literal(self.host)

    @property
    def is_loopback(self) -> bool:
        """True where only this machine can reach the endpoint."""
        return self.host == "localhost" or (self.ip is not None and self.ip.is_loopback)

    def __str__(self) -> str:
        return ("tls://" if self.tls else "") + join_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class UdpAddress:
    """A UDP endpoint on loopback: an address in canonical text, and a port of 1..65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"udp://{join_port(self.host, self.port)}"


ListenAddress: TypeAlias = UnixAddress | TcpAddress
HoldAddress: TypeAlias = UnixAddress | TcpAddress | UdpAddress


def address(value: object) -> IPAddress:
    """An IPv4 or IPv6 address.

    Refused are zones, and IPv4 addresses in IPv6 form.
    """
    found = literal(text(value))
    if found is None:
        msg = f"{value!r} is no IP address"
        raise ValueError(msg)
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            msg = f"{value!r} has a zone; only addresses that mean the same on every link can stand here"
            raise ValueError(msg)
        if found.ipv4_mapped is not None:
            msg = f"{value!r} is an IPv4 address in IPv6 form: write {found.ipv4_mapped}"
            raise ValueError(msg)
    return found


def table_by_address(value: object, example: str, read: Callable[[object], V]) -> tuple[tuple[str, V], ...]:
    """A table of addresses, each once, and what is said of each.

    Args:
        value: What the file has.
        example: What it looks like, for the error.
        read: Checks and converts what is said of one.

    Raises:
        ValueError: It is no table, an address is none or stands there twice, or `read` refuses.
    """
    if not isinstance(value, dict):
        msg = f"must be a table of addresses: {example}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    found: dict[str, V] = {}
    for written, said in value.items():
        host = str(address(written))
        distinct([*found, host])
        found[host] = read(said)
    return tuple(found.items())


def network(value: object) -> IPNetwork:
    """A prefix, its host bits zero, or a lone address."""
    written = text(value)
    try:
        return ipaddress.ip_network(written)
    except ValueError:
        pass
    try:
        corrected = ipaddress.ip_network(written, strict=False)
    except ValueError:
        msg = f"{written!r} is no prefix: write it as 192.0.2.0/24 or 2001:db8::/32"
        raise ValueError(msg) from None
    msg = f"{written} has bits beyond its length: {corrected}?"
    raise ValueError(msg)


def listen_address(value: object, folder: Path, *, tls: bool = False) -> ListenAddress:
    """An endpoint to listen at: a path of a unix socket, `host:port`, `[IPv6]:port`, or `:port` for every IPv4 address.

    Args:
        value: The text; `tls://` or `tcp://` before a TCP endpoint says what is spoken there.
        folder: What a relative path is relative to.
        tls: Whether TLS is spoken at an endpoint that doesn't say.
    """
    written = text(value)
    scheme, _, endpoint = written.partition("://")
    if endpoint and scheme in ("tls", "tcp"):
        return replace(tcp_address(endpoint), tls=scheme == "tls")
    if "/" not in written and not written.endswith((".sock", ".socket")):
        return replace(tcp_address(written), tls=tls)
    if ":" in written.partition("/")[0]:
        msg = f"{written!r} is no path: a unix socket's is written without a scheme"
        raise ValueError(msg)
    return UnixAddress(_socket_path(folder / written))


def hold_address(value: object, folder: Path) -> HoldAddress:
    """A unix socket's path, `dgram:` and a path, `udp://` with an address of loopback and a port, or `host:port`.

    At a path sequenced packets are spoken, at `host:port` TLS.

    Args:
        value: The text.
        folder: What a relative path is relative to.
    """
    written = text(value)
    scheme, _, endpoint = written.partition("://")
    if endpoint and scheme == "udp":
        found = tcp_address(endpoint)
        if found.ip is None or not found.is_loopback:
            msg = f"{written!r} is no address of loopback: from elsewhere questions come over TLS, `host:port`"
            raise ValueError(msg)
        return UdpAddress(found.host, found.port)
    if endpoint and scheme == "tcp":
        msg = f"{written!r}: over TCP only TLS is spoken here, with client certificates: {endpoint}"
        raise ValueError(msg)
    if written.startswith("dgram:"):
        return UnixAddress(_socket_path(folder / text(written.removeprefix("dgram:"))), "dgram")
    plain = listen_address(written, folder, tls=True)
    return replace(plain, kind="seqpacket") if isinstance(plain, UnixAddress) else plain


def _socket_path(path: Path) -> Path:
    length = len(bytes(path))
    if length > UNIX_PATH_MAX_BYTES:
        msg = f"{path} has {length} bytes; a unix socket's path has at most {UNIX_PATH_MAX_BYTES}"
        raise ValueError(msg)
    return path


def tcp_address(value: object) -> TcpAddress:
    """`host:port`, `[v6]:port`, or `:port` for every IPv4 address."""
    written = text(value)
    host, port = split_port(written)
    if port is None:
        msg = f"{written!r} is neither `host:port` nor a path: 127.0.0.1:6000, [::1]:6000, /run/dnstap.sock"
        raise ValueError(msg)
    return TcpAddress(host_name(host or "0.0.0.0"), port)  # noqa: S104 - what `:port` means to its writer


def split_port(written: str) -> tuple[str, int | None]:
    """Take `host`, `host:port`, `v6`, `[v6]` or `[v6]:port` apart; the port is None where there is none."""
    if literal(written) is not None:
        return written, None
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?", written, re.ASCII)
    if found is None:
        msg = f"{written!r} is neither `host:port` nor `[IPv6 address]:port`"
        raise ValueError(msg)
    bracketed, plain, digits = found.groups()
    if bracketed is not None and not isinstance(literal(bracketed), IPv6Address):
        msg = f"{bracketed!r} in brackets is no IPv6 address"
        raise ValueError(msg)
    port = None if digits is None else int(digits)
    if port is not None and not 1 <= port <= 0xFFFF:
        msg = f"{port} is no port: 1 to 65535"
        raise ValueError(msg)
    return plain if bracketed is None else bracketed, port


def join_port(host: str, port: int) -> str:
    """Write an address or a host name with a port, as `split_port` takes it apart: `host:port` or `[IPv6]:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_name(value: object) -> str:
    """An address in canonical text, or a host name in lower case."""
    written = text(value)
    if literal(written) is not None:
        return str(address(written))
    last = written.rstrip(".").rpartition(".")[2]
    if not _HOST.fullmatch(written) or len(written) > _HOST_MAX or last.isdigit():
        msg = f"{written!r} is neither an IP address nor a host name"
        raise ValueError(msg)
    return written.lower()


def dns_server(value: object) -> str:
    """The address of a DNS server, with a port where it is not 53."""
    written = text(value)
    host, port = split_port(written)
    if literal(host) is None:
        msg = f"{written!r} is no address of a DNS server, such as `192.0.2.53` or `192.0.2.53:5353`"
        raise ValueError(msg)
    return written if port is not None else host


def literal(written: str) -> IPAddress | None:
    """The address that a text is, or None where it is something else."""
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        return None
