"""`dnstap-bgp import`: what the Go program's users bring along, and that all of it arrives."""

import datetime as dt
import http.server
import ipaddress
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dnstap_bgp import config as configuration
from dnstap_bgp.cli import main
from dnstap_bgp.commands import dump

ORIGINAL = (Path(__file__).parents[1] / "config" / "original.toml").read_text()


class Files:
    """A machine's files as the Go program left them, and where ours go."""

    def __init__(self, folder: Path) -> None:
        self.old = folder / "dnstap-bgp.conf"
        self.defaults = folder / "defaults"
        self.to = folder / "etc" / "dnstap-bgp.toml"
        self.cache = folder / "lib" / "state.msgpack"
        self.drop_in = folder / "systemd" / "import.conf"
        self.old.write_text(ORIGINAL)
        self.defaults.write_text(f"CONFIG={self.old}\n")

    def run(self, *more: str, status: int = 0) -> Result:
        places = [
            f"--defaults={self.defaults}",
            f"--to={self.to}",
            f"--cache={self.cache}",
            f"--drop-in={self.drop_in}",
        ]
        done = CliRunner().invoke(main, ["import", *places, *more])
        assert done.exit_code == status, done.output
        return done

    def held(self) -> dict[str, set[str]]:
        """Address -> names, of the state file."""
        found: dict[str, set[str]] = {}
        for address, _, name in dump.read(self.cache).claims:
            found.setdefault(str(ipaddress.ip_address(address)), set()).add(name.decode())
        return found


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@contextmanager
def running(answer: bytes, status: int = 200) -> Iterator[str]:
    """A Go program's syncer, as far as /fetch goes; gives its `host:port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/fetch"
            self.send_response(status if found else 404)
            self.end_headers()
            self.wfile.write(answer if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def entry(address: str, name: str, age_s: float = 60) -> dict[str, str]:
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    return {"IP": address, "Domain": name, "TS": (dt.datetime.now(zone) - dt.timedelta(seconds=age_s)).isoformat()}


def test_every_key_means_in_ours_what_it_meant(files: Files):
    files.run("--no-routes")
    before, after = configuration.load(files.old), configuration.load(files.to)
    for key in type(before).model_fields.keys() - {"path", "cache", "warnings"}:
        assert getattr(after, key) == getattr(before, key), key
    assert after.cache == files.cache


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("", "ipv6", False),  # unset was off
        ("domains = 'lists/my domains.txt'", "domains", ("{folder}/lists/my domains.txt",)),  # relative to the file
        ('TTL = "90m"', "ttl", 5400.0),
    ],
)
def test_what_the_new_place_or_program_would_change_is_written_out(files: Files, line: str, key: str, value: object):
    tables = (
        '\n[dnstap]\nlisten = "/tmp/dnstap.sock"\n[bgp]\nas = 65000\nrouterID = "192.0.2.1"\npeers = ["192.0.2.2"]\n'
    )
    files.old.write_text((line if key == "domains" else f'domains = "/x"\n{line}') + tables)
    files.run("--no-routes")
    found = getattr(configuration.load(files.to), key)
    folder = str(files.old.parent)
    assert found == (tuple(one.format(folder=folder) for one in value) if isinstance(value, tuple) else value)


def test_it_says_what_changes(files: Files):
    output = files.run("--no-routes").output
    for word in ("no-export", "label boundary", "[guard] allow", "state file", "dnstap-bgp up", "routerID"[:6]):
        assert word in output
    assert 'communities = ["no-export"]' in files.to.read_text()


def test_all_that_the_old_program_holds_is_in_the_state_file(files: Files):
    entries = [
        entry("198.51.100.1", "www.foo.bar"),
        entry("::ffff:198.51.100.2", "a.foo.bar"),
        entry("2001:db8::1", "foo.bar"),
    ]
    entries += [entry("198.51.100.3", "old.foo.bar", age_s=90_000), {"IP": "", "Domain": "", "TS": "never"}]
    with running(json.dumps(entries).encode()) as endpoint:
        output = files.run("--fetch", endpoint).output
    assert "3 of 4 entries" in output  # one is past the TTL, and what is no entry was left out in reading
    assert files.held() == {
        "198.51.100.1": {"www.foo.bar"},
        "198.51.100.2": {"a.foo.bar"},
        "2001:db8::1": {"foo.bar"},
    }
    ages = [dump.read(files.cache).now.boottime_s - claim.seen for claim in dump.read(files.cache).claims.values()]
    assert all(55 < age_s < 90 for age_s in ages)


def test_a_second_import_adds_and_loses_nothing(files: Files):
    for address in ("198.51.100.1", "198.51.100.2"):
        with running(json.dumps([entry(address, "www.foo.bar")]).encode()) as endpoint:
            files.run("--fetch", endpoint)
    assert set(files.held()) == {"198.51.100.1", "198.51.100.2"}


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (b"<html>", 200, "no array"),
        (b'[{"IP":"198.51.100.1"', 200, "breaks off"),
        (b"", 500, "500"),
    ],
    ids=["no JSON", "cut", "an error"],
)
def test_an_answer_that_is_none_takes_nothing_over_and_says_so(files: Files, answer: bytes, status: int, told: str):
    with running(answer, status) as endpoint:
        output = files.run("--fetch", endpoint, status=1).output
    assert told in output
    assert files.to.exists(), "the configuration is written all the same"
    assert not files.cache.exists()


def test_an_empty_cache_is_the_word_null(files: Files):
    with running(b"null") as endpoint:
        assert "0 of 0 entries" in files.run("--fetch", endpoint).output


def test_nobody_answers(files: Files):
    assert "can't be asked" in files.run("--fetch", "127.0.0.1:9", status=1).output


def test_the_namespace_comes_along(files: Files):
    files.defaults.write_text(f"# of the package\nCONFIG={files.old}\nNAMESPACE='dtap'\n")
    files.run("--no-routes")
    text = files.drop_in.read_text()
    assert "\nNetworkNamespacePath=/run/netns/dtap\n" in text
    assert "\nPrivateTmp=no\n" in text, "the resolver's socket is in /tmp"


def test_dry_run_writes_nothing(files: Files):
    output = files.run("--no-routes", "--dry-run").output
    assert "Would write" in output
    assert not files.to.exists()
    assert not files.drop_in.exists()


def test_what_is_there_is_not_replaced_unasked(files: Files):
    files.to.parent.mkdir()
    files.to.write_text("# mine\n")
    assert str(files.to) in files.run("--no-routes", status=1).output
    assert files.to.read_text() == "# mine\n"
    assert not files.drop_in.exists()
    files.run("--no-routes", "--force")
    assert "# mine" not in files.to.read_text()


def test_a_file_that_cannot_be_used_is_told_with_all_its_problems(files: Files):
    files.old.write_text(ORIGINAL.replace("65000", "-1").replace("24h", "1 day"))
    output = files.run("--no-routes", status=1).output
    assert "bgp.as" in output
    assert "ttl" in output
    assert not files.to.exists()


def test_a_socket_that_the_old_program_leaves_behind_is_out_of_the_way(files: Files):
    """It was root's, and /tmp lets nobody else remove it."""
    files.run("--no-routes")
    assert "\nExecStartPre=+/bin/rm -f /tmp/dnstap.sock\n" in files.drop_in.read_text()


