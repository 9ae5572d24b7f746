import time

import pytest

from dnstap_bgp.commands import match
from dnstap_bgp.core.lists.switches import Switch, Switches
from dnstap_bgp.errors import CommandError, ConfigError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d.toml").write_text(
        'domains = ["a.txt", "b.txt"]\n[dnstap]\nlisten = "tap.sock"\n[bgp]\nnext_hop = "192.0.2.1"\n'
    )
    (tmp_path / "a.txt").write_bytes(
        b"\xef\xbb\xbf# first\r\nExample.COM.\r\n\r\nbad..line\r\n"
        b"!ads.example.com  # no\r\n=exact.org\r\n*.below.org\r\n"
    )
    (tmp_path / "b.txt").write_text("b\u00fccher.example\nexample.com\n_dmarc.r3---sn.example.net\n")
    return tmp_path


def lines(folder, *names):
    return [line.replace(f"{folder}/", "") for answer in match.run(folder / "d.toml", names) for line in answer.lines()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", "matched by example.com (list default, a.txt:2)"),
        ("WWW.Example.com.", "matched by example.com (list default, a.txt:2)"),
        ("x.ads.example.com", "stopped by the exception !ads.example.com (list default, a.txt:5)"),
        ("badexample.com", "no rule matches"),
        ("com", "no rule matches"),
        ("exact.org", "matched by =exact.org (list default, a.txt:6)"),
        ("www.exact.org", "no rule matches"),
        ("below.org", "no rule matches"),
        ("www.below.org", "matched by *.below.org (list default, a.txt:7)"),
        ("www.xn--bcher-kva.example", "matched by xn--bcher-kva.example (list default, b.txt:1)"),
        ("B\u00dcCHER.example", "matched by xn--bcher-kva.example (list default, b.txt:1)"),
        ("_dmarc.r3---sn.example.net", "matched by _dmarc.r3---sn.example.net (list default, b.txt:3)"),
    ],
)
def test_which_rule_decides(folder, name, expected):
    assert lines(folder, name) == [f"{name}: {expected}"]


def test_several_names_each_in_its_turn(folder):
    assert [line.partition(":")[0] for line in lines(folder, "b.net", "example.com", "a.net")] == [
        "b.net",
        "example.com",
        "a.net",
    ]


def test_every_text_that_is_no_name_is_told(folder):
    with pytest.raises(CommandError) as caught:
        match.run(folder / "d.toml", ["a..b", "example.com", "x" * 64])
    assert len(str(caught.value).splitlines()) == 2
    assert "'a..b' is no domain name" in str(caught.value)


def test_every_list_that_can_not_be_read_is_told(folder):
    (folder / "a.txt").unlink()
    (folder / "b.txt").unlink()
    with pytest.raises(CommandError) as caught:
        match.run(folder / "d.toml", ["example.com"])
    assert str(caught.value).count("No such file") == 2


def test_a_broken_configuration(folder):
    (folder / "d.toml").write_text("x")
    with pytest.raises(ConfigError):
        match.run(folder / "d.toml", ["example.com"])


def test_places_in_files_that_have_no_lines(folder):
    (folder / "a.txt").write_bytes(b"payload:\n  - '+.yaml.example'\n")
    (folder / "b.txt").write_bytes(b'{"version": 1, "rules": [{"domain": "json.example"}, {"domain": "more.example"}]}')
    assert lines(folder, "www.yaml.example") == [
        "www.yaml.example: matched by yaml.example (list default, a.txt:2)",
    ]
    assert lines(folder, "more.example") == ["more.example: matched by =more.example (list default, b.txt:2)"]


def test_the_line_of_a_pattern_is_told(folder):
    (folder / "b.txt").write_bytes(b"x.net\nkeyword:ads\nregexp:^r[0-9]+\\.\n")
    assert lines(folder, "my-ads.net", "r5.net", "ads.example.com", "net") == [
        "my-ads.net: matched by keyword:ads (list default, b.txt:2)",
        "r5.net: matched by regexp:^r[0-9]+\\. (list default, b.txt:3)",
        "ads.example.com: stopped by the exception !ads.example.com (list default, a.txt:5)",
        "net: no rule matches",
    ]


def test_a_list_that_is_switched_off_is_told(folder):
    config = (folder / "d.toml").read_text()
    (folder / "d.toml").write_text(f'{config}[[list]]\nname = "off"\nsources = "a.txt"\nenabled = false\n')
    assert lines(folder, "exact.org") == [
        "exact.org: matched by =exact.org (list default, a.txt:6)",
        (
            "exact.org: matched by =exact.org (list off, a.txt:6), but the list is switched off by the configuration"
            " (enabled = false)"
        ),
    ]


def test_a_switch_by_hand_counts_in_place_of_the_configuration(folder):
    (folder / "d.toml").write_text(f'cache = "state"\n{(folder / "d.toml").read_text()}')
    switches = Switches().switched("default", Switch(False, time.time() + 3600, 1.0, "alice"), configured=True)
    (folder / "state.switches").write_text(switches.to_json())
    [line] = lines(folder, "exact.org")
    assert "but the list is switched off by alice until " in line
    switches = Switches().switched("default", Switch(False, time.time() - 1, 1.0, "alice"), configured=True)
    (folder / "state.switches").write_text(switches.to_json())
    assert lines(folder, "exact.org") == ["exact.org: matched by =exact.org (list default, a.txt:6)"]
