"""ExaBGP's configuration as we write it: whatever the values are, they are read back, and nothing else; or refused.

Two readings: a strict one of our own, to which anything but the few forms that we write is an error, and ExaBGP's own
tokeniser, which has to find the same words. Values come straight to the writer, hostile ones among them, or from a
configuration file.
"""

import base64
import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from exabgp.configuration.core.format import tokens

from dnstap_bgp.commands.host import plugin_command
from dnstap_bgp.config.exabgp_sessions import missing, speaker
from dnstap_bgp.config.loading import parse
from dnstap_bgp.core.exabgp.config_file import Session, Speaker, render
from dnstap_bgp.errors import ConfigError, HostError
from tests.fuzz.choices import Choices

COVERS = {"dnstap_bgp.core.exabgp.config_file": 1.0, "dnstap_bgp.config.exabgp_sessions": 0.25}
BAD = [*("%a;b", "a;b", "a{b", "a}b", "a#b", "a b", "[a]", "a,b", 'a"b', "a'b", "a\\b"), *"\n\t\r\0é\x85", ""]
ADDRESSES = ["192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::1", "2001:DB8::2", "::ffff:192.0.2.9"]
OPTIONAL = ["as", "password", "ttl_security", "multihop", "hold_time", "passive"]
NUMBERS = [3, 64, 99, 179, 0, 255, 65001, 4200000000]

_WORD = r'[A-Za-z0-9_./:=@%+~-]+|"[ !#-&(-\[\]-~]+"|\[|\]'
_LINE = re.compile(rf"(?P<indent>(?:    )*)(?:(?P<words>(?:{_WORD})(?: (?:{_WORD}))*)(?P<end>;| \{{)|\}})")
_WORDS = re.compile(_WORD)
_Value = TypeVar("_Value")


class Block(NamedTuple):
    """A statement's words, and what stands in its braces; None: it has none."""

    words: tuple[str, ...]
    inner: "list[Block] | None"


def one_input(data: bytes) -> None:
    kind, dice = data[:1], Choices(data[1:])
    if kind < b"\xa0":
        run = (
            "/bin/true",
            *(hostile(dice, ["--config", "/etc/d.toml", "a  b", " "]) for _ in range(dice.randrange(4))),
        )
        check(Speaker(tuple(sessions(dice)), dice.random() < 0.7, dice.random() < 0.7, dice.random() < 0.5), run)
    else:
        check_file(dice)


def check(wanted: Speaker, run: tuple[str, ...]) -> None:
    """The writer against the values that it was given."""
    refused = ""
    try:
        text = render(wanted, run)
    except HostError as error:
        refused = str(error)
    if refused:
        assert not all(map(is_word, run)) or not all(map(is_sound, wanted.sessions)), "a good value was refused"
        assert refused.isprintable()
        secrets = [one.password for one in wanted.sessions if one.password is not None and len(one.password) > 8]
        assert not any(secret in refused for secret in secrets)
        return
    assert all(map(is_word, run))
    assert all(map(is_sound, wanted.sessions))
    process, *neighbors = read(text)
    assert process == Block(("process", "dnstap"), [Block(("run", *run), None), Block(("encoder", "json"), None)]), (
        "the process section"
    )
    assert len(neighbors) == len(wanted.sessions)
    for block, session in zip(neighbors, wanted.sessions, strict=True):
        check_neighbor(block, session, wanted)
    flat = [part for block in (process, *neighbors) for part in flattened(block)]
    assert [[word for _, _, word in line] for line in tokens(iter(text.splitlines(keepends=True)))] == flat


def check_neighbor(block: Block, session: Session, of: Speaker) -> None:
    keyword, address = block.words
    assert keyword == "neighbor"
    assert packed(address) == packed(session.address)
    assert block.inner is not None
    values = {one.words[0]: one for one in block.inner}
    assert len(values) == len(block.inner), "a statement stands there twice"

    def take(key: str) -> str | None:
        found = values.pop(key, None)
        assert found is None or (len(found.words) == 2 and found.inner is None)
        return None if found is None else found.words[1]

    local, connect, listen = take("local-address"), take("connect"), take("listen")
    assert packed(take("router-id") or "") == packed(session.router_id)
    assert local == "auto" if session.local_address is None else packed(local or "") == packed(session.local_address)
    assert (take("local-as"), take("peer-as")) == (str(session.local_as), str(session.peer_as))
    assert take("hold-time") == str(session.hold_time_s)
    assert take("passive") == ("true" if session.passive else None)
    assert listen == (str(session.port) if session.passive else None)
    assert connect == (None if session.passive or session.port == 179 else str(session.port))
    assert take("md5-base64") == (None if session.password is None else "true")
    password = take("md5-password")
    assert (None if password is None else base64.b64decode(password, validate=True).decode()) == session.password
    for key, ttl in (("incoming-ttl", session.ttl_least), ("outgoing-ttl", session.ttl_sent)):
        assert take(key) == (None if ttl is None else str(ttl))
    assert take("manual-eor") == ("true" if of.graceful_restart else None)
    families = [Block((name, "unicast"), None) for name, is_on in (("ipv4", of.ipv4), ("ipv6", of.ipv6)) if is_on]
    capabilities = [Block(("route-refresh", "enable"), None)]
    capabilities += [Block(("graceful-restart", "120"), None)] * of.graceful_restart
    events = [Block((event,), None) for event in ("neighbor-changes", "negotiated", "signal")]
    assert values == {
        "capability": Block(("capability",), capabilities),
        "family": Block(("family",), families),
        "api": Block(("api",), [Block(("processes", "[", "dnstap", "]"), None), *events]),
    }


