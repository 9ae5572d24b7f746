import base64
import hashlib
import json
import random
import sys
import zlib

import pytest

from dnstap_bgp.core.lists.compiled import pack, unpack
from dnstap_bgp.core.lists.rules import PublicSuffixes, Rule, RuleKind, RuleSet
from dnstap_bgp.errors import ListError

MIXED = [Rule(b"d%d.example" % n, RuleKind(n % 3), exception=n % 5 == 0) for n in range(500)]
PREFIXES = {"default": (b"\x00\x00\x00\x00", bytes(5), b"\xff" * 16, b"\xff" * 17), "none": ()}
SETS = {
    "empty": [],
    "no rule": [("default", [])],
    "one row": [("default", [Rule(b"foo.com"), Rule(b"bar.net")])],
    "a byte a key": [("default", MIXED), ("second", MIXED[::2])],
    "two bytes a key": [(f"l{bit}", [Rule(b"d%d.x" % n) for n in range(1024) if n >> bit & 1]) for bit in range(10)],
}


@pytest.mark.parametrize("lists", SETS.values(), ids=SETS)
def test_unpack_gives_what_was_packed(lists: list[tuple[str, list[Rule]]]):
    built = RuleSet.build(lists)
    mapped, prefixes, about = unpack(memoryview(pack(built, PREFIXES, "a note, ü")))
    assert prefixes == PREFIXES
    assert about == "a note, ü"
    assert mapped.counts == built.counts
    assert mapped.list_names == built.list_names
    names = [below + b"d%d." % n + end for n in range(1030) for below in (b"", b"w.") for end in (b"x", b"example")]
    for name in [b"", b"com", b"foo.com", b"x.bar.net", *names]:
        assert mapped.lists(name) == built.lists(name)
        assert mapped.explain(name) == built.explain(name)
    assert pack(mapped, {}, "") == pack(built, {}, "")


def test_owners_below_public_suffixes_come_with_the_rows():
    rules = [Rule(b"com"), Rule(b"foo.net")]
    built = RuleSet.build([("default", rules)], PublicSuffixes(lambda domain: domain == "com"))
    mapped, _, _ = unpack(memoryview(pack(built, {}, "")))
    assert mapped.owner("default", b"a.b.com") == b"b.com"
    assert mapped.owner("default", b"a.b.foo.net") == b"foo.net"


REGISTRIES = [("default", [Rule(b"uk"), Rule(b"ck")])]
SUFFIXES = PublicSuffixes({"uk", "ck"}.__contains__, ["uk", "co.uk", "*.ck", "!www.ck", "com.au"])
OWNERS = {b"a.b.co.uk": b"b.co.uk", b"a.b.x.ck": b"b.x.ck", b"a.b.www.ck": b"www.ck", b"a.b.uk": b"b.uk"}


def test_public_suffixes_below_registries_come_along():
    built = RuleSet.build(REGISTRIES, SUFFIXES)
    mapped, _, _ = unpack(memoryview(pack(built, {}, "")))
    assert mapped.suffixes == built.suffixes == {b"co.uk", b"*.ck", b"ck", b"!www.ck"}
    assert {name: mapped.owner("default", name) for name in OWNERS} == OWNERS
    assert pack(mapped, {}, "") == pack(built, {}, "")


def test_a_file_without_public_suffixes_below_registries_is_read():
    """As earlier code wrote it: version 3, no such key in the header."""
    packed = pack(RuleSet.build(REGISTRIES, PublicSuffixes(SUFFIXES.is_public)), {}, "")
    key = b', "suffixes": []'
    assert packed.count(key) == 1
    # The header's length stays, with blanks at its end, so nothing behind it moves.
    header_end = 48 + int.from_bytes(packed[44:48], sys.byteorder)
    header = packed[48:header_end].replace(key, b"") + b" " * len(key)
    rest = packed[44:48] + header + packed[header_end:]
    checksum = hashlib.sha256(packed[8:12] + rest).digest()
    mapped, _, _ = unpack(memoryview(packed[:12] + checksum + rest))
    assert mapped.suffixes == set()
    assert mapped.lists(b"a.b.co.uk") == ("default",)
    assert mapped.owner("default", b"a.b.co.uk") == b"co.uk"


