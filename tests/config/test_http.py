"""`[http]` and `[control]`: where the instance is asked, and who may ask."""

from pathlib import Path

import pytest

from dnstap_bgp.config import Config, TcpAddress, parse
from dnstap_bgp.errors import ConfigError

BASE = 'domains = "d.txt"\nruntime_dir = "/run/x"\n[dnstap]\nlisten = "/run/t.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'


def read(more: str, top: str = "") -> Config:
    return parse((top + BASE + more).encode(), Path("/etc/d.toml"))


def test_without_the_table_there_is_no_listener():
    assert read("").http is None


def test_by_default_this_machine_only():
    http = read("[http]\n").http
    assert http is not None
    assert http.listen == (TcpAddress("127.0.0.1", 8179),)
    assert http.open_endpoints == ()


def test_all_keys():
    found = read(
        '[http]\nlisten = ["[::1]:80", "192.0.2.1:80"]\nallow = "192.0.2.0/24"\n'
        'hosts = ["Routes.Example."]\nconnections_max = 4\n'
        '[control]\ngroup = "adm"\n'
    )
    assert found.http is not None
    assert [str(one) for one in found.http.listen] == ["[::1]:80", "192.0.2.1:80"]
    assert (found.http.hosts, found.http.connections_max, found.control.group) == (("routes.example",), 4, "adm")


def test_beyond_this_machine_without_allow_is_worth_a_warning():
    assert any("http.listen 0.0.0.0:80" in one for one in read('[http]\nlisten = ":80"').warnings)
    assert not any("http.listen" in one for one in read('[http]\nlisten = ":80"\nallow = "192.0.2.0/24"').warnings)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("listen = []", "http.listen"),
        ('listen = "/run/http.sock"', "http.listen"),
        ('hosts = "http://routes.example"', "http.hosts"),
        ('hosts = "routes.example:80"', "http.hosts"),
        ("connections_max = 0", "http.connections_max"),
        ('host = "x"', "http.host"),
    ],
)
def test_what_is_no_good_is_told_with_its_key(line: str, key: str):
    with pytest.raises(ConfigError) as caught:
        read(f"[http]\n{line}\n")
    assert key in str(caught.value)


def test_the_control_socket_is_beside_the_pidfile():
    assert read("").control_socket == Path("/run/x/control.sock")
    assert read("", 'pidfile = "/run/y/z.pid"\n').control_socket == Path("/run/y/control.sock")
