"""HTTP bodies: what clients of the control socket and peers of the sync listener ask with, through real sockets.

An input is a few requests. Whatever is in a body, it is answered with JSON (the listener: a line of text) of a bounded
size, never as a fault of ours; it has exactly the effect that a simple model gives it, or none and a refusal; what was
changed is in the audit, in one line. The body comes whole or in pieces, with its length or in chunks.
"""

import asyncio
import atexit
import getpass
import json
import logging
import math
import random
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from dnstap_bgp.config import load
from dnstap_bgp.config.policies import caps, list_policies, static_prefixes
from dnstap_bgp.config.tables import SyncerTable
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists import managed
from dnstap_bgp.core.lists.managed import EditRequest, ManagedName
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.lists.switches import SwitchRequest
from dnstap_bgp.core.model import BY_HAND
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.routes.table import RouteTable
from dnstap_bgp.core.status.report import WebStatus
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.exabgp.bgp import Bgp
from dnstap_bgp.workers.lists.manager import ListManager
from dnstap_bgp.workers.process import logs
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.process.mailbox import Errand, Outcome
from dnstap_bgp.workers.routes.keeper import Keeper
from dnstap_bgp.workers.sync.access import SyncAccess
from dnstap_bgp.workers.sync.hub import Hub
from dnstap_bgp.workers.sync.listener import SyncListener
from dnstap_bgp.workers.sync.peer import Followers
from dnstap_bgp.workers.tap.tap import Tap
from dnstap_bgp.workers.web.feed import EventFeed
from dnstap_bgp.workers.web.http_app import HttpApp
from dnstap_bgp.workers.web.inspector import Inspector, Parts
from tests.fuzz.choices import Choices

COVERS = {
    "dnstap_bgp.workers.web.control_api": 0.6,
    "dnstap_bgp.workers.web.lists_api": 0.6,
    "dnstap_bgp.workers.web.token_access": 0.35,
    "dnstap_bgp.workers.net.http_server": 0.5,
    "dnstap_bgp.workers.sync.listener": 0.2,
    "dnstap_bgp.core.lists.managed": 0.9,
}
CONFIG = """
runtime_dir = "run"
[dnstap]
listen = "./tap.sock"
[bgp]
next_hop = "192.0.2.1"
next_hop_ipv6 = "2001:db8::1"
[[list]]
name = "l"
sources = "l.txt"
[[list]]
name = "m"
sources = "l.txt"
"""
TEN_YEARS_S = 10 * 366 * 86_400
CONTROL_MAX, LISTS_MAX, PUT_MAX = 4096, 1 << 20, 4096
NO_AUDIT = {"/v1/diff", "/v1/save", "/v1/log-level"}
KEYS = {
    "/v1/forget": ("target",),
    "/v1/add": ("address", "list", "ttl_s"),
    "/v1/lists/edit": ("list", "add", "remove", "comment", "preview"),
    "/v1/lists/switch": ("list", "enabled", "for_s"),
    "/v1/reload": ("force",),
    "/v1/diff": ("force",),
    "/v1/log-level": ("level",),
    "/v1/hold": ("on",),
    "/v1/save": (),
    "/v1/margin": ("step", "neighbor", "yes", "measurement"),
    "/put": ("IP", "Domain", "TS"),
}
PATHS = list(KEYS)
TEXTS = {
    "target": [
        "11.0.0.1",
        "11.0.0.2/32",
        "2600::1",
        "www.example.com",
        "WWW.other.example.",
        "\u00fcber.example",
        r"a\046b.test",
    ],
    "address": ["11.0.0.9", " 2600::9 ", "11.0.0.1/32", "127.0.0.1", "fe80::1%eth0", "::ffff:11.0.0.1"],
    "list": ["l", "m", "none"],
    "level": ["debug", "info", "warning", "error", "loud"],
    "step": ["begin", "choose", "announce", "withdraw", "end", "stop"],
    "comment": ["", "the portal", "a: b # c", "two\nlines", "\u2028", "x" * 201],
    "IP": ["11.0.0.9", "2600::9", "127.0.0.1", "11.0.0.09"],
    "Domain": ["www.example.com", "WWW.Example.COM.", "elsewhere.test", "a b.example.com", r"a\046b.example.com"],
    "TS": [
        "2026-11-22T01:00:00Z",
        "2026-11-22T01:00:00.5+01:30",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "now",
    ],
    "": ["", "11.0.0.1", "\ud800", "\x00", "\x1b[2J", "a" * 300, "\u202e"],
}
NAMES = ["example.com", "=www.example.com", "!*.Example.org", "new.example", "192.0.2.0/24", "keyword:ads", "", "a # b"]
ODD = ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, "-1", "0", "1", "1.5", "3e8", "true", "false", "null"]
ODD += ["{}", "[]", "[[]]", '["l"]', '["\\ud800"]', '"\\ud800"', "[" * 40 + "]" * 40]
LEVELS = {"debug", "info", "warning", "error"}
NAME = b"www.example.com"
OTHER = b"www.other.example"