def check_file(dice: Choices) -> None:
    """A configuration file: if it is taken, all of its neighbors can be written, and read back."""
    neighbors = []
    for _ in range(dice.randrange(1, 3)):
        one: dict[str, object] = {"address": hostile(dice, ADDRESSES), "port": number(dice)}
        for key in dice.sample(
            ["as", "password", "ttl_security", "multihop", "hold_time", "passive"], dice.randrange(4)
        ):
            one[key] = hostile(dice, ["sesame"]) if key == "password" else number(dice)
            one[key] = dice.random() < 0.5 if key == "passive" else one[key]
        neighbors.append(one)
    bgp = [f"as = {number(dice)}", f"router_id = {json.dumps(hostile(dice, ADDRESSES[:3]))}"]
    if dice.random() < 0.5:
        bgp.append(f"source_ip = {json.dumps(hostile(dice, ADDRESSES))}")
    tables = [", ".join(f"{key} = {json.dumps(value)}" for key, value in one.items()) for one in neighbors]
    bgp.append(f"peers = [{', '.join(f'{{{one}}}' for one in tables)}]")
    text = 'domains = "d"\n[dnstap]\nlisten = "/t"\n[bgp]\nnext_hop = "192.0.2.1"\n' + "\n".join(bgp)
    path = Path("/etc") / hostile(dice, ["d.toml", "my folder/d.toml", "a{b}.toml"]).replace("\0", "").strip("/.")
    with suppress(ConfigError):
        config = parse(text.encode("utf-8", "replace"), path)
        if not list(missing(config.bgp)):
            wanted = speaker(config)
            given = [one["password"] for one in neighbors if one.get("password")]  # an empty text is no value
            assert [one.password for one in wanted.sessions if one.password is not None] == given
            assert all(map(is_sound, wanted.sessions)), "what is taken from a file can be written"
            check(wanted, plugin_command(path))


def sessions(dice: Choices) -> Iterator[Session]:
    for _ in range(dice.randrange(3)):
        yield Session(
            address=hostile(dice, ADDRESSES),
            port=number(dice),
            local_as=number(dice),
            peer_as=number(dice),
            router_id=hostile(dice, ADDRESSES[:3]),
            local_address=maybe(dice, hostile(dice, ADDRESSES)),
            password=maybe(dice, hostile(dice, ['sesame; } # "'])),
            hold_time_s=number(dice),
            ttl_least=maybe(dice, number(dice)),
            ttl_sent=maybe(dice, number(dice)),
            passive=dice.random() < 0.5,
        )


def number(dice: Choices) -> int:
    return dice.choice(NUMBERS[: dice.choice([3, 4, 8])]) if dice.random() < 0.9 else dice.getrandbits(32)


def maybe(dice: Choices, value: _Value) -> _Value | None:
    return value if dice.random() < 0.5 else None


def hostile(dice: Choices, good: list[str]) -> str:
    """A good text, or one that means something to a parser, or any."""
    chance = dice.random()
    if chance < 0.9:
        return dice.choice(good)
    if chance < 0.95:
        return f"{dice.choice(good)}{dice.choice(BAD)}"
    return str(dice.chunk(90), "utf-8", "surrogateescape")


def is_word(word: str) -> bool:
    """Whether ExaBGP's `run` can have a word, quoted or not: it knows no escape for a quote."""
    return bool(word) and all(" " <= char <= "~" and char not in "\"'\\" for char in word)


def is_sound(session: Session) -> bool:
    addresses = [session.address, session.router_id, session.local_address]
    if session.password is not None and not (session.password and session.password.isascii()):
        return False
    return all(one is None or packed(one) is not None for one in addresses)


def packed(text: str) -> bytes | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):  # also of a zero byte, and of what is no UTF-8
            return socket.inet_pton(family, text)
    return None


def read(text: str) -> list[Block]:
    """Read what is written strictly: four spaces for each brace, one space between words, one statement a line."""
    assert text.endswith("\n")
    assert all(char == "\n" or " " <= char <= "~" for char in text)
    root: list[Block] = []
    open_blocks = [root]
    for line in filter(None, text.split("\n")):
        found = _LINE.fullmatch(line)
        assert found is not None, line
        if found["words"] is None:
            open_blocks.pop()
        assert len(found["indent"]) == 4 * (len(open_blocks) - 1), line
        if found["words"] is not None:
            words = tuple(word.strip('"') for word in _WORDS.findall(found["words"]))
            block = Block(words, None if found["end"] == ";" else [])
            open_blocks[-1].append(block)
            if block.inner is not None:
                open_blocks.append(block.inner)
    assert open_blocks == [root]
    return root


def flattened(block: Block) -> Iterator[list[str]]:
    """The words as ExaBGP's tokeniser gives them: up to each semicolon or brace, with it."""
    if block.inner is None:
        yield [*block.words, ";"]
        return
    yield [*block.words, "{"]
    for one in block.inner:
        yield from flattened(one)
    yield ["}"]


def seeds() -> Iterator[bytes]:
    for seed in range(120):
        pick = random.Random(seed)
        yield (b"\0" if seed % 2 else b"\xff") + pick.randbytes(20 + seed)
