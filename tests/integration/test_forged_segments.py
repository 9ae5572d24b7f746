"""Segments that somebody forges into a BGP session: they end it, unless `password` or `ttl_security` keeps them out.

The forger is the worst one: he reads all that passes, so that his RST has the sequence number that is next (RFC 5961,
3.2), and its sender's address is the router's own. Only what he does not have tells his segments from the router's: the
key of TCP MD5, or the link.
"""

import socket
import struct

import pytest

from tests.core.sniff.wire import ip, ipv4, tcp
from tests.integration.lab import HOST_V4, Lab, becomes, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import send, sightings

pytestmark = [pytest.mark.long, pytest.mark.netns, pytest.mark.real("bird", "birdc")]

BGP_PORT, RST = 179, 4


def test_a_forged_reset_ends_a_session_only_without_password_and_ttl_security(lab: Lab):
    plain, signed = Bird(lab, Session(2)), Bird(lab, Session(3, password="s3cret"))  # noqa: S106 - a test's
    near = Bird(lab, Session(4, ttl_security=True))
    routers = [signed, near, plain]
    speaker = Speaker(lab, [router.session for router in routers])
    with (
        lab.router.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as passing,
        lab.router.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as forging,
    ):
        passing.setblocking(False)
        for router in routers:
            router.start()
        speaker.start()
        send(speaker.tap, sightings("www.example", ["11.1.0.1"]))
        for router in routers:
            becomes(router.prefixes, {"11.1.0.1/32"}, 15, f"{router.name} of {router.session.local}")
        expected = heard(passing)
        first = {address: port for address, (port, _) in expected.items()}

        def is_another(router: Bird) -> bool:
            """Whether ExaBGP has connected anew, since its connection was ended."""
            expected.update(heard(passing))
            return expected[router.session.local][0] != first[router.session.local]

        def forged() -> bool:
            if is_another(plain):
                return True
            for address, (port, sequence) in expected.items():
                reset = ipv4(address, HOST_V4, 6, tcp(BGP_PORT, port, sequence, flags=RST))
                forging.sendto(summed(reset), (HOST_V4, 0))
            return False

        eventually(forged, 15, "the session without either has ended")
        send(speaker.tap, sightings("www.example", ["11.1.0.2"]))
        for router in (signed, near):
            becomes(router.prefixes, {"11.1.0.1/32", "11.1.0.2/32"}, 15, router.session.local)
            assert not is_another(router)
        counters = tcp_counters(lab)
        assert counters["TCPMD5NotFound"] > 0
        assert counters["TCPMinTTLDrop"] > 0


def heard(passing: socket.socket) -> dict[str, tuple[int, int]]:
    """Read what has passed: router -> the port of our side, and the sequence number that it expects next."""
    found: dict[str, tuple[int, int]] = {}
    while True:
        try:
            packet = passing.recv(65536)
        except BlockingIOError:
            return found
        source, target, segment = packet[12:16], packet[16:20], packet[4 * (packet[0] & 15) :]
        if packet[9] == 6 and source == ip(HOST_V4):
            port, to, _, acknowledged, _, flags = struct.unpack_from("!HHIIBB", segment)
            if to == BGP_PORT and flags & 0x10:
                found[socket.inet_ntoa(target)] = port, acknowledged


def summed(packet: bytes) -> bytes:
    """Put the checksum into a TCP segment over IPv4 (RFC 9293, 3.1); the kernel does the header's."""
    segment = packet[20:]
    data = packet[12:20] + struct.pack("!HH", 6, len(segment)) + segment
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:36] + struct.pack("!H", ~total & 0xFFFF) + packet[38:]


def tcp_counters(lab: Lab) -> dict[str, int]:
    """What our side's kernel has dropped."""
    lines = lab.host.run("cat", "/proc/net/netstat").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("TcpExt:"))
    return dict(zip(names, map(int, values), strict=True))