_Claims = set[tuple[str, str, str]]


class Asked(NamedTuple):
    """A request, and its answer."""

    path: str
    body: bytes
    status: int
    answer: bytes

    def value(self) -> dict[str, Any] | None:
        """What the body says; None: it is no JSON object."""
        try:
            found = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


class AtOnce(Executor):
    """An executor that does what it is given in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Scene:
    """Control socket and sync listener in one thread, with a table behind them that each input has anew."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-http-")
        folder = Path(self._folder.name)
        (folder / "run").mkdir()
        (folder / "l.txt").write_text("example.com\n")
        (folder / "d.toml").write_text(CONFIG)
        self.config = load(folder / "d.toml")
        names = [Rule(b"example.com"), Rule(b"other.example")]
        self._rules = RuleSet.build([("l", names), ("m", names[:1])])
        guard = Guard(strict=True)
        self._policies = Policies(list_policies(self.config), guard, caps(self.config), static_prefixes(self.config))
        self.loop = asyncio.new_event_loop()
        self.keeper = self._keeper()
        control, put = socket.socket(socket.AF_UNIX), socket.socket()
        self._sockets = [control, put, *socket.socketpair()]
        bgp = Bgp(self._sockets[2].fileno(), self._sockets[3].fileno(), no_crash, no_crash)
        self._tap = Tap(self.config.dnstap, self.keeper, Ingest(self._rules, frozenset({6})), no_crash)
        listing = ListManager(folder, no_news, Loop(no_crash))
        parts = Parts(self.keeper, self._tap, bgp, None, listing)
        self.inspector = Inspector(parts, self.config, lambda: WebStatus((), 0, 0, {}))
        self.inspector.send = self._take
        self.app = HttpApp(self.inspector, EventFeed(self.keeper), Counter())
        self.app._disk = AtOnce()  # type: ignore[assignment] # no thread: what is asked is done, and is one input's
        self.errands: list[Errand] = []
        self.entries: dict[str, ManagedName] = {}
        control.bind(str(folder / "run" / "c"))
        put.bind(("127.0.0.1", 0))
        self._at = {False: (socket.AF_UNIX, control.getsockname()), True: (socket.AF_INET, put.getsockname())}
        for one in (control, put):
            one.listen()
            one.setblocking(False)
        self.hub = Hub(self.keeper, None)
        syncer = SyncerTable.model_construct(insecure=True, peers=()).settings()
        self._access, self._followers = SyncAccess(syncer, ()), Followers((), self.hub.node)
        self.loop.run_until_complete(self._serve(control, put))

    async def _serve(self, control: socket.socket, put: socket.socket) -> None:
        """Begin to serve, as long as the process lasts."""
        listener = SyncListener(self.hub, self._access, self._followers, tls=None, compatible=True)
        serving = self.app.serve(control, control=True), listener._server.serve(put)
        self._serving = [asyncio.ensure_future(one) for one in serving]

    def close(self) -> None:
        """End all services."""

        async def end() -> None:
            for one in self._serving:
                one.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

        self.loop.run_until_complete(end())
        self.loop.close()
        for sock in self._sockets:
            sock.close()
        self._tap.close()
        self._folder.cleanup()

    def renew(self) -> None:
        """A table with three claims, and nothing asked."""
        self.keeper = self._keeper()
        self.inspector.parts = replace(self.inspector.parts, keeper=self.keeper)
        self.hub._keeper = self.keeper
        seen = [(bytes((11, 0, 0, 1)), "l", NAME, 300), (bytes((11, 0, 0, 1)), "l", OTHER, 300)]
        seen += [(bytes((11, 0, 0, 2)), "m", NAME, 300), (ip_address("2600::1").packed, "l", NAME, 300)]
        self.keeper.observe(seen, self._rules)
        self.errands.clear()
        self.entries = {}
        self.audit()

    def claims(self) -> _Claims:
        held = self.keeper.table.claims
        found = (claim for shard in range(SHARDS) for one in held.addresses(shard) for claim in held.of_address(one))
        return {(str(ip_address(claim.address)), claim.list, claim.name.decode()) for claim in found}

    def audit(self) -> list[bytes]:
        """What is new in the audit file."""
        try:
            found = self.app._audit._path.read_bytes()
        except FileNotFoundError:
            return []
        self.app._audit._path.unlink()
        assert found.endswith(b"\n")
        return found.splitlines()

    def ask(self, path: str, body: bytes, dice: Choices) -> Asked:
        return self.loop.run_until_complete(asyncio.wait_for(self._ask(path, body, dice), 20))

    async def _ask(self, path: str, body: bytes, dice: Choices) -> Asked:
        is_put = path == "/put"
        family, address = self._at[is_put]
        with socket.socket(family) as sock:
            sock.setblocking(False)
            await self.loop.sock_connect(sock, address)
            if is_put:  # a port is free again at once: an input may be one of millions
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            for piece in framed("PUT" if is_put else "POST", path, body, dice):
                try:
                    await self.loop.sock_sendall(sock, piece)
                except OSError:  # refused already
                    break
                await asyncio.sleep(0)
            answer = b""
            with suppress(ConnectionResetError):
                while not is_whole(answer):
                    piece = await self.loop.sock_recv(sock, 1 << 16)
                    if not piece:
                        break
                    answer += piece
        head, _, content = answer.partition(b"\r\n\r\n")
        return Asked(path, body, int(head.split(b" ", 2)[1]), content)

    def _take(self, errand: Errand) -> None:
        """Stand in for the main thread."""
        self.errands.append(errand)
        try:
            if isinstance(errand.change, EditRequest) and not errand.change.is_preview:
                self.entries = dict(managed.edited(self.entries, errand.change.edit, 1_700_000_000.0))
        except CommandError as error:
            errand.outcome.set_exception(error)
        else:
            errand.outcome.set_result(Outcome(ok=True, messages=("done",)))

    def _keeper(self) -> Keeper:
        return Keeper(RouteTable(self._policies, recording=False), Views(), self._rules)


