"""The tail table: what it rules out, and that it never rules out a name that a rule speaks for."""

import random
from zlib import crc32

import pytest

from dnstap_bgp.core.dns.labels import NAME_MAX_BYTES, to_name
from dnstap_bgp.core.lists import tail_table
from dnstap_bgp.core.lists.compiled import pack, unpack
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.lists.tail_table import BYTES_MIN, CROWDED_MIN, TailTable
from dnstap_bgp.core.tap.tail_proofs import TailProofs, has_lengths
from dnstap_bgp.errors import DnsError

WORDS = [b"a", b"bb", b"listed", b"test", b"com", b"co", b"uk", b"x" * 63, b"\1\1", b"\0", b"\4test", b"\xc0\x0c"]


def spell(*labels: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels)


def table(*domains: bytes) -> TailTable:
    tails = RuleSet.build([("list", [Rule(domain) for domain in domains])]).tails
    assert tails is not None
    return tails


def test_names_without_a_rule_near_are_ruled_out():
    rules_out = TailProofs(table(b"listed.test", b"deep.down.example")).rules_out
    for name in (spell(b"www", b"plain", b"test"), spell(b"listed", b"net"), spell(b"a", b"b", b"c", b"listed", b"x")):
        assert rules_out(name)
    for name in (
        spell(b"listed", b"test"),
        spell(b"www", b"listed", b"test"),
        spell(b"down", b"example"),  # only below it is a rule: the trie says no
        spell(b"other", b"down", b"example"),
    ):
        assert not rules_out(name)


def test_what_is_no_sequence_of_labels_is_not_ruled_out():
    rules_out = TailProofs(table(b"listed.test")).rules_out
    for labels in (b"\3w", spell(b"www", b"plain") + b"\5t", b"\x40" + b"x" * 64, b"\xc0\x0c", b"\xc0" + b"x" * 192):
        assert not rules_out(labels)


def test_a_domain_of_one_label_speaks_for_all_below():
    tails = table(b"cn", b"listed.test")
    assert tails.has_single
    rules_out = TailProofs(tails).rules_out
    assert not any(
        map(rules_out, (spell(b"cn"), spell(b"a", b"cn"), spell(b"w", b"a", b"cn"), spell(b"listed", b"test")))
    )
    assert rules_out(spell(b"a", b"com"))


@pytest.mark.parametrize("domain", [rb"a\046b.odd", rb"n\000l.odd", rb"\255\001.\003.x"])
def test_domains_with_odd_bytes(domain: bytes):
    rules_out = TailProofs(table(domain)).rules_out
    labels = {rb"a\046b.odd": (b"a.b", b"odd"), rb"n\000l.odd": (b"n\0l", b"odd")}
    name = spell(b"w", *labels.get(domain, (b"\xff\x01", b"\x03", b"x")))
    assert to_name(name).endswith(domain)
    assert not rules_out(name)


def test_no_name_on_a_list_is_ever_ruled_out():
    pick = random.Random(1)
    words = [b"a", b"bb", b"listed", b"test", b"com", b"co", b"uk", b"x" * 63]

    def name() -> list[bytes]:
        return [pick.choice(words) for _ in range(pick.choice((1, 2, 2, 3, 3, 4)))]

    for _ in range(30):
        rules = [Rule(b".".join(name()), pick.choice(list(RuleKind)), pick.random() < 0.2) for _ in range(12)]
        built = RuleSet.build([("list", rules)])
        assert built.tails is not None
        rules_out = TailProofs(built.tails).rules_out
        for _ in range(300):
            labels = name()
            if built.lists(b".".join(labels)):
                assert not rules_out(spell(*labels))


def test_most_names_are_ruled_out_of_a_large_set():
    rules_out = TailProofs(table(*(b"d%d.test" % number for number in range(20_000)))).rules_out
    pick = random.Random(1)
    ruled_out = sum(rules_out(spell(b"www", b"%x" % pick.getrandbits(40), b"test")) for _ in range(10_000))
    assert 9_000 < ruled_out < 10_000


def test_below_a_crowded_pair_three_labels_decide():
    shops = [b"shop%d.co.uk" % number for number in range(CROWDED_MIN)]
    rules_out = TailProofs(table(*shops)).rules_out
    for name in (spell(b"other", b"co", b"uk"), spell(b"www", b"other", b"co", b"uk"), spell(b"co", b"uk")):
        assert rules_out(name)
    for name in (spell(b"shop1", b"co", b"uk"), spell(b"www", b"shop1", b"co", b"uk")):
        assert not rules_out(name)
    assert not TailProofs(table(*shops[1:])).rules_out(spell(b"other", b"co", b"uk"))


def test_a_pair_is_not_crowded_where_a_rule_speaks_for_all_below():
    rules_out = TailProofs(table(b"co.uk", *(b"shop%d.co.uk" % number for number in range(100)))).rules_out
    for name in (spell(b"other", b"co", b"uk"), spell(b"co", b"uk"), spell(b"www", b"shop1", b"co", b"uk")):
        assert not rules_out(name)


def test_crowded_pairs_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail_table, "CROWDED_MAX", 2)
    counts = {b"a": 5, b"b": 7, b"c": 6}
    tails = table(*(b"x%d.%s.test" % (number, pair) for pair, count in counts.items() for number in range(count)))
    assert tails.crowded == {spell(b"b", b"test"), spell(b"c", b"test")}
    rules_out = TailProofs(tails).rules_out
    assert not rules_out(spell(b"other", b"a", b"test"))
    assert rules_out(spell(b"other", b"b", b"test"))


