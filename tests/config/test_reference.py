"""The reference: every key is told, with a type, and with what the models check."""

from dataclasses import fields

import pytest
from pydantic import Field

from dnstap_bgp.config import reference, settings, tables
from dnstap_bgp.config.hold import HoldTable
from dnstap_bgp.config.lists import GuardTable, ListTable
from dnstap_bgp.config.model import ConfigFile
from dnstap_bgp.config.refresh import RefreshTable
from dnstap_bgp.config.tables import FileTable
from dnstap_bgp.core.lists.formats import FORMATS

TABLES = {
    ConfigFile: settings.Config,
    ListTable: settings.ListConfig,
    GuardTable: settings.GuardConfig,
    HoldTable: settings.HoldConfig,
    RefreshTable: settings.RefreshConfig,
    **{
        getattr(tables, f"{name}Table"): getattr(settings, f"{name}Config")
        for name in ("Dnstap", "Neighbor", "Bgp", "Process", "Log", "Control", "Http", "Syncer")
    },
}


def key(heading: str, name: str) -> reference.Key:
    (section,) = [found for found in reference.sections() if found.heading == heading]
    return next(found for found in section.keys if found.name == name)


def test_every_table_and_key_is_told():
    """A field without an entry under Attributes in its table's docstring raises LookupError."""
    told = list(reference.sections())
    assert len(told) == len(TABLES)
    of_tables = {"lists", "dnstap", "guard", "bgp", "process", "log", "control", "http", "syncer", "hold"}
    of_tables |= {"refresh"}
    wanted = sum(len(table.model_fields) for table in TABLES) - len(of_tables)
    keys = [found for section in told for found in section.keys]
    assert len(keys) == wanted
    for section in told:
        assert section.text.endswith(".")
        for found in section.keys:
            assert found.type.endswith("."), found
            assert found.text.endswith("."), found
            assert found.text[0].isupper() or found.text[0] == "`", found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_no_entry_tells_of_a_key_that_is_gone(table: type[FileTable]):
    _, told = reference._docstring(table)
    assert told.keys() == table.model_fields.keys()


def test_a_key_without_a_word_is_an_error():
    class LogTable(tables.LogTable):
        """`[log]`: a table with one more key.

        Attributes:
            format: Told.
            level: Told.
        """

        colour: str = Field(default="red")

    with pytest.raises(LookupError, match="colour has no entry"):
        reference._section("[log]", LogTable)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_the_plain_settings_have_the_same_fields(table: type[FileTable]):
    ours = {"path", "warnings", "default_list"} if table is ConfigFile else set()
    assert {field.name for field in fields(TABLES[table])} - ours == set(table.model_fields)


@pytest.mark.parametrize(
    ("heading", "name", "default", "limits"),
    [
        ("", "ttl", '"24h"', ""),
        ("", "dry_run", "false", ""),
        ("", "cache", "", ""),
        ("[dnstap]", "perm", '"0660"', ""),
        ("[dnstap]", "messages", '["client_response"]', ""),
        ("[dnstap]", "frame_max_bytes", "262_144", "at least 4096, at most 1_048_576"),
        ("[dnstap]", "memo", '"8MB"', "at least 64kB, at most 64MB"),
        ("[dnstap]", "handshake_timeout", '"5s"', "at least 100ms, at most 5m"),
        ("[bgp]", "communities", '["no-export"]', "at most 64 of them"),
        ("[bgp]", "large_communities", "[]", "at most 32 of them"),
        ("[bgp] peers", "port", "179", "at least 1, at most 65_535"),
        ("[bgp] peers", "ttl_security", "", "at least 1, less than 100"),
        ("[[list]]", "interval", '"6h"', "at least 1s"),
        ("[guard]", "max_new_routes_per_second", "", "more than 0"),
        ("[http]", "listen", '["127.0.0.1:8179"]', ""),
    ],
)
def test_defaults_and_limits_are_those_that_are_checked(heading: str, name: str, default: str, limits: str):
    found = key(heading, name)
    assert (found.default, found.limits) == (default, limits)


def test_how_a_value_is_written():
    assert key("", "on_stop").type == '`"keep"` or `"withdraw"`.'
    assert key("[dnstap]", "rewritten").type == "`true` or `false`."
    assert key("[guard]", "allow").type == "A list, or a lone one, of: a prefix, its host bits zero, or a lone address."
    assert key("[bgp]", "as").type.startswith("An AS number of up to 32 bits")
    assert key("[bgp]", "peers").type.startswith("A list of: an address, ")
    assert key("[dnstap]", "listen").required
    assert not key("[bgp]", "as").required


def test_every_format_of_lists_is_told():
    text = key("[[list]]", "format").text
    assert [form for form in FORMATS if f"`{form}`" not in text] == []
