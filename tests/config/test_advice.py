from pathlib import Path

import pytest

from dnstap_bgp.config import parse


def warnings(listen="'/x'", dnstap="", top="", bgp="next_hop = '192.0.2.1'", rest=""):
    text = f"domains = 'x'\n{top}\n[dnstap]\nlisten = {listen}\n{dnstap}\n[bgp]\n{bgp}\n{rest}"
    return parse(text.encode(), Path("/etc/d/d.toml")).warnings


def test_nothing_to_say():
    assert warnings() == ()


@pytest.mark.parametrize("listen", ["'127.0.0.1:6000'", "'[::1]:6000'", "'localhost:6000'", "'/x'"])
def test_loopback_is_safe(listen):
    assert warnings(listen=listen) == ()


@pytest.mark.parametrize("listen", ["':6000'", "'[::]:6000'", "'192.0.2.1:6000'", "'host.example:6000'"])
def test_open_listener(listen):
    (warning,) = warnings(listen=listen)
    assert listen.strip("'").removeprefix(":") in warning
    assert "dnstap.allow" in warning
    assert warnings(listen=listen, dnstap="allow = '192.0.2.0/24'") == ()


def test_each_open_listener_is_named():
    assert len(warnings(listen="['127.0.0.1:1', ':2', '[::]:3', '/x']")) == 2


def test_socket_for_everybody():
    (warning,) = warnings(dnstap="perm = '0666'")
    assert "dnstap.perm 0666" in warning
    assert warnings(listen="'127.0.0.1:1'", dnstap="perm = '0666'") == ()


def test_hooks_socket_for_everybody():
    (warning,) = warnings(rest="[hold]\nlisten = 'h.sock'\nperm = '0666'")
    assert "hold.perm 0666" in warning
    assert warnings(rest="[hold]\nlisten = 'udp://127.0.0.1:1'\nperm = '0666'") == ()


def test_invented_next_hop():
    (warning,) = warnings(top="ipv6 = true")
    assert "fd00::1" in warning
    assert warnings(top="ipv6 = true", bgp="next_hop = '192.0.2.1'\nnext_hop_ipv6 = 'fd00::1'") == ()


def test_no_ipv4():
    (warning,) = warnings(bgp="next_hop_ipv6 = 'fd00::1'")
    assert "no IPv4 route" in warning


def test_passive_with_ttl_security():
    peer = "[[bgp.peers]]\naddress = '192.0.2.2'\nttl_security = true\npassive = "
    assert len(warnings(rest=peer + "true")) == 1
    assert warnings(rest=peer + "false") == ()


def test_short_hold_time():
    peer = "[[bgp.peers]]\naddress = '192.0.2.2'\nhold_time = "
    assert len(warnings(rest=peer + "29")) == 1
    assert warnings(rest=peer + "30") == warnings(rest=peer + "0") == ()


def test_who_may_feed_us_without_showing_who_he_is():
    assert warnings(rest="[syncer]\npeers = ['192.0.2.2:8080']") == ()
    (closed,) = warnings(rest="[syncer]\nlisten = ':8080'\npeers = ['192.0.2.2:8080']")
    assert "only the addresses of its peers are answered" in closed
    (alone,) = warnings(rest="[syncer]\nlisten = ':8080'")
    assert "nobody is answered" in alone
    (opened,) = warnings(rest="[syncer]\nlisten = ':8080'\ninsecure = true")
    assert "syncer.insecure = true: whoever reaches 0.0.0.0:8080 can make routes" in opened
    assert warnings(rest="[syncer]\nlisten = ':8080'\ntoken = '0123456789abcdef'") == ()


def test_static_prefixes_that_the_guard_keeps():
    net = "[[list]]\nname = 'net'\nprefixes = ['10.1.0.0/16', '11.0.0.0/8', '192.0.2.0/24', '0.0.0.0/0']\n"
    private, protected, default = warnings(rest=net)
    assert private == (
        "list[0].prefixes: 10.1.0.0/16 is not announced:"
        ' refused by the guard (private 10.0.0.0/8); [guard] allow = ["10.0.0.0/8"] opens it'
    )
    assert "192.0.2.0/24 is not announced: refused by the guard (protected);" in protected
    assert "0.0.0.0/0 is not announced: refused by the guard (default-route);" in default
    assert len(warnings(rest=net + "allow = '10.0.0.0/8'")) == 2


def test_dry_run():
    (warning,) = warnings(top="dry_run = true")
    assert "dry_run" in warning


def test_tls_with_client_certificates_is_no_open_listener():
    certificate = "tls_cert = 'a.pem'\n"
    (warning,) = warnings(listen="':6000'", dnstap=certificate)
    assert "tls://0.0.0.0:6000" in warning
    assert "dnstap.tls_client_ca" in warning
    asking = certificate + "tls_client_ca = 'b.pem'"
    assert warnings(listen="':6000'", dnstap=asking) == ()
    (warning,) = warnings(listen="[':6000', 'tcp://:6001']", dnstap=asking)
    assert "0.0.0.0:6001" in warning
    assert "tls_client_ca" not in warning


def test_a_certificate_that_nobody_sees():
    (warning,) = warnings(dnstap="tls_cert = 'a.pem'")
    assert "no endpoint of dnstap.listen speaks TLS" in warning
