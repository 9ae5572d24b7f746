"""What a running Go program has learnt, in our state file."""

import json

import pytest

from dnstap_bgp.commands import dump, import_routes
from tests.commands.import_kit import Files, entry, go_program


def test_all_that_the_old_program_holds_is_in_the_state_file(files: Files):
    entries = [
        entry("198.51.100.1", "www.foo.bar"),
        entry("::ffff:198.51.100.2", "a.foo.bar"),
        entry("2001:db8::1", "foo.bar"),
    ]
    entries += [entry("198.51.100.3", "old.foo.bar", age_s=90_000), {"IP": "", "Domain": "", "TS": "never"}]
    with go_program(json.dumps(entries).encode()) as endpoint:
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
        with go_program(json.dumps([entry(address, "www.foo.bar")]).encode()) as endpoint:
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
    with go_program(answer, status) as endpoint:
        output = files.run("--fetch", endpoint, status=1).output
    assert told in output
    assert files.to.exists(), "the configuration is written all the same"
    assert not files.cache.exists()


def test_an_empty_cache_is_the_word_null(files: Files):
    with go_program(b"null") as endpoint:
        assert "0 of 0 entries" in files.run("--fetch", endpoint).output


def test_nobody_answers(files: Files):
    assert "can't be asked" in files.run("--fetch", "127.0.0.1:9", status=1).output


def test_a_host_that_is_no_name_is_no_empty_cache(files: Files):
    assert "can't be asked" in files.run("--fetch", "a..b:80", status=1).output


def test_a_fault_in_reading_is_no_empty_cache(monkeypatch: pytest.MonkeyPatch):
    def fail(_endpoint: str) -> None:
        raise MemoryError

    monkeypatch.setattr(import_routes, "_get", fail)
    with pytest.raises(MemoryError):
        import_routes.fetch("127.0.0.1:1", None)
