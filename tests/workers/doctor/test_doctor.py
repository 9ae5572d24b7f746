"""The doctor at a real tap: what it recognises, says once, and takes back; and who can reach a socket."""

import logging
import os
import socket
import stat
import struct

import pytest

from dnstap_bgp.core.doctor.senders import ALONE_S, JUDGED_AFTER_S, QUIET_S, TROUBLE_S
from dnstap_bgp.core.status.report import HoldStatus, HookStatus
from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.workers.doctor import reach
from dnstap_bgp.workers.doctor.doctor import LOOK_S, RECENT_S, REPEAT_S
from tests.integration.tap_sender import response
from tests.ports import free_port
from tests.workers.doctor.scene import Scene
from tests.workers.tap.senders_kit import READY, START, data, is_closed, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def connect(scene):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(scene.config.dnstap.listen[0]))
    return sock


def start(scene):
    sock = connect(scene)
    sock.sendall(START)
    wait_until(lambda: any(one.state == "streaming" for one in scene.tap.status().connections), "a stream")
    return sock


def message(kind, wire=b"", version=b""):
    """A data frame."""
    frame = Frame(type=1)
    frame.message.type = kind
    if wire:
        frame.message.response_message = wire
    more = b"\x12" + bytes([len(version)]) + version if version else b""
    payload = frame.SerializeToString() + more
    return struct.pack("!I", len(payload)) + payload


def test_coredns_without_full(scene):
    with start(scene) as sock:
        frames = message(5, version=b"CoreDNS-1.10.1") + message(6, version=b"CoreDNS-1.10.1")
        finding = scene.judges("no-dns-message", lambda: sock.sendall(frames * 20))
        assert "(CoreDNS-1.10.1)" in finding.text
        assert "`full`" in finding.advice
        assert finding.subject
    wait_until(lambda: "no-dns-message" not in scene.look(), "it is gone with its sender")


def test_samples_are_taken_of_each_sender_alone(tmp_path):
    """One that is well doesn't hide one that isn't, whatever they send together."""
    port = free_port()
    with Scene(tmp_path, listen=f"127.0.0.1:{port}") as scene, socket.create_connection(("127.0.0.1", port)) as well:
        well.sendall(START)
        with socket.create_connection(("127.0.0.1", port)) as wrong:
            wrong.sendall(START)
            # before the clock goes ahead, by which who has said nothing so far would be turned away
            wait_until(lambda: [one.state for one in scene.tap.status().connections] == ["streaming"] * 2, "both")

            def send() -> None:
                well.sendall(message(6, b"dns") * 200)
                wrong.sendall(message(4, b"dns") * 200)

            finding = scene.judges("no-client-response", send)
            assert (
                f"127.0.0.1:{wrong.getsockname()[1]} sends no CLIENT_RESPONSE, only RESOLVER_RESPONSE" in finding.text
            )
            wrong.sendall(message(6, b"dns"))
            wait_until(lambda: "no-client-response" not in scene.look(), "its settings were mended")


def test_bursts_of_queries_with_late_answers_are_well(scene):
    """40 names asked at once, of servers that take their time: each chunk at a look had queries alone once."""
    with start(scene) as sock:
        scene.ahead_s += JUDGED_AFTER_S
        answers = [data(response(f"h{number}.example", f"h{number}.example 60 IN A 203.0.113.{number}"))
                   for number in range(40)]  # fmt: skip
        for burst in range(8):
            sock.sendall(message(5) * 40)
            wait_until(lambda: scene.tap.status().connections[0].frames >= 80 * burst + 40, "the queries")  # noqa: B023
            assert "no-client-response" not in scene.look(), f"burst {burst}"
            for number, answer in enumerate(answers):
                sock.sendall(answer)
                wait_until(lambda: scene.tap.status().connections[0].frames >= 80 * burst + 41 + number, "it")  # noqa: B023
        assert "no-client-response" not in scene.look()


def test_a_sender_whose_answers_stop_is_judged_anew(scene):
    with start(scene) as sock:
        sock.sendall(message(6, b"dns") * 100)
        scene.look()
        for _ in range(3):
            scene.ahead_s += RECENT_S
            sock.sendall(message(5) * 500)
            scene.look()
        assert "only CLIENT_QUERY" in scene.judges("no-client-response", lambda: sock.sendall(message(5) * 500)).text


def test_a_sender_that_says_nothing(scene):
    with start(scene) as sock:
        scene.ahead_s += QUIET_S
        scene.finds("quiet-sender")
        sock.sendall(message(6, b"dns"))
        wait_until(lambda: "quiet-sender" not in scene.look(), "gone")


