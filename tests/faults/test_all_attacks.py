"""All attacks at once, on the plugin under a real ExaBGP with a real router: a good sender beside them loses nothing.

Each came alone first (`test_costly_answers`, `test_hostile_peer`, `test_admission`, ...). Here they come together for
some seconds: answers that cost much, owners of listed domains who fill the table, frames that are none, connections
that say nothing, a peer and a list server that lie, and requests that never end. What is counted must be right whatever
the machine; times are printed.
"""

import itertools
import json
import multiprocessing
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.scene import Watch, addresses, prefixes, recorded
from tests.faults.test_costly_answers import HTTPS, QUESTION, frames, long_chains, many_https, message, pointers, record
from tests.faults.test_hostile_peer import ATTACKS, memory_bytes
from tests.integration.lab import Lab, becomes, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker
from tests.integration.tap_sender import TapSender, send, sightings
from tests.property.messages import field

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc"), pytest.mark.timeout(300)]

ATTACK_S = 12.0
EVIL = [b"evil%d.test" % number for number in range(4)]
"""Domains that are listed, and whose owners mean harm: together they would fill the table."""

ROUTES_MAX = 20_000
MEMORY_MAX_BYTES = 300 << 20
CDN = addresses(3000, first=1)
BYSTANDERS = addresses(500, first=10_000)

_numbers = itertools.count()
_chance = random.Random(14)


# What the tap is sent: each gives frames without end.


def evil_answers() -> list[bytes]:
    """Answers for subdomains of a listed domain, with 250 new addresses each."""
    number = next(_numbers)
    found = [
        record(QUESTION, 1, bytes((16 + number % 16, number >> 4 & 255, number >> 12 & 255, one))) for one in range(250)
    ]
    return frames([message(b"r%d.%b" % (number, EVIL[number % len(EVIL)]), found)])


def evil_hints() -> list[bytes]:
    """31 HTTPS records with an address each, all different, on many names."""

    def data(at: int) -> bytes:
        return b"\0\1\0\0\4\0\4" + bytes((40 + (at >> 22 & 7), at >> 14 & 255, at >> 6 & 255, at & 63))

    wires = []
    for number in itertools.islice(_numbers, 20):
        found = [record(QUESTION, HTTPS, data(number * 31 + one)) for one in range(31)]
        wires.append(message(b"h%d.%b" % (number, EVIL[number % len(EVIL)]), found, HTTPS))
    return frames(wires)


def evil_names() -> list[bytes]:
    """Names of a listed domain that point at everybody else's addresses."""
    name = b"n%d.%b" % (next(_numbers), EVIL[0])
    theirs = [socket.inet_aton(one) for one in _chance.sample(CDN + BYSTANDERS, 200)]
    return frames([message(name, [record(QUESTION, 1, address) for address in theirs])])


def costly() -> list[bytes]:
    """Answers that are long to read, on a list and on none."""
    name = b"%d." + _chance.choice([EVIL[1], b"any.test"])
    wires = _chance.choice([
        lambda: many_https(name, 2, 500, 60),
        lambda: pointers(name, 1, 3000, 2000),
        lambda: long_chains(name, 1, 16, 250),
    ])()  # fmt: skip
    return frames(wires)


def message_types() -> list[bytes]:
    """A chunk of message types, each another one."""
    return [field(1, b"r") + field(14, field(1, 1000 + number)) + field(15, 1) for number in range(6000)]


def noise() -> list[bytes]:
    """Frames that are no DNSTap."""
    return [_chance.randbytes(_chance.randrange(1, 200)) for _ in range(200)]


FLOODS = (evil_answers, evil_hints, evil_names, costly, message_types, noise)


def flood(tap: Path, make: Callable[[], list[bytes]], seconds: float) -> None:
    """Send without end, in a process of its own; whatever closes the connection, there is another one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, AssertionError, struct.error), closing(TapSender(tap).socket) as sock:
            sock.settimeout(1)
            while time.monotonic() < end:
                sock.sendall(b"".join(struct.pack("!I", len(one)) + one for one in make()))


# Who else means harm: threads that do nothing most of the time.


def silent_connections(tap: Path, control: Path, over: threading.Event) -> None:
    """Connections that say START and nothing more, or half a frame, or a body that never ends."""
    while not over.is_set():
        socks = []
        for number in range(150):
            with suppress(OSError):
                sock = socket.socket(socket.AF_UNIX)
                socks.append(sock)
                sock.settimeout(1)
                sock.connect(str(control if number % 3 == 2 else tap))
                if number % 3 == 2:
                    path = (
                        b"/v1/changes HTTP/1.0\r\n" if number % 2 else b"/v1/add HTTP/1.1\r\nContent-Length: 3000\r\n"
                    )
                    sock.sendall(b"POST " + path + b"Host: localhost\r\n\r\n")
                else:
                    sock.sendall((b"\0\0\0\0\0\0\0\x22" if number % 2 else b"\0\1\xff\xff") + bytes(20))
        over.wait(1)
        for sock in socks:
            sock.close()


LIST_ANSWERS = [
    b"\n" * 2_000_000,
    b"#\n" * 500_000,
    b",\n" * 100_000,
    b"0.0.0.0/1\n16.0.0.0/4\n2000::/3\n",
    b"<html>\x1b[2J",
    b"a.test\n" * 10,
]


@contextmanager
def serving(lab: Lab, answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Answer each request at a port of the plugin's namespace."""

    def reply(sock: socket.socket) -> None:
        with closing(sock), suppress(OSError):
            sock.settimeout(5)
            sock.sendall(answer(sock.recv(65536)))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=reply, args=(listening.accept()[0],), daemon=True).start()

    with closing(lab.host.socket(socket.AF_INET, socket.SOCK_STREAM)) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def lying_peer(request: bytes) -> bytes:
    stream_answer, fetch_answer = _chance.choice(list(ATTACKS.values()))
    return fetch_answer if request.startswith(b"GET /fetch") else stream_answer


