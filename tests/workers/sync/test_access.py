"""Access to the sync listener: by address, token or certificate, how often, and room for each."""

import asyncio
import logging
import select
import socket
import ssl
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection

import pytest

from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.sync import access
from dnstap_bgp.workers.sync.access import SyncAccess, packed
from dnstap_bgp.workers.sync.peer import Peer
from tests.integration.lab import becomes, eventually, stays
from tests.ports import free_port
from tests.workers.sync.go_program import request
from tests.workers.sync.instance import Instance, config, running
from tests.workers.sync.listener_kit import TOKEN, certify, files, now, put, serving, status_or_none

PEER, STRANGER = bytes([127, 0, 0, 1]), bytes([192, 0, 2, 1])


def made(**more) -> SyncAccess:
    found = config(1, 2, **more)
    log = RateLimitedLog(logging.getLogger("dnstap_bgp.tests"), process_clock)
    return SyncAccess(found, [Peer(endpoint, log) for endpoint in found.peers])


def status(one: SyncAccess, address: bytes, authorization: str | None = None) -> int:
    refused = asyncio.run(one.refusal(address, authorization))
    return 200 if refused is None else refused[0]


def test_without_a_token_the_addresses_of_peers_count():
    assert status(made(), PEER) == 200
    assert status(made(), STRANGER) == 403
    assert status(made(insecure=True), STRANGER) == 200


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer 0123456789abcdef", 200),
        ("bearer  0123456789abcdef ", 200),
        ("Bearer 0123456789abcdeg", 401),
        ("Basic 0123456789abcdef", 401),
        ("Bearer \udcff", 401),
        ("", 401),
        (None, 401),
    ],
)
def test_with_a_token_whoever_has_it_is_let_in(authorization, expected):
    one = made(token="0123456789abcdef")  # noqa: S106 - of this test alone
    assert status(one, STRANGER, authorization) == expected
    assert status(one, PEER, authorization) == expected, "an address is no token"


def test_who_asks_too_often_waits_and_is_told_to_come_back_later(monkeypatch):
    monkeypatch.setattr(access, "PACE_S", 0.0)
    monkeypatch.setattr(access, "PACES_MAX", 3)
    monkeypatch.setattr(access, "REFUSALS_PER_S", 2.0)
    monkeypatch.setattr(access, "process_clock", lambda: 1000.0)
    one = made()
    assert [status(one, STRANGER) for _ in range(4)] == [403, 403, 429, 429]
    assert status(one, PEER) == 200, "another address has its own rate"


def test_rates_of_made_up_addresses_take_bounded_memory():
    one = made(insecure=True)
    for number in range(2 * access.BUCKETS_MAX):
        assert status(one, number.to_bytes(4, "big")) == 200
    assert len(one._buckets) <= access.BUCKETS_MAX


def test_addresses_have_one_form():
    assert packed("::ffff:192.0.2.1") == packed("192.0.2.1") == STRANGER
    assert packed("fe80::1%eth0") == packed("fe80::1")


@pytest.fixture
def port() -> int:
    return free_port()


def test_without_token_or_certificates_only_peers_are_answered(port):
    with serving(Instance(config(port))):
        assert request(port, "GET", "/fetch") == (403, b"not the address of a peer\n")
        assert put(port, TS=now()) == 403
        assert request(port, "GET", "/v1/changes")[0] == 403
    with serving(Instance(config(port, free_port()))):
        assert request(port, "GET", "/fetch")[0] == 200
    with serving(Instance(config(port, insecure=True))):
        assert request(port, "GET", "/fetch")[0] == 200


