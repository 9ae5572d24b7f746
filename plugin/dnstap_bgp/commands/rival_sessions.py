"""Rival BGP sessions: those that another process of this machine has with our neighbors, from our own address.

A router keeps one session with an address. Whoever opens a second one takes the first over, so that two instances with
one `source_ip` end each other's sessions in turns. Only this network namespace can be looked into.
"""

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from dnstap_bgp.config.addresses import IPAddress
from dnstap_bgp.config.settings import BgpConfig

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

_ESTABLISHED = "01"  # the kernel's TCP_ESTABLISHED (proc(5), /proc/net/tcp)
_Endpoint = tuple[IPAddress, int]


def rival_sessions(bgp: BgpConfig, tables: tuple[Path, ...] = TABLES) -> list[str]:
    """Find connections that are up already between our address and our neighbors; call it before ours are opened.

    Args:
        bgp: The sessions to come. A neighbor that is a host name is left out.
        tables: The kernel's tables of TCP connections.

    Returns:
        A sentence for each neighbor that has one, with the key to change.
    """
    if bgp.source_ip is None:
        return []
    there = list(_established(tables))
    told = []
    for index, neighbor in enumerate(bgp.neighbors):
        for local, remote in there:
            if local[0] != bgp.source_ip or remote[0] != neighbor.ip:
                continue
            if (local if neighbor.passive else remote)[1] == neighbor.port:
                told.append(
                    f"bgp.peers[{index}]: this machine has a BGP session from bgp.source_ip {bgp.source_ip} with"
                    f" {neighbor.address} already: the router keeps one of the two, so that another instance with this"
                    " source_ip loses its routes there; give one of them an address of its own, or end it"
                )
                break
    return told


def _established(tables: tuple[Path, ...]) -> Iterator[tuple[_Endpoint, _Endpoint]]:
    """Give the local and the remote end of each TCP connection that is up; nothing, where the kernel has no table."""
    for table in tables:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, remote, state, *_ = line.split()
            if state == _ESTABLISHED:
                yield _endpoint(local), _endpoint(remote)


def _endpoint(text: str) -> _Endpoint:
    """Read an end of a connection, `0100007F:00B3`: each four bytes of the address as a number of this machine."""
    address, _, port = text.partition(":")
    words = (bytes.fromhex(address[start : start + 8]) for start in range(0, len(address), 8))
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if len(packed) == 16 and packed.startswith(bytes(10) + b"\xff\xff"):
        packed = packed[12:]  # IPv4 on a socket of IPv6
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return ipaddress.ip_address(socket.inet_ntop(family, packed)), int(port, 16)
