"""The race of a client's first packet against the route that its DNS answer calls for.

host namespace                     router namespace                     the Internet's namespace
resolver, ExaBGP, plugin  --lan--  BIRD or FRR, a kernel table  --wg0------  198.51.100.2: the tunnel's far end
                            |      of its own, `iif lan0`       --uplink---  100.64.0.2: the way of all other traffic
client's namespace  --------+

The client asks the resolver for a name that nobody has asked for, and sends a UDP packet to the answered address as
soon as the answer is there. By which link that packet reaches the Internet is what counts: right is the tunnel.
"""

import os
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.integration.hooks import Hooked
from tests.integration.lab import Namespace, eventually, run
from tests.integration.neighborhood import BGP, Neighborhood, ShippedBird, ShippedFrr
from tests.integration.resolvers import ZONE, Authority
from tests.integration.speaker import Speaker

UDP = "127.0.0.1:6053"
ROUTERS: dict[str, type[ShippedBird | ShippedFrr]] = {"bird": ShippedBird, "frr": ShippedFrr}
MARGINS = {"bird": "3ms", "frr": "70ms"}
"""What the manual says to set."""
DOMAIN = "race.example"
NAMES = 20_000
BURST_GAP_S = 0.2
PORT = 9
A, AAAA = 1, 28
ANSWER_S = 10.0
"""An answer that takes longer doesn't come."""


@dataclass(frozen=True, slots=True)
class Question:
    """A name of the zone, known by its number, and one of its two addresses."""

    number: int
    rdtype: int = A

    @property
    def address(self) -> str:
        high, low = divmod(self.number, 256)
        return f"11.5.{high}.{low}" if self.rdtype == A else f"2600:5::{self.number:x}"

    @property
    def packed(self) -> bytes:
        return socket.inet_pton(socket.AF_INET if self.rdtype == A else socket.AF_INET6, self.address)

    def wire(self, number: int) -> bytes:
        """The question as it is sent, with this id."""
        labels = (f"r{self.number}", *DOMAIN.split("."))
        name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
        return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", self.rdtype, 1)


def zone() -> str:
    """`example.` with all names of the race, one for all others, `*.other.example`, and aliases of one of these."""
    names = (f"r{number}.race A {Question(number).address}\n" for number in range(NAMES))
    sixes = (f"r{number}.race AAAA {Question(number, AAAA).address}\n" for number in range(NAMES))
    return f"{ZONE}{''.join(names)}{''.join(sixes)}*.other A 11.9.0.1\n*.alias.race CNAME shared.other\n"