def lying_list_server(_: bytes) -> bytes:
    body = _chance.choice(LIST_ANSWERS)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


class GoodSender:
    """A new address each 50 ms, and how long the tap takes to have read all that a connection sent."""

    def __init__(self, tap: Path, pid: int) -> None:
        self.sent: list[str] = []
        self.answered_s: list[float] = []
        self.memory = 0
        self._tap, self._pid = tap, pid

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for address in addresses(100_000, first=20_000):
            if time.monotonic() > end:
                return
            sender = TapSender(self._tap)
            with closing(sender.socket):
                sender.send(sightings(f"w{len(self.sent)}.good.test", [address]))
                began = time.monotonic()
                sender.finish()
                self.answered_s.append(time.monotonic() - began)
            self.sent.append(address)
            self.memory = max(self.memory, memory_bytes(self._pid))
            time.sleep(0.05)


def test_all_attacks_at_once_cost_nobody_else_a_route(lab: Lab):
    bird = Bird(lab, Session(2))
    with serving(lab, lying_peer) as peer_port, serving(lab, lying_list_server) as list_port:
        speaker = Speaker(
            lab,
            [bird.session],
            ["cdn.test", "bystander.test", "good.test", *(name.decode() for name in EVIL)],
            guard={"max_routes": ROUTES_MAX, "max_routes_per_name": 256},
            syncer={"peers": [f"127.0.0.1:{peer_port}"], "sync_interval": "2s"},
            list=[{"name": "lies", "sources": [f"http://127.0.0.1:{list_port}/l.txt"], "interval": "2s"}],
        )
        bird.start()
        speaker.start()
        for number in range(0, len(CDN), 250):
            send(speaker.tap, sightings(f"edge{number}.cdn.test", CDN[number : number + 250]))
        for number, address in enumerate(BYSTANDERS):
            send(speaker.tap, sightings(f"www{number}.bystander.test", [address]))
        always = prefixes([*CDN, *BYSTANDERS])
        eventually(lambda: bird.prefixes() >= always, 60, "what must never vanish is there")
        pid, before = speaker.plugin_pid(), memory_bytes(speaker.plugin_pid())
        good = GoodSender(speaker.tap, pid)
        over = threading.Event()
        silent = threading.Thread(
            target=silent_connections, args=(speaker.tap, speaker.runtime_dir / "control.sock", over)
        )
        attackers = [
            multiprocessing.get_context("fork").Process(target=flood, args=(speaker.tap, make, ATTACK_S))
            for make in FLOODS
        ]
        with Watch(bird, always) as watch:
            for attacker in attackers:
                attacker.start()
            silent.start()
            good.run(ATTACK_S)
            over.set()
            for attacker in attackers:
                attacker.join(ATTACK_S + 60)
            silent.join()
            expected = always | prefixes(good.sent)
            becomes(lambda: expected - bird.prefixes(), set(), 60, "what the good sender brought is missing")
        assert not watch.flapped()
        assert speaker.plugin_pid() == pid
        becomes(lambda: bird.prefixes() ^ recorded(speaker)[0], set(), 60, "router and state file differ")
        status = json.loads(speaker.run("status", "--json"))
        assert all(attacker.exitcode == 0 for attacker in attackers)
    log = speaker.daemon.text()
    assert "Traceback" not in log
    assert "fault of ours" not in log
    assert all(line.isprintable() for line in log.splitlines())
    assert good.memory - before < MEMORY_MAX_BYTES
    found = bird.prefixes()
    assert len(found) <= ROUTES_MAX
    assert not found - {one for one in found if one.endswith("/32")}, "a list from a URL announced a prefix"
    waits = sorted(good.answered_s)
    print(  # noqa: T201 - times are told, never asserted
        f"good sender: {len(waits)} answered, median {1e3 * waits[len(waits) // 2]:.0f} ms, longest"
        f" {1e3 * waits[-1]:.0f} ms; {(good.memory - before) >> 20} MB more; {len(found)} routes;"
        f" refused {status['routes']['refused']}"
    )
