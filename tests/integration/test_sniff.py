"""Answers off the wire in place of DNSTap: dnsmasq, unbound as its upstream, forged answers, fragments, VLANs."""

import json
import os
import random
import socket
import subprocess
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rrset
import pytest

from tests.core.sniff.wire import fragments4, ipv4, ipv6, udp
from tests.integration.lab import HOST_V4, HOST_V6, Daemon, Lab, Namespace, becomes, eventually
from tests.integration.routers import Bird, Session
from tests.integration.speaker import COMMAND, ENVIRONMENT, Speaker, command_line
from tests.workers.tap.certificates import Authority

pytestmark = [pytest.mark.netns, pytest.mark.real("bird", "birdc", "dnsmasq", "ip")]

RECORDS = "".join(f"host-record=n{number}.listed.example,11.1.1.{number},2600::{number}\n" for number in range(1, 100))


@pytest.fixture
def bird(lab: Lab) -> Bird:
    bird = Bird(lab, Session(2))
    bird.start()
    return bird


@pytest.fixture
def speaker(lab: Lab, bird: Bird) -> Speaker:
    speaker = Speaker(lab, [bird.session], ["listed.example"])
    speaker.start()
    return speaker


@pytest.fixture
def dnsmasq(lab: Lab) -> Daemon:
    """A resolver on the host, which the router namespace asks."""
    conf = lab.folder / "dnsmasq.conf"
    conf.write_text(
        f"no-daemon\nno-resolv\nno-hosts\nuser=root\nbind-interfaces\nlisten-address={HOST_V4},{HOST_V6}\n{RECORDS}"
        f"host-record=big.listed.example,{','.join(f'11.2.{n >> 8}.{n & 255}' for n in range(1, 3))}\n"
    )
    argv = ["dnsmasq", "-C", str(conf), "-k", "--pid-file="]
    return lab.start("dnsmasq", argv, lab.host)


def sniffing(lab: Lab, speaker: Speaker, *more: str, interface: str = "any", where: Namespace | None = None) -> Daemon:
    words = ["sniff", "--interface", interface, "--server", HOST_V4, "--server", HOST_V6, "--config", str(speaker.path)]
    daemon = lab.start("sniff", [*COMMAND, *words, *more], where or lab.host, ENVIRONMENT)
    eventually(lambda: "takes frames" in daemon.text(), 20, "the sniffer is connected")
    return daemon


def ask(lab: Lab, name: str, kind: str = "A", *, tcp: bool = False, server: str = HOST_V4) -> dns.message.Message:
    """Ask from the router namespace, as a client does."""
    query = dns.message.make_query(name, kind)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET

    def answered() -> dns.message.Message | None:
        with lab.router.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            try:
                sock.connect((server, 53))
                if tcp:
                    dns.query.send_tcp(sock, query)
                    return dns.query.receive_tcp(sock)[0]
                sock.send(query.to_wire())
                return dns.message.from_wire(sock.recv(65535))
            except OSError:
                return None

    found = eventually(answered, 20, f"an answer for {name}")
    assert found is not None
    return found


@pytest.mark.usefixtures("dnsmasq")
def test_dnsmasq_over_udp_tcp_and_ipv6(lab: Lab, speaker: Speaker, bird: Bird):
    sniffing(lab, speaker)
    ask(lab, "n1.listed.example")
    ask(lab, "n2.listed.example", "AAAA", server=HOST_V6)
    ask(lab, "n3.listed.example", tcp=True)
    ask(lab, "n4.listed.example", "AAAA")
    expected = {"11.1.1.1/32", "2600::2/128", "11.1.1.3/32", "2600::4/128"}
    becomes(bird.prefixes, expected, 20, "routes of answers off the wire")
    eventually(lambda: counters(speaker)["answers"] >= 4, 20, "they are counted")


