"""Real senders, set up as people set them up by mistake."""

import contextlib
import subprocess
import threading
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.ports import free_port
from tests.workers.doctor.scene import Scene
from tests.workers.tap.test_tap_real import answers, named, resolver, unbound

CAPTURE = Path(__file__).parents[3] / "plugin/dnstap_bgp/demo/capture.fstrm"

DNSDIST = """\
setLocal("127.0.0.1:{port}")
newServer({{address="127.0.0.1:{backend}", healthCheckMode="up"}})
logger = newRemoteLogger("127.0.0.1:{tap}")
addResponseAction(AllRule(), RemoteLogResponseAction(logger))
"""

RECURSOR_LUA = """\
dnstapFrameStreamServer({{"{tap}"}}, {{logQueries=true, logResponses=true, flushTimeout=1, inputQueueSize=512}})
"""


@pytest.fixture
def questions():
    """Asks a resolver one name after the other until the test ends; gives a function that takes its port."""
    stopping = threading.Event()
    threads = []

    def ask(port, name):
        number = 0
        while not stopping.is_set():
            number += 1
            with contextlib.suppress(OSError, dns.exception.DNSException):
                dns.query.udp(dns.message.make_query(name.format(number), "A"), "127.0.0.1", 0.5, port)

    def begin(port, name="n{}.example"):
        threads.append(threading.Thread(target=ask, args=(port, name)))
        threads[-1].start()

    yield begin
    stopping.set()
    for thread in threads:
        thread.join(10)


@pytest.mark.real("unbound")
def test_unbound_speaks_tls_unless_told_otherwise(tmp_path):
    port = free_port()
    with Scene(tmp_path, listen=f"127.0.0.1:{port}") as scene, unbound(tmp_path, f"dnstap-ip: 127.0.0.1@{port}"):
        assert "dnstap-tls: no" in scene.finds("sender-tls").advice


@pytest.mark.real("dnsdist", "named")
def test_dnsdist_with_its_own_protocol(tmp_path, questions):
    port, tap = free_port(), free_port()
    with Scene(tmp_path, listen=f"127.0.0.1:{tap}") as scene, named(tmp_path, 'file "unused"') as (_, backend):
        config = tmp_path / "dnsdist.conf"
        config.write_text(DNSDIST.format(port=port, backend=backend, tap=tap))
        with resolver(["dnsdist", "--supervised", "--disable-syslog", "-C", str(config)], port):
            questions(port)
            finding = scene.finds("sender-raw-protobuf")
            assert "newFrameStreamUnixLogger" in finding.advice


@pytest.mark.real("pdns_recursor", "named")
def test_pdns_recursor_has_no_client_response(tmp_path, questions):
    port = free_port()
    with Scene(tmp_path) as scene, named(tmp_path, 'file "unused"') as (_, backend):
        lua = tmp_path / "recursor.lua"
        lua.write_text(RECURSOR_LUA.format(tap=tmp_path / "tap.sock"))
        command = [
            "pdns_recursor",
            f"--config-dir={tmp_path}",
            f"--socket-dir={tmp_path}",
            f"--lua-config-file={lua}",
            f"--forward-zones=example=127.0.0.1:{backend}",
            "--local-address=127.0.0.1",
            f"--local-port={port}",
            "--dont-query=",
            "--daemon=no",
            "--threads=1",
            "--dnssec=off",
            "--security-poll-suffix=",
            "--setuid=",
            "--setgid=",
        ]
        with resolver(command, port):
            questions(port)
            finding = scene.judges("no-client-response", lambda: None)
            assert "RESOLVER_RESPONSE" in finding.text
            assert "pdns-recursor has no CLIENT_RESPONSE" in finding.advice


@pytest.mark.real("unbound")
def test_unbound_whose_client_responses_are_off(tmp_path, questions):
    more = f'dnstap-socket-path: "{tmp_path}/tap.sock"\n  dnstap-log-client-response-messages: no'
    more += "\n  dnstap-log-client-query-messages: yes\n  dnstap-send-version: yes"
    with Scene(tmp_path) as scene, unbound(tmp_path, more) as (_, port):
        questions(port, "a.example")
        finding = scene.judges("no-client-response", lambda: None)
        assert "(unbound 1." in finding.text
        assert "only CLIENT_QUERY" in finding.text
        assert "dnstap-log-client-response-messages: yes" in finding.advice


@pytest.mark.real("fstrm_replay")
def test_a_stream_of_another_content_type(tmp_path):
    with Scene(tmp_path) as scene:
        command = ["fstrm_replay", "-t", "protobuf:other", "-r", str(CAPTURE), "-u", str(tmp_path / "tap.sock")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                assert "protobuf:other" in scene.finds("sender-content-type").text
            finally:
                process.kill()


@pytest.mark.real("unbound")
def test_a_good_sender_has_no_finding(tmp_path, questions):
    with Scene(tmp_path) as scene, unbound(tmp_path, f'dnstap-socket-path: "{tmp_path}/tap.sock"') as (_, port):
        questions(port, "a.example")
        scene.look()
        scene.finds("no-state-file")  # the scene has none
        for _ in range(3):
            assert answers(port)
            kinds = set(scene.look())
            assert not {kind for kind in kinds if kind.startswith(("sender", "no-client", "no-dns", "not-", "quiet"))}
