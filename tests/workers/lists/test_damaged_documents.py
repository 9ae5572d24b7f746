"""Documents that are cut or damaged: the error has a place, and what was in force stays, also across a restart."""

import json
import zlib
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.lines import open_document, read_document
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists.loader import ListLoader
from tests.core.lists.formats import encoders

NAMES = [f"n{number}.example" for number in range(60)]

FILES: dict[str, tuple[bytes, str]] = {
    "geosite-dat": (encoders.geosite({"X": [("domain", name, []) for name in NAMES]}), "x"),
    "geoip-dat": (encoders.geoip({"X": [f"192.0.2.{number}" for number in range(60)]}), "x"),
    "sing-box": (json.dumps({"version": 3, "rules": [{"domain_suffix": NAMES}]}).encode(), ""),
    "srs": (encoders.srs(encoders.default_rule(encoders.domain_item([], NAMES))), ""),
    "json": (json.dumps({"p": [f"192.0.2.{number}" for number in range(60)]}).encode(), "p"),
}
"""Format -> a file that has 60 rules or prefixes, and the selector. The others are cut between two lines unseen."""

MORE = {
    "mihomo": b"payload:\n" + b"".join(f"  - '+.{name}'\n".encode() for name in NAMES),
    "rpz": b"$ORIGIN r.\n" + b"".join(f"{name} CNAME .\n".encode() for name in NAMES),
    "unbound": b"".join(f'local-zone: "{name}" static\n'.encode() for name in NAMES),
}


def test_every_format_that_has_documents_is_here():
    assert {name for name, form in FORMATS.items() if form.document is not None} == FILES.keys() | MORE.keys()


def items(form: str, content: bytes, selector: str) -> int:
    document = FORMATS[form].document
    assert document is not None
    return len(list(read_document(open_document(document, content), selector)))


@pytest.mark.parametrize("form", FILES)
def test_a_file_that_is_cut_anywhere_is_refused_as_a_whole(form: str):
    content, selector = FILES[form]
    assert items(form, content, selector) == len(NAMES)
    for cut in range(len(content)):
        if form.endswith("-dat") and not cut:
            continue  # an empty file has no code
        with pytest.raises(ListError) as raised:
            items(form, content[:cut], selector)
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("form", FILES)
def test_a_byte_that_is_another_one_is_told_or_changes_one_thing(form: str):
    content, selector = FILES[form]
    for at in range(0, len(content), 3):
        changed = bytearray(content)
        changed[at] ^= 0xA5
        told = ""
        try:
            assert items(form, bytes(changed), selector) <= 2 * len(NAMES)
        except ListError as error:
            told = str(error)
        assert told.isprintable()


def load(folder: Path, form: str, selector: str, loader: ListLoader | None = None) -> tuple[ListLoader, int, str]:
    loader = loader or ListLoader(folder)
    path = str(folder / "file") + (f"#{selector}" if form.endswith("-dat") else "")
    listed = ListSource("l", (path,), form, path=selector if form == "json" else "")
    loaded = loader.load([listed])
    refused = " ".join([*loaded.failed.values(), *loaded.held.values(), loaded.refused or ""])
    return loader, loaded.rules.counts["l"] + len(loaded.prefixes["l"]), refused


@pytest.mark.long
@pytest.mark.parametrize("form", [*FILES, *MORE])
def test_what_was_in_force_stays(tmp_path: Path, form: str):
    content, selector = FILES[form] if form in FILES else (MORE[form], "")
    (tmp_path / "file").write_bytes(content)
    loader, count, refused = load(tmp_path, form, selector)
    assert (count, refused) == (len(NAMES), "")
    (tmp_path / "file").write_bytes(content[: len(content) // 5])
    _, count, refused = load(tmp_path, form, selector, loader)
    assert count == len(NAMES)
    assert refused
    _, count, refused = load(tmp_path, form, selector)  # after a restart
    assert count == len(NAMES)
    assert refused
    (tmp_path / "file").write_bytes(content)
    assert load(tmp_path, form, selector)[1:] == (len(NAMES), "")


@pytest.mark.parametrize(
    ("form", "content", "selector", "reason"),
    [
        ("srs", b"SRS\x09" + zlib.compress(b"\0"), "", "version 9: 1 to 4 are read"),
        ("srs", b"SRS\3" + zlib.compress(encoders.varint(1 << 40)), "", "at byte 6"),
        ("srs", b"SRS\3" + zlib.compress(bytes(33 << 20)), "", "more than 33554432 bytes are packed in it"),
        ("srs", b"SRS\3" + zlib.compress(b"\0") + b"x", "", "1 bytes of something else follow"),
        ("sing-box", b'{"version": 9, "rules": []}', "", "version '9': 1 to 4 are read"),
        ("sing-box", b'{"version": 3, "rules": [], "rules": []}', "", "the key 'rules' stands there twice"),
        ("sing-box", b'{"version": 3, "rules": [{"domain": [], "domain": []}]}', "", "rules[0]: the key 'domain'"),
        ("sing-box", b"[" * 100_000, "", "nested too deeply"),
        ("json", b'{"p": {"q": 1, "q": 2}}', "p", "p: the key 'q' stands there twice"),
        ("json", b'{"p": [1]}', "p", "a number as number 1"),
        ("json", b'{"p": "' + b"x" * (16 << 20) + b'"}', "p", "16777216 are allowed"),
        ("mihomo", b"payload:\n  - a.com\npayload:\n  - b.com\n", "", "line 3"),
        ("mihomo", b"payload:\n  - &a a.com\n  - *a\n", "", "line 3: an alias"),
        ("mihomo", b"payload: " + b"[" * 100_000, "", "line 1"),
        ("geosite-dat", encoders.geosite({"X": [], "x": []}), "x", "stands in it more than once"),
        ("geosite-dat", b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 40, "x", "it is cut: a code at byte 0"),
        ("geoip-dat", encoders.geoip({"X": ["192.0.2.1"]}, inverse=["X"]), "x", "is inverse"),
    ],
)
def test_the_reason_has_a_place_or_a_limit(form: str, content: bytes, selector: str, reason: str):
    with pytest.raises(ListError) as raised:
        items(form, content, selector)
    assert reason in str(raised.value)
