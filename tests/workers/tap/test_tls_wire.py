"""TLS at the tap: who comes in, who doesn't and why, and that nobody waits for another."""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from dnstap_bgp.core.tap.framestream import BUFFER_BYTES, Fault
from dnstap_bgp.workers.tap import senders
from dnstap_bgp.workers.tap.tls_wire import TapTls, TlsWire
from tests.ports import free_port
from tests.workers.tap.certificates import Authority
from tests.workers.tap.senders_kit import (
    ACCEPT,
    DEADLINE_S,
    FINISH,
    READY,
    START,
    STOP,
    Stage,
    config,
    data,
    is_closed,
    receive,
    wait_until,
)

pytestmark = pytest.mark.real("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def ours(authority):
    return authority.issue("ours")


@pytest.fixture(scope="module")
def theirs(authority):
    return authority.issue("theirs")


@pytest.fixture
def keys(ours):
    return {"listen": f"127.0.0.1:{free_port()}", "tls_cert": str(ours.cert), "tls_key": str(ours.key)}


@pytest.fixture
def stage(tmp_path, keys):
    with Stage(tmp_path, **keys) as stage:
        yield stage.listening()


def client(authority, own=None, version=None):
    context = ssl.create_default_context(cafile=authority.cert)
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@contextlib.contextmanager
def secured(stage, context):
    with stage.connect() as sock, context.wrap_socket(sock, server_hostname="127.0.0.1") as tls:
        yield tls


@contextlib.contextmanager
def sender(stage, context):
    """A sender that has started, bidirectionally."""
    with secured(stage, context) as tls:
        tls.sendall(READY)
        assert receive(tls, len(ACCEPT)) == ACCEPT
        tls.sendall(START)
        yield tls


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_from_ready_to_finish(stage, authority, version):
    with sender(stage, client(authority, version=version)) as tls:
        tls.sendall(data(b"one") + data(b"two"))
        wait_until(lambda: [one.frames for one in stage.tap.status().connections] == [2])
        assert stage.recorder.frames == [b"one", b"two"]
        (status,) = stage.tap.status().connections
        assert (status.state, status.frames, status.listener.startswith("tls://")) == ("streaming", 2, True)
        tls.sendall(STOP)
        assert receive(tls, len(FINISH) + 1) == FINISH
        tls.unwrap().close()
    wait_until(lambda: not stage.tap.status().connections)
    assert stage.troubles() == {}


def test_all_in_one_write_and_goodbye(stage, authority):
    with secured(stage, client(authority)) as tls:
        tls.sendall(START + data(b"one"))
        with pytest.raises((ssl.SSLError, OSError)):  # our side closes without one
            tls.unwrap()
    wait_until(lambda: stage.recorder.frames == [b"one"] and not stage.tap.status().connections)
    assert stage.troubles() == {}


def test_frames_of_every_size(stage, authority):
    """Records of 16 KiB, records of one byte, and frames that outgrow the buffer: nothing stays behind."""
    sizes = [1, 5, 16_383, 16_384, 16_385, 65_531, 65_532, 65_533, 131_072, 200_000, 3]
    frames = [bytes([number]) * size for number, size in enumerate(sizes)]
    with sender(stage, client(authority)) as tls:
        for byte in data(b"bytes"):
            tls.sendall(bytes([byte]))
        tls.sendall(b"".join(map(data, frames)) * 5)
        wait_until(lambda: stage.recorder.frames == [b"bytes", *frames * 5], "all frames")
    assert stage.troubles() == {}


def test_more_than_the_buffer_has_room_for(stage, authority):
    """The rest of a frame and the whole next one come in one record, then nothing: no event tells of what is left."""
    first, second = data(b"1" * 65_000), data(b"2" * 10_000)
    with sender(stage, client(authority)) as tls:
        tls.sendall(first[:60_000])
        wait_until(lambda: stage.tap.status().connections[0].bytes >= 60_000)
        rest = first[60_000:] + second
        assert BUFFER_BYTES - 60_000 < len(rest) < 16_384
        tls.sendall(rest)
        wait_until(lambda: [len(frame) for frame in stage.recorder.frames] == [65_000, 10_000])


def test_many_small_records(stage, authority):
    with sender(stage, client(authority)) as tls:
        for _ in range(5000):
            tls.sendall(data(b"x" * 100))
        wait_until(lambda: len(stage.recorder.frames) == 5000)
    assert stage.troubles() == {}


def test_plain_and_tls_side_by_side(tmp_path, keys, authority):
    plain = f"tcp://127.0.0.1:{free_port()}"
    keys["listen"] = [keys["listen"], plain, str(tmp_path / "tap.sock")]
    with Stage(tmp_path, **keys) as stage:
        stage.listening()
        with sender(stage, client(authority)) as tls:
            tls.sendall(data(b"tls"))
            wait_until(lambda: stage.recorder.frames == [b"tls"])
        for number, address in enumerate(stage.config.listen[1:], 2):
            with stage.sender(address) as sock:
                sock.sendall(data(b"plain"))
                wait_until(lambda number=number: len(stage.recorder.frames) == number)


# -- client certificates


@pytest.fixture
def choosy(tmp_path, keys, authority):
    with Stage(tmp_path, tls_client_ca=str(authority.cert), **keys) as stage:
        yield stage.listening()


def test_a_client_certificate(choosy, authority, theirs):
    with sender(choosy, client(authority, theirs)) as tls:
        tls.sendall(data(b"one"))
        wait_until(lambda: choosy.recorder.frames == [b"one"])
    assert choosy.troubles() == {}


STRANGERS = {
    "nobody": (lambda _authority, _folder: None, "it has no certificate"),
    "stranger": (lambda _, folder: Authority(folder / "other").issue("stranger"), "unable to get local issuer"),
    "a server": (lambda authority, _: authority.issue("server", "-addext", "extendedKeyUsage=serverAuth"), "purpose"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", STRANGERS)
def test_others_are_not_let_in(choosy, authority, tmp_path, version, who):
    make, word = STRANGERS[who]
    with contextlib.suppress(OSError), secured(choosy, client(authority, make(authority, tmp_path), version)) as tls:
        tls.sendall(READY + START + data(b"never"))
        assert is_closed(tls)
    assert word in choosy.trouble(Fault.TLS_CERTIFICATE)
    assert choosy.recorder.frames == []
    wait_until(lambda: not choosy.tap.status().connections)


# -- what goes wrong


def test_a_plain_sender(stage):
    with stage.connect() as sock:
        sock.sendall(READY)
        sock.recv(100)  # the alert
        assert is_closed(sock)
    assert "speaks no TLS" in stage.trouble(Fault.TLS_HANDSHAKE)


def test_a_browser(stage):
    with stage.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.recv(100)
        assert is_closed(sock)
    assert "HTTP" in stage.trouble(Fault.TLS_HANDSHAKE)


def hello_of(authority):
    """The first message of a client that goes no further."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_a_sender_waits_for_no_flood_of_handshakes(tmp_path, keys, authority, monkeypatch):
    """The attack: whoever reaches the port has the tap do some ms of arithmetic, again and again."""
    monkeypatch.setattr(senders, "HEAVY_TURN_S", 0.0)  # each handshake takes longer
    steps, begun, may_go = [], [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]
    shake = TlsWire._shake_hands

    def slow(wire):
        steps.append(wire)
        if len(steps) <= 2:
            begun[len(steps) - 1].set()
            assert may_go[len(steps) - 1].wait(DEADLINE_S)
        shake(wire)

    monkeypatch.setattr(TlsWire, "_shake_hands", slow)
    with Stage(tmp_path, **keys | {"listen": [keys["listen"], str(tmp_path / "tap.sock")]}) as stage:
        stage.listening()
        hello = hello_of(authority)
        with contextlib.ExitStack() as held:
            strangers = [held.enter_context(stage.connect()) for _ in range(10)]
            resolver = held.enter_context(stage.sender(stage.config.listen[1]))
            wait_until(lambda: len(stage.tap.status().connections) == 11)
            observe, took = stage.recorder.observe, []

            def noted(sightings, rules):
                took.append(len(steps))
                observe(sightings, rules)

            monkeypatch.setattr(stage.recorder, "observe", noted)
            strangers[0].sendall(hello)
            assert begun[0].wait(DEADLINE_S)
            for stranger in strangers[1:]:
                stranger.sendall(hello)
            may_go[0].set()
            assert begun[1].wait(DEADLINE_S)
            resolver.sendall(data(b"resolver"))  # while the tap is at the first of nine that are ready
            may_go[1].set()
            wait_until(lambda: stage.recorder.frames == [b"resolver"])
            assert took[0] <= 3
            wait_until(lambda: len(steps) >= 10, "all come to their turn")


def test_a_sender_that_does_not_trust_us(stage, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError), secured(stage, client(Authority(tmp_path / "other"))):
        pass
    assert "does not accept our certificate, tls_cert (unknown ca)" in stage.trouble(Fault.TLS_CERTIFICATE)


def test_no_dnstap_in_tls(stage, authority):
    with secured(stage, client(authority)) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_closed(tls)
    assert "HTTP" in stage.trouble(Fault.HTTP)


def test_bytes_that_break_the_encryption(stage, authority):
    """The frames before the broken record still count."""
    with sender(stage, client(authority)) as tls:
        tls.sendall(data(b"one"))
        raw = socket.socket(fileno=tls.detach())
        with raw:
            raw.settimeout(DEADLINE_S)
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            raw.recv(1000)
            assert is_closed(raw)
    assert "TLS failed" in stage.trouble(Fault.TLS_HANDSHAKE)
    assert stage.recorder.frames == [b"one"]


def test_silent_and_slow_ones_disturb_nobody(tmp_path, keys, authority):
    with Stage(tmp_path, handshake_timeout="2s", **keys) as stage, contextlib.ExitStack() as stack:
        stage.listening()
        silent = [stack.enter_context(stage.connect()) for _ in range(20)]
        slow = [stack.enter_context(stage.connect()) for _ in range(20)]
        for sock in slow:
            sock.sendall(b"\x16\x03\x01\x02\x00")  # the head of a hello that never comes
        with sender(stage, client(authority)) as tls:
            tls.sendall(data(b"one"))
            wait_until(lambda: stage.recorder.frames == [b"one"])
            for sock in silent + slow:
                assert is_closed(sock)
            tls.sendall(data(b"two"))
            wait_until(lambda: stage.recorder.frames == [b"one", b"two"])
        assert stage.troubles() == {Fault.SILENT: 20, Fault.SLOW: 20}


def test_a_flood_of_handshakes(stage, authority):
    """Half of them leave in the middle; a sender that streams meanwhile loses nothing."""
    context = client(authority)
    with sender(stage, context) as tls:
        for number in range(40):
            with stage.connect() as sock:
                half, out = ssl.MemoryBIO(), ssl.MemoryBIO()
                hello = context.wrap_bio(half, out, server_hostname="127.0.0.1")
                with contextlib.suppress(ssl.SSLWantReadError):
                    hello.do_handshake()
                sock.sendall(out.read())
                tls.sendall(data(bytes([number])))
        wait_until(lambda: len(stage.recorder.frames) == 40)
    wait_until(lambda: not stage.tap.status().connections)


class FullSocket:
    """Its sender says hello and reads nothing."""

    def __init__(self, hello):
        self.hello = hello

    def setsockopt(self, *_):
        pass

    def recv(self, _):
        return self.hello

    def send(self, data):
        return len(data) - 1


def test_one_that_never_reads(tmp_path, keys, authority):
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client(authority).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1").do_handshake()
    stand_in: Any = FullSocket(hello.read())
    wire = TapTls(config(tmp_path, **keys)).wire(stand_in)
    with pytest.raises(OSError, match="does not take what we send"):
        wire.recv_into(memoryview(bytearray(100)))


# -- the files


def test_a_key_in_the_certificates_file(tmp_path, keys, ours, authority):
    both = tmp_path / "both.pem"
    both.write_bytes(ours.cert.read_bytes() + ours.key.read_bytes())
    with Stage(tmp_path, listen=keys["listen"], tls_cert=str(both)) as stage, stage.listening().connect() as sock:
        client(authority).wrap_socket(sock, server_hostname="127.0.0.1").close()


def with_passphrase(key, bad):
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", bad], check=True)


BEGIN = "-----BEGIN {}-----\nMIIB\n"
BROKEN = {  # which key of the file, what is in the file that it names, and what is said of it
    "missing": ("tls_cert", lambda _, __: None, "No such file"),
    "folder": ("tls_key", lambda bad, _: bad.mkdir(), "is no file"),
    "empty": ("tls_cert", lambda bad, _: bad.touch(), "holds no certificate"),
    "swapped": ("tls_key", lambda bad, ours: bad.write_bytes(ours.cert.read_bytes()), "holds no private key"),
    "half": ("tls_cert", lambda bad, _: bad.write_text(BEGIN.format("CERTIFICATE")), "a certificate can't be read"),
    "half a key": ("tls_key", lambda bad, _: bad.write_text(BEGIN.format("PRIVATE KEY")), "the key can't be used"),
    "another's key": ("tls_key", lambda bad, _: Authority(bad.parent / "x").key.rename(bad), "the key is not that of"),
    "passphrase": ("tls_key", lambda bad, ours: with_passphrase(ours.key, bad), "the key has a passphrase"),
    "no authority": ("tls_client_ca", lambda bad, _: bad.write_text("to come"), "holds no certificate"),
}


@pytest.fixture(params=BROKEN)
def broken(request, tmp_path, keys, ours):
    """Keys of which one names a file that can't be used, and what the message must say."""
    key, make, text = BROKEN[request.param]
    make(bad := tmp_path / "bad.pem", ours)
    return keys | {key: str(bad)}, f"{key} {bad}: {text}"


def test_a_broken_file_closes_only_its_listener(tmp_path, broken):
    keys, text = broken
    keys["listen"] = [keys["listen"], str(tmp_path / "tap.sock")]
    with Stage(tmp_path, **keys) as stage:
        wait_until(lambda: stage.tap.status().listeners[1].problem is None)
        assert text in wait_until(lambda: stage.tap.status().listeners[0].problem)
        with stage.sender(stage.config.listen[1]) as sock:
            sock.sendall(data(b"one"))
            wait_until(lambda: stage.recorder.frames == [b"one"])


def test_a_broken_new_file_keeps_the_old(stage, broken, tmp_path, authority):
    keys, text = broken
    (told,) = stage.tap.rebind(config(tmp_path, **keys))
    assert text in told
    assert "stays in use" in told
    time.sleep(0.01)  # gives a wrong rebind its chance
    with sender(stage, client(authority)) as tls:
        tls.sendall(data(b"one"))
        wait_until(lambda: stage.recorder.frames == [b"one"])


def test_a_file_that_comes_later(tmp_path, keys, ours, authority):
    later = tmp_path / "later.pem"
    with Stage(tmp_path, **keys | {"tls_cert": str(later)}) as stage:
        wait_until(lambda: "later.pem" in (stage.tap.status().listeners[0].problem or ""))
        later.write_bytes(ours.cert.read_bytes())
        with sender(stage.listening(), client(authority)):
            pass


def test_a_new_certificate_is_in_use_after_a_reload(stage, keys, tmp_path, authority):
    old = client(authority)
    with sender(stage, old) as standing:
        renewed = Authority(tmp_path / "renewed", "renewed")
        made = renewed.issue("new")
        keys |= {"tls_cert": str(made.cert), "tls_key": str(made.key)}
        assert stage.tap.rebind(config(tmp_path, **keys)) == []

        def accepted():
            with contextlib.suppress(ssl.SSLCertVerificationError), sender(stage, client(renewed)):
                return True

        wait_until(accepted, "the new certificate")
        standing.sendall(data(b"stays"))  # who is connected, stays
        wait_until(lambda: stage.recorder.frames == [b"stays"])
        with pytest.raises(ssl.SSLCertVerificationError), secured(stage, old):
            pass


def test_from_plain_to_tls_and_back(tmp_path, keys, authority):
    plain = config(tmp_path, listen=keys["listen"])
    with Stage(tmp_path, listen=keys["listen"]) as stage:
        with stage.listening().sender() as sock:
            assert stage.tap.rebind(config(tmp_path, **keys)) == []
            wait_until(lambda: stage.tap.status().listeners[0].address.startswith("tls://"))
            stage.listening()
            with sender(stage, client(authority)) as tls:
                tls.sendall(data(b"tls"))
                wait_until(lambda: stage.recorder.frames == [b"tls"])
                sock.sendall(data(b"plain"))
                wait_until(lambda: stage.recorder.frames == [b"tls", b"plain"])
                stage.tap.rebind(plain)
                wait_until(lambda: not stage.tap.status().listeners[0].address.startswith("tls://"))
                stage.listening()
                tls.sendall(data(b"still"))
                wait_until(lambda: stage.recorder.frames[2:] == [b"still"])
        with stage.sender():
            pass


def test_ssl_is_not_loaded_for_plain_listeners(tmp_path):
    program = """
import sys
from dnstap_bgp.config.tables import DnstapTable
from dnstap_bgp.workers.tap import tap
config = DnstapTable.model_validate({"listen": "/x.sock"}, context={}).settings()
made = tap.Tap(config, None, None, None)
made.close()
assert "ssl" not in sys.modules
assert "dnstap_bgp.workers.net.tls" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)}, cwd=tmp_path)
