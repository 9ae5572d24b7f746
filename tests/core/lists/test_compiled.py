import random

import pytest

from dnstap_bgp.core.lists.compiled import pack, unpack
from dnstap_bgp.core.lists.domains import Rule, RuleKind, RuleSet
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


def test_other_files_and_versions_are_refused():
    packed = pack(RuleSet.build([]), {}, "")
    with pytest.raises(ListError, match="version"):
        unpack(memoryview(packed[:8] + bytes([packed[8] + 1]) + packed[9:]))
    with pytest.raises(ListError, match="version"):
        unpack(memoryview(b"We love Marisa.\0" + bytes(5000)))