def no_crash(*_: object) -> None:
    raise AssertionError("no thread runs here")


def no_news(_: bool) -> None:
    """No URL is followed."""


def framed(method: str, path: str, body: bytes, dice: Choices) -> Iterator[bytes]:
    """A request, with its length or in chunks, in up to four pieces."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if dice.random() < 0.5:
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    else:
        size = 1 + dice.randrange(len(body) + 1)
        chunks = [body[at : at + size] for at in range(0, len(body), size)][:64]
        chunks += [body[64 * size :]] if len(body) > 64 * size else []
        data = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        data += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(dice.randrange(len(data)) for _ in range(dice.choice([0, 0, 1, 3])))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if begin < end:
            yield data[begin:end]


def is_whole(answer: bytes) -> bool:
    head, end, content = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(content) >= int(lengths[0])


_scene: Scene | None = None


def scene() -> Scene:
    global _scene  # noqa: PLW0603 - once in a process: inputs are many
    if _scene is None:
        _scene = Scene()
        atexit.register(_scene.close)
    return _scene


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged, and what is set of the log is as before in the end."""
    loggers = logging.getLogger(), logging.getLogger("dnstap_bgp")
    levels = [logger.level for logger in loggers]
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        logs.set_level("error")
        yield
    finally:
        logging.disable(disabled)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def one_input(data: bytes) -> None:
    dice, at = Choices(data), scene()
    with quiet():
        at.renew()
        for _ in range(3):
            if not dice:
                break
            path = dice.choice(PATHS)
            body = body_of(path, dice)
            before, level = at.claims(), logs.level()
            asked = at.ask(path, body, dice)
            check_answer(asked)
            check_effect(asked, at, before)
            assert logs.level() == level or (path == "/v1/log-level" and asked.status == 200)
            check_audit(asked, at.audit())
            at.errands.clear()


