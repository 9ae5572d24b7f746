"""Single fetches, from servers on the loopback: where redirects may lead, and what messages show."""

import asyncio
import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import fetch
from tests.workers.lists import list_server
from tests.workers.lists.list_server import ListServer, content


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server.serving() as server:
        yield server


def get(folder: Path, url: str) -> bytes:
    """Fetch once; gives the content."""

    async def run() -> None:
        with io.FileIO(folder / "fetched", "w") as output, ThreadPoolExecutor(1) as disk:
            async with fetch.session() as web:
                await fetch.fetch(web, url, fetch.Conditions(), 1 << 20, output, disk=disk)

    asyncio.run(run())
    return (folder / "fetched").read_bytes()


def test_what_the_disk_takes_in_parts_is_whole(server: ListServer, tmp_path: Path, monkeypatch):
    """The end of a list that is lost in silence may be half of a name: another name."""
    write = io.FileIO.write
    parts = type("Parts", (io.FileIO,), {"write": lambda file, data: write(file, bytes(data)[:7])})
    monkeypatch.setattr(io, "FileIO", parts)
    server.acts["/list"] = content("one.example\ntwo.example\n")
    assert get(tmp_path, server.url("/list")) == b"one.example\ntwo.example\n"


@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("10.0.0.1", "private"),
        ("172.31.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("fd00::1", "private"),
        ("224.0.0.1", "private"),
        ("ff02::1", "private"),
        ("240.0.0.1", "private"),
        ("192.88.99.1", "private"),
        ("fec0::1", "private"),
        ("64:ff9b:1::a00:1", "private"),
        ("::7f00:1", "private"),
        ("4000::1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("64:ff9b::808:808", "public"),
    ],
)
def test_zones(address: str, zone: str):
    assert fetch._zone(address) == zone


@pytest.fixture
def outside(monkeypatch) -> None:
    """Let 127.0.0.2 pass for a public address, and 127.0.0.3 for a private one."""
    zone = fetch._zone
    as_if = {"127.0.0.2": "public", "127.0.0.3": "private"}
    monkeypatch.setattr(fetch, "_zone", lambda address: as_if.get(address) or zone(address))


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/secret?token=1", "http://localhost:{port}/secret", "http://127.0.0.3:{port}/secret"],
)
def test_a_public_source_leads_nowhere_inwards(tmp_path: Path, server: ListServer, target: str):
    """Nor over another public one, and nothing is asked there."""
    address = target.format(port=server.server_port)
    with list_server.serving(server.server_port, "127.0.0.2") as public:
        public.acts = {"/a": list_server.redirect(address), "/b": list_server.redirect("/a")}
        server.acts["/secret"] = content("foo.com\n")
        for path in ("/a", "/b"):
            with pytest.raises(ListError, match=r"it redirects to .*only a source that is there itself") as told:
                get(tmp_path, f"http://127.0.0.2:{server.server_port}{path}")
            assert "token=1" not in str(told.value)
    assert server.requests == []


@pytest.mark.usefixtures("outside")
def test_a_private_source_leads_to_public_and_private_ones_but_not_to_loopback(tmp_path: Path, server: ListServer):
    port = server.server_port
    with list_server.serving(port, "127.0.0.3") as private, list_server.serving(port, "127.0.0.2") as public:
        public.acts = {"/l": content("foo.com\n"), "/back": list_server.redirect(f"http://127.0.0.3:{port}/l")}
        private.acts = {
            "/l": content("bar.com\n"),
            "/out": list_server.redirect(f"http://127.0.0.2:{port}/l"),
            "/back": list_server.redirect(f"http://127.0.0.2:{port}/back"),
            "/in": list_server.redirect(server.url("/l")),
        }
        assert get(tmp_path, f"http://127.0.0.3:{port}/out") == b"foo.com\n"
        assert get(tmp_path, f"http://127.0.0.3:{port}/back") == b"bar.com\n"
        with pytest.raises(ListError, match="loopback"):
            get(tmp_path, f"http://127.0.0.3:{port}/in")


