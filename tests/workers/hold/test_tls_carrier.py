"""TLS: hooks with a certificate of the authority's, whole messages however they come, and nobody else."""

import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from select import select

import pytest

from dnstap_bgp.workers.hold import tls_carrier
from dnstap_bgp.workers.hold.tls_carrier import TlsConnection
from dnstap_bgp.workers.net.tls import server_context
from dnstap_bgp.workers.tap.tls_wire import TlsWire
from tests.integration.hook_asker import INSTALLED, NOT_OURS, NOT_UNDERSTOOD, answer, question, read_reply
from tests.ports import free_port
from tests.workers.hold.hold_kit import stage, wait_until
from tests.workers.tap.certificates import Authority

UNLISTED = answer("www.test", ["11.0.0.1"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ours(authority):
    return authority.issue("ours")


@pytest.fixture(scope="module")
def theirs(authority):
    return authority.issue("theirs")


@pytest.fixture
def address():
    return "127.0.0.1", free_port()


@pytest.fixture
def keys(authority, ours, address):
    """The configuration of a service with a certificate."""
    return (
        f'listen = "127.0.0.1:{address[1]}"\n'
        f'tls_cert = "{ours.cert}"\ntls_key = "{ours.key}"\ntls_client_ca = "{authority.cert}"\n'
    )


@contextmanager
def listening(folder, keys):
    with stage(folder, keys) as made:
        wait_until(lambda: [one.problem for one in made.status.listeners] == [None])
        yield made


@pytest.fixture
def scene(tmp_path, keys):
    with listening(tmp_path, keys) as made:
        yield made


def connect(address, authority, own=None, receive_bytes=None):
    """Connect with TLS; with a small receive buffer few replies fill the way to one who does not read them."""
    context = ssl.create_default_context(cafile=authority.cert)
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    sock = socket.socket()
    try:
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(30)
        sock.connect(address)
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


@pytest.fixture
def hook(scene, address, authority, theirs):
    assert scene.status.listeners
    with connect(address, authority, theirs) as made:
        yield made


def framed(*messages):
    return b"".join(len(message).to_bytes(2) + message for message in messages)


def read(hook, count=1):
    replies = []
    for _ in range(count):
        data = b""
        while len(data) < 18:
            piece = hook.recv(18 - len(data))
            assert piece, "closed"
            data += piece
        assert data[:2] == b"\0\x10"
        replies.append(read_reply(data[2:]))
    return replies if count > 1 else replies[0]


def test_a_question_is_answered(hook):
    data = question(answer("www.example", ["11.0.0.1"]))
    hook.sendall(framed(data))
    reply = read(hook)
    assert (reply.verdict, reply.id) == (INSTALLED, data[2:10])


def test_messages_come_whole_in_pieces_and_many_at_once(hook):
    for piece in framed(question(UNLISTED)):
        hook.sendall(bytes([piece]))
    assert read(hook).verdict == NOT_OURS
    messages = [question(UNLISTED) for _ in range(200)]
    hook.sendall(framed(*messages))
    replies = read(hook, 200)
    assert [reply.id for reply in replies] == [message[2:10] for message in messages]
    hook.sendall(framed(question(UNLISTED))[:-1])
    hook.sendall(framed(question(UNLISTED))[-1:] + framed(question(bytes(65_400))))
    assert [reply.verdict for reply in read(hook, 2)] == [NOT_OURS, NOT_OURS]


def test_what_is_no_question_is_told_and_the_next_one_is_read(hook):
    hook.sendall(framed(b"", b"short", bytes(20), question(UNLISTED)))
    assert [reply.verdict for reply in read(hook, 2)] == [NOT_UNDERSTOOD, NOT_OURS]


def is_cut_off(sock):
    with suppress(OSError):
        sock.sendall(framed(question(UNLISTED)))
        return sock.recv(100) == b""
    return True


def test_without_a_certificate_of_the_authority_nobody_is_heard(scene, address, authority, tmp_path):
    stranger = Authority(tmp_path / "other").issue("stranger")
    for own in (None, stranger):
        with suppress(OSError), connect(address, authority, own) as hook:
            assert is_cut_off(hook)
    wait_until(lambda: scene.status.refused.get("broken") == 2)
    assert scene.status.hooks == ()


def test_without_tls_nobody_is_heard(scene, address):
    with socket.create_connection(address, 30) as plain:
        assert is_cut_off(plain)
    wait_until(lambda: scene.status.refused.get("broken") == 1)
    assert scene.status.hooks == ()


def test_who_is_not_allowed_does_not_come_to_a_handshake(tmp_path, keys, authority, theirs, address):
    with listening(tmp_path, keys + 'allow = "192.0.2.0/24"') as scene:
        with suppress(OSError), connect(address, authority, theirs) as hook:
            assert is_cut_off(hook)
        wait_until(lambda: scene.status.refused.get("not allowed") == 1)


def test_a_flood_without_a_handshake_leaves_a_hook_the_time_for_its_own(tmp_path, keys, authority, theirs, address):
    context = ssl.create_default_context(cafile=authority.cert)
    context.load_cert_chain(theirs.cert, theirs.key)
    with listening(tmp_path, keys + "connections_max = 4") as scene, ExitStack() as held:
        sock = held.enter_context(socket.create_connection(address, 30))
        wait_until(lambda: scene.status.connections == 1)
        for number in range(1, 20):
            held.enter_context(socket.create_connection(address, 30, source_address=("127.0.0.2", 0)))
            wait_until(lambda: scene.status.refused.get("crowded", 0) >= number - 3)  # noqa: B023 - waited for at once
        with context.wrap_socket(sock, server_hostname="localhost") as hook:
            hook.sendall(framed(question(UNLISTED)))
            assert read(hook).verdict == NOT_OURS


def test_a_question_waits_for_one_handshake_and_not_for_a_flood_of_them(
    tmp_path, keys, authority, address, monkeypatch
):
    """The attack: whoever reaches the port has the service do some ms of arithmetic, again and again."""
    begun, may_go, steps = threading.Event(), threading.Event(), []
    shake = TlsWire._shake_hands

    def slow(wire):
        steps.append(wire)
        begun.set()
        assert may_go.wait(30)
        shake(wire)

    monkeypatch.setattr(TlsWire, "_shake_hands", slow)
    listen = keys.replace("listen = ", 'listen = ["hold.sock", ').replace("\n", "]\n", 1)
    with stage(tmp_path, listen) as scene, scene.hook() as hook, ExitStack() as held:
        wait_until(lambda: [one.problem for one in scene.status.listeners] == [None, None])
        hello = hello_of(authority)
        strangers = [held.enter_context(socket.create_connection(address, 30)) for _ in range(10)]
        wait_until(lambda: scene.status.connections == 11)
        strangers[0].sendall(hello)
        assert begun.wait(30)
        for stranger in strangers[1:]:
            stranger.sendall(hello)
        hook.send("www.test", ["11.0.0.1"])
        took = []
        send = scene.service._send

        def noted(*args):
            took.append(len(steps))
            send(*args)

        monkeypatch.setattr(scene.service, "_send", noted)
        may_go.set()
        assert hook.receive().verdict == NOT_OURS
        assert took[0] <= 2
        wait_until(lambda: len(steps) >= 10, "all come to their turn")


def hello_of(authority):
    context = ssl.create_default_context(cafile=authority.cert)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.fixture
def hasty(tmp_path, keys, monkeypatch):
    monkeypatch.setattr(tls_carrier, "HANDSHAKE_S", 1.0)
    with listening(tmp_path, keys) as made:
        yield made


def test_half_a_handshake_and_half_a_message_have_their_time(hasty, address, authority, theirs):
    scene = hasty
    with socket.create_connection(address, 30) as silent, connect(address, authority, theirs) as half:
        half.sendall(framed(question(UNLISTED))[:-1])
        wait_until(lambda: scene.status.refused.get("slow") == 2)
        silent.settimeout(30)
        assert silent.recv(10) == b""
    with connect(address, authority, theirs) as idle:
        idle.sendall(framed(question(UNLISTED)))
        assert read(idle).verdict == NOT_OURS
        deadline = time.monotonic() + 1.5 * tls_carrier.HANDSHAKE_S
        while time.monotonic() < deadline:
            assert scene.status.refused.get("slow") == 2, "an idle hook stays"
            time.sleep(0.05)


class Pair:
    """A connection of the carrier's without a service, and the hook's end of it, whose bytes come as a test says."""

    def __init__(self, authority, ours, theirs):
        self.now = 0.0
        self.asked: list[bytes] = []
        client_context = ssl.create_default_context(cafile=authority.cert)
        client_context.load_cert_chain(theirs.cert, theirs.key)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = client_context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self.hook, sock = socket.socketpair()
        sock.setblocking(False)
        wire = TlsWire(sock, server_context(ours.cert, ours.key, ("tls_client_ca", authority.cert)))
        self.carrier = TlsConnection(
            sock,
            wire,
            "hook",
            ask=lambda message, _: self.asked.append(message),
            on_end=lambda one: pytest.fail(f"it was ended: {one.problem}"),
            clock=lambda: self.now,
        )
        while not wire.is_open:
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
            self.come(self._outgoing.read())
            if select([self.hook], [], [], 0)[0]:
                self._incoming.write(self.hook.recv(1 << 16))

    def records(self, data, record_bytes):
        """Encrypt so many bytes for each record."""
        for start in range(0, len(data), record_bytes):
            self._tls.write(data[start : start + record_bytes])
        return self._outgoing.read()

    def come(self, data):
        """Have bytes come, and give the carrier its turns, as long as the selector or itself asks for one."""
        self.hook.sendall(data)
        while self.carrier.has_more or select([self.carrier.sock], [], [], 0)[0]:
            self.carrier.receive()

    def close(self):
        self.hook.close()
        self.carrier.sock.close()


@pytest.fixture
def pair(authority, ours, theirs):
    made = Pair(authority, ours, theirs)
    yield made
    made.close()


def test_what_was_decrypted_waits_for_nothing_to_come_behind_it(pair):
    """A burst, such as after a stall: the last bytes off the wire are more than one turn has room for."""
    messages = [question(UNLISTED) for _ in range(192_000 // len(framed(question(UNLISTED))))]
    data = pair.records(framed(*messages), 12_000)
    for start in range(0, len(data), 1 << 16):
        pair.come(data[start : start + (1 << 16)])
    assert pair.asked == messages


def test_the_time_of_a_message_begins_with_its_own_first_byte(pair):
    """A busy hook may never stop between two messages."""
    data = framed(question(UNLISTED))
    pair.come(pair.records(data[:20], 20))
    for number in range(1, 4):
        assert pair.carrier.deadline == pair.now + tls_carrier.HANDSHAKE_S
        pair.now += 0.8 * tls_carrier.HANDSHAKE_S
        pair.come(pair.records(data[20:] + data[:20], len(data)))
        assert len(pair.asked) == number
    before = pair.carrier.deadline
    pair.now += 1.0
    pair.come(pair.records(data[20:21], 1))
    assert pair.carrier.deadline == before, "another byte of the same message wins no time"
    pair.come(pair.records(data[21:], len(data)))
    assert pair.carrier.deadline is None


def test_a_hook_that_reads_nothing_is_cut_off(scene, address, authority, theirs, hook):
    with connect(address, authority, theirs, 4096) as deaf:
        deaf.settimeout(20)
        data = framed(*(question(UNLISTED, hook="deaf") for _ in range(100)))
        with suppress(OSError):
            for _ in range(2_000):
                deaf.sendall(data)
        wait_until(lambda: scene.status.refused.get("broken") == 1)
        hook.sendall(framed(question(UNLISTED)))
        assert read(hook).verdict == NOT_OURS


def test_a_certificate_that_can_not_be_used_is_told(tmp_path, authority, address):
    hold = f'listen = "127.0.0.1:{address[1]}"\ntls_cert = "none.pem"\ntls_client_ca = "{authority.cert}"'
    with stage(tmp_path, hold) as scene:
        wait_until(lambda: "tls_cert" in str(scene.status.listeners[0].problem))
