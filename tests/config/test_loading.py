import os
import re
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp import config as configuration
from dnstap_bgp.config import TcpAddress, UnixAddress, parse
from dnstap_bgp.config.exabgp_sessions import speaker
from dnstap_bgp.config.policies import list_policies
from dnstap_bgp.errors import ConfigError

ORIGINAL = Path(__file__).with_name("original.toml")

SMALL = """
domains = "domains.txt"
[dnstap]
listen = "dnstap/tap.sock"
[bgp]
next_hop = "192.0.2.1"
"""


def problems(content, path=Path("/etc/d/d.toml")):
    with pytest.raises(ConfigError) as caught:
        parse(content.encode() if isinstance(content, str) else content, path)
    return [str(problem) for problem in caught.value.problems]


def test_a_file_of_the_go_program():
    config = configuration.load(ORIGINAL)
    assert config.domains == ("/var/lib/dnstap-bgp/domains.txt",)
    assert config.cache == Path("/var/lib/dnstap-bgp/cache.db")
    assert config.ttl == 86400
    assert config.ipv6 is False
    assert config.dnstap.listen == (UnixAddress(Path("/tmp/dnstap.sock")),)  # noqa: S108 - what such files say
    assert config.dnstap.perm == 0o666
    assert config.bgp.as_number == 65000
    assert config.bgp.router_id == ip_address("192.168.111.1")
    assert [(peer.address, peer.port, peer.as_number) for peer in config.bgp.neighbors] == [
        ("192.168.0.1", 179, None),
        ("192.168.0.2", 177, None),
    ]
    assert config.syncer is not None
    assert config.syncer.listen == TcpAddress("0.0.0.0", 8080)
    assert config.syncer.sync_interval_s == 600
    assert config.syncer.peers == (TcpAddress("192.168.0.2", 8080), TcpAddress("other-resolver.example", 8080))
    (policy,) = list_policies(config)
    assert policy.ipv4 is not None
    assert policy.ipv4.next_hop == ip_address("192.168.112.1").packed
    assert policy.ipv6 is None
    assert {session.peer_as for session in speaker(config).sessions} == {65000}


def test_a_small_file_and_its_folder(tmp_path, monkeypatch):
    (tmp_path / "d.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    config = configuration.load(Path("d.toml"))
    assert config.path == tmp_path / "d.toml"
    assert config.domains == (str(tmp_path / "domains.txt"),)
    assert config.dnstap.listen == (UnixAddress(tmp_path / "dnstap/tap.sock"),)
    assert config.warnings == ()


def test_every_problem_at_once_each_with_its_key():
    content = """
    ttl = 5
    domain = "a"
    [dnstap]
    listen = ["tap", "/run/tap.sock"]
    perm = 666
    messages = "client_query"
    [bgp]
    as = 0
    nextHop = "127.0.0.1"
    peers = ["a b", {adress = "192.0.2.1"}, {address = "192.0.2.1", port = 0, passive = 1, as = true}]
    """
    found = problems(content)
    assert {problem.removeprefix("/etc/d/d.toml: ").split(": ")[0] for problem in found} == {
        "domain",
        "domains",
        "ttl",
        "dnstap.listen[0]",
        "dnstap.perm",
        "dnstap.messages[0]",
        "bgp.as",
        "bgp.next_hop",
        "bgp.peers[0].address",
        "bgp.peers[1].adress",
        "bgp.peers[1].address",
        "bgp.peers[2].port",
        "bgp.peers[2].passive",
        "bgp.peers[2].as",
    }


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("a = 1\nb = \nc = 2\n", "/etc/d/d.toml:2"),
        ('domains = "x"\ndomains = "y"\n', "/etc/d/d.toml:2"),
        ("[bgp\n", "/etc/d/d.toml:1"),
        ('a = 1\nb = "', "/etc/d/d.toml:2"),
        (b"a = 1\n\nb = '\xff'\n", "/etc/d/d.toml:3"),
    ],
)
def test_syntax_errors_have_their_line(content, where):
    (found,) = problems(content)
    assert found.startswith(where + ": ")


def test_a_file_that_can_not_be_read(tmp_path):
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError, match=reason) as caught:
            configuration.load(path)
        assert str(path) in str(caught.value)


