import base64
import dataclasses
import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.exabgp.config_file import Session, Speaker, render
from dnstap_bgp.errors import HostError

RUN = ("/bin/true", "plugin", "--config", "/etc/dnstap-bgp/dnstap-bgp.toml")

PLAIN = Session(address="192.0.2.2", port=179, local_as=65001, peer_as=65001, router_id="192.0.2.1")

AS_EXABGP_READS_IT = """
import json, sys
from exabgp.configuration.configuration import Configuration
from exabgp.environment import getenv
from exabgp.logger import log
getenv().log.enable = False
log.init(getenv())
configuration = Configuration([sys.argv[1]])
assert configuration.reload(), str(configuration.error)

def plain(value):
    return value if isinstance(value, (bool, int, type(None))) else str(value)

keys = "router-id local-address local-as peer-as passive listen connect hold-time md5-password md5-base64".split()
keys += ["incoming-ttl", "outgoing-ttl", "manual-eor", "adj-rib-out"]
neighbors = {}
for neighbor in configuration.neighbors.values():
    read = {key: plain(neighbor[key]) for key in keys}
    read["families"] = [f"{afi} {safi}" for afi, safi in neighbor.families()]
    read["graceful-restart"] = neighbor["capability"]["graceful-restart"]
    read["api"] = {key: neighbor.api[key] for key in ("processes", "neighbor-changes", "negotiated", "signal")}
    neighbors[str(neighbor["peer-address"]).partition("/")[0]] = read
processes = {
    name: {key: process[key] for key in ("run", "encoder")} for name, process in configuration.processes.items()
}
print(json.dumps({"neighbors": neighbors, "processes": processes}))
"""


def speaker(*sessions, ipv4=True, ipv6=True, graceful_restart=True):
    return Speaker(sessions=sessions, ipv4=ipv4, ipv6=ipv6, graceful_restart=graceful_restart)


def read_by_exabgp(folder, text):
    file = folder / "exabgp.conf"
    file.write_text(text, encoding="ascii")
    for command in (["-m", "exabgp", "validate", str(file)], ["-c", AS_EXABGP_READS_IT, str(file)]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + text
    return json.loads(done.stdout)


def test_what_a_plain_session_looks_like():
    assert render(speaker(PLAIN, ipv6=False), RUN) == (
        "process dnstap {\n"
        "    run /bin/true plugin --config /etc/dnstap-bgp/dnstap-bgp.toml;\n"
        "    encoder json;\n"
        "}\n"
        "\n"
        "neighbor 192.0.2.2 {\n"
        "    router-id 192.0.2.1;\n"
        "    local-address auto;\n"
        "    local-as 65001;\n"
        "    peer-as 65001;\n"
        "    hold-time 180;\n"
        "    manual-eor true;\n"
        "    capability {\n"
        "        route-refresh enable;\n"
        "        graceful-restart 120;\n"
        "    }\n"
        "    family {\n"
        "        ipv4 unicast;\n"
        "    }\n"
        "    api {\n"
        "        processes [ dnstap ];\n"
        "        neighbor-changes;\n"
        "        negotiated;\n"
        "        signal;\n"
        "    }\n"
        "}\n"
    )


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "graceful_restart"),
    [(True, True, True), (True, False, True), (False, True, True), (True, True, False), (False, True, False)],
)
def test_exabgp_understands_every_combination(tmp_path, ipv4, ipv6, graceful_restart):
    sessions = list(every_session())
    text = render(speaker(*sessions, ipv4=ipv4, ipv6=ipv6, graceful_restart=graceful_restart), RUN)
    read = read_by_exabgp(tmp_path, text)
    assert read["processes"] == {"dnstap": {"run": list(RUN), "encoder": "json"}}
    assert len(read["neighbors"]) == len(sessions)
    for session in sessions:
        neighbor = read["neighbors"][session.address]
        assert neighbor["router-id"] == session.router_id
        assert neighbor["local-address"] == session.local_address
        assert (neighbor["local-as"], neighbor["peer-as"]) == (session.local_as, session.peer_as)
        assert neighbor["hold-time"] == session.hold_time_s
        assert neighbor["passive"] is session.passive
        assert neighbor["listen"] == (session.port if session.passive else 0)
        assert neighbor["connect"] == (0 if session.passive or session.port == 179 else session.port)
        assert (neighbor["md5-password"] is not None) == (session.password is not None) == neighbor["md5-base64"]
        assert (neighbor["incoming-ttl"], neighbor["outgoing-ttl"]) == (session.ttl_least, session.ttl_sent)
        assert neighbor["manual-eor"] is graceful_restart
        assert neighbor["graceful-restart"] == (120 if graceful_restart else False)
        assert neighbor["adj-rib-out"] is True
        assert neighbor["families"] == ["ipv4 unicast"] * ipv4 + ["ipv6 unicast"] * ipv6
        events = ("processes", "neighbor-changes", "negotiated", "signal")
        assert neighbor["api"] == {key: ["dnstap"] for key in events}


