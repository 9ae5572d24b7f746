"""The file as a whole: what a file can't be without, which names may not meet, and the plain settings of it."""

from pathlib import Path

import pytest

from dnstap_bgp.config import parse
from dnstap_bgp.config.model import LISTS_MAX, ConfigFile
from dnstap_bgp.errors import ConfigError

BASE = '[dnstap]\nlisten = "/x"\n[bgp]\nnext_hop = "192.0.2.1"\n'


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), Path("/d.toml"))
    return [str(problem) for problem in caught.value.problems]


def lists(count: int) -> str:
    return "".join(f'[[list]]\nname = "l{number}"\nsources = "{number}.txt"\n' for number in range(count))


def test_a_name_that_domains_has_taken():
    taken = BASE + '[[list]]\nname = "default"\nsources = "a.txt"\n'
    assert problems('domains = "d"\n' + taken) == ["/d.toml: list: default stands here twice"]
    assert parse(taken.encode(), Path("/d.toml")).list_sources()[0].name == "default"


def test_more_lists_than_rules_have_bits():
    assert len(parse((BASE + lists(LISTS_MAX)).encode(), Path("/d.toml")).lists) == LISTS_MAX
    (problem,) = problems(BASE + lists(LISTS_MAX + 1))
    assert problem.startswith("/d.toml: list: ")
    assert str(LISTS_MAX) in problem


def test_the_settings_have_the_list_of_domains_before_all_others():
    file = ConfigFile.model_validate(
        {"domains": "d.txt", "list": [{"name": "a", "sources": "a.txt"}], "dnstap": {"listen": "/x"}},
        context={"folder": Path("/etc/d")},
    )
    found = file.settings(Path("/etc/d/d.toml"))
    assert found.path == Path("/etc/d/d.toml")
    assert [(one.name, one.sources) for one in found.all_lists] == [
        ("default", ("/etc/d/d.txt",)),
        ("a", ("/etc/d/a.txt",)),
    ]
    assert found.default_list is not None
    assert found.default_list.interval_s == found.lists[0].interval_s
    assert found.http is None
    assert found.guard.max_routes == 100_000