def test_it_says_what_stands_in_the_way_of_a_service_that_is_not_root(files: Files, tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o755)
    (tmp_path / "domains.txt").touch(mode=0o600)
    text = ORIGINAL.replace("/var/lib/dnstap-bgp/domains.txt", f"{tmp_path}/domains.txt")
    text = text.replace("/tmp/dnstap.sock", f"{tmp_path}/closed/dnstap.sock")  # noqa: S108 - the original's default
    files.old.write_text(text)
    files.drop_in = tmp_path / "dnstap-bgp.service.d" / "import.conf"
    (tmp_path / "dnstap-bgp.service").touch()
    output = files.run("--no-routes").output
    assert f"unit: {tmp_path}/dnstap-bgp.service hides" in output
    assert f"may not make {tmp_path}/closed/dnstap.sock" in output
    assert f"must be able to read {tmp_path}/domains.txt" in output


def test_the_packaged_configuration_is_replaced_where_it_is_untouched(files: Files, monkeypatch: pytest.MonkeyPatch):
    packaged = Path(__file__).parents[2] / "deploy" / "packaging" / "dnstap-bgp.toml"
    monkeypatch.setattr("dnstap_bgp.commands.import_original.PACKAGED", packaged)
    files.to.parent.mkdir()
    files.to.write_text(packaged.read_text() + "# mine\n")
    files.run("--no-routes", status=1)
    files.to.write_text(packaged.read_text())
    files.run("--no-routes")
    assert configuration.load(files.to).bgp.as_number == 65000
