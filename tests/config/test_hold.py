"""`[hold]`: endpoints, margins, the bound, and the rules between them."""

from pathlib import Path

import pytest

from dnstap_bgp.config import Config, HoldConfig, TcpAddress, UdpAddress, UnixAddress, parse
from dnstap_bgp.errors import ConfigError

BASE = 'domains = "d.txt"\nruntime_dir = "/run/x"\n[dnstap]\nlisten = "/run/t.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'


def read(hold: str, bgp: str = "") -> Config:
    return parse((BASE + bgp + "[hold]\n" + hold).encode(), Path("/etc/d.toml"))


def hold_of(hold: str) -> HoldConfig:
    found = read(hold).hold
    assert found is not None
    return found


def wrong(hold: str, bgp: str = "") -> str:
    with pytest.raises(ConfigError) as error:
        read(hold, bgp)
    return str(error.value)


def test_without_the_table_nothing_is_held():
    assert parse(BASE.encode(), Path("/etc/d.toml")).hold is None


def test_every_carrier_has_its_spelling():
    found = hold_of(
        'listen = ["hold.sock", "dgram:/run/d.sock", "udp://127.0.0.1:6053", "udp://[::1]:6053", "192.0.2.10:6054"]\n'
        'reply_folder = "/run/hooks"\ntls_cert = "c.pem"\ntls_client_ca = "ca.pem"\n'
    )
    assert found.listen == (
        UnixAddress(Path("/etc/hold.sock"), "seqpacket"),
        UnixAddress(Path("/run/d.sock"), "dgram"),
        UdpAddress("127.0.0.1", 6053),
        UdpAddress("::1", 6053),
        TcpAddress("192.0.2.10", 6054, tls=True),
    )
    assert [str(one) for one in found.listen] == [
        "/etc/hold.sock",
        "dgram:/run/d.sock",
        "udp://127.0.0.1:6053",
        "udp://[::1]:6053",
        "tls://192.0.2.10:6054",
    ]
    assert (found.takes_datagrams, found.speaks_udp, found.speaks_tls) == (True, True, True)


@pytest.mark.parametrize(
    ("hold", "words"),
    [
        ("", "hold.listen: is missing"),
        ("listen = []", "must not be empty"),
        ('listen = "udp://192.0.2.1:6053"', "no address of loopback"),
        ('listen = "udp://localhost:6053"', "no address of loopback"),
        ('listen = "udp://127.0.0.1"', "neither `host:port`"),
        ('listen = "tcp://192.0.2.1:6054"', "only TLS"),
        ('listen = "192.0.2.1:6054"', "needs tls_cert and tls_client_ca"),
        ('listen = "192.0.2.1:6054"\ntls_cert = "c.pem"', "needs tls_client_ca"),
        ('listen = "h.sock"\ntls_key = "k.pem"', "of no use without tls_cert"),
        ('listen = "dgram:/run/d.sock"', "needs reply_folder"),
        ('listen = ["/run/d.sock", "dgram:/run/d.sock"]\nreply_folder = "/run/h"', "stands here twice"),
        ('listen = "dgram:"\nreply_folder = "/run/h"', "not empty"),
        (f'listen = "/{"x" * 120}.sock"', "at most 107"),
        (f'listen = "dgram:/{"x" * 120}.sock"\nreply_folder = "/run/h"', "at most 107"),
        ('listen = "h.sock"\nmargin = "201ms"', "hold.margin: 201ms is longer than 200ms"),
        ('listen = "h.sock"\nmargin = 3', "needs its unit"),
        ('listen = "h.sock"\nmargins = { "example" = "3ms" }', "no IP address"),
        ('listen = "h.sock"\nmargins = { "192.0.2.1" = "1s" }', "1s is longer than 200ms"),
        ('listen = "h.sock"\nmargins = { "2001:db8::1" = "3ms", "2001:DB8::1" = "4ms" }', "stands here twice"),
        ('listen = "h.sock"\nmargins = "3ms"', "must be a table"),
        ('listen = "h.sock"\ngive_up = "4ms"', "4ms is shorter than 5ms"),
        ('listen = "h.sock"\ngive_up = "300ms"', "300ms is longer than 200ms"),
        ('listen = "h.sock"\nconnections_max = 0', "connections_max"),
    ],
)
def test_mistakes_are_told_with_their_key(hold: str, words: str):
    assert words in wrong(hold)


def test_margins_by_address_come_before_those_of_peers():
    bgp = 'peers = [{ address = "192.0.2.7", margin = "70ms" }, { address = "192.0.2.8", margin = "60ms" }]\n'
    margins = read('listen = "h.sock"\nmargin = "4ms"\nmargins = { "192.0.2.8" = "10ms" }', bgp).margins
    found = [margins.of(address) for address in ("192.0.2.7", "192.0.2.8", "192.0.2.9")]
    assert found == pytest.approx([0.07, 0.01, 0.004])
    assert margins.bound_s == pytest.approx(0.11)


@pytest.mark.parametrize(
    ("hold", "bgp", "keys"),
    [
        ('margin = "40ms"', "", ["hold.margin"]),
        ('margins = { "192.0.2.1" = "40ms" }', "", ['hold.margins."192.0.2.1"']),
        ("", 'peers = [{ address = "192.0.2.7", margin = "40ms" }]\n', ["bgp.peers[0].margin"]),
        (
            'margins = { "192.0.2.7" = "50ms" }',
            'peers = [{ address = "192.0.2.7", margin = "40ms" }]\n',
            ['hold.margins."192.0.2.7"'],
        ),
    ],
)
def test_a_bound_below_a_margin_names_both_keys(hold: str, bgp: str, keys: list[str]):
    told = wrong(f'listen = "h.sock"\ngive_up = "30ms"\n{hold}', bgp)
    assert [f"is below {key} (" in told for key in keys] == [True] * len(keys)
    assert told.count("hold.give_up: 30ms") == len(keys)


def test_the_token_has_a_file():
    assert read('listen = "h.sock"').hold_token_file == Path("/run/x/hold.token")
    assert read('listen = "h.sock"\ntoken_file = "t"').hold_token_file == Path("/etc/t")
