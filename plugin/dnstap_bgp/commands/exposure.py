"""Exposure of a configuration to others: lists on the way, the state file's folder, files with secrets.

What is told here works, so `check` and `doctor` warn of it. A file's mode is looked at as it is now; whose it is
matters only where a group may write.
"""

import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from dnstap_bgp.config import Config
from dnstap_bgp.config.settings import DnstapConfig, HoldConfig, HttpConfig, SyncerConfig
from dnstap_bgp.core.lists.source import ListSource, is_url
from dnstap_bgp.workers.lists.url_cache import shown_url


def warnings(config: Config, lists: Sequence[ListSource]) -> Iterator[str]:
    """Tell what others could read or change, one sentence each, with what to do about it."""
    yield from _plain_lists(lists)
    yield from _cache_folder(config)
    yield from _secrets(config, lists)


def _plain_lists(lists: Iterable[ListSource]) -> Iterator[str]:
    """Give the lists that come by plain HTTP from elsewhere: whoever is on the way decides what is routed."""
    for found in lists:
        for url in filter(is_url, found.sources):
            parts = urlsplit(url)
            if parts.scheme == "http" and not _is_here(parts.hostname or ""):
                yield (
                    f"list {found.name}: {shown_url(url)}: plain http, so whoever is on the way can change the list,"
                    " and with it what is routed; take https:// if the server has it"
                )


def _is_here(host: str) -> bool:
    """Tell whether a URL's host is this machine itself."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3


def _cache_folder(config: Config) -> Iterator[str]:
    """Warn of a state file in a folder in which others can put a file of theirs in its place."""
    if config.cache is None:
        return
    folder = config.cache.parent
    try:
        found = folder.stat()
    except OSError:  # which the doctor tells
        return
    if others := _writers(found, _gid(config)):
        yield (
            f"cache {config.cache}: {others} can write to {folder}, and could put a state file of theirs there;"
            " take a folder of the plugin's user alone, as /var/lib/dnstap-bgp"
        )


def _writers(found: os.stat_result, own_gid: int) -> str | None:
    """Name who besides the owner may write to a folder; the sticky bit only keeps what is there already."""
    if found.st_mode & stat.S_IWOTH:
        return "every local user"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, own_gid):
        return f"group {found.st_gid}"
    return None


def _gid(config: Config) -> int:
    """Give the plugin's own group: that of the user whom `up` becomes, or ours."""
    name = config.process.user
    with suppress(KeyError):  # a user that isn't there is an error of the check
        if name is not None:
            return (pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)).pw_gid
    return os.getegid()


def _secrets(config: Config, lists: Iterable[ListSource]) -> Iterator[str]:
    """Give the files with secrets that every local user can read."""
    if (what := ", ".join(_kept_secrets(config, lists))) and _is_open(config.path):
        yield f"{config.path}: every local user can read it, with {what} in it; chmod o-r (0640) keeps them out"
    keys: dict[str, Path | None] = {}
    for name, section in _sections(config):
        keys[f"{name}.tls_key"] = section.tls_key or section.tls_cert
        keys[f"{name}.token_file"] = getattr(section, "token_file", None)
    if config.hold is not None:  # a token that we make ourselves has a file, too
        keys["hold.token_file"] = config.hold_token_file if config.hold.speaks_udp else None
    for index, neighbor in enumerate(config.bgp.neighbors):
        keys[f"bgp.peers[{index}].password_file"] = neighbor.password_file
    for key, path in keys.items():
        if path is not None and _is_open(path):
            what = "secret" if key.endswith("_file") else "private key"
            yield f"{key} {path}: every local user can read this {what}; chmod o-r (0640) keeps them out"


def _sections(config: Config) -> Iterator[tuple[str, DnstapConfig | HoldConfig | HttpConfig | SyncerConfig]]:
    """Give the tables that have a private key or a token, by their names in the file."""
    yield "dnstap", config.dnstap
    for name, section in (("hold", config.hold), ("http", config.http), ("syncer", config.syncer)):
        if section is not None:
            yield name, section


def _kept_secrets(config: Config, lists: Iterable[ListSource]) -> Iterator[str]:
    """Name the keys of the configuration that hold a secret, without its value."""
    if any(neighbor.password is not None and neighbor.password_file is None for neighbor in config.bgp.neighbors):
        yield "neighbors' passwords"
    for name, section in _sections(config):
        if getattr(section, "token", None) is not None and getattr(section, "token_file", None) is None:
            yield f"{name}.token"
    if config.syncer is not None and config.syncer.redis is not None and urlsplit(config.syncer.redis).password:
        yield "the password of syncer.redis"
    if any(urlsplit(url).password or urlsplit(url).query for found in lists for url in filter(is_url, found.sources)):
        yield "a list's URL with what it asks with"


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