@pytest.mark.usefixtures("outside")
def test_a_name_that_means_another_address_the_second_time(tmp_path: Path, server: ListServer, monkeypatch):
    """Rebinding: what counts is the address that is connected to."""
    port = server.server_port
    answers = ["127.0.0.2", "127.0.0.1"]
    resolve = socket.getaddrinfo

    def rebinding(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve(answers.pop(0) if host == "evil.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with list_server.serving(port, "127.0.0.2") as public:
        public.acts = {"/a": list_server.redirect(f"http://evil.example:{port}/b")}
        with pytest.raises(ListError, match="loopback"):
            get(tmp_path, f"http://evil.example:{port}/a")
    assert answers == []
    assert server.requests == []


@pytest.mark.usefixtures("outside")
def test_a_public_source_with_an_address_inside_that_refuses_is_a_public_one(
    tmp_path: Path, server: ListServer, monkeypatch
):
    port = server.server_port
    resolve = socket.getaddrinfo

    def both(host: Any, *rest: Any, **options: Any) -> Any:
        addresses = ["127.0.0.4", "127.0.0.2"] if host == "evil.example" else [host]
        return [found for one in addresses for found in resolve(one, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with list_server.serving(port, "127.0.0.2") as public:
        public.acts = {"/a": list_server.redirect(server.url("/secret"))}
        with pytest.raises(ListError, match="loopback"):
            get(tmp_path, f"http://evil.example:{port}/a")
        assert [path for path, _ in public.requests] == ["/a"]
    assert server.requests == []


def test_a_local_source_may_lead_to_itself(tmp_path: Path, server: ListServer):
    server.acts |= {"/a": list_server.redirect("/b"), "/b": content("foo.com\n")}
    assert get(tmp_path, server.url("/a")) == b"foo.com\n"


@pytest.mark.parametrize(
    "target", ["ftp://user:word@x/y?token=secret", "https://user:word@[/y?token=secret", "http://x y/?token=secret"]
)
def test_no_message_has_a_secret_of_a_url(tmp_path: Path, server: ListServer, target: str):
    server.acts["/a?token=secret"] = list_server.redirect(target)
    with pytest.raises(ListError) as told:
        get(tmp_path, server.url("/a?token=secret"))
    assert "secret" not in str(told.value)
    assert "word" not in str(told.value)


@pytest.mark.parametrize(
    ("first", "again"),
    [(b"", b"1;" + b"x" * 60_000 + b"\r\na\r\n"), (b"1;", b"x" * 60_000), (b"1\r\na\r\n", b"0" * 60_000)],
    ids=["many extensions", "one without an end", "zeros"],
)
def test_what_comes_around_the_content_is_bounded(tmp_path: Path, server: ListServer, first: bytes, again: bytes):
    def act(handler: list_server.Handler) -> None:
        handler.begin(200, Transfer_Encoding="chunked")
        handler.wfile.write(first)
        while not server.released.is_set():
            handler.wfile.write(again)

    server.acts["/list"] = act
    with pytest.raises(ListError, match=r"5242880 bytes came.*1048576 at most \(max_bytes\)"):
        get(tmp_path, server.url("/list"))


def test_a_content_in_chunks_of_a_byte_each_may_have_half_of_max_bytes(tmp_path: Path, server: ListServer):
    def act(handler: list_server.Handler) -> None:
        handler.begin(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"1\r\na\r\n" * (1 << 19) + b"0\r\n\r\n")

    server.acts["/list"] = act
    assert get(tmp_path, server.url("/list")) == b"a" * (1 << 19)


@pytest.mark.parametrize("tag", ['"a\x1bb"', '"a\tb"', '"\xe9"', '"' + "a" * 255 + '"'])
def test_tags_that_can_not_be_sent_back_are_dropped(tmp_path: Path, server: ListServer, tag: str):
    server.acts["/l"] = content("foo.com\n", ETag=tag, Last_Modified=tag)

    async def run() -> fetch.Fetched | None:
        with io.FileIO(tmp_path / "fetched", "w") as output, ThreadPoolExecutor(1) as disk:
            async with fetch.session() as web:
                return await fetch.fetch(web, server.url("/l"), fetch.Conditions(), 1 << 20, output, disk=disk)

    fetched = asyncio.run(run())
    assert fetched is not None
    assert fetched.conditions == fetch.Conditions()


@pytest.mark.parametrize("tag", ["", "a\x1bb", "a\n", "\x7f", "\xe9", "a" * 257, 7, ["a"], None])
def test_no_tag_but_short_printable_ascii_is_sendable(tag: object):
    good = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert fetch.Conditions.sendable(tag, good) == fetch.Conditions(None, good)
    assert fetch.Conditions.sendable('W/"' + "a" * 252 + '"', tag) == fetch.Conditions('W/"' + "a" * 252 + '"', None)
