"""Costs of hostile documents (YAML, JSON, zones, packed files): the work grows with their length and no faster."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.file_reports import FileReport
from dnstap_bgp.workers.lists.files import plan
from tests.core.lists.formats import encoders
from tests.property.costs import is_linear

SHORT_S = 0.05
"""What takes less needs no closer look."""

Maker = Callable[[int], bytes]


def rule_set(**keys: object) -> bytes:
    return json.dumps({"version": 3, "rules": [keys]}).encode()


def nested_logical(count: int) -> bytes:
    rule = '{"type": "logical", "mode": "or", "rules": ['
    return ('{"version": 3, "rules": [' + rule * count + "]}" * count + "]}").encode()


def names(count: int) -> list[str]:
    return [f"a{number}.b{number % 97}.com" for number in range(count)]


def packed(content: bytes) -> bytes:
    return b"SRS\3" + zlib.compress(content, 1)


def domain_names(count: int, kind: str = "domain") -> bytes:
    return encoders.geosite({"X": [(kind, name, []) for name in names(count)]})


def many_codes(count: int) -> bytes:
    return encoders.geosite({f"CODE-{number}": [("domain", "a.com", [])] for number in range(count)})


def lines(line: str) -> Maker:
    return lambda count: "".join(f"{line}\n" for _ in range(count)).replace("%d", "7").encode()


HOSTILE: dict[str, tuple[str, str, Maker, int]] = {
    # name: format, selector, content of n parts, n
    "yaml entries": ("mihomo", "", lambda n: b"payload:\n" + b"  - '+.a.com'\n" * n, 10_000),
    "yaml anchors": ("mihomo", "", lambda n: b"payload:\n" + b"  - &a b.com\n" * n, 10_000),
    "yaml aliases": ("mihomo", "", lambda n: b"payload:\n  - &a b.com\n" + b"  - *a\n" * n, 20_000),
    "yaml flow": ("mihomo", "", lambda n: b"payload: " + b"[" * n, 100_000),
    "yaml flow closed": ("mihomo", "", lambda n: b"payload: " + b"[" * n + b"]" * n, 50_000),
    "yaml maps": ("mihomo", "", lambda n: b"payload: " + b"{a: " * n, 50_000),
    "yaml indents": ("mihomo", "", lambda n: b"payload:\n" + b"".join(b" " * k + b"- \n" for k in range(n)), 1_000),
    "yaml comments": ("mihomo", "", lambda n: b"payload:\n" + b"#\n" * n, 200_000),
    "yaml keys twice": ("mihomo", "", lambda n: b"payload: []\n" * n, 20_000),
    "yaml scalar": ("mihomo", "", lambda n: b'payload:\n  - "' + b"\\x41" * n + b'"\n', 100_000),
    "yaml folded": ("mihomo", "", lambda n: b"payload:\n  - >\n" + b"   a\n" * n, 50_000),
    "yaml documents": ("mihomo", "", lambda n: b"payload:\n" + b"---\n" * n, 50_000),
    "json names": ("sing-box", "", lambda n: rule_set(domain_suffix=names(n)), 50_000),
    "json rules": ("sing-box", "", lambda n: b'{"version":3,"rules":[' + b'{"domain":"a.com"},' * n + b"{}]}", 50_000),
    "json conditions": ("sing-box", "", lambda n: rule_set(**{f"k{number}": 1 for number in range(n)}), 50_000),
    "json logical": ("sing-box", "", nested_logical, 5_000),
    "json arrays": ("sing-box", "", lambda n: b'{"version":3,"rules":' + b"[" * n, 200_000),
    "json keys twice": ("sing-box", "", lambda n: b'{"rules":[' + b'{"a":1,"a":1},' * n + b"{}]}", 50_000),
    "json text": ("sing-box", "", lambda n: rule_set(domain="\\u0041" * n), 200_000),
    "json no texts": ("sing-box", "", lambda n: rule_set(domain=[1] * n), 50_000),
    "srs names": ("srs", "", lambda n: encoders.srs(encoders.default_rule(encoders.domain_item(names(n), []))), 20_000),
    "srs rules": ("srs", "", lambda n: packed(encoders.varint(n) + encoders.default_rule() * n), 100_000),
    "srs texts": ("srs", "", lambda n: encoders.srs(encoders.default_rule(encoders.texts_item(3, ["x"] * n))), 50_000),
    "srs long key": (
        "srs",
        "",
        lambda n: encoders.srs(encoders.default_rule(encoders.domain_item(["a" * n], []))),
        900,
    ),
    "srs bomb": ("srs", "", lambda n: packed(bytes(n)), 8 << 20),
    "srs ranges": (
        "srs",
        "",
        lambda n: encoders.srs(encoders.default_rule(encoders.addresses_item(6, ["192.0.2.0/24"] * n))),
        10_000,
    ),
    "geosite names": ("geosite-dat", "x", domain_names, 50_000),
    "geosite keywords": ("geosite-dat", "x", lambda n: domain_names(n, "keyword"), 20_000),
    "geosite codes": ("geosite-dat", "code-1", many_codes, 20_000),
    "geosite unknown code": ("geosite-dat", "coda-x", many_codes, 20_000),
    "geosite attributes": (
        "geosite-dat",
        "x@y",
        lambda n: encoders.geosite({"X": [("domain", "a.com", [f"a{number}" for number in range(n)])]}),
        50_000,
    ),
    "geoip": (
        "geoip-dat",
        "x",
        lambda n: encoders.geoip({"X": [f"10.{k >> 8 & 255}.{k & 255}.0/24" for k in range(n)]}),
        20_000,
    ),
    "feed": (
        "json",
        "p[]",
        lambda n: json.dumps({"p": [f"10.{k >> 8 & 255}.{k & 255}.0/24" for k in range(n)]}).encode(),
        20_000,
    ),
    "feed nested": ("json", "p[]", lambda n: b'{"p":' + b"[" * n, 200_000),
    "rpz names": ("rpz", "", lines("a.com CNAME ."), 30_000),
    "rpz records": ("rpz", "", lines('a.com 60 IN TXT "x;y" ( ) ; z'), 10_000),
    "rpz brackets": ("rpz", "", lambda n: b"a TXT " + b"(" * n + b"\n", 16_000),
    "rpz open bracket": ("rpz", "", lambda n: b"a TXT (\n" + b"b\n" * n, 50_000),
    "rpz origins": ("rpz", "", lines("$ORIGIN a"), 2_000),
    "rpz quotes": ("rpz", "", lambda n: b"a TXT " + b'"\\' * n + b"\n", 8_000),
    "rpz words": ("rpz", "", lambda n: b"a " + b"60 " * n + b"\n", 5_000),
    "rpz owners": ("rpz", "", lines(" A 192.0.2.1"), 20_000),
    "unbound zones": ("unbound", "", lines('local-zone: "a.com" static'), 30_000),
    "unbound data": ("unbound", "", lines('local-data: "a.com A 192.0.2.1"'), 20_000),
    "unbound words": ("unbound", "", lambda n: b"local-zone: " + b'"a" ' * n + b"\n", 4_000),
    "unbound quotes": ("unbound", "", lambda n: b"local-data: " + b'"' * n + b"\n", 16_000),
    "unbound blanks": ("unbound", "", lambda n: b"local-data:" + b" \n" * n, 100_000),
    "unbound spaces": ("unbound", "", lambda n: b" " * n, 1_000_000),
}
"""What a bound refuses at once costs nothing either way; what is below it is what is looked at."""


def test_every_format_that_has_documents_is_here():
    assert {name for name, form in FORMATS.items() if form.document is not None} == {of for of, *_ in HOSTILE.values()}


def read(path: Path, form: str, selector: str, content: bytes) -> list[FileReport]:
    path.write_bytes(content)
    source = f"{path}#{selector}" if selector and form != "json" else str(path)
    listed = ListSource("l", (source,), form, path=selector if form == "json" else "")
    return build_lists(plan([listed], None)).reports


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_a_document_is_read_in_linear_time(tmp_path: Path, name: str):
    form, selector, make, count = HOSTILE[name]

    def work(content: bytes) -> None:
        read(tmp_path / "list", form, selector, content)

    assert is_linear(work, make(count // 2), make(2 * count), short_s=SHORT_S)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_can_not_be_used_says_why_in_one_line(tmp_path: Path, name: str):
    form, selector, make, count = HOSTILE[name]
    [report] = read(tmp_path / "list", form, selector, make(min(count, 300)))
    for text in (report.error or "", *(one.reason for one in report.examples)):
        assert text.isprintable()
        assert len(text) < 500