@pytest.mark.parametrize(("shops", "is_crowded"), [(3, False), (4, True)])
def test_a_pair_with_four_rules_below_is_crowded(shops: int, is_crowded: bool):
    domains = [b"shop%d.co.uk" % number for number in range(shops)]
    assert table(*domains, b"a.x.test", b"b.x.test").crowded == ({spell(b"co", b"uk")} if is_crowded else frozenset())
    assert table(*domains, *(b"www." + domain for domain in domains)).crowded == table(*domains).crowded


def test_bits_are_those_of_files_that_were_compiled_before():
    """They are mapped as they stand: where a hash's bits are is part of the file's form."""
    assert (len(tail_table.MARKS), crc32(tail_table.MARKS)) == (64, 0x958D_C821)
    assert all(mark.bit_count() == 2 for mark in tail_table.MARKS)
    bits = table(b"example.com").bits
    hashed = crc32(spell(b"example", b"com"))
    cleared = {place: 0xFF ^ byte for place, byte in enumerate(bits) if byte != 0xFF}
    assert len(bits) == 1_024
    assert cleared == {hashed >> 22: tail_table.MARKS[hashed & 63]}


def test_it_is_mapped_with_its_set():
    shops = [Rule(b"shop%d.co.uk" % number) for number in range(CROWDED_MIN)]
    built = RuleSet.build([("list", [Rule(b"listed.test"), Rule(b"cn"), *shops])])
    assert built.tails is not None
    assert built.tails.crowded == {spell(b"co", b"uk")}
    mapped, _, _ = unpack(memoryview(pack(built, {"list": (bytes(5),)}, "")))
    assert mapped.tails == built.tails
    empty = RuleSet.build([])
    assert empty.tails == TailTable(b"\xff" * 2 * BYTES_MIN, has_single=False)
    assert unpack(memoryview(pack(empty, {}, "")))[0].tails == empty.tails


def test_a_set_without_a_table_looks_every_name_up():
    built = RuleSet.build([("list", [Rule(b"listed.test")])])
    bare = RuleSet(built.counts, built.rows, built.row_ids, built.trie)
    assert unpack(memoryview(pack(bare, {}, "")))[0].tails is None


def draw(pick: random.Random, most: int = 5) -> bytes:
    return spell(*pick.choices(WORDS, k=pick.randint(1, most)))


def test_a_name_that_a_rule_speaks_for_is_never_ruled_out():
    pick = random.Random(3)
    ruled_out = 0
    for _ in range(60):
        rules = [
            Rule(to_name(draw(pick, 4)), pick.choice(list(RuleKind)), pick.random() < 0.2)
            for _ in range(pick.choice((1, 5, 60)))
        ]
        built = RuleSet.build([("list", rules)])
        assert built.tails is not None
        rules_out = TailProofs(built.tails).rules_out
        for _ in range(500):
            labels = draw(pick)
            if pick.random() < 0.3:  # bytes that are no name, or another one
                at = pick.randrange(len(labels))
                labels = labels[:at] + bytes((pick.choice((0, 1, 4, 0x40, 0xC0)),)) + labels[at + pick.randint(0, 1) :]
            if rules_out(labels) and len(labels) < NAME_MAX_BYTES:
                ruled_out += 1
                assert not built.lists(to_name(labels)), (rules, labels)
    assert ruled_out > 5000


def test_a_proof_says_that_the_bytes_are_a_whole_name():
    built = RuleSet.build([("list", [Rule(b"listed.test")])])
    assert built.tails is not None
    rules_out = TailProofs(built.tails).rules_out
    pick = random.Random(4)
    whole = 0
    for _ in range(20_000):
        labels = bytes(pick.choice((1, 2, 3, 0x3F, 0x40, 0x61, 0xC0)) for _ in range(pick.choice((3, 6, 9, 80, 140))))
        try:
            to_name(labels)
        except DnsError:
            assert not rules_out(labels)
            assert not has_lengths(labels)
        else:
            assert has_lengths(labels)
            whole += rules_out(labels)
    assert whole > 100


def test_a_length_that_no_label_has_is_seen_in_a_long_name():
    built = RuleSet.build([("list", [Rule(b"listed.test")])])
    assert built.tails is not None
    rules_out = TailProofs(built.tails).rules_out
    assert not rules_out(b"\x40" + b"x" * 64 + b"\3foo\4test")
    assert not rules_out(b"\1a\xc0" + b"x" * 192 + b"\3foo\4test")
    assert rules_out(b"\1a\x3f" + b"x" * 63 + b"\3foo\4test")


@pytest.mark.parametrize(
    ("tails", "size"), [(0, 1_024), (256, 1_024), (257, 2_048), (32_768, 131_072), (65_536, 131_072), (65_537, 262_144)]
)
def test_the_size_of_a_table(tails: int, size: int):
    """Sixteen bits for each tail, and twice as many while the table is small."""
    assert len(tail_table._bits(range(tails))) == size


@pytest.mark.parametrize("keys", [1, 2, 3, 7])
def test_keys_are_looked_at_in_parts_with_the_same_outcome(monkeypatch: pytest.MonkeyPatch, keys: int):
    """Also where all keys of a part are below the same two labels as the part before ends with."""
    domains = [b"cn", b"a.cn", *(b"shop%d.co.uk" % number for number in range(9)), b"listed.test", b"x.listed.test"]
    whole = table(*domains)
    monkeypatch.setattr(tail_table, "_CHUNK", keys)
    assert table(*domains) == whole
    assert whole.crowded == {spell(b"co", b"uk")}