@pytest.mark.usefixtures("dnsmasq")
def test_forged_answers_are_not_believed(lab: Lab, speaker: Speaker, bird: Bird):
    daemon = sniffing(lab, speaker)
    query = dns.message.make_query("forged.listed.example", "A")  # dnsmasq knows none of this name
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("forged.listed.example.", 300, "IN", "A", "11.66.6.6"))
    with raw(lab) as sock:  # from the router's side, in the server's name, whole and in fragments; with its question
        datagram = udp(53, 4000, response.to_wire())
        for _ in range(200):
            sock.sendto(ipv4(HOST_V4, HOST_V4, 17, udp(4000, 53, query.to_wire())), (HOST_V4, 0))
            sock.sendto(ipv4("10.99.0.2", HOST_V4, 17, udp(4000, 53, query.to_wire())), (HOST_V4, 0))
            sock.sendto(ipv4(HOST_V4, "10.99.0.2", 17, datagram), (HOST_V4, 0))
            for piece in (*fragments4(HOST_V4, HOST_V4, datagram, 2000), *fragments4(HOST_V4, HOST_V4, datagram, 64)):
                sock.sendto(piece, (HOST_V4, 0))
    ask(lab, "n2.listed.example")
    becomes(bird.prefixes, {"11.1.1.2/32"}, 20, "only what was answered")
    eventually(lambda: counters(speaker)["unasked"] >= 200, 20, "the forged ones are counted")
    assert daemon.alive()
    assert bird.prefixes() == {"11.1.1.2/32"}


@pytest.mark.usefixtures("dnsmasq")
def test_of_a_resolver_elsewhere_an_answer_counts_where_its_question_left(lab: Lab, speaker: Speaker, bird: Bird):
    """Captured where the client is: its question leaves, and what is forged comes in with its question."""
    sniffing(lab, speaker, where=lab.router)
    query = dns.message.make_query("forged.listed.example", "A")
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("forged.listed.example.", 300, "IN", "A", "11.66.6.6"))
    with lab.host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        for _ in range(100):
            sock.sendto(ipv4("10.99.0.2", HOST_V4, 17, udp(4000, 53, query.to_wire())), ("10.99.0.2", 0))
            sock.sendto(ipv4(HOST_V4, "10.99.0.2", 17, udp(53, 4000, response.to_wire())), ("10.99.0.2", 0))
    ask(lab, "n1.listed.example")
    ask(lab, "n2.listed.example", tcp=True)
    becomes(bird.prefixes, {"11.1.1.1/32", "11.1.1.2/32"}, 20, "only what was asked for")
    eventually(lambda: unasked_or_lost(speaker) >= 100, 20, "the forged ones are counted")
    assert bird.prefixes() == {"11.1.1.1/32", "11.1.1.2/32"}


def test_a_big_answer_in_fragments(lab: Lab, speaker: Speaker, bird: Bird):
    sniffing(lab, speaker)
    response, texts = big_answer()
    with lab.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST_V4, 53))

        def sent() -> bool:
            sock.sendto(response, ("10.99.0.2", 4000))
            return len(bird.prefixes()) > 0

        eventually(sent, 20, "the first route")
    becomes(bird.prefixes, {f"{text}/32" for text in texts}, 20, "all of a fragmented answer")


@pytest.mark.parametrize("tags", [b"\x81\x00\x00\x07", b"\x88\xa8\x20\x09\x81\x00\x60\x07"], ids=["one", "two"])
def test_below_vlan_tags(lab: Lab, speaker: Speaker, bird: Bird, tags: bytes):
    """Question and answer of others pass by with VLAN tags, as at a port that mirrors a switch."""
    others = "192.0.2.53"
    sniffing(lab, speaker, "--mirror", "--server", others, interface="to-router")
    response, texts = big_answer()
    question = udp(4000, 53, dns.message.make_query("big.listed.example", "A", id=9).to_wire())
    packets = [
        ipv4("10.99.0.3", others, 17, question),
        *fragments4(others, "10.99.0.3", udp(53, 4000, response), 1400),
    ]
    with lab.router.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("to-host", 0))

        def sent() -> bool:
            for packet in packets:
                sock.send(b"\xff" * 6 + b"\x02\0\0\0\0\1" + tags + b"\x08\x00" + packet)
            return len(bird.prefixes()) > 0

        eventually(sent, 20, "the first route")
    becomes(bird.prefixes, {f"{text}/32" for text in texts}, 20, "the answer below tags")


def big_answer() -> tuple[bytes, list[str]]:
    """An answer of more than one packet, and its addresses."""
    response = dns.message.make_response(dns.message.make_query("big.listed.example", "A", id=9))
    texts = [f"11.2.{number >> 8}.{number & 255}" for number in range(1, 201)]
    response.answer.append(dns.rrset.from_text_list("big.listed.example.", 300, "IN", "A", texts))
    return response.to_wire(max_size=65535), texts