def body_of(path: str, dice: Choices) -> bytes:
    """A body: any bytes, or an object with the path's keys, good or odd values, and sometimes others, or too long."""
    if dice.random() < 0.15:
        return dice.take(dice.randrange(600))
    parts = [f"{json.dumps(key)}:{value_of(key, dice)}" for key in KEYS[path] if dice.random() < 0.85]
    if dice.random() < 0.1:
        parts.append(f"{json.dumps(text_of('', dice))}:{value_of('', dice)}")
    body = "{" + ",".join(parts) + "}"
    if dice.random() < 0.05:
        body += " " * dice.choice([100, 4000, 4096, 5000])
    return body.encode("utf-16" if dice.random() < 0.03 else "utf-8", "surrogatepass")


def value_of(key: str, dice: Choices) -> str:
    """A value as JSON."""
    if dice.random() < 0.15:
        return dice.choice(ODD)
    match key:
        case "add" | "remove":
            names = [dice.choice(NAMES) if dice.random() < 0.9 else text_of("", dice) for _ in range(dice.randrange(4))]
            return json.dumps(names)
        case "ttl_s" | "for_s":
            return json.dumps(dice.choice([60, 1, 0.5, TEN_YEARS_S, TEN_YEARS_S + 1, 3600.5, None]))
        case "enabled" | "preview" | "on" | "yes" | "force":
            return dice.choice(["true", "false"])
    return json.dumps(text_of(key, dice))


def text_of(key: str, dice: Choices) -> str:
    pool = TEXTS.get(key, TEXTS[""]) if dice.random() < 0.9 else TEXTS[""]
    return dice.choice(pool) if dice.random() < 0.9 else str(dice.chunk(80), "utf-8", "surrogateescape")


def check_answer(asked: Asked) -> None:
    assert len(asked.answer) <= 8 * len(asked.body) + 4096
    if asked.path == "/put":
        assert asked.status in (200, 400), asked
        assert asked.answer.isascii()
        assert asked.answer.decode().replace("\n", "").isprintable()
        return
    assert asked.status in (200, 400, 413), asked
    assert asked.answer.isascii()
    found = json.loads(asked.answer)
    assert isinstance(found, dict)
    assert (asked.status == 200) != isinstance(found.get("error"), str)
    limit = LISTS_MAX if asked.path.startswith("/v1/lists/") else CONTROL_MAX
    assert (asked.status == 413) == (len(asked.body) > limit)


def check_effect(asked: Asked, at: Scene, before: _Claims) -> None:
    """What has changed is what was asked for; where it was refused, nothing."""
    after, value = at.claims(), asked.value()
    changes: list[Errand] = list(at.errands)
    if asked.status != 200:
        assert after == before, asked
        refused_edit = asked.path == "/v1/lists/edit" and asked.status == 400
        assert not changes or refused_edit, "the main thread was sent, all the same"
        assert not is_certainly_good(asked, value), f"refused: {asked}"
        return
    assert value is not None or asked.path == "/put"
    value = value or {}
    assert asked.path == "/put" or set(value) <= set(KEYS[asked.path])
    assert bool(changes) == (asked.path in {"/v1/reload", "/v1/diff", "/v1/lists/switch", "/v1/lists/edit"})
    match asked.path:
        case "/v1/forget":
            check_forgotten(value["target"], before, after, json.loads(asked.answer)["ended"])
        case "/v1/add":
            check_added(value, before, after)
        case "/put":
            check_put(value, before, after)
        case "/v1/reload" | "/v1/diff":
            force = value.get("force", False)
            assert changes[0].kind == asked.path[4:]
            assert changes[0].force == (frozenset(force) if isinstance(force, list) else force is True)
        case "/v1/lists/switch":
            wanted = SwitchRequest(value["list"], value["enabled"], value.get("for_s"), getpass.getuser())
            assert changes[0].change == wanted
            assert wanted.for_s is None or 1 <= wanted.for_s <= TEN_YEARS_S
        case "/v1/lists/edit":
            assert isinstance(changes[0].change, EditRequest)
            check_edit(changes[0].change, value, at)
        case "/v1/log-level":
            assert value["level"] in LEVELS
            assert logs.level() == value["level"]
        case "/v1/margin":
            assert value["step"] == "end", "no measurement can begin here"
        case path:
            raise AssertionError(f"nothing here can do {path}")
    assert after == before or asked.path in {"/v1/forget", "/v1/add", "/put"}


