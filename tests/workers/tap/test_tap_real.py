"""Real senders at the tap: their handshakes, their stop, our restart, and unbound's TLS that nobody asked for."""

import contextlib
import subprocess

import dns.message
import dns.query
import pytest

from dnstap_bgp.core.tap.dnstap_pb2 import Frame
from dnstap_bgp.core.tap.framestream import Fault
from tests.ports import free_port
from tests.workers.tap.senders_kit import DEADLINE_S, Stage, wait_until

UNBOUND = """\
server:
  interface: 127.0.0.1
  port: {port}
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  local-data: "a.example. 300 A 11.0.0.1"
remote-control:
  control-enable: no
dnstap:
  dnstap-enable: yes
  dnstap-log-client-response-messages: yes
  {tap}
"""

NAMED = """\
options {{
  directory "{folder}";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnstap {{ client response; }};
  dnstap-output {tap};
}};
controls {{ }};
zone "example" {{ type primary; file "example.zone"; }};
"""

ZONE = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\na A 11.0.0.1\n"


@contextlib.contextmanager
def resolver(command, port):
    """Run a resolver until the block ends; gives the process."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port), "the resolver answers")
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def unbound(folder, tap):
    port = free_port()
    config = folder / "unbound.conf"
    config.write_text(UNBOUND.format(folder=folder, port=port, tap=tap))
    with resolver(["unbound", "-d", "-c", str(config)], port) as process:
        yield process, port


@contextlib.contextmanager
def named(folder, tap):
    port = free_port()
    (folder / "example.zone").write_text(ZONE)
    config = folder / "named.conf"
    config.write_text(NAMED.format(folder=folder, port=port, tap=tap))
    with resolver(["named", "-g", "-c", str(config)], port) as process:
        yield process, port


def answers(port):
    try:
        return bool(dns.query.udp(dns.message.make_query("a.example", "A"), "127.0.0.1", 1.0, port).answer)
    except (OSError, dns.exception.Timeout):
        return False


def responses(stage):
    """CLIENT_RESPONSEs so far."""
    return sum(Frame.FromString(frame).message.type == 6 for frame in stage.recorder.frames)


SENDERS = {
    "unbound-unix": (unbound, lambda path, _: f'dnstap-socket-path: "{path}"', True),
    "unbound-unidirectional": (
        unbound,
        lambda path, _: f'dnstap-socket-path: "{path}"\n  dnstap-bidirectional: no',
        False,
    ),
    "unbound-tcp": (unbound, lambda _, port: f"dnstap-ip: 127.0.0.1@{port}\n  dnstap-tls: no", True),
    "named": (named, lambda path, _: f'unix "{path}"', True),
}


@pytest.mark.real("unbound", "named")
@pytest.mark.parametrize("sender", SENDERS)
def test_frames_come_and_both_sides_may_restart(tmp_path, sender):
    start, tap, bidirectional = SENDERS[sender]
    path, port = tmp_path / "tap.sock", free_port()
    listen = [str(path), f"127.0.0.1:{port}"]
    with contextlib.ExitStack() as stack:
        with Stage(tmp_path, listen=listen) as stage:
            process, dns_port = stack.enter_context(start(tmp_path, tap(path, port)))
            wait_until(lambda: answers(dns_port) and responses(stage), "a frame")
            (status,) = stage.listening().tap.status().connections
            assert status.bidirectional == bidirectional
            assert stage.troubles() == {}
        with Stage(tmp_path, listen=listen) as stage:
            stage.listening()
            wait_until(lambda: answers(dns_port) and responses(stage), "a frame after our restart")
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
            wait_until(lambda: not stage.tap.status().connections, "the end of the connection")
            assert stage.troubles() == {}


@pytest.mark.real("unbound")
def test_unbound_speaks_tls_over_tcp_unless_told_otherwise(tmp_path):
    port = free_port()
    with (
        Stage(tmp_path, listen=f"127.0.0.1:{port}") as stage,
        unbound(tmp_path, f"dnstap-ip: 127.0.0.1@{port}"),
    ):
        assert "dnstap-tls: no" in stage.trouble(Fault.TLS)


@pytest.mark.real("unbound", "named")
@pytest.mark.parametrize("sender", ["unbound-unix", "named"])
def test_a_resolver_ends_in_time_though_we_end_with_it(tmp_path, sender):
    """The machine goes down: both get their SIGTERM at once, and neither may wait for the other."""
    start, tap, _ = SENDERS[sender]
    with Stage(tmp_path) as stage:
        stage.listening()
        with start(tmp_path, tap(tmp_path / "tap.sock", 0)) as (process, dns_port):
            wait_until(lambda: answers(dns_port) and responses(stage), "a frame")
            process.terminate()
            stage.tap.shutdown()
            assert process.wait(DEADLINE_S) == 0