@pytest.mark.usefixtures("dnsmasq")
def test_the_capture_survives_its_tap_and_gives_up_what_it_need_not_have(lab: Lab, speaker: Speaker, bird: Bird):
    daemon = sniffing(lab, speaker)
    pid = sniffer_pid(lab)
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    ask(lab, "n1.listed.example")
    becomes(bird.prefixes, {"11.1.1.1/32"}, 20, "the first route")
    speaker.stop()
    eventually(lambda: "no frame is sent until" in daemon.text(), 20, "it is told, though nobody asks")
    ask(lab, "n2.listed.example")
    speaker.start()
    becomes(bird.prefixes, {"11.1.1.1/32", "11.1.1.2/32"}, 30, "what was answered while the tap was away")
    assert daemon.alive()
    eventually(lambda: counters(speaker)["sent"] >= 2 and not counters(speaker)["lost_frames"], 20, "none is lost")


@pytest.mark.long
def test_behind_a_forwarder_an_answer_counts_once(lab: Lab, speaker: Speaker, bird: Bird):
    """dnsmasq on the host asks another one in the router's namespace: both ways of an answer pass the capture."""
    records = "host-record=one.listed.example,11.1.1.1\nhost-record=two.listed.example,11.1.1.2\n"
    common = "no-daemon\nno-resolv\nno-hosts\nuser=root\nbind-interfaces\n"
    for name, where, lines in (
        ("upstream", lab.router, f"listen-address=10.99.0.3\n{records}"),
        ("forwarder", lab.host, f"listen-address={HOST_V4}\nserver=10.99.0.3\n"),
    ):
        (lab.folder / f"{name}.conf").write_text(common + lines)
        lab.start(name, ["dnsmasq", "-C", str(lab.folder / f"{name}.conf"), "-k", "--pid-file="], where)
    sniffing(lab, speaker)
    for name in ("one", "two", "one"):
        ask(lab, f"{name}.listed.example")
    becomes(bird.prefixes, {"11.1.1.1/32", "11.1.1.2/32"}, 20, "routes of what the forwarder answered")
    eventually(lambda: counters(speaker)["answers"] >= 3, 20, "they are counted")
    found = counters(speaker)
    assert found["answers"] == 3, "the upstream is no configured server"
    assert found["unasked"] == 0


@pytest.mark.long
@pytest.mark.usefixtures("dnsmasq")
def test_a_flood_costs_no_answer_that_comes_after_it(lab: Lab, speaker: Speaker, bird: Bird):
    daemon = sniffing(lab, speaker)
    chance = random.Random(1)
    with lab.router.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("to-host", 0))
        for number in range(30_000):
            junk = udp(chance.choice((53, 4000)), 53, chance.randbytes(chance.randrange(200)))
            source = HOST_V4 if number % 2 else "10.99.0.4"
            sock.send(b"\xff" * 6 + b"\x02\0\0\0\0\1\x08\x00" + ipv4(source, HOST_V4, 17, junk))
    ask(lab, "n7.listed.example")
    becomes(bird.prefixes, {"11.1.1.7/32"}, 20, "the answer after the flood")
    eventually(
        lambda: counters(speaker)["packets"] + counters(speaker)["lost_packets"] >= 30_000, 20, "all are counted"
    )
    assert daemon.alive()


@pytest.mark.long
@pytest.mark.usefixtures("dnsmasq")
@pytest.mark.real("openssl")
def test_to_a_tap_that_speaks_tls_and_asks_for_a_certificate(lab: Lab, bird: Bird):
    authority = Authority(lab.folder / "tls")
    ours, theirs = authority.issue("tap"), authority.issue("sniff")
    tls = {"tls_cert": str(ours.cert), "tls_key": str(ours.key), "tls_client_ca": str(authority.cert)}
    speaker = Speaker(lab, [bird.session], ["listed.example"], dnstap=tls)
    speaker.config["dnstap"] = {**tls, "listen": [str(speaker.tap), "127.0.0.1:6000"]}
    speaker.write()
    speaker.start()
    words = ["--to", "127.0.0.1:6000", "--tls-ca", str(authority.cert)]
    stranger = lab.start(
        "stranger", [*COMMAND, "sniff", "--interface", "any", "--server", HOST_V4, *words], lab.host, ENVIRONMENT
    )
    eventually(lambda: "no frame is sent until" in stranger.text(), 20, "who shows no certificate is not let in")
    stranger.stop()
    sniffing(lab, speaker, *words, "--tls-cert", str(theirs.cert), "--tls-key", str(theirs.key))
    ask(lab, "n5.listed.example")
    becomes(bird.prefixes, {"11.1.1.5/32"}, 20, "an answer by TLS")


