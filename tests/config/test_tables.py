"""The tables of the file: what each accepts, its defaults, and that a mistake is told with its key."""

import os
from pathlib import Path

import pytest

from dnstap_bgp.config import Config, SyncerConfig, TcpAddress, parse
from dnstap_bgp.config.exabgp_sessions import speakers_differ
from dnstap_bgp.config.tables import SyncerTable
from dnstap_bgp.errors import ConfigError

BASE = 'domains = "d.txt"\nruntime_dir = "/run/x"\n[dnstap]\nlisten = "/run/t.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'


def read(more: str, top: str = "") -> Config:
    return parse((top + BASE + more).encode(), Path("/etc/d.toml"))


def test_without_http_there_is_no_listener():
    assert read("").http is None


def test_http_is_for_this_machine_only_by_default():
    http = read("[http]\n").http
    assert http is not None
    assert http.listen == (TcpAddress("127.0.0.1", 8179),)
    assert http.open_endpoints == ()


def test_all_keys_of_http_and_control():
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
def test_what_is_no_good_in_http_is_told_with_its_key(line: str, key: str):
    with pytest.raises(ConfigError) as caught:
        read(f"[http]\n{line}\n")
    assert key in str(caught.value)


def test_the_control_socket_is_beside_the_pidfile():
    assert read("").control_socket == Path("/run/x/control.sock")
    assert read("", 'pidfile = "/run/y/z.pid"\n').control_socket == Path("/run/y/control.sock")


def syncer(text: str) -> SyncerConfig:
    content = f"domains = 'x'\n[dnstap]\nlisten = '/x'\n[bgp]\nnext_hop = '192.0.2.1'\n[syncer]\n{text}"
    found = parse(content.encode(), Path("/etc/d/d.toml")).syncer
    assert found is not None
    return found


def test_the_syncer_of_an_existing_file():
    found = syncer("listen = '0.0.0.0:8080'\nsyncInterval = '5m'\npeers = ['192.168.0.2:8080', 'other.example:8080']")
    assert found.listen == TcpAddress("0.0.0.0", 8080)
    assert found.sync_interval_s == 300
    assert found.peers == (TcpAddress("192.168.0.2", 8080), TcpAddress("other.example", 8080))
    assert found.is_active
    assert found.compatible
    assert not found.insecure
    assert not found.is_authenticated


def test_a_syncer_that_does_nothing():
    assert not syncer("sync_interval = '0'").is_active
    assert not SyncerTable().settings().is_active


def test_a_syncers_token_and_certificates():
    assert syncer("token = '0123456789abcdef'").is_authenticated
    assert "0123456789abcdef" not in repr(syncer("token = '0123456789abcdef'"))
    found = syncer("tls_cert = 'a.pem'\ntls_key = 'a.key'\ntls_ca = 'ca.pem'")
    assert found.is_authenticated
    assert found.tls_ca == Path("/etc/d/ca.pem")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("token = 'short'", "syncer.token: is no token"),
        ("token = 'with a space in it, and long'", "syncer.token: is no token"),
        ("tls_cert = 'a.pem'\ntls_key = 'a.key'", "tls_cert, tls_key and tls_ca go together"),
        ("peers = ['x']", "syncer.peers"),
        ("insecure = 'yes'", "syncer.insecure: must be true or false"),
    ],
)
def test_what_is_wrong_in_syncer_is_told_by_its_key(text, told):
    with pytest.raises(ConfigError) as caught:
        syncer(text)
    assert told in str(caught.value)
    assert "with a space" not in str(caught.value)


class TestSecretFiles:
    """`token_file` and `password_file`: the secret as if it stood in the configuration, and in no message."""

    def read(self, folder: Path, token: str = "", peer: str = "", **options: bool) -> Config:
        address = f'{{ address = "192.0.2.2", {peer} }}' if peer else '"192.0.2.2"'
        text = f"{BASE}peers = [{address}]\n[syncer]\n{token}\n"
        return parse(text.encode(), folder / "d.toml", **options)

    def test_are_read_with_the_configuration(self, tmp_path: Path):
        (tmp_path / "token").write_text("0123456789abcdef\n")
        (tmp_path / "md5").write_text("a secret")
        found = self.read(tmp_path, 'token_file = "token"', 'password_file = "md5"')
        assert found.syncer is not None
        assert (found.syncer.token, found.syncer.token_file) == ("0123456789abcdef", tmp_path / "token")
        assert found.syncer.is_authenticated
        neighbor = found.bgp.neighbors[0]
        assert (neighbor.password, neighbor.password_file) == ("a secret", tmp_path / "md5")
        assert "a secret" not in repr(found)

    def test_are_not_read_for_those_who_only_ask(self, tmp_path: Path):
        found = self.read(tmp_path, 'token_file = "gone"', 'password_file = "gone"', with_secrets=False)
        assert found.syncer is not None
        assert (found.syncer.token, found.bgp.neighbors[0].password) == (None, None)

    def test_a_changed_one_changes_exabgps_configuration(self, tmp_path: Path):
        (tmp_path / "md5").write_text("one\n")
        one = self.read(tmp_path, peer='password_file = "md5"')
        (tmp_path / "md5").write_text("other\n")
        assert speakers_differ(one, self.read(tmp_path, peer='password_file = "md5"'))

    @pytest.mark.timeout(20)
    def test_that_are_pipes_are_refused_and_not_waited_for(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ConfigError) as caught:
            self.read(tmp_path, 'token_file = "pipe"', 'password_file = "pipe"')
        told = f"{tmp_path / 'pipe'} can't be read: it is a pipe or a device, not a regular file"
        keys = ("bgp.peers[0].password_file", "syncer.token_file")
        assert sorted(map(str, caught.value.problems)) == [f"{tmp_path / 'd.toml'}: {key}: {told}" for key in keys]

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (None, "syncer.token_file: {path} can't be read: No such file or directory"),
            (b"", "syncer.token_file: {path} has to hold the secret alone, on one line"),
            (b"short-hush\n", "syncer.token_file: {path}: is no token: 16 to 256"),
            (b"hush 456789abcdef\n", "syncer.token_file: {path}: is no token: 16 to 256"),
            (b"hush456789abcdef\nmore\n", "syncer.token_file: {path} has to hold the secret alone"),
            (b"hush456789abcdef\xff", "syncer.token_file: {path} holds more than printable ASCII"),
            (b"hush" * 2000, "syncer.token_file: {path} has to hold the secret alone"),
        ],
    )
    def test_that_are_no_good_are_named_and_not_shown(self, tmp_path: Path, content: bytes | None, told: str):
        if content is not None:
            (tmp_path / "token").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            self.read(tmp_path, 'token_file = "token"')
        (problem,) = caught.value.problems
        assert told.format(path=tmp_path / "token") in str(problem)
        assert "hush" not in str(problem)

    def test_exclude_the_key_that_has_the_secret_itself(self, tmp_path: Path):
        (tmp_path / "token").write_text("0123456789abcdef\n")
        with pytest.raises(ConfigError, match="token and token_file exclude each other"):
            self.read(tmp_path, 'token_file = "token"\ntoken = "fedcba9876543210"')
