"""Warnings of what others could read or change, in `check` and so in `doctor`."""

import dataclasses
import os
from pathlib import Path

import pytest

from dnstap_bgp.commands import check
from dnstap_bgp.config.settings import (
    BgpConfig,
    Config,
    ControlConfig,
    DnstapConfig,
    GuardConfig,
    HoldConfig,
    HttpConfig,
    ListConfig,
    LogConfig,
    NeighborConfig,
    ProcessConfig,
    RefreshConfig,
    SyncerConfig,
)
from tests.commands.running import write_config

TOKEN = "0123456789abcdef-hush"  # noqa: S105 - of this test alone
PEER = 'peers = [{ address = "127.0.0.2", port = 1, as = 65002 }]'


def warned(config: Path, words: str) -> list[str]:
    return [one for one in check.run(config).warnings if words in one]


def lists(*urls: str) -> str:
    return f'[[list]]\nname = "web"\nsources = {list(urls)}'.replace("'", '"')


def test_a_list_by_plain_http_from_elsewhere(tmp_path: Path):
    urls = ["http://lists.example/a?token=secret", "http://user:word@192.0.2.1:8080/b", "https://lists.example/c"]
    urls += ["http://127.0.0.1/d", "http://[::1]:1/e", "http://localhost/f", "http://a.localhost/g"]
    found = warned(write_config(tmp_path, more=lists(*urls)), "plain http")
    assert len(found) == 2
    assert "lists.example/a" in found[0]
    assert "192.0.2.1:8080/b" in found[1]
    assert "word" not in "".join(found)


@pytest.mark.parametrize(("mode", "others"), [(0o700, ""), (0o755, ""), (0o777, "every"), (0o1777, "every")])
def test_a_cache_in_a_folder_that_others_can_write_to(tmp_path: Path, mode: int, others: str):
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(mode)
    found = warned(write_config(tmp_path, top='cache = "kept/state"'), "state file of theirs")
    assert bool(found) == bool(others)
    assert others in "".join(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder to a group")
def test_a_cache_in_a_folder_of_another_group(tmp_path: Path):
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o770)
    config = write_config(tmp_path, top='cache = "kept/state"')
    assert not warned(config, "state file of theirs"), "our own group"
    os.chown(folder, 0, 65534)
    assert "group 65534 can write" in warned(config, "state file of theirs")[0]


IN_THE_FILE = {
    "bgp.peers[].password": (
        (PEER, PEER.replace("as = 65002", 'as = 65002, password = "hush"')),
        "neighbors' passwords",
    ),
    "syncer.redis": (("[bgp]", '[syncer]\nredis = "redis://:hush@127.0.0.1/0"\n[bgp]'), "syncer.redis"),
    "syncer.token": (("[bgp]", f'[syncer]\nlisten = "127.0.0.1:1"\ntoken = "{TOKEN}"\n[bgp]'), "syncer.token"),
    "http.token": (("[bgp]", f'[http]\ntoken = "{TOKEN}"\n[bgp]'), "http.token"),
    "a list's user": (("[bgp]", lists("https://u:hush@x.example/") + "\n[bgp]"), "a list's URL"),
    "a list's key": (("[bgp]", lists("https://x.example/?key=hush") + "\n[bgp]"), "a list's URL"),
    "nothing": (("[bgp]", "[bgp]"), ""),
}
"""A secret in the configuration -> the change that puts it there, and what the warning calls it."""

FILES = {
    "bgp.peers[].password_file": (PEER, PEER.replace("as = 65002", 'as = 65002, password_file = "secret"')),
    "dnstap.tls_key": ('"./dnstap.sock"', '"tls://127.0.0.1:6000"\ntls_cert = "cert"\ntls_key = "secret"'),
    "hold.tls_key": (
        "[bgp]",
        '[hold]\nlisten = "127.0.0.1:1"\ntls_cert = "cert"\ntls_key = "secret"\ntls_client_ca = "cert"\n[bgp]',
    ),
    "hold.token_file": ("[bgp]", '[hold]\nlisten = "udp://127.0.0.1:1"\ntoken_file = "secret"\n[bgp]'),
    "http.tls_key": ("[bgp]", '[http]\ntls_cert = "cert"\ntls_key = "secret"\n[bgp]'),
    "http.token_file": ("[bgp]", '[http]\ntoken_file = "secret"\n[bgp]'),
    "syncer.tls_key": (
        "[bgp]",
        '[syncer]\nlisten = "127.0.0.1:1"\ntls_cert = "cert"\ntls_key = "secret"\ntls_ca = "cert"\n[bgp]',
    ),
    "syncer.token_file": ("[bgp]", '[syncer]\nlisten = "127.0.0.1:1"\ntoken_file = "secret"\n[bgp]'),
}
"""A key that names a file with a secret -> the change that sets it."""


def test_each_secret_of_the_configuration_is_looked_at():
    """Whoever adds one is told here that others must be warned of."""
    tables = {"dnstap": DnstapConfig, "bgp.peers[]": NeighborConfig, "http": HttpConfig, "syncer": SyncerConfig}
    tables |= {"hold": HoldConfig, "bgp": BgpConfig, "control": ControlConfig, "process": ProcessConfig}
    tables |= {"list[]": ListConfig, "refresh": RefreshConfig, "guard": GuardConfig, "log": LogConfig, "": Config}
    fields = [(table, one) for table, kind in tables.items() for one in dataclasses.fields(kind)]
    hidden = {f"{table}.{one.name}" for table, one in fields if not one.repr}
    files = {
        f"{table}.{one.name}" for table, one in fields if one.name.endswith(("_key", "password_file", "token_file"))
    }
    assert hidden == {key for key in IN_THE_FILE if "." in key}
    assert files == set(FILES)


@pytest.mark.parametrize(("change", "what"), IN_THE_FILE.values(), ids=IN_THE_FILE)
def test_a_file_with_secrets(tmp_path: Path, change: tuple[str, str], what: str):
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace(*change))
    config.chmod(0o644)
    found = warned(config, "every local user can read it")
    assert bool(found) == bool(what)
    assert what in "".join(found)
    assert "hush" not in "".join(found)
    config.chmod(0o640)
    assert not warned(config, "every local user can read it")


@pytest.mark.parametrize("key", FILES)
def test_a_file_with_nothing_but_a_secret(tmp_path: Path, key: str):
    for name in ("cert", "secret"):
        (tmp_path / name).write_text(f"{TOKEN}\n")
        (tmp_path / name).chmod(0o644)
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace(*FILES[key]))
    config.chmod(0o644)
    (warning,) = warned(config, "every local user can read")
    kind = "private key" if key.endswith("_key") else "secret"
    assert warning.startswith(
        f"{key.replace('[]', '[0]')} {tmp_path / 'secret'}: every local user can read this {kind}"
    )
    assert TOKEN not in warning
    (tmp_path / "secret").chmod(0o640)
    assert not warned(config, "every local user can read")


@pytest.mark.parametrize("table", ["dnstap", "hold", "http"])
def test_a_key_that_is_in_the_certificates_file(tmp_path: Path, table: str):
    key = tmp_path / "cert"
    key.touch()
    key.chmod(0o644)
    config = write_config(tmp_path)
    old, new = FILES[f"{table}.tls_key"]
    config.write_text(
        config.read_text().replace(old, new.replace('tls_key = "secret"\n', "").replace('\ntls_key = "secret"', ""))
    )
    assert f"{table}.tls_key" in warned(config, "private key")[0]
    key.chmod(0o640)
    assert not warned(config, "private key")