@pytest.mark.long
@pytest.mark.usefixtures("dnsmasq")
def test_what_a_router_passes_on_in_its_own_name_makes_no_route(lab: Lab, speaker: Speaker, bird: Bird):
    """Linux forwards IPv6 packets that have one of its own addresses as source, also back to where they came from."""
    lab.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    sniffing(lab, speaker)
    query = dns.message.make_query("forged.listed.example", "A")
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("forged.listed.example.", 300, "IN", "A", "11.66.6.6"))
    host = bytes.fromhex(lab.host.run("cat", "/sys/class/net/to-router/address").strip().replace(":", ""))
    with lab.router.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("to-host", 0))
        for port in range(4000, 4100):
            for packet in (
                ipv6("fd99::2", HOST_V6, 17, udp(port, 53, query.to_wire())),
                ipv6(HOST_V6, "fd99::2", 17, udp(53, port, response.to_wire())),
            ):
                sock.send(host + b"\x02\0\0\0\0\1\x86\xdd" + packet)
    ask(lab, "n1.listed.example", server=HOST_V6)
    becomes(bird.prefixes, {"11.1.1.1/32"}, 20, "only what was answered")
    eventually(lambda: counters(speaker)["unasked"] >= 100, 20, "the forged ones are counted")
    assert bird.prefixes() == {"11.1.1.1/32"}


@pytest.mark.long
def test_forged_fragments_complete_no_answer(lab: Lab, speaker: Speaker, bird: Bird):
    """From the clients' side, with the identification that the server's next answer has, and before that."""
    sniffing(lab, speaker)
    response, texts = big_answer()
    with lab.host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as server, raw(lab) as forger:
        for number in range(50):
            data = udp(53, 4000 + number, response)
            *_, last = fragments4(HOST_V4, "10.99.0.2", data.replace(b"\x0b\x02", b"\x0b\x42"), 1400, number)
            forger.sendto(last, (HOST_V4, 0))
            for piece in fragments4(HOST_V4, "10.99.0.2", data, 1400, number):
                server.sendto(piece, ("10.99.0.2", 0))
    becomes(bird.prefixes, {f"{text}/32" for text in texts}, 20, "what the server has sent")


@pytest.mark.long
def test_another_vlan_of_a_trunk_is_another_side(lab: Lab, speaker: Speaker, bird: Bird):
    """Clients in VLAN 7 and the server in VLAN 8 of one interface, which is captured itself."""
    others = "192.0.2.53"
    sniffing(lab, speaker, "--server", others, interface="to-router")
    query = dns.message.make_query("n.listed.example", "A", id=9)
    ask = ipv4("10.99.0.3", others, 17, udp(4000, 53, query.to_wire()))

    def answer(address: str) -> bytes:
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text("n.listed.example.", 300, "IN", "A", address))
        packet: bytes = ipv4(others, "10.99.0.3", 17, udp(53, 4000, response.to_wire()))
        return packet

    with (
        lab.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as out,
        lab.router.socket(socket.AF_PACKET, socket.SOCK_RAW) as into,
    ):
        out.bind(("to-router", 0))
        into.bind(("to-host", 0))

        def sent() -> bool:
            for sock, vlan, packet in (
                (into, 7, ask),
                (out, 8, ask),
                (into, 7, answer("11.66.6.6")),
                (into, 8, answer("11.1.1.1")),
            ):
                head = b"\xff" * 6 + b"\x02\0\0\0\0\1\x81\x00\x00" + bytes([vlan]) + b"\x08\x00"
                sock.send(head + packet)
            return len(bird.prefixes()) > 0

        eventually(sent, 20, "the first route")
    becomes(bird.prefixes, {"11.1.1.1/32"}, 20, "what comes from the server's side")


def test_who_may_not_capture_is_told(lab: Lab):
    words = ["sniff", "--interface", "nope", "--server", HOST_V4, "--to", str(lab.folder / "tap.sock")]
    done = subprocess.run(
        lab.host.argv(*COMMAND, *words), env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "interface nope: there is none" in done.stderr) == (1, True), done.stderr


def raw(lab: Lab) -> socket.socket:
    sock = lab.router.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    return sock


def counters(speaker: Speaker) -> dict[str, Any]:
    paths = [*speaker.runtime_dir.glob("sniff-*.json")]
    assert paths, "no status of the sniffer yet"
    found: dict[str, Any] = json.loads(paths[0].read_text())
    return found


def unasked_or_lost(speaker: Speaker) -> int:
    found = counters(speaker)
    return int(found["unasked"]) + int(found["lost_packets"])


def sniffer_pid(lab: Lab) -> int:
    return next(pid for pid in lab.host.pids() if b"\0sniff\0" in command_line(pid))