@pytest.mark.timeout(20)
def test_a_pipe_in_the_files_place_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "d.toml"
    os.mkfifo(path)
    with pytest.raises(ConfigError) as caught:
        configuration.load(path)
    assert str(caught.value) == f"{path}: can't be read: it is a pipe or a device, not a regular file"
    assert configuration.list_sources(path) == ()


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_cache_is_told_and_not_waited_for(tmp_path):
    path = tmp_path / "d.toml"
    os.mkfifo(tmp_path / "state")
    path.write_text('cache = "state"\n' + SMALL)
    config = configuration.load(path)
    told = f"cache: {tmp_path / 'state'} can't be read: it is a pipe or a device, not a regular file"
    assert f"{told}; nothing is kept across restarts" in config.warnings
    assert config.cache == tmp_path / "state"


def test_a_file_too_large_to_be_one(tmp_path):
    path = tmp_path / "d.toml"
    path.write_text(SMALL + "#" * (1 << 20))
    with pytest.raises(ConfigError, match="bytes"):
        configuration.load(path)


def test_byte_order_mark_and_crlf():
    content = b"\xef\xbb\xbf" + SMALL.strip().replace("\n", "\r\n").encode()
    assert parse(content, Path("/etc/d/d.toml")).domains == ("/etc/d/domains.txt",)


def test_a_password_is_in_no_message():
    content = SMALL + 'peers = [{address = "192.0.2.2", password = "h\u00fcbsch", passive = "sesame"}]'
    told = "\n".join(problems(content))
    assert "bgp.peers[0].password" in told
    assert "sch" not in told
    assert "sesame" not in told
    config = parse((SMALL + 'peers = [{address = "192.0.2.2", password = "sesame"}]').encode(), Path("/d.toml"))
    assert "sesame" not in repr(config)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "dnstap.listen: is missing"),
        ("dnstap = 5", "dnstap: must be a table"),
        ('domains = []\n[dnstap]\nlisten="/x"', "domains: must not be empty"),
        ("domains = {}", "domains: must be a list"),
        ('on_stop = "drop"', "on_stop: should be 'keep' or 'withdraw'"),
        ("ipv6 = 1", "ipv6: must be true or false"),
        ('ttl = "0s"', "ttl: should be greater than or equal to 1"),
        ("[dnstap]\nconnections_max = 1.5", "dnstap.connections_max: must be a whole number"),
        ("[dnstap]\nconnections_max = true", "dnstap.connections_max: must be a whole number"),
        ("[bgp]\nmed = 4294967296", "bgp.med: should be less than or equal to 4294967295"),
        ('[bgp]\npeers = ["192.0.2.1", "192.0.2.1:1179"]', "bgp.peers: 192.0.2.1 stands here twice"),
        ('[bgp]\npeers = {address = "192.0.2.1"}', "bgp.peers: must be a list"),
        (
            '[[bgp.peers]]\naddress = "192.0.2.1"\nttl_security = 255',
            "bgp.peers[0].ttl_security: should be less than 100",
        ),
        (
            '[[bgp.peers]]\naddress = "192.0.2.1"\nttl_security = true\nmultihop = 5',
            "bgp.peers[0]: ttl_security and multihop exclude each other: the first has its own TTL, 255",
        ),
        ("runtime_dir = 5", 'runtime_dir: must be text in quotes, not 5: "5"'),
    ],
)
def test_problems_are_told_in_plain_words(content, reason):
    assert f"/etc/d/d.toml: {reason}" in problems(content)


def test_no_follow_up_problem_is_told():
    found = problems("runtime_dir = 5\n" + SMALL)
    assert len(found) == 1


def test_no_next_hop_at_all():
    (found,) = problems('domains = "x"\n[dnstap]\nlisten = "/x"\n[bgp]\nsource_ip = "127.0.0.1"')
    assert "bgp.next_hop" in found


