from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from dnstap_bgp.config import addresses
from dnstap_bgp.config.addresses import TcpAddress, UnixAddress

FOLDER = Path("/etc/dnstap-bgp")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/run/dnstap.sock", UnixAddress(Path("/run/dnstap.sock"))),
        ("./dnstap.sock", UnixAddress(FOLDER / "dnstap.sock")),
        ("sockets/tap", UnixAddress(FOLDER / "sockets/tap")),
        ("dnstap.sock", UnixAddress(FOLDER / "dnstap.sock")),
        ("0.0.0.0:1234", TcpAddress("0.0.0.0", 1234)),
        (":1234", TcpAddress("0.0.0.0", 1234)),
        ("127.0.0.1:1", TcpAddress("127.0.0.1", 1)),
        ("[::1]:6000", TcpAddress("::1", 6000)),
        ("[2001:DB8:0::1]:65535", TcpAddress("2001:db8::1", 65535)),
        ("LocalHost:6000", TcpAddress("localhost", 6000)),
        ("tcp://192.0.2.1:6000", TcpAddress("192.0.2.1", 6000)),
        ("tls://[::1]:6000", TcpAddress("::1", 6000, tls=True)),
        ("tls://:6000", TcpAddress("0.0.0.0", 6000, tls=True)),
    ],
)
def test_listen_address(text, expected):
    assert addresses.listen_address(text, FOLDER) == expected


def test_an_endpoint_speaks_tls_where_that_is_the_default_or_written():
    texts = ("192.0.2.1:6000", "tcp://192.0.2.1:6001", "tls://192.0.2.1:6002")
    assert [str(addresses.listen_address(text, FOLDER, tls=True)) for text in texts] == [
        "tls://192.0.2.1:6000",
        "192.0.2.1:6001",
        "tls://192.0.2.1:6002",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dnstap",
        "unix:/run/dnstap.sock",
        "http://127.0.0.1:6000",
        "tls:///run/dnstap.sock",
        "tls://",
        "tls://127.0.0.1",
        "127.0.0.1:6000/",
        "1234",
        "127.0.0.1",
        "::1",
        "::1:6000",
        "[::1]",
        "[127.0.0.1]:6000",
        "[::1:6000",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:\uff16000",
        "127.0.0.1:",
        "256.0.0.1:6000",
        "a b:6000",
        "a;b:6000",
        "[fe80::1%eth0]:6000",
        "[::ffff:192.0.2.1]:6000",
        "/" + "x" * 107,
        "/run/x\ny",
        6000,
    ],
)
def test_listen_address_refuses(text):
    with pytest.raises(ValueError, match=r"\w{3}"):
        addresses.listen_address(text, FOLDER)


def test_longest_unix_path_fits():
    assert addresses.listen_address("/" + "x" * 106, FOLDER) == UnixAddress(Path("/" + "x" * 106))


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.3.2.1:1", True), ("[::1]:1", True), ("localhost:1", True), (":1", False), ("host:1", False)],
)
def test_is_loopback(text, loopback):
    assert addresses.tcp_address(text).is_loopback is loopback


def test_text_of_an_endpoint_reads_back():
    for text in ("[2001:db8::1]:6000", "192.0.2.1:6000", "host.example:6000"):
        assert str(addresses.tcp_address(text)) == text


@pytest.mark.parametrize("text", ["192.0.2.0/24", "2001:db8::/32", "192.0.2.1", "0.0.0.0/0"])
def test_network(text):
    assert addresses.network(text) == ip_network(text)


def test_network_with_host_bits_is_told_the_right_one():
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/8\?"):
        addresses.network("10.0.0.1/8")


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10/8", "x", "2001:db8::/129", 10])
def test_network_refuses(text):
    with pytest.raises(ValueError, match=r"no prefix|must be text"):
        addresses.network(text)


def test_address_is_canonical_and_plain():
    assert addresses.address("2001:DB8::0:1") == ip_address("2001:db8::1")
    with pytest.raises(ValueError, match="zone"):
        addresses.address("fe80::1%eth0")
    with pytest.raises(ValueError, match=r"write 192\.0\.2\.1"):
        addresses.address("::ffff:192.0.2.1")
    with pytest.raises(ValueError, match="no IP address"):
        addresses.address("192.0.2.01")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", None)),
        ("192.0.2.1:1179", ("192.0.2.1", 1179)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:179", ("2001:db8::1", 179)),
        ("router.example", ("router.example", None)),
        ("router.example:177", ("router.example", 177)),
    ],
)
def test_split_port(text, expected):
    assert addresses.split_port(text) == expected


@pytest.mark.parametrize(
    "text", ["a..b", "-a", "a-", "a_b!", "192.0.2.300", "1.2.3", "12", "x" * 64, "a." * 127 + "a", "ü.de"]
)
def test_host_name_refuses(text):
    with pytest.raises(ValueError, match="neither an IP address nor a host name"):
        addresses.host_name(text)
