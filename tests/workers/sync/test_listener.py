"""The listener against strangers, and against peers that mean no good."""

import asyncio
import http.client
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import msgpack
import pytest

from dnstap_bgp.core.sync import delta, go_json
from dnstap_bgp.core.sync.delta import Deflater
from dnstap_bgp.workers.net import http_server
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.sync import client, listener
from tests.integration.lab import becomes, eventually
from tests.ports import free_port
from tests.workers.sync.go_program import request
from tests.workers.sync.instance import Instance, config, packed, running
from tests.workers.sync.listener_kit import now, put, serving, status_or_none


@pytest.fixture
def port() -> int:
    return free_port()


# -- what may come


def test_forged_entries_become_nothing(port):
    instance = Instance(config(port, insecure=True))
    with serving(instance):
        assert put(port, TS=now(), Domain="elsewhere.test") == 200
        for address in ("127.0.0.1", "10.0.0.1", "224.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1"):
            assert put(port, TS=now(), IP=address) == 200
        for forged in ("", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "x" * 500, "01.2.3.4", None, 5, ["11.0.0.1"]):
            assert put(port, TS=now(), IP=forged) == 400
        for forged in (
            "",
            ".",
            "..",
            "a..example",
            "a" * 64 + ".example",
            "a b.example",
            "ä.example",
            "x." * 2000,
            None,
            7,
        ):
            assert put(port, TS=now(), Domain=forged) == 400
        for forged in ("", "now", "2026-13-01T00:00:00Z", "2026-11-22 01:00", now(10 * 86400), None, 1):
            assert put(port, TS=forged) == 400
        for body in (b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 4000, b'{"IP":' * 500, b"1e999999"):
            assert request(port, "PUT", "/put", body)[0] == 400
        assert request(port, "PUT", "/put", b" " * 5000)[0] == 400
        assert instance.routes() == set()
        assert put(port, TS=now(-2 * 3600)) == 200, "expired: heard, and not taken"
        assert instance.routes() == set()
        assert put(port, TS=now(600)) == 200
        assert instance.routes() == {"11.0.0.1"}
        assert instance.seen("11.0.0.1") <= process_clock(), "the future counts as now"