class TestBolt:
    def config(self, folder):
        return parse(f'cache = "cache.db"\n{SMALL}'.encode(), folder / "d.toml")

    @pytest.mark.parametrize("order", ["<I", ">I"])
    def test_is_left_alone(self, tmp_path, order):
        (tmp_path / "cache.db").write_bytes(bytes(16) + struct.pack(order, 0xED0CDAED) + bytes(100))
        config = self.config(tmp_path)
        assert config.cache == tmp_path / "cache.db.msgpack"
        assert len(config.warnings) == 1
        assert "Bolt" in config.warnings[0]

    def test_ours_stays_ours_when_it_is_gone(self, tmp_path):
        (tmp_path / "cache.db.msgpack").write_bytes(b"x")
        config = self.config(tmp_path)
        assert config.cache == tmp_path / "cache.db.msgpack"
        assert config.warnings == ()

    @pytest.mark.parametrize("content", [None, b"", b"short", bytes(4096)])
    def test_anything_else_is_our_own_file(self, tmp_path, content):
        if content is not None:
            (tmp_path / "cache.db").write_bytes(content)
        assert self.config(tmp_path).cache == tmp_path / "cache.db"


@pytest.mark.parametrize(
    "content", ["a = " + "9" * 5000, "a = " + "[" * 5000, "a" + ".a" * 5000 + " = 1", "ttl = 0x" + "f" * 9999]
)
def test_contents_beyond_the_readers_limits(content):
    assert all(len(problem) < 20_000 for problem in problems(content))


@given(st.binary(max_size=200))
def test_no_content_raises_anything_else(content):
    assert problems(content)  # no such text is a whole configuration


KEYS = st.sampled_from(
    ["domains", "cache", "ttl", "listen", "perm", "as", "peers", "address", "med", "dnstap", "bgp", "process"]
)
TEXTS = st.text(st.characters(exclude_categories=["C"], exclude_characters="'"), max_size=5).map(
    lambda text: f"'{text}'"
)
VALUES = st.recursive(
    st.one_of(st.sampled_from(["1", "-1", "1.5", "true", "inf", "nan", "1979-05-27", "'192.0.2.1'", "''"]), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_value_raises_anything_else(table):
    content = "\n".join(f"{key} = {value}" for key, value in table.items())
    with pytest.raises(ConfigError):  # there is always something missing
        parse(content.encode(), Path("/etc/d/d.toml"))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("listen = 'tls://:6000'", "tls://0.0.0.0:6000 needs tls_cert"),
        ("listen = ':6000'\ntls_key = 'k'", "of no use without tls_cert"),
        ("listen = ':6000'\ntls_client_ca = 'c'", "of no use without tls_cert"),
        ("listen = [':6000', 'tcp://:6000']\ntls_cert = 'c'", "0.0.0.0:6000 stands here twice"),
    ],
)
def test_tls_keys_that_do_not_fit_together(keys, reason):
    (problem,) = problems(f"domains = 'x'\n[dnstap]\n{keys}\n[bgp]\nnext_hop = '192.0.2.1'\n".encode())
    assert reason in problem


def test_tls_files_are_relative_to_the_configuration():
    content = b"domains = 'x'\n[dnstap]\nlisten = ':6000'\ntls_cert = 'tls/a.pem'\n[bgp]\nnext_hop = '192.0.2.1'\n"
    dnstap = parse(content, Path("/etc/d/d.toml")).dnstap
    assert dnstap.tls_cert == Path("/etc/d/tls/a.pem")
    assert dnstap.speaks_tls


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a = 1\nb = yes\n", 2, "a value is text in quotes"),
        ("a\n", 1, "a line is `key = value`"),
        ("a = 1\n[bgp\n", 2, "a table is [name]"),
        ('a = "x" y\n', 1, "nothing but a # comment stands behind a value"),
        ("a = 192.0.2.1\n", 1, "text is in quotes"),
        ("a = 1\n[a]\n", 2, "stands in the file already"),
        ("a = 1\na = 2\n", 2, "stands in the file already"),
        ("[a]\n[a]\n", 2, "stands in the file already"),
        ('a = ["x" "y"]\n', 1, "a comma between its items"),
        ("a = [\n", 2, "text in quotes|comma"),
        ('a = "x\n', 1, "with the quote that it began with"),
        ('a = "C:\\x"\n', 1, "a backslash is written twice"),
        ("= 1\n", 1, "a line is `key = value`"),
    ],
)
def test_what_is_no_toml_gets_a_hint(tmp_path: Path, text: str, line: int, hint: str):
    path = tmp_path / "d.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        configuration.load(path)
    [problem] = map(str, caught.value.problems)
    assert problem.startswith(f"{path}:{line}: is no TOML: ")
    assert re.search(hint.replace("[name]", r"\[name\]"), problem), problem
