"""Warnings of what others could read or change, in `check` and so in `doctor`."""

import os
from pathlib import Path

import pytest

from dnstap_bgp.commands import check
from tests.commands.running import write_config

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


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ((PEER, PEER.replace("as = 65002", 'as = 65002, password = "hush"')), "neighbors' passwords"),
        (("[bgp]", '[syncer]\nredis = "redis://:hush@127.0.0.1/0"\n[bgp]'), "syncer.redis"),
        (("[bgp]", '[syncer]\nlisten = "127.0.0.1:1"\ntoken = "0123456789abcdef"\n[bgp]'), "syncer.token"),
        (("[bgp]", lists("https://u:hush@x.example/") + "\n[bgp]"), "a list's URL"),
        (("[bgp]", lists("https://x.example/?key=hush") + "\n[bgp]"), "a list's URL"),
        (("[bgp]", "[bgp]"), ""),
    ],
)
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


def test_a_private_key(tmp_path: Path):
    key = tmp_path / "key.pem"
    key.touch(0o644)
    key.chmod(0o644)
    config = write_config(tmp_path)
    text = config.read_text().replace('"./dnstap.sock"', '"tls://127.0.0.1:6000"\ntls_cert = "key.pem"')
    config.write_text(text)
    assert "dnstap.tls_key" in warned(config, "private key")[0]
    key.chmod(0o640)
    assert not warned(config, "private key")


def test_a_file_with_nothing_but_a_secret(tmp_path: Path):
    secret = tmp_path / "md5"
    secret.write_text("hush\n")
    secret.chmod(0o644)
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace(PEER, PEER.replace("as = 65002", 'as = 65002, password_file = "md5"')))
    config.chmod(0o644)
    (warning,) = warned(config, "every local user can read")
    assert warning.startswith(f"bgp.peers[0].password_file {secret}: every local user can read this secret")
    secret.chmod(0o640)
    assert not warned(config, "every local user can read")