def every_session():
    combinations = itertools.product(
        (False, True),  # IPv6
        (179, 1790),
        (None, "sesame; } # \"'\\"),
        (180, 0, 3, 65535),
        ((None, None), (255, 255), (None, 3)),
        ("unbound", "bound", "passive"),
    )
    for number, (ipv6, port, password, hold_time_s, (least, sent), source) in enumerate(combinations, 1):
        base = "2001:db8::" if ipv6 else "192.0.2."
        address = f"2001:db8::1:{number:x}" if ipv6 else f"198.51.{number >> 8}.{number & 255}"
        yield Session(
            address=address,
            port=port,
            local_as=4200000000,
            peer_as=65002 if number % 2 else 4200000000,
            router_id="192.0.2.1",
            local_address=None if source == "unbound" else f"{base}1",
            password=password,
            hold_time_s=hold_time_s,
            ttl_least=least,
            ttl_sent=sent,
            passive=source == "passive",
        )


def test_a_password_reaches_exabgp_as_it_is(tmp_path):
    password = "".join(map(chr, range(32, 112)))
    assert len(password) == 80
    text = render(speaker(dataclasses.replace(PLAIN, password=password)), RUN)
    assert password not in text
    assert password not in repr(dataclasses.replace(PLAIN, password=password))
    neighbor = read_by_exabgp(tmp_path, text)["neighbors"][PLAIN.address]
    assert neighbor["md5-base64"] is True
    assert base64.b64decode(neighbor["md5-password"], validate=True).decode() == password


def test_odd_words_of_the_command_arrive_whole(tmp_path):
    program = tmp_path / "a folder; with {odd} [names] #1, (really)"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    run = (str(program), "--config", "/etc/my files/~x%y=1@2;.toml", "a,b", "")
    read = read_by_exabgp(tmp_path, render(speaker(PLAIN), run[:-1]))
    assert read["processes"]["dnstap"]["run"] == list(run[:-1])
    with pytest.raises(HostError):
        render(speaker(PLAIN), run)


@pytest.mark.parametrize("word", ['a"b', "a'b", "a\\b", "a\nb", "a\tb", "\u00e9", "\x00", ""])
def test_words_that_exabgp_can_not_read_are_refused(word):
    with pytest.raises(HostError, match="can't stand in"):
        render(speaker(PLAIN), ("/bin/true", word))


@pytest.mark.parametrize("password", ["", "s\u00e9same", "\udcff"])
def test_passwords_that_no_session_can_have_are_refused_and_not_shown(password):
    with pytest.raises(HostError, match="password") as refusal:
        render(speaker(dataclasses.replace(PLAIN, password=password)), RUN)
    assert not password or password not in str(refusal.value)


@pytest.mark.parametrize("field", ["address", "router_id", "local_address"])
@pytest.mark.parametrize("text", ["192.0.2.1; }", "router.example", "", "fe80::1%a;b"])
def test_what_is_no_address_is_refused(field, text):
    with pytest.raises(HostError, match="no address"):
        render(speaker(dataclasses.replace(PLAIN, **{field: text})), RUN)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_no_input_adds_a_line_or_a_block(word, password):
    plain = render(speaker(dataclasses.replace(PLAIN, password="x")), ("/bin/true", "x"))  # noqa: S106 - a test's
    try:
        text = render(speaker(dataclasses.replace(PLAIN, password=password)), ("/bin/true", word))
    except HostError:
        return
    assert len(text.splitlines()) == len(plain.splitlines())
    assert text.isascii()