def test_nobody_is_missed_where_a_hook_stands_in_for_the_tap(tmp_path):
    """A resolver without DNSTap, of which a hook asks: as long as it does."""
    told = 0

    def hold() -> HoldStatus:
        hook = HookStatus("fw", 0, told, 0, {}, None, None, None)
        return HoldStatus(
            is_on=True,
            bound_s=0.05,
            waiting=0,
            late_max_s=0.0,
            listeners=(),
            connections=1,
            refused={},
            counters={},
            hooks=(hook,),
        )

    with Scene(tmp_path, dnstap='[hold]\nlisten = "hold.sock"') as scene:
        scene.hold_is(hold)
        scene.look()
        for _ in range(4):
            told += 1
            scene.ahead_s += RECENT_S / 2
            assert "no-sender" not in scene.look()
        scene.ahead_s += ALONE_S + RECENT_S
        scene.look()
        scene.ahead_s += ALONE_S + RECENT_S
        scene.finds("no-sender")


def test_nobody_connects_and_then_somebody_does(scene):
    scene.look()
    scene.ahead_s += ALONE_S
    assert "ever connected" in scene.finds("no-sender").text
    with start(scene):
        assert "no-sender" not in scene.look()
    wait_until(lambda: not scene.tap.status().connections, "it has left")
    scene.look()
    scene.ahead_s += ALONE_S
    assert "any more" in scene.finds("no-sender").text


def test_a_port_check(scene):
    with connect(scene) as sock:
        assert is_closed(sock)
        scene.finds("sender-silent")
    scene.ahead_s += TROUBLE_S
    assert "sender-silent" not in scene.look()


def test_a_frame_of_something_else(scene):
    with connect(scene) as sock:
        field = b"protobuf:other"
        body = struct.pack("!III", 4, 1, len(field)) + field
        sock.sendall(struct.pack("!II", 0, len(body)) + body)
        assert is_closed(sock)
        assert "protobuf:other" in scene.finds("sender-content-type").text


def test_all_is_refused(scene):
    with start(scene) as sock:
        scene.look()
        for number in range(20):
            sock.sendall(data(response(f"h{number}.example", f"h{number}.example 60 IN A 10.0.0.{number}")))
        wait_until(lambda: scene.keeper.table.admission.refusals.refused["private"] == 20, "all have come")
        finding = scene.finds("all-refused")
        assert "private 20" in finding.text
        assert "guard.allow" in finding.advice


def test_no_next_hop(scene):
    with start(scene) as sock:
        scene.look()
        sock.sendall(data(response("a.example", "a.example 60 IN AAAA 2600::1")))
        assert scene.finds("no-next-hop").subject == "IPv6"


def test_what_is_wrong_is_logged_once(scene, caplog):
    caplog.set_level(logging.INFO, "dnstap_bgp.workers.doctor")
    for _ in range(5):
        with connect(scene) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert is_closed(sock)
        scene.finds("sender-http")
        scene.ahead_s += TROUBLE_S
        wait_until(lambda: "sender-http" not in scene.look(), "gone")
    told = [record.getMessage() for record in caplog.records if "doctor: " in record.getMessage()]
    first, gone = [text for text in told if "HTTP request" in text]
    assert first.endswith("[http] listen is the one for them")
    assert gone.startswith("doctor: no longer so: a DNSTap sender")
    scene.ahead_s += REPEAT_S
    with connect(scene) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_closed(sock)
    scene.finds("sender-http")
    assert "[http] listen" in caplog.records[-1].getMessage()


def test_it_looks_no_more_often_than_it_should(scene):
    calls = []
    status = scene.doctor._status

    def counted():
        calls.append(1)
        return status()

    scene.doctor._status = counted
    scene.doctor.look()
    scene.doctor.look()
    assert len(calls) == 1
    scene.ahead_s += LOOK_S
    scene.doctor.look()
    assert len(calls) == 2


# -- who can reach a socket


@needs_root
def test_a_socket_out_of_reach_of_the_resolver(tmp_path, monkeypatch):
    """`nobody` stands for the resolver: that user is on every system."""
    monkeypatch.setattr(reach, "RESOLVER_USERS", ("nobody", "no-such-user"))
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o700)
    with Scene(folder) as scene:
        assert "socket-permissions" not in scene.look()  # somebody may be about to come
        scene.ahead_s += ALONE_S + 1
        finding = scene.finds("socket-permissions")
        assert finding.subject == f"{folder}/tap.sock"
        assert finding.text.startswith(f"nobody can't connect to {folder}/tap.sock")
        steps = reach.steps(folder / "tap.sock")
        assert [step.path for step in steps][-2:] == [str(folder), f"{folder}/tap.sock"]
        assert stat.S_ISSOCK(steps[-1].mode)
        (account,) = reach.accounts(reach.RESOLVER_USERS)
        assert account.name == "nobody"


def test_a_handshake_is_no_sample(scene):
    with connect(scene) as sock:
        sock.sendall(READY + START)
        wait_until(lambda: any(one.state == "streaming" for one in scene.tap.status().connections), "a stream")
        assert scene.tap.take_samples() == []
        sock.sendall(message(6, b"dns"))
        ((peer, sample),) = wait_until(scene.tap.take_samples, "a sample")
        assert sample == message(6, b"dns")
        (one,) = scene.tap.status().connections
        assert peer == one.peer
