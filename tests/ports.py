"""Ports for servers that are started later: no other test process and no outgoing connection gets one meanwhile.

A port that the kernel has chosen and that is closed again may be given to any connection before the server binds it, as
it is one of those that connections leave from. So these lie below them, in blocks, and each process has a block of its
own for as long as it lives: whoever binds the block's abstract socket, which goes with its process, however that ends.
"""

import itertools
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

FIRST, BLOCK = 10_000, 500
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that is free for TCP and UDP at every address, and that this process does not get again for long."""
    for port in itertools.islice(_block(), BLOCK):
        if _is_free(port):
            return port
    raise AssertionError(f"all {BLOCK} ports of this process are in use")


@cache
def _block() -> Iterator[int]:
    end = int(OUTGOING.read_text().split()[0])
    for first in range(FIRST, end - BLOCK, BLOCK):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0dnstap-bgp-test-ports-{first}")
        except OSError:
            claim.close()
        else:
            claim.detach()  # stays open to the end of the process
            return itertools.cycle(range(first, first + BLOCK))
    raise AssertionError(f"no block of ports is free between {FIRST} and {end}: {OUTGOING}")


def _is_free(port: int) -> bool:
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with closing(socket.socket(family, kind)) as sock:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                sock.bind(("", port))
            except OSError:
                return False
    return True