def test_a_file_begins_with_its_version_and_its_trie_is_aligned():
    """Another release reads what this one has written; marisa reads words of 64 bits in place."""
    packed = pack(RuleSet.build([("default", MIXED)]), PREFIXES, "note")
    assert packed[:12] == b"DNSTAPRL" + (3).to_bytes(4, sys.byteorder)
    header_end = 48 + int.from_bytes(packed[44:48], sys.byteorder)
    header = json.loads(packed[48:header_end])
    assert (header["about"], header["tail_marks"], len(header["counts"])) == ("note", 64, 1)
    trie_at = packed.index(b"We love Marisa.", header_end)
    assert trie_at % 8 == 0
    assert 0 <= trie_at - header_end < 8


def test_the_set_keeps_what_it_is_mapped_from():
    mapped, _, _ = unpack(memoryview(bytearray(pack(RuleSet.build([("default", [Rule(b"foo.com")])]), {}, ""))))
    junk = [bytearray(4000) for _ in range(1000)]
    assert mapped.lists(b"x.foo.com") == ("default",)
    assert len(junk) == 1000


def test_nothing_damaged_is_mapped():
    """Cut anywhere, or with any byte changed."""
    packed = pack(RuleSet.build([("default", MIXED)]), PREFIXES, "note")
    rng = random.Random(1)
    for end in [0, 1, 47, 48, 49, len(packed) - 1, *rng.sample(range(len(packed)), 100)]:
        with pytest.raises(ListError):
            unpack(memoryview(packed[:end]))
    for at in [*range(60), *rng.sample(range(len(packed)), 300)]:
        with pytest.raises(ListError):
            unpack(memoryview(packed[:at] + bytes([packed[at] ^ 1 << rng.randrange(8)]) + packed[at + 1 :]))
    with pytest.raises(ListError):
        unpack(memoryview(packed + b"\0"))


OF_VERSION_2 = (
    b"c-nLE3l4D%2=ZZKU|`t8`0X}VFVDfRZ_?Ad%fwB0Io`Z%e1E>h@l6(Y>XtrVzX7PGS}8fdG_Rys$x0zQS}9RUN5ME&M<H4%3CJ>x"
    b"1u~V2^2;HzhCn$T1tU{)kOB}3$TtG9ff5ElE?9L*QD$m<Qe{ahNRP3JnF+*%_{@~}<ouLWprDeI5<(2F5-3zql$w@Vk&5ILhyxOn"
    b"@=HrV8lz*CYQs|%a`MYk6?_wmGK&-S7&sUpKo?4L0Wk{@OE4e+3lkF)3x@z$90p+e7@>MNkmQj0d{CMdh?&vMZEkF2WM<<5i=zW%"
    b"^I5T&$3mic3`qLGfSCuy9&`XRLljC^=rQExC+p?sr|B`2q~_@rB_`=HkOCmqG5m)D28M=F_9%OlJ<7((W<)B7MuLA~<vlYM{R;w2"
    b"(BgMAU5&Cw*`w@H_9%Ox*r2+IQ2<CXF|sf+F|z;wfgH4v"
)
"""A compiled file of 0.1.0: list a with foo.com, !*.x.foo.com and =bar.net, list b with *.foo.com."""


def test_what_0_1_0_wrote_is_read():
    rules, prefixes, about = unpack(memoryview(zlib.decompress(base64.b85decode(OF_VERSION_2))))
    assert (rules.counts, prefixes, about) == ({"a": 3, "b": 1}, {"a": (b"\1\2\3\4",)}, "[]")
    asked = {b"foo.com": "a", b"y.foo.com": "ab", b"x.foo.com": "ab", b"z.x.foo.com": "b", b"bar.net": "a", b"net": ""}
    assert {name: "".join(rules.lists(name)) for name in asked} == asked
    assert [str(rule) for _, rule in rules.explain(b"z.x.foo.com")] == ["!*.x.foo.com", "*.foo.com"]
    assert [str(rule) for _, rule in rules.explain(b"bar.net")] == ["=bar.net"]


def test_kinds_keep_the_numbers_that_files_have_of_them():
    assert [(kind.name, kind.value) for kind in RuleKind] == [
        ("SUFFIX", 0),
        ("EXACT", 1),
        ("SUBDOMAINS", 2),
        ("CHILDREN", 3),
    ]


def test_other_files_and_versions_are_refused():
    packed = pack(RuleSet.build([]), {}, "")
    with pytest.raises(ListError, match="version"):
        unpack(memoryview(packed[:8] + bytes([packed[8] + 1]) + packed[9:]))
    with pytest.raises(ListError, match="version"):
        unpack(memoryview(b"We love Marisa.\0" + bytes(5000)))
