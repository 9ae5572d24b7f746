"""`[refresh]` and `refresh` of lists: defaults, limits, and what they have to do with other keys."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from dnstap_bgp.config import Config, parse, policies
from dnstap_bgp.errors import ConfigError

BASE = 'runtime_dir = "/run/x"\n[dnstap]\nlisten = "/run/t.sock"\n{dnstap}[bgp]\nnext_hop = "192.0.2.1"\n'
LISTS = '[[list]]\nname = "a"\nsources = "a.txt"\nrefresh = true\n[[list]]\nname = "b"\nsources = "b.txt"\n'


def read(refresh: str = "", dnstap: str = "") -> Config:
    text = BASE.format(dnstap=dnstap) + LISTS + (f"[refresh]\n{refresh}\n" if refresh else "")
    return parse(text.encode(), Path("/etc/d.toml"))


def test_it_is_off_unless_a_list_asks_for_it():
    assert read().refreshed_lists == {"a"}
    without = BASE.format(dnstap="") + LISTS.replace("refresh = true\n", "")
    assert parse(without.encode(), Path("/etc/d.toml")).refreshed_lists == frozenset()


def test_the_resolver_is_this_machine_s_unless_another_one_is_named():
    assert (read().refresh.resolver_ip, read().refresh.resolver_port) == (ip_address("127.0.0.1"), 53)
    found = read('resolver = "[2001:db8::53]:5353"').refresh
    assert (found.resolver_ip, found.resolver_port) == (ip_address("2001:db8::53"), 5353)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('resolver = "resolver.example"', "refresh.resolver"),
        ('resolver = "127.0.0.1:0"', "refresh.resolver"),
        ("max_names = 0", "refresh.max_names"),
        ("max_names = 10001", "refresh.max_names"),
        ("queries_per_second = 0", "refresh.queries_per_second"),
        ("queries_per_second = 1001", "refresh.queries_per_second"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(line: str, key: str):
    with pytest.raises(ConfigError) as error:
        read(line)
    assert key in str(error.value)


def test_the_resolver_never_becomes_a_route():
    assert ip_address("11.0.0.53").packed in policies.protected(read('resolver = "11.0.0.53"'))


def test_a_tap_that_can_not_tell_our_questions_is_told():
    told = [one for one in read(dnstap='messages = "resolver_response"\n').warnings if "list.refresh" in one]
    assert len(told) == 1
    assert not [one for one in read().warnings if "refresh" in one]
