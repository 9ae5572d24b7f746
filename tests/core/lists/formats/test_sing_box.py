"""Rule-sets of sing-box in source form."""

import json

import pytest

from dnstap_bgp.core.lists.formats import detect, sing_box
from dnstap_bgp.core.lists.lines import SkippedKind
from tests.core.lists.formats.format_kit import is_refused, read_whole


def rule_set(*rules: object, version: object = 3) -> bytes:
    return json.dumps({"version": version, "rules": rules}).encode()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_names_and_prefixes(version: int):
    content = rule_set(
        {"domain": ["www.foo.com", "A.com"], "domain_suffix": ["bar.com", ".baz.com"]},
        {"ip_cidr": ["192.0.2.7/24", "198.51.100.1", "2001:db8::/32"]},
        {"type": "default", "domain_suffix": "one.com", "port": [], "invert": False},
        version=version,
    )
    assert read_whole("sing-box", content) == (
        ["=www.foo.com", "=a.com", "bar.com", "*.baz.com", "192.0.2.0/24", "198.51.100.1", "2001:db8::/32", "one.com"],
        [],
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"domain": ["a.com"], "port": [443]}, "port"),
        ({"domain": ["a.com"], "network": "tcp", "query_type": ["A"]}, "network, query_type"),
        ({"domain": ["a.com"], "invert": True}, "invert"),
        ({"domain": ["a.com"], "something_new": 1}, "something_new"),
        ({"process_name": ["curl"]}, "process_name"),
        ({"type": "logical", "mode": "and", "rules": [{"domain": ["a.com"]}]}, "logical"),
        ({"type": "logical", "mode": "or", "invert": True, "rules": [{"domain": ["a.com"]}]}, "logical"),
    ],
)
def test_rules_with_other_conditions_are_skipped(rule: object, told: str):
    rules, complaints = read_whole("sing-box", rule_set({"domain": "b.com"}, rule))
    assert rules == ["=b.com"]
    assert [(one.line, one.kind) for one in complaints] == [(2, SkippedKind.CONDITION)]
    assert told in complaints[0].reason


def test_a_logical_or_is_what_its_rules_are():
    inner = {"type": "logical", "mode": "or", "rules": [{"domain": "b.com"}, {"domain": "c.com", "port": 1}]}
    content = rule_set({"type": "logical", "mode": "or", "rules": [{"domain": ["a.com"]}, inner]})
    rules, complaints = read_whole("sing-box", content)
    assert rules == ["=a.com", "=b.com"]
    assert len(complaints) == 1


def test_bad_entries_cost_themselves():
    content = rule_set({"domain": ["a..com", 7, "b.com"], "ip_cidr": ["x", None]})
    rules, complaints = read_whole("sing-box", content)
    assert rules == ["=b.com"]
    assert [one.kind for one in complaints] == [SkippedKind.MALFORMED] * 4
    assert "rules[0].domain[1]" in complaints[1].reason


def nested(depth: int) -> bytes:
    return b'{"type":"logical","mode":"or","rules":[' * depth + b'{"domain":"a.com"}' + b"]}" * depth


def test_as_many_logical_rules_in_one_another_as_may_be_are_read():
    assert read_whole("sing-box", b'{"version": 1, "rules": [' + nested(16) + b"]}") == (["=a.com"], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (rule_set(version=5), "version '5': 1 to 4 are read"),
        (rule_set(version="3"), "1 to 4 are read"),
        (rule_set(version=True), "1 to 4 are read"),
        (b'{"rules": []}', "version 'None'"),
        (b"[]", "no rule-set of sing-box"),
        (b'{"version": 1, "rules": {}}', "no rule-set of sing-box"),
        (rule_set("x"), "rules[0]: no object"),
        (rule_set({"type": "x"}), "rules[0]: no rule of the type 'x'"),
        (rule_set({"type": "logical"}), "rules[0]: a logical rule needs"),
        (rule_set({"type": "logical", "mode": "xor", "rules": []}), "rules[0]: a logical rule needs"),
        (rule_set({"type": "logical", "mode": "or", "rules": {}}), "rules[0]: a logical rule needs"),
        (rule_set({"type": "logical", "mode": "or", "rules": [1]}), "rules[0].rules[0]: no object"),
        (b'{"version": 1, "rules": [{"domain": ["a"]}, {"domain": [], "domain": []}]}', "rules[1]: the key 'domain'"),
        (b'{"version": 1, "version": 2}', "the key 'version' stands there twice"),
        (rule_set()[:-1], "line 1, column"),
        (b'{"version": 1, "rules": [' + nested(17) + b"]}", "more than 16 logical rules"),
        (b'{"version": 1, "rules": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_files_that_cannot_be_used(content: bytes, reason: str):
    is_refused("sing-box", content, reason)


def test_detection():
    assert detect(rule_set({"domain": "a.com"})) == "sing-box"
    assert detect(b'\n{\n  "rules": [{"domain_suffix": ["a.com"]}], "version": 1}') == "sing-box"
    assert detect(b'{"prefixes": []}') == "plain"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"rules":[{"domain":["a.test"]}]}', True),
        (b'{"version":3,"rules":[]}', True),
        (b'{"rules":[]}', False),
        (b'{"version":3}', False),
    ],
)
def test_a_rule_set_has_a_version_or_names(head: bytes, *, expected: bool):
    assert sing_box._is_rule_set(head) == expected