@dataclass(slots=True)
class Result:
    """How a run of questions ended."""

    asked: int = 0
    right: int = 0
    wrong: list[Question] = field(default_factory=list)
    """Its packet took the way of all other traffic, or never arrived."""
    unanswered: list[Question] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    """From the question to its answer; one for each answer."""

    def add(self, other: "Result") -> None:
        self.asked += other.asked
        self.right += other.right
        self.wrong += other.wrong
        self.unanswered += other.unanswered
        self.latencies_s += other.latencies_s

    def percentile_ms(self, share: float) -> float:
        """The latency that this share of the answers stays within."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    def __str__(self) -> str:
        waits = f"p50 {self.percentile_ms(0.5):.1f} ms, p99 {self.percentile_ms(0.99):.1f} ms"
        return f"{self.right} of {self.asked} right, {len(self.unanswered)} unanswered, {waits if self.right else ''}"


class Internet:
    """Where all addresses of the race are: it notes by which link the first packet to each has come."""

    def __init__(self, where: Namespace) -> None:
        self.namespace = where
        self._sockets: list[socket.socket] = []
        self._arrived: dict[bytes, int] = {}

    def listen(self) -> None:
        name = self.namespace.name
        run("ip", "-n", name, "route", "add", "local", "11.0.0.0/8", "dev", "lo")
        run("ip", "-n", name, "-6", "route", "add", "local", "2600::/16", "dev", "lo")
        for family in (socket.AF_INET, socket.AF_INET6):
            made = self.namespace.socket(family, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16_000_000)
            if family == socket.AF_INET:
                made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            else:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            made.bind(("", PORT))
            made.setblocking(False)
            self._sockets.append(made)
        self._tunnel = int(self.namespace.run("cat", "/sys/class/net/far-end/ifindex"))

    def links(self, questions: Iterable[Question]) -> dict[Question, bool | None]:
        """Whether each question's first packet came by the tunnel; None: it hasn't come."""
        for each in self._sockets:
            while True:
                try:
                    _, ancillary, _, _ = each.recvmsg(64, 128)
                except BlockingIOError:
                    break
                [(level, _, data)] = ancillary
                if level == socket.IPPROTO_IP:
                    link, _, packed = struct.unpack("=i4s4s", data)
                else:
                    packed, link = struct.unpack("=16si", data)
                self._arrived.setdefault(packed, link)
        links = {question: self._arrived.get(question.packed) for question in questions}
        return {question: None if link is None else link == self._tunnel for question, link in links.items()}

    def close(self) -> None:
        for each in self._sockets:
            each.close()


SO_RCVBUFFORCE, IP_PKTINFO = 33, 8  # <asm-generic/socket.h>, <linux/in.h>


class RaceTrack(Neighborhood):
    """A neighborhood with one router, a client, and the Internet behind the router's two links."""

    def __init__(self, folder: Path, router: str) -> None:
        self.name = router
        self.client: Namespace
        self.internet: Internet
        super().__init__(folder, [router])
        self._packets = {A: self.client.socket(socket.AF_INET, socket.SOCK_DGRAM)}
        self._packets[AAAA] = self.client.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._numbers = iter(range(NAMES))

    def close(self) -> None:
        for each in self._packets.values():
            each.close()
        self.internet.close()
        try:
            super().close()
        finally:
            leaked = self.client.delete() + self.internet.namespace.delete()
        assert not leaked, f"processes outlived their daemons: {leaked}"

    def fresh(self, count: int) -> list[Question]:
        """So many questions that nobody has asked, A and AAAA in turns."""
        return [Question(next(self._numbers), A if index % 2 == 0 else AAAA) for index in range(count)]

    def one_by_one(self, port: int, questions: Sequence[Question], gap_s: float = 0.02) -> Result:
        """Ask for one name after the other; each answer's packet leaves before the next question does."""
        found = Result()
        for question in questions:
            found.add(self._ask(port, [question]))
            time.sleep(gap_s)  # the pace is what is measured at, no wait for anything
        return self._judge(found, questions)

    def surely(self, port: int, count: int, tries: int = 3) -> Result:
        """Ask for so many fresh names one by one; again where a stall of this machine has cost a packet."""
        for _ in range(tries):
            found = self.one_by_one(port, self.fresh(count))
            if found.right == count:
                break
        return found

    def bursts(self, port: int, questions: Sequence[Question], size: int = 30) -> Result:
        """Ask for so many names at once, and a moment later for as many again."""
        found = Result()
        for start in range(0, len(questions), size):
            found.add(self._ask(port, questions[start : start + size]))
            time.sleep(BURST_GAP_S)
        return self._judge(found, questions)

    def stream(self, port: int, pace_s: float = 0.01) -> "Stream":
        """Ask for one name after the other at this pace, as long as the stream's block lasts; sends no packets."""
        return Stream(self, port, pace_s)

    def _ask(self, port: int, questions: Sequence[Question]) -> Result:
        """Send all of them; send the packet for each as its answer comes."""
        found = Result(asked=len(questions))
        first = secrets.randbelow(60_000)
        waiting = {first + index: question for index, question in enumerate(questions)}
        with self.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
            dns.connect(("127.0.0.1", port))
            messages = [question.wire(number) for number, question in waiting.items()]
            began = time.monotonic()
            for message in messages:
                dns.send(message)
            while waiting and select.select([dns], [], [], max(0.0, began + ANSWER_S - time.monotonic()))[0]:
                answer = dns.recv(4096)
                question = waiting.get(int.from_bytes(answer[:2], "big"))
                if question is None or question.packed not in answer:
                    continue  # SERVFAIL: no answer
                self._packets[question.rdtype].sendto(b"first", (question.address, PORT))
                found.latencies_s.append(time.monotonic() - began)
                del waiting[int.from_bytes(answer[:2], "big")]
        found.unanswered.extend(waiting.values())
        return found

    def _judge(self, found: Result, questions: Sequence[Question]) -> Result:
        """Count whose packet took which way; packets that are still under way are waited for."""
        sent = set(questions) - set(found.unanswered)
        links: dict[Question, bool | None] = {}

        def arrived() -> bool:
            links.update(self.internet.links(sent))
            return None not in links.values()

        with suppress(AssertionError):  # those that don't count as wrong
            eventually(arrived, 5, "the packets arrive")
        found.wrong = [question for question in sent if not links[question]]
        found.right = len(sent) - len(found.wrong)
        return found

    def _link(self) -> None:
        super()._link()
        host, router = self.host.name, self.routers[self.name].name
        self.client = Namespace(f"{host}c")
        self.internet = Internet(Namespace(f"{host}i"))
        outside, client = self.internet.namespace.name, self.client.name
        run("ip", "link", "add", "client", "netns", host, "type", "veth", "peer", "name", "lan0", "netns", client)
        run("ip", "-n", host, "link", "set", "client", "master", "lan", "up")
        run("ip", "-n", router, "link", "set", "far-end", "netns", outside)
        run("ip", "link", "add", "uplink", "netns", router, "type", "veth", "peer", "name", "uplink", "netns", outside)
        for where, device, *addresses in (
            (client, "lan0", "192.0.2.99/24", "2001:db8::99/64"),
            (router, "uplink", "100.64.0.1/30", "fd00:64::1/64"),
            (outside, "uplink", "100.64.0.2/30", "fd00:64::2/64"),
            (outside, "far-end", "198.51.100.2/30", "2001:db8:53::2/64"),
        ):
            for address in addresses:
                run("ip", "-n", where, "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
            run("ip", "-n", where, "link", "set", device, "up")
        gateway = self.gateway
        for where, via in ((client, gateway), (router, ("100.64.0.2", "fd00:64::2"))):
            run("ip", "-n", where, "route", "replace", "default", "via", via[0])
            run("ip", "-n", where, "-6", "route", "replace", "default", "via", via[1])
        run("ip", "netns", "exec", host, "sysctl", "-qw", "net.unix.max_dgram_qlen=10")  # the least that is usual
        filters = [f"net.ipv4.conf.{device}.rp_filter=0" for device in ("all", "default", "uplink", "far-end")]
        run("ip", "netns", "exec", outside, "sysctl", "-qw", *filters)
        self.internet.listen()

    @property
    def gateway(self) -> tuple[str, str]:
        """The router's addresses on the clients' network."""
        number = {"bird": 1, "frr": 2}[self.name]
        return f"192.0.2.{number}", f"2001:db8::{number}"


class Stream:
    """A client that goes on asking, whatever happens to dnstap-bgp; as a context manager, from a thread of its own.

    After the block, `result` tells what was asked and answered; nothing is asked twice.
    """

    def __init__(self, track: RaceTrack, port: int, pace_s: float) -> None:
        self.result = Result()
        self._track = track
        self._pace_s = pace_s
        self._dns = track.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._dns.connect(("127.0.0.1", port))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._waiting: dict[int, tuple[Question, float]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(ANSWER_S + 10)
        self._dns.close()

    def _run(self) -> None:
        due = time.monotonic()
        number = secrets.randbelow(20_000)
        while not self._ending.is_set():
            number += 1
            [question] = self._track.fresh(1)
            self._waiting[number] = question, time.monotonic()
            self._dns.send(question.wire(number))
            self.result.asked += 1
            due += self._pace_s
            self._receive(due)
        last = time.monotonic() + ANSWER_S
        while self._waiting and time.monotonic() < last:
            self._receive(min(last, time.monotonic() + 0.1))
        self.result.unanswered = [question for question, _ in self._waiting.values()]

    def _receive(self, until: float) -> None:
        """Read answers until that moment."""
        while select.select([self._dns], [], [], max(0.0, until - time.monotonic()))[0]:
            answer = self._dns.recv(4096)
            number = int.from_bytes(answer[:2], "big")
            if number in self._waiting and self._waiting[number][0].packed in answer:
                self.result.latencies_s.append(time.monotonic() - self._waiting.pop(number)[1])


class Race:
    """Everything of a race but the resolver: authority, plugin with its holds, router, and the table it fills."""

    def __init__(
        self, folder: Path, router: str = "bird", *, is_holding: bool = True, is_privileged: bool = True, **hold: Any
    ) -> None:
        """Make one.

        Args:
            folder: Where its files are; its path is short.
            router: "bird" or "frr".
            is_holding: False: without `[hold]`, for comparison.
            is_privileged: Its processes run before all others: whatever else the machine does is no part of the race.
            hold: More of `[hold]`.
        """
        if is_privileged:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # daemons inherit it
        self.track = RaceTrack(folder, router)
        self.router: ShippedBird | ShippedFrr = ROUTERS[router](self.track)
        self.margin_s = int(MARGINS[router].removesuffix("ms")) / 1000
        self.hold = self.track.folder / "hold"
        self.hold.mkdir()
        config: dict[str, Any] = {
            "bgp": BGP,
            "guard": {"max_routes_per_name": 0, "max_routes_per_rule": 0, "max_routes": 1_000_000},
        }
        if is_holding:
            config["hold"] = {
                "listen": [f"{self.hold}/hold.sock", f"dgram:{self.hold}/hold-dgram.sock", f"udp://{UDP}"],
                "token_file": f"{self.hold}/hold.token",
                "reply_folder": f"{self.hold}/replies",
                "margin": MARGINS[router],
                **hold,
            }
        self.speaker = Speaker(self.track, [self.router.session], [DOMAIN], **config)

    def start(self) -> "Race":
        """Run it all; `warm` has to follow, with the resolver."""
        self.router.start()
        self.speaker.start()
        Authority(self.track, zone()).start()
        self.router.kernel.steer()
        return self

    def warm(self, resolver: Hooked) -> None:
        """Wait until answers are held: the session is up on both sides, and the hook has found the plugin."""

        def is_holding() -> bool:
            found = self.track.one_by_one(resolver.port, self.track.fresh(5))
            return found.right == 5 and min(found.latencies_s) >= self.margin_s

        eventually(is_holding, 60, "answers are held")

    def close(self) -> None:
        try:
            self.track.close()
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
