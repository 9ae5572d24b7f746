"""Addresses, prefixes and endpoints, as the file has them."""

import ipaddress
import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TypeAlias

from dnstap_bgp.config.values import text

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

UNIX_PATH_MAX_BYTES = 107  # sun_path of unix(7) has 108 with its closing NUL
_HOST_MAX = 253  # RFC 1035, 2.3.4, in text without the trailing dot

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket; `path` is absolute and at most 107 bytes long."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


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
        """Whether only this machine can reach it."""
        return self.host == "localhost" or (self.ip is not None and self.ip.is_loopback)

    def __str__(self) -> str:
        scheme = "tls://" if self.tls else ""
        return f"{scheme}[{self.host}]:{self.port}" if ":" in self.host else f"{scheme}{self.host}:{self.port}"


ListenAddress: TypeAlias = UnixAddress | TcpAddress


def address(value: object) -> IPAddress:
    """An IPv4 or IPv6 address, without zone and not an IPv4 address in IPv6's clothes."""
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


def network(value: object) -> IPNetwork:
    """A prefix, its host bits zero; a lone address is a prefix of its full length."""
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
    """Where to listen: a path of a unix socket, `host:port`, `[v6]:port`, or `:port` for every IPv4 address.

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
    path = folder / written
    length = len(bytes(path))
    if length > UNIX_PATH_MAX_BYTES:
        msg = f"{path} has {length} bytes; a unix socket's path has at most {UNIX_PATH_MAX_BYTES}"
        raise ValueError(msg)
    return UnixAddress(path)


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


def literal(written: str) -> IPAddress | None:
    """The address that a text is, or None where it is something else."""
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        return None