def test_other_requests_get_nothing(port):
    with serving(Instance(config(port, insecure=True))):
        for method, path in (("GET", "/"), ("DELETE", "/fetch"), ("GET", "/put"), ("GET", "/v1/changes/../x")):
            assert request(port, method, path)[0] == 404
        with closing(socket.create_connection(("127.0.0.1", port), 60)) as sock:
            # hardly more than the 8,190 bytes that aiohttp takes: a longer one may meet the connection's end
            sock.sendall(b"GET /fetch HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8300)
            assert b" 400 " in sock.recv(100)


def test_slow_and_endless_requests_are_cut_off(port, monkeypatch):
    instance = Instance(config(port, insecure=True))
    with serving(instance):
        with monkeypatch.context() as patch:
            patch.setattr(listener, "REQUEST_S", 0.5)
            patch.setattr(http_server, "BODY_S", 0.5)
            head = b"PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            for drip in (b"", b"GET /fe", b"GET /fetch HTTP/1.1\r\nHo", head, head + b'{"IP"'):
                with closing(socket.create_connection(("127.0.0.1", port), 60)) as sock:
                    sock.sendall(drip)
                    while sock.recv(1000):
                        pass
            with closing(socket.create_connection(("127.0.0.1", port), 60)) as sock:
                sock.sendall(b"PUT /put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                end = time.monotonic() + 60
                with suppress(OSError):
                    while time.monotonic() < end:
                        sock.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
                assert time.monotonic() < end
        assert put(port, TS=now()) == 200, "it is as it was"


# -- what a peer may answer


def stream(*payloads: bytes) -> bytes:
    return chunked(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-dnstap-bgp-changes\r\n", Deflater().burst(payloads))


def chunked(head: bytes, body: bytes) -> bytes:
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n".encode() + body + b"\r\n"


HELLO = delta.encode_hello("f" * 16, 1000.0, resumed=False)


def claims(*rows: tuple[bytes, str, bytes, int], stamp_ms: int = 1_000_000) -> bytes:
    addresses, lists, names, ages = zip(*rows, strict=True)
    sources = [(found, 3_600_000) for found in lists]
    found: bytes = msgpack.packb([1, 0, stamp_ms, sources, addresses, list(range(len(rows))), names, ages])
    return found


GOOD = (packed("11.0.0.9"), "default", b"a.example", 1000)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x00" * 1000,
        stream(),
        stream(claims(GOOD)),
        stream(HELLO, b"\xc1"),
        stream(HELLO, msgpack.packb([1, 0, 0, [], [b"1234"], [7], [b"a.example"], [0]])),
        stream(HELLO, msgpack.packb([1] * 8)),
        stream(HELLO, msgpack.packb([9])),
        stream(HELLO, msgpack.packb({1: 2})),
        stream(HELLO, claims(*[GOOD] * (delta.CLAIMS_MAX + 1))),
        chunked(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-dnstap-bgp-changes\r\n",
            zlib.compress(struct.pack("!I", delta.FRAME_MAX + 1) + bytes(10 * delta.FRAME_MAX)),
        ),
        chunked(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-dnstap-bgp-changes\r\n", b"no zlib at all"),
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-dnstap-bgp-changes\r\nX: " + b"y" * 100_000,
    ],
    ids=range(15),
)
def test_a_peer_that_answers_nonsense_is_failing_and_tried_again(port, answer):
    theirs = free_port()
    instance = Instance(config(port, theirs, compatible=False))
    with closing(socket.create_server(("127.0.0.1", theirs))) as server, running(instance):
        server.settimeout(60)
        for _ in range(2):
            with closing(server.accept()[0]) as sock:
                sock.recv(4096)
                with suppress(ConnectionError):  # it may end the conversation in the middle of this
                    sock.sendall(answer)
        server.close()  # or the third try waits for its answer, and is `loading` meanwhile
        eventually(lambda: instance.peer().errors and instance.peer().state == "failing", 5, "it is told")
        assert instance.routes() == set()


def test_a_peer_that_forges_claims_gives_only_those_that_may_be(port):
    theirs = free_port()
    instance = Instance(config(port, theirs))
    forged = [
        (packed("127.0.0.1"), "default", b"a.example", 0),
        (bytes(12), "default", b"a.example", 0),
        (packed("11.0.0.2"), "default", b"no name", 0),
        (packed("11.0.0.3"), "default", b"elsewhere.test", 0),
        (packed("11.0.0.4"), "x", b"A.Example.", 0),
        (packed("11.0.0.5"), "default", b"a.example", -(10**12)),
        (packed("11.0.0.6"), "default", b"a.example", 10**13),
        (packed("::ffff:11.0.0.7"), "default", b"a.example", 0),
        (packed("11.0.0.9"), "default", b"own.example", -(10**12)),  # nor does it take away what is held
        (packed("11.0.0.9"), "default", b"own.example", 10**13),
    ]
    instance.see("own.example", "11.0.0.9")
    with closing(socket.create_server(("127.0.0.1", theirs))) as server, running(instance):
        server.settimeout(60)
        with closing(server.accept()[0]) as sock:
            sock.recv(4096)
            sock.sendall(stream(HELLO, claims(*forged, stamp_ms=10**12), delta.encode_reached(0, 1000.0)))
            becomes(instance.routes, {"11.0.0.4", "11.0.0.5", "11.0.0.7", "11.0.0.9"}, 5, "what is left of it")
            assert all(instance.seen(address) <= process_clock() for address in instance.routes())


def test_a_follower_that_does_not_read_holds_little_and_is_left(port, monkeypatch):
    monkeypatch.setattr(listener, "WRITE_S", 2.0)
    instance = Instance(config(port, insecure=True), ttl_s=1e6)
    chance = random.Random(1)
    for _ in range(60_000):
        instance.see(f"{chance.randbytes(16).hex()}.example", str(ip_address(chance.randbytes(3).rjust(4, b"\x0b"))))
    with serving(instance), closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.sendall(b"GET /v1/changes HTTP/1.1\r\nHost: x\r\n\r\n")
        followers = instance.syncer
        eventually(lambda: any("follows us" in peer.address for peer in followers.status()), 5, "it follows")
        eventually(lambda: not followers.status(), 10, "it is left")


JUNK: list[Any] = [1, None, "abcd", [1, 1, 1, 1], [1] * 16, {}, 1.5, float("inf")]


def test_a_peer_that_tells_anything_but_claims_harms_nothing(port):
    theirs = free_port()
    instance = Instance(config(port, theirs, compatible=False))
    rows: list[Any] = [(junk, "default", b"a.example", 0) for junk in JUNK]
    rows += [(packed("11.0.0.8"), "default", junk, 0) for junk in JUNK]
    stamps = [float("inf"), float("-inf"), float("nan"), 1e308, "1", None, [1]]
    answers = [stream(HELLO, msgpack.packb([1, 0, stamp, [("default", 1000)], [GOOD[0]], [0], [GOOD[2]], [0]]))
               for stamp in stamps]  # fmt: skip
    answers += [stream(msgpack.packb([0, "f" * 16, stamp, False]), claims(GOOD)) for stamp in stamps]
    answers += [stream(msgpack.packb([0, node, 1000, False]), claims(GOOD)) for node in ("", "redis", 1, None)]
    answers += [stream(HELLO, claims(*rows, GOOD))]
    with closing(socket.create_server(("127.0.0.1", theirs))) as server, running(instance):
        server.settimeout(60)
        for answer in answers[:-1]:
            with closing(server.accept()[0]) as sock:
                sock.recv(4096)
                sock.sendall(answer)
            instance.syncer.resync()  # without the pause after a failure
            eventually(lambda: not instance.crashes, 5, "it goes on")
        while not instance.routes():  # the last `resync` may end a conversation that has just begun
            with closing(server.accept()[0]) as sock, suppress(ConnectionError):
                sock.recv(4096)
                sock.sendall(answers[-1])
                with suppress(AssertionError):
                    becomes(instance.routes, {"11.0.0.9"}, 1, "the good one among them")
        assert instance.routes() == {"11.0.0.9"}
        assert not instance.crashes
        with instance.keeper.lock:
            (claim,) = instance.keeper.table.claims.of_address(GOOD[0])
        assert claim.first <= claim.seen <= process_clock()
        json.dumps([str(found) for found in instance.syncer.status()], allow_nan=False)
        assert all(found.lag_s is None or found.lag_s < 1e12 for found in instance.syncer.status())


def test_a_first_sighting_in_the_future_is_none(port):
    theirs = free_port()
    instance = Instance(config(port, theirs, compatible=False))
    with closing(socket.create_server(("127.0.0.1", theirs))) as server, running(instance):
        server.settimeout(60)
        with closing(server.accept()[0]) as sock:
            sock.recv(4096)
            sock.sendall(stream(HELLO, claims(GOOD, stamp_ms=10**14)))
            becomes(instance.routes, {"11.0.0.9"}, 5, "it counts as now")
            with instance.keeper.lock:
                (claim,) = instance.keeper.table.claims.of_address(GOOD[0])
            assert claim.first <= claim.seen <= process_clock()


def test_a_bomb_of_empty_frames_leaves_the_loop_to_others(port, monkeypatch):
    theirs = free_port()
    instance = Instance(config(port, theirs, compatible=False))
    decode, read, at_turns = delta.decode, [0], [0]

    def counted(payload: bytes) -> delta.Frame:
        read[0] += 1
        return decode(payload)

    async def look() -> None:
        while True:
            at_turns.append(read[0])
            await asyncio.sleep(0)

    monkeypatch.setattr(delta, "decode", counted)
    bomb = stream(HELLO, *[delta.encode_reached(0, 1000.0)] * 20_000)
    assert len(bomb) < 5000
    with closing(socket.create_server(("127.0.0.1", theirs))) as server, running(instance):
        server.settimeout(60)
        with closing(server.accept()[0]) as sock:
            sock.recv(4096)
            looking = instance.loop.run("test", look)
            assert looking is not None
            sock.sendall(bomb)
            eventually(lambda: at_turns[-1] == 20_001, 10, "all of it is read")
            looking.cancel()
    assert max(after - before for before, after in pairwise(at_turns)) <= 2 * client.FRAMES_AT_ONCE


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 0001 00:00:00 +2359"])
def test_a_go_program_with_an_impossible_date_harms_nothing(port, date):
    theirs = free_port()
    instance = Instance(config(port, theirs))
    pushed: list[bytes] = []

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                with closing(server.accept()[0]) as sock:
                    asked = sock.recv(65536)
                    if asked.startswith(b"PUT"):
                        pushed.append(asked)
                    status, body = ("404 No", b"") if b"/v1/" in asked else ("200 OK", b"null")
                    head = (
                        f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    )
                    sock.sendall(head.encode() + body)

    with closing(socket.create_server(("127.0.0.1", theirs))) as server, serving(instance):
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        eventually(lambda: instance.peer().wire_format == "compatible", 5, "it is a Go program")

        def told(count: int) -> Callable[[], bool]:
            return lambda: len(pushed) >= count

        for number in range(1, 4):
            instance.see("a.example", f"11.0.0.{number}")
            eventually(told(number), 5, "it is told")
        assert request(port, "GET", "/fetch")[0] == 200
        server.shutdown(socket.SHUT_RDWR)


def test_odd_queries_are_refused(port, caplog):
    with serving(Instance(config(port, insecure=True))):
        assert request(port, "GET", "/v1/changes?" + "a=1&" * 20)[0] == 400
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("path", ["/v1/changes", "/fetch", "/nothing"])
def test_http_1_0_is_answered_and_not_logged(port, path, caplog):
    instance = Instance(config(port, insecure=True))
    instance.see("a.example", "11.0.0.1")
    with serving(instance), caplog.at_level("INFO"):
        caplog.clear()
        for _ in range(20):
            with closing(socket.create_connection(("127.0.0.1", port), 60)) as sock:
                sock.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                answer = sock.recv(4096)
                while path == "/fetch" and (more := sock.recv(4096)):
                    answer += more
                assert answer.startswith(b"HTTP/1.0 ")
                assert b"chunked" not in answer
        assert (b"11.0.0.1" in answer) == (path == "/fetch")
    assert not [record for record in caplog.records if record.exc_info]
    assert len(caplog.records) <= 12


@pytest.mark.parametrize("request_line", ["GET /v1/changes", "GET /fetch", "PUT /put"])
@pytest.mark.parametrize("fault", [RecursionError("planted"), ExceptionGroup("planted", [ValueError()])], ids=type)
def test_a_fault_at_an_entry_ends_that_conversation_alone(port, request_line, fault, monkeypatch, caplog):
    """An exception is planted where a request comes in: an answer or an end for it, a few lines in the log."""
    instance = Instance(config(port, insecure=True))
    method, path = request_line.split()

    def planted(*_: object, **__: object) -> None:
        raise fault

    body = json.dumps({"IP": "11.0.0.1", "Domain": "a.example", "TS": now()}).encode()
    with serving(instance):
        with monkeypatch.context() as patch, caplog.at_level("INFO"):
            patch.setattr(delta, "encode_hello", planted)
            patch.setattr(go_json, "read", planted)
            patch.setattr(go_json, "write", planted)
            instance.see("a.example", "11.0.0.1")
            for _ in range(30):
                with suppress(OSError, http.client.HTTPException):
                    assert request(port, method, path, body if method == "PUT" else b"")[0] == 500
        assert not [record for record in caplog.records if record.exc_info]
        assert 1 <= len(caplog.records) <= 30
        assert request(port, "GET", "/fetch")[0] == 200
        assert put(port, TS=now()) == 200


def test_a_slow_reader_of_everything_is_cut_off_and_keeps_no_other_from_it(port, monkeypatch, caplog):
    monkeypatch.setattr(listener, "FETCH_S", 2.0)
    monkeypatch.setattr(listener, "SEND_BUFFER_BYTES", 4096)
    instance = Instance(config(port, insecure=True))
    for number in range(20_000):
        instance.see(f"n{number // 100}.example", str(ip_address(0x0B000000 + number)))
    with serving(instance), ExitStack() as slow, caplog.at_level("INFO"):
        for _ in range(2 * listener.FETCHES_MAX):
            sock = slow.enter_context(closing(socket.socket()))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET /fetch HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: status_or_none(port) == 200, 60, "who reads gets everything")
    assert "fault" not in caplog.text


def test_one_address_that_reads_slowly_keeps_no_other_from_everything(port, monkeypatch):
    """The attack: a member pulls as often as it has connections, and reads so that none of its pulls ends."""
    monkeypatch.setattr(listener, "WRITE_S", 600.0)
    monkeypatch.setattr(listener, "SEND_BUFFER_BYTES", 4096)
    instance = Instance(config(port, insecure=True))
    for number in range(20_000):
        instance.see(f"n{number // 100}.example", str(ip_address(0x0B000000 + number)))
    with serving(instance), ExitStack() as held:
        for number in range(4 * listener.FETCHES_MAX):
            sock = held.enter_context(closing(socket.socket()))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(60)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET /fetch HTTP/1.1\r\nHost: x\r\n\r\n")
            if not number:
                assert sock.recv(10), "it has begun"
        for _ in range(2):
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=("127.0.0.2", 0))
            other.request("GET", "/fetch")
            with closing(other), other.getresponse() as response:
                assert response.status == 200
                assert len(json.loads(response.read())) == 20_000