def is_certainly_good(asked: Asked, value: dict[str, Any] | None) -> bool:  # noqa: PLR0911 - one for each path
    """Whether a request asks for something that there is no reason to refuse."""
    if value is None or len(asked.body) > CONTROL_MAX or not set(value) <= set(KEYS[asked.path]):
        return False
    match asked.path:
        case "/v1/forget":
            return value.get("target") in ("11.0.0.1", "11.0.0.2/32", "www.example.com", r"a\046b.test")
        case "/v1/add":
            return (
                value.get("address") in ("11.0.0.9", " 2600::9 ")
                and value.get("list") in ("l", "m")
                and ("ttl_s" not in value or is_number(value["ttl_s"]))
            )
        case "/v1/log-level":
            return value.get("level") in ("debug", "info", "warning", "error")
        case "/v1/reload" | "/v1/diff":
            return isinstance(value.get("force", False), bool)
        case "/v1/lists/switch":
            is_long = value.get("for_s") is None or is_number(value["for_s"])
            return value.get("list") in ("l", "m") and isinstance(value.get("enabled"), bool) and is_long
        case "/put":
            is_name = value.get("Domain") in ("www.example.com", "WWW.Example.COM.")
            return value.get("IP") in ("11.0.0.9", "2600::9") and is_name and value.get("TS") in TEXTS["TS"][:2]
    return False


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= TEN_YEARS_S


def check_forgotten(target: str, before: _Claims, after: _Claims, ended: int) -> None:
    assert after <= before
    assert ended == len(before - after)
    text = target.strip().removesuffix("/32").removesuffix("/128")
    try:
        address: str | None = str(ip_address(text))
    except ValueError:
        address = None
    if address is not None:
        gone = {claim for claim in before if claim[0] == address}
    else:
        gone = {claim for claim in before if claim[2] == target.strip().lower().rstrip(".")}
    assert gone <= before - after
    if not gone:  # an odd way to write a name, or none of ours
        assert len({name for _, _, name in before - after}) <= 1


def check_added(value: dict[str, Any], before: _Claims, after: _Claims) -> None:
    text = value["address"].strip().removesuffix("/32").removesuffix("/128")
    assert "ttl_s" not in value or is_number(value["ttl_s"])
    assert after == before | {(str(ip_address(text)), value["list"], BY_HAND.decode())}
    assert value["list"] in ("l", "m")


def check_put(value: dict[str, Any], before: _Claims, after: _Claims) -> None:
    folded = {key.lower(): one for key, one in value.items()}
    values = [value.get(key) for key in KEYS["/put"]]
    ip, domain, _ = [folded.get(key.lower()) for key in KEYS["/put"]] if None in values else values
    assert before <= after
    name = str(domain).lower().rstrip(".")
    for claim in after - before:
        assert claim[0] == str(ip_address(str(ip)))
        assert claim[2] == name or "\\" in name
        assert claim[2].endswith(("example.com", "other.example"))


def check_edit(change: EditRequest, value: dict[str, Any], at: Scene) -> None:
    edit, comment = change.edit, value.get("comment", "")
    assert change.list == value["list"]
    assert change.is_preview == value.get("preview", False)
    assert edit.who == getpass.getuser()
    assert edit.comment == comment.strip()
    assert comment.isprintable()
    assert len(comment) <= 200
    assert len(edit.add) <= len(value.get("add", []))
    assert len(edit.remove) <= len(value.get("remove", []))
    text = managed.write(at.entries.values())
    assert text.count("\n") == 1 + len(at.entries)
    assert managed.parse(text) == at.entries, "the file is read as it was written"


def check_audit(asked: Asked, lines: list[bytes]) -> None:
    value = asked.value()
    is_asked = value is not None and asked.status in (200, 400) and asked.path != "/put"
    if not is_asked or value is None or asked.path in NO_AUDIT or value.get("preview") is True:
        assert not lines
        return
    assert len(lines) == 1
    assert lines[0].isascii()
    assert lines[0].decode().isprintable()
    assert len(lines[0]) < 20_000
    entry = json.loads(lines[0])
    assert (entry["who"], entry["what"]) == (getpass.getuser(), asked.path)
    assert (entry["outcome"] == "done") == (asked.status == 200)
    text = json.dumps(value)
    assert entry["asked"] == (text if len(text) <= 1000 else text[:1000] + "...")
    assert math.isfinite(entry["at"])


def seeds() -> Iterator[bytes]:
    for seed in range(300):
        yield random.Random(seed).randbytes(30 + seed % 60)