def test_a_token_lets_in_whoever_has_it_and_no_one_else(port):
    other = free_port()
    one = Instance(config(port, other, token=TOKEN))
    two = Instance(config(other, port, token=TOKEN))
    three = Instance(config(None, port, token=TOKEN[::-1]))
    with serving(one), running(two, three):
        assert request(port, "GET", "/fetch")[0] == 401
        for shown in ("Bearer x", f"Basic {TOKEN}", "é", TOKEN, "Bearer "):
            assert request(port, "GET", "/fetch", Authorization=shown)[0] == 401
        assert request(port, "GET", "/fetch", Authorization=f"bearer {TOKEN}")[0] == 200
        one.see("a.example", "11.0.0.1")
        becomes(two.routes, {"11.0.0.1"}, 5, "with the token")
        eventually(lambda: three.peer().state == "refused", 5, "without")
        assert "401" in three.peer().last_error
        assert three.routes() == set()


@pytest.mark.real("openssl")
def test_mutual_tls(port, tmp_path):
    certify(tmp_path, "ca")
    certify(tmp_path, "stranger")
    for name, ca in (("one", "ca"), ("two", "ca"), ("three", "stranger")):
        certify(tmp_path, name, ca)
    other = free_port()
    one = Instance(config(port, other, **files(tmp_path, "one")))
    two = Instance(config(other, port, **files(tmp_path, "two")))
    three = Instance(config(None, port, **files(tmp_path, "three")))
    plain = Instance(config(None, port))
    with running(one, two, three, plain):
        one.see("a.example", "11.0.0.1")
        becomes(two.routes, {"11.0.0.1"}, 5, "members")
        eventually(lambda: three.peer().errors and plain.peer().errors, 5, "the others try")
        eventually(lambda: "our certificate" in three.peer().last_error, 5, "and are told what may be wrong")
        stays(lambda: not three.routes() and not plain.routes(), 0.5)
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.check_hostname = False
        with (
            suppress(ssl.SSLError, ConnectionError),
            socket.create_connection(("127.0.0.1", port), 60) as sock,
            context.wrap_socket(sock) as wrapped,
        ):
            wrapped.sendall(b"GET /fetch HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not wrapped.recv(1), "someone without a certificate was answered"


def test_strangers_don_t_take_the_room_of_peers(port, monkeypatch):
    monkeypatch.setattr(access, "STRANGERS_MAX", 3)
    with serving(Instance(config(port, free_port(), token=TOKEN))), ExitStack() as held:
        peer = held.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=60)))  # the address of a peer

        def ask() -> int:
            peer.request("GET", "/fetch", headers={"Authorization": f"Bearer {TOKEN}"})
            with peer.getresponse() as response:
                response.read()
                return response.status

        assert ask() == 200
        kept = peer.sock
        strangers = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), 60, ("127.0.0.3", 0))) for _ in range(6)
        ]
        assert select.select(strangers, [], [], 60)[0], "one too many"
        assert ask() == 200
        assert peer.sock is kept, "its connection, the oldest, has given way to none of them"
        assert len(select.select(strangers, [], [], 0)[0]) < 6, "though some of them have room"


@pytest.mark.real("openssl")
def test_strangers_take_no_more_room_before_their_tls_than_after(port, tmp_path, monkeypatch):
    monkeypatch.setattr(access, "STRANGERS_MAX", 3)
    certify(tmp_path, "ca")
    certify(tmp_path, "one", "ca")
    held = []
    try:
        with serving(Instance(config(port, **files(tmp_path, "one")))):
            held += [socket.create_connection(("127.0.0.1", port), 60) for _ in range(12)]

            def closed() -> int:
                return len(select.select(held, [], [], 0)[0])

            eventually(lambda: closed() >= 8, 3, "those beyond the limit are turned away before a handshake")
    finally:
        for sock in held:
            sock.close()


def test_strangers_that_ask_for_nothing_give_way_to_one_who_asks(port, monkeypatch):
    monkeypatch.setattr(access, "STRANGERS_MAX", 3)
    with serving(Instance(config(port, token=TOKEN))), ExitStack() as held:
        for _ in range(12):
            held.enter_context(closing(socket.create_connection(("127.0.0.1", port), 60)))
        assert status_or_none(port) == 200
