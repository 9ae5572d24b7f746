"""The Go program's configuration file, converted: every key means what it meant, and what changes is told."""

from dataclasses import fields

import pytest

from dnstap_bgp import config as configuration
from tests.commands.import_kit import Files


def test_every_key_means_in_ours_what_it_meant(files: Files):
    files.run("--no-routes")
    before, after = configuration.load(files.old), configuration.load(files.to)
    for key in {field.name for field in fields(before)} - {"path", "cache", "warnings"}:
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
