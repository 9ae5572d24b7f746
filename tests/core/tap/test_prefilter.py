"""Each way in which the fast path could say a wrong no, or a wrong yes, and what becomes of its memo."""

import itertools
import struct

import pytest

from dnstap_bgp.core.dns.labels import NAME_UNITS
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.tap import prefilter
from dnstap_bgp.core.tap.answer_templates import read_targets
from dnstap_bgp.core.tap.memo import TEMPLATES_MAX, ListedName, Memo
from dnstap_bgp.core.tap.prefilter import Prefilter
from dnstap_bgp.errors import DnsError, WorkExceededError

A, CNAME, AAAA, HTTPS = 1, 5, 28, 65
RULES = RuleSet.build([("list", [Rule(b"listed.test"), Rule(rb"n\000l.odd"), Rule(b"ab.odd")])])
POINTER = b"\xc0\x0c"
ADDRESS = b"\x05\0\x01\x05"


def name(text):
    return b"".join(bytes([len(label)]) + label for label in text.split(b".")) + b"\0"


def record(owner, rdtype, data, ttl=300):
    return owner + struct.pack("!HHIH", rdtype, 1, ttl, len(data)) + data


def message(question, *records, rdtype=A, flags=0x8180, answers=None, rest=b"", counts=(0, 0)):
    head = struct.pack("!6H", 77, flags, 1, len(records) if answers is None else answers, *counts)
    return head + question + struct.pack("!HH", rdtype, 1) + b"".join(records) + rest


def see(reader, wire):
    """The sightings of one message, or the word for what else came of it."""
    candidates = reader.scan([wire])
    if not candidates:
        return "no"
    try:
        found = reader.read(candidates[0])
    except DnsError:
        return "malformed"
    return "truncated" if found is None else found


def claim(owner, ttl=300, address=ADDRESS):
    return [(address, "list", owner, ttl)]


LISTED = message(name(b"www.listed.test"), record(POINTER, A, ADDRESS))
PLAIN = message(name(b"www.plain.test"), record(POINTER, A, ADDRESS))


@pytest.fixture
def remembers_all(monkeypatch):
    """Every name is remembered at once: what is remembered is looked at below."""
    for share in ("KEPT_SHARE", "LOOKED_UP_SHARE"):
        monkeypatch.setattr(prefilter, share, 1)
    monkeypatch.setattr(Memo, "asked_again", lambda _, names: set(names))


@pytest.fixture
def reader(remembers_all):  # noqa: ARG001 - it sets the shares
    return Prefilter(RULES)


def without_tails(rules):
    """A reader for a set whose rules can't be ruled out by the last labels, as keywords can't."""
    return Prefilter(RuleSet(rules.counts, rules.rows, rules.row_ids, rules.trie))


def test_yes_and_no_again_and_again(reader):
    for _ in range(3):
        assert see(reader, LISTED) == claim(b"www.listed.test")
        assert see(reader, PLAIN) == "no"


def test_a_zero_byte_inside_a_label_does_not_cut_the_name(reader):
    cut = message(b"\2a\0" + name(b"listed.test"), record(POINTER, A, ADDRESS))
    assert see(reader, message(b"\1a\0", record(POINTER, A, ADDRESS))) == "no"
    for _ in range(3):
        assert see(reader, cut) == claim(rb"a\000.listed.test")
    assert see(reader, message(b"\3n\0l" + name(b"odd"), record(POINTER, A, ADDRESS))) == claim(rb"n\000l.odd")


def test_a_dot_inside_a_label_is_no_border(reader):
    assert see(reader, message(b"\3a.b" + name(b"odd"), record(POINTER, A, ADDRESS))) == "no"
    assert see(
        reader, message(b"\x21" + b"x" * 33 + b"\2x." + name(b"listed.test"), record(POINTER, A, ADDRESS))
    ) == claim(b"x" * 33 + rb".x\046.listed.test")


def test_case_does_not_matter_and_leaves_nothing_in_the_memo(reader):
    spelled = message(name(b"wWw.LiStEd.tEsT"), record(POINTER, A, ADDRESS))
    assert see(reader, spelled) == claim(b"www.listed.test")
    assert see(reader, message(name(b"WWW.plain.TEST"), record(POINTER, A, ADDRESS))) == "no"
    assert set(reader.memo.entries) == {b"\3www\6listed\4test", b"\3www\5plain\4test"}


def test_the_first_owner_must_be_in_the_chain(reader):
    question = name(b"www.listed.test")
    other = record(name(b"other.test"), A, ADDRESS)
    for _ in range(3):
        assert see(reader, message(question, other)) == []
        assert see(reader, message(question, record(POINTER, A, ADDRESS), other)) == claim(b"www.listed.test")


def test_counts_that_take_in_the_opt_record(reader):
    opt = b"\0\0\x29\x04\xd0" + bytes(6)
    for question in (name(b"www.listed.test"), name(b"www.plain.test")):
        good = message(question, record(POINTER, A, ADDRESS), rest=opt, counts=(0, 1))
        wrong = message(question, record(POINTER, A, ADDRESS), rest=opt, answers=2)
        for _ in range(3):
            assert see(reader, good) == see(reader, wrong)


def chained(question, target, ttl=300, address_ttl=300, *, rdtype=A, data=ADDRESS):
    at = struct.pack("!H", 0xC000 | 12 + len(question) + 4 + 12)
    return message(question, record(POINTER, CNAME, target, ttl), record(at, rdtype, data, address_ttl), rdtype=rdtype)


def test_chains_are_learnt_and_their_ttls_still_read(reader):
    question = name(b"www.plain.test")
    for ttl in range(1, 6):
        wire = chained(question, name(b"cdn.listed.test"), 100, ttl)
        assert see(reader, wire) == claim(b"cdn.listed.test", ttl)
        wire = chained(name(b"a.listed.test"), name(b"cdn.plain.test"), ttl, 200)
        assert see(reader, wire) == claim(b"a.listed.test", ttl)
    assert all(
        len(known.templates) == 1
        for known in reader.memo.entries.values()
        if isinstance(known, ListedName) and known.misses
    )


def test_an_unlisted_chain_that_turns_to_a_listed_name_is_seen(reader):
    question = name(b"www.plain.test")
    for _ in range(4):
        assert see(reader, chained(question, name(b"cdn.plains.test"))) == "no"
    assert len(reader.memo.entries[question[:-1]]) == 2
    assert see(reader, chained(question, name(b"cdn.listed.test"))) == claim(b"cdn.listed.test")
    assert see(reader, chained(question, name(b"cdn.plains.test"))) == []


def test_a_second_link_behind_a_known_one_is_seen(reader):
    question = name(b"www.plain.test")
    known = record(POINTER, CNAME, name(b"cdn.plain.test"))
    more = record(name(b"cdn.plain.test"), CNAME, name(b"x.listed.test"))
    for _ in range(4):
        assert see(reader, message(question, known)) == "no"
    final = record(name(b"x.listed.test"), A, ADDRESS)
    assert see(reader, message(question, known, more, final)) == claim(b"x.listed.test")


def test_of_a_name_whose_cnames_rotate_the_last_ones_are_kept(reader):
    question = name(b"www.plain.test")
    wires = [chained(question, name(b"cdn%d.plain.test" % number)) for number in range(3)]
    for wire in wires * 4:
        assert see(reader, wire) == "no"
        assert reader.memo.entries[question[:-1]][1][2:] in wire
    assert see(reader, message(question, record(POINTER, A, ADDRESS))) == "no"
    assert reader.memo.entries[question[:-1]]


def test_a_ttl_may_not_hide_a_record(reader):
    """The bytes of a CNAME record may stand where a learnt form skips a TTL, if the lengths around it say so."""
    question = name(b"www.plain.test")
    harmless = record(POINTER, CNAME, name(b"cdn.plain.test"))
    for _ in range(4):
        assert see(reader, message(question, harmless)) == "no"
    for ttl in (0x00050001, 0x05000100, 0x00000500):
        wire = message(
            question,
            record(POINTER, CNAME, name(b"cdn.plain.test"), ttl),
            record(name(b"cdn.plain.test"), CNAME, name(b"x.listed.test"), ttl),
            record(name(b"x.listed.test"), A, ADDRESS, ttl),
        )
        assert see(reader, wire) == claim(b"x.listed.test", ttl)


def test_a_name_spelled_with_ttl_bytes_makes_no_form(reader):
    """The target is a pointer to its own record's TTL: the same bytes but for the TTL are another name."""
    question = name(b"www.plain.test")
    ttl_at = 12 + len(question) + 4 + 6
    target = b"\4list\xc0" + bytes([ttl_at])

    def wire(ttl):
        return message(question, record(POINTER, CNAME, target, ttl), record(POINTER, A, ADDRESS))

    quiet, loud = int.from_bytes(b"\1a\0\0"), int.from_bytes(b"\2ed\0")
    reader = Prefilter(RuleSet.build([("list", [Rule(b"list.ed", RuleKind.EXACT)])]))
    for _ in range(4):
        assert see(reader, wire(quiet)) == "no"
    assert see(reader, wire(loud)) == claim(b"list.ed", 300)


def test_a_name_that_reaches_over_the_question_to_a_ttl_makes_no_form(remembers_all):  # noqa: ARG001 - as above
    """The target is a pointer into a label of the question: from there the last label goes on to the record's TTL."""
    start = name(b"www.plainXcdn")[:-5]
    at = 12 + len(start)
    question = start + bytes([len(b"cdn\4test") + 1 + 4 + 6]) + b"cdn" + name(b"test")
    target = b"\xc0" + bytes([at])
    target_at = struct.pack("!H", 0xC000 | 12 + len(question) + 4 + 12)
    reader = Prefilter(RuleSet.build([("list", [Rule(b"ed")])]))

    def see_with(ttl):
        link = record(POINTER, CNAME, target, int.from_bytes(ttl))
        return see(reader, message(question, link, record(target_at, A, ADDRESS)))

    for _ in range(4):
        assert see_with(b"\0\0\1\0") == "no"
    assert see_with(b"\2ed\0") == claim(rb"cdn\004test\000\000\001\000\001\192\012\000\005\000\001.ed", 300)


def test_the_type_of_the_question_is_no_part_of_a_form(reader):
    question = name(b"a.listed.test")
    target = name(b"cdn.plain.test")
    for _ in range(3):
        assert see(reader, chained(question, target)) == claim(b"a.listed.test")
    assert see(reader, chained(question, target, rdtype=AAAA, data=b"\x20" * 16)) == claim(
        b"a.listed.test", address=b"\x20" * 16
    )
    mixed = bytearray(chained(question, target))
    mixed[12 + len(question) + 1] = AAAA  # AAAA asked, A answered: as good as any other address of the chain
    assert see(reader, bytes(mixed)) == claim(b"a.listed.test")
    mixed[12 + len(question) + 1] = 16  # TXT asked
    assert see(reader, bytes(mixed)) == []


def test_addresses_before_their_cname_teach_no_wrong_form(reader):
    question = name(b"a.plain.test")
    first = record(POINTER, A, ADDRESS)
    link = record(POINTER, CNAME, name(b"x.listed.test"))
    for _ in range(4):
        assert see(reader, message(question, first, link)) == claim(b"x.listed.test")
    assert see(reader, message(question, first)) == []


def test_https(reader):
    question = name(b"a.listed.test")
    hints = b"\0\1\0" + b"\0\1\0\3\2h3" + b"\0\4\0\4" + ADDRESS
    wire = message(question, record(POINTER, HTTPS, hints, 60), rdtype=HTTPS)
    for _ in range(2):
        assert see(reader, wire) == claim(b"a.listed.test", 60)
        assert see(reader, wire[:-1]) == "malformed"
    empty = message(question, answers=1, rdtype=HTTPS)
    assert see(reader, empty) == "malformed"


def test_what_a_listed_name_may_bring_instead(reader):
    question = name(b"www.listed.test")
    good = record(POINTER, A, ADDRESS)
    for _ in range(2):
        assert see(reader, LISTED) == claim(b"www.listed.test")
        assert see(reader, message(question, flags=0x8183)) == []
        assert see(reader, message(question)) == []
        assert see(reader, message(question, good, flags=0x8380)) == claim(b"www.listed.test")
        assert see(reader, message(question, good, good[:-1], flags=0x8380)) == claim(b"www.listed.test")
        assert see(reader, message(question, good[:-1], flags=0x8380)) == "truncated"
        assert see(reader, message(question, flags=0x8380)) == "truncated", "as unbound and BIND cut what is too long"
        assert see(reader, message(question, good, answers=2)) == "malformed"
        assert see(reader, message(question, good, rest=b"!")) == "malformed"
        assert see(reader, message(question, good, counts=(0, 1))) == "malformed"
        assert see(reader, message(question, record(POINTER, A, ADDRESS, 0x80000000))) == claim(b"www.listed.test", 0)
        assert see(reader, message(question, record(POINTER, A, ADDRESS + b"!"))) == "malformed"


@pytest.mark.parametrize("wire", [b"", b"\0" * 11, LISTED[:12], LISTED[:20], message(b"\xc0\x0c")])
def test_what_has_no_question_is_malformed(reader, wire):
    assert see(reader, wire) == "malformed"


def test_many_false_marks_go_to_the_exact_parser(reader):
    marks = b"\0\5\0\1" * 5000
    assert see(reader, message(name(b"a.plain.test"), rest=marks)) == "malformed"


@pytest.mark.usefixtures("remembers_all")
def test_a_flood_of_names_does_not_grow_the_memo():
    reader = Prefilter(RULES, 20_000)
    for number in range(1000):
        assert see(reader, message(name(b"a.b%d.test" % number), record(POINTER, A, ADDRESS))) == "no"
        assert see(reader, PLAIN) == "no"
        assert see(reader, LISTED) == claim(b"www.listed.test")
        assert reader.memo.used_bytes < 20_200
        assert reader.memo.entries[b"\3www\5plain\4test"] == ()  # what is asked for is back at once


@pytest.mark.usefixtures("remembers_all")
def test_a_flood_of_names_below_a_rule_does_not_grow_the_memo():
    reader = Prefilter(RULES, 20_000)
    for number in range(1000):
        for _ in range(3):
            wire = chained(name(b"a%d.listed.test" % number), name(b"cdn.plain.test"))
            assert see(reader, wire) == claim(b"a%d.listed.test" % number)
        assert reader.memo.used_bytes < 21_000


def test_a_name_is_remembered_from_its_second_question_on_and_a_flood_is_not():
    reader = Prefilter(RULES, 20_000)
    wires = [message(name(b"a.b%d.test" % number), record(POINTER, A, ADDRESS)) for number in range(5000)]
    for at in (*range(0, 5000, 50), *range(0, 5000, 50)):
        assert reader.scan(wires[at : at + 50]) == []
        assert reader.memo.used_bytes < 26_000
    assert len(reader.memo) == 0  # none of them came again while its first time was noted
    plain, link = b"\3www\5plain\4test", chained(name(b"x.plain.test"), name(b"cdn.plain.test"))
    assert see(reader, PLAIN) == see(reader, link) == "no"
    assert len(reader.memo) == 0
    assert see(reader, PLAIN) == see(reader, link) == "no"
    assert reader.memo.entries[plain] == ()
    known = reader.memo.entries[b"\1x\5plain\4test"]
    assert not isinstance(known, ListedName)
    assert known[1][2:] == name(b"cdn.plain.test")
    assert (reader.asked, reader.recalled) == (10_004, 0)
    assert see(reader, PLAIN) == see(reader, link) == "no"
    assert reader.recalled == 2


@pytest.mark.parametrize("answer", [record(POINTER, A, ADDRESS), record(POINTER, CNAME, name(b"cdn.plain.test"))])
def test_of_many_names_that_come_twice_few_are_remembered_at_once(answer):
    reader = Prefilter(RULES)
    wires = [message(name(b"a.b%d.test" % number), answer) for number in range(800)]
    for _ in range(2):
        assert reader.scan(wires) == []
    assert len(reader.memo) == 1 + 800 // prefilter.KEPT_SHARE


def test_a_target_that_ends_by_a_pointer_is_read_to_its_end():
    """All at once, none of them remembered: into the question, to its end, into another target, to no label."""
    question = name(b"www.plain.test")
    at = 12 + len(question) + 4 + 12  # where the first target stands
    wires = [
        message(question, record(POINTER, CNAME, target), record(b"\xc0" + bytes([at]), A, ADDRESS))
        for target in (
            b"\6listed\xc0\x16",
            b"\6listed\xc0\x1b",
            b"\1x\6listed\xc0\x16",
            b"\6listed\xc0\x17",
            b"\4cdn\xc0\x16",
        )
    ]
    first = name(b"cdn.test")
    second = b"\6listed\xc0" + bytes([at + 4])
    chain = (record(POINTER, CNAME, first), record(b"\xc0" + bytes([at]), CNAME, second))
    wires.append(message(question, *chain, record(b"\xc0" + bytes([at + len(first) + 12]), A, ADDRESS)))
    reader = Prefilter(RULES)
    found = {}
    for candidate in reader.scan(wires):
        try:
            found[candidate[0]] = reader.read(candidate) or []
        except DnsError:
            continue
    assert {index: sightings for index, sightings in found.items() if sightings} == {
        0: claim(b"listed.test"),
        2: claim(b"x.listed.test"),
        5: claim(b"listed.test"),
    }


def test_without_a_tail_table_all_is_the_same():
    reader = without_tails(RULES)
    for _ in range(3):
        assert see(reader, LISTED) == claim(b"www.listed.test")
        assert see(reader, PLAIN) == "no"
        assert see(reader, chained(name(b"x.plain.test"), name(b"cdn.plain.test"))) == "no"
        assert see(reader, chained(name(b"y.plain.test"), name(b"cdn.listed.test"))) == claim(b"cdn.listed.test")
    assert {b"\3www\6listed\4test", b"\3www\5plain\4test"} <= set(reader.memo.entries)


def test_a_flood_below_one_domain_does_not_touch_the_memo():
    reader = without_tails(RULES)
    wires = [message(name(b"%d.victim.test" % number), record(POINTER, A, ADDRESS)) for number in range(2000)]
    assert reader.scan(wires) == []
    assert len(reader.memo.entries) <= 2 * prefilter.CHILDREN_MAX + prefilter.SAMPLE


@pytest.mark.parametrize("victim", [b"listed.test", b"deep.listed.test", b"test", b"odd"])
def test_a_flood_near_a_rule_still_finds_what_is_listed(reader, victim):
    reader.scan([message(name(b"%d." % number + victim), record(POINTER, A, ADDRESS)) for number in range(2000)])
    assert see(reader, message(name(b"x.listed.test"), record(POINTER, A, ADDRESS))) == claim(b"x.listed.test")
    assert see(reader, message(name(b"x.ab.odd"), record(POINTER, A, ADDRESS))) == claim(b"x.ab.odd")
    assert see(reader, message(name(b"ab.odd"), record(POINTER, A, ADDRESS))) == claim(b"ab.odd")


def test_names_stay_listed_however_many_of_one_domain_come():
    rules = RuleSet.build([("list", [Rule(b"example.com"), Rule(b"example.com", RuleKind.CHILDREN, exception=True)])])
    for reader in (Prefilter(rules), without_tails(rules)):
        for number in range(200):
            for owner in (b"n%d.a.example.com" % number, b"n%d.b.a.example.com" % number):
                assert see(reader, message(name(owner), record(POINTER, A, ADDRESS))) == claim(owner)
            assert see(reader, message(name(b"n%d.example.com" % number), record(POINTER, A, ADDRESS))) == "no"
        assert not reader._silent


def test_a_cut_name_does_not_pass_as_a_child_of_a_silent_domain():
    reader = without_tails(RULES)
    reader.scan([message(name(b"%d.victim.test" % number), record(POINTER, A, ADDRESS)) for number in range(2000)])
    assert b"\6victim\4test" in reader._silent
    for first in (b"\x40", b"\xc0", b"\x61"):
        question = first + b"x" * first[0] + name(b"victim.test")
        assert see(reader, message(question, record(POINTER, A, ADDRESS))) == "malformed"


def test_long_names_are_not_remembered(reader):
    labels = b".".join([b"x" * 60] * 2) + b".listed.test"
    assert see(reader, message(name(labels), record(POINTER, A, ADDRESS))) == claim(labels)
    assert not reader.memo.entries


def test_no_rules():
    reader = Prefilter(RuleSet.build([]))
    for number in itertools.repeat(0, 3):
        assert see(reader, LISTED) == "no", number


def test_how_questions_were_decided_is_counted(reader):
    for wire in (PLAIN, PLAIN, LISTED, LISTED, message(name(b"x.listed.test"), record(POINTER, A, ADDRESS))):
        reader.scan([wire])
    assert (reader.asked, reader.recalled, reader.ruled_out, reader.looked_up) == (5, 2, 1, 2)


# -- the budget of work

EXCEPTING = RuleSet.build([("list", [Rule(b"listed.test"), Rule(b"bank.listed.test", exception=True)])])
QUESTIONS = [b"www.listed.test", b"bank.listed.test"]


def many(count):
    return [record(POINTER, A, bytes([5, 0, 1, number])) for number in range(count)]


@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_is_read_exactly_once_the_budget_is_spent(question):
    reader = Prefilter(EXCEPTING, reads_excepted=True)
    (candidate,) = reader.scan([chained(name(question), name(b"cdn.plain.test"))])
    reader.work.left = -1
    with pytest.raises(WorkExceededError):
        reader.read(candidate)
    assert reader.work.left == -1


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_is_charged_for_and_so_is_each_sighting_before_it_is_made(question):
    small = chained(name(question), name(b"cdn.plain.test"))
    link = record(POINTER, CNAME, name(b"x.listed.test"))
    owner = b"\xc0" + bytes([12 + len(name(question)) + 4 + 12])
    large = message(name(question), link, *[record(owner, A, ADDRESS)] * 100)
    for wire, units in ((small, prefilter._PARSE_UNITS - 1), (large, 2 * 100 * prefilter._SIGHTING_UNITS)):
        reader = Prefilter(EXCEPTING, reads_excepted=True)
        (candidate,) = reader.scan([wire])
        reader.work.left = units
        with pytest.raises(WorkExceededError):
            reader.read(candidate)
        reader = Prefilter(EXCEPTING, reads_excepted=True)
        assert reader.read(*reader.scan([wire]))


@pytest.mark.parametrize("more", [0, 1])
def test_a_usual_answer_is_read_though_others_have_spent_the_budget(reader, more):
    count = prefilter.SPARED_SIGHTINGS + more
    wire = message(name(b"www.listed.test"), *many(count))
    for _ in range(3):
        assert len(see(reader, wire)) == count
    (candidate,) = reader.scan([wire])
    reader.work.left = 0
    if more:
        with pytest.raises(WorkExceededError):
            reader.read(candidate)
    else:
        assert len(reader.read(candidate)) == count
    assert reader.work.left == -count * prefilter._SIGHTING_UNITS


def units_for(targets: list[bytes]) -> int:
    """What is charged for targets that are ruled out together."""
    joined = b"\0".join(name(target)[:-1] for target in targets)
    return prefilter._TARGET_UNITS * len(targets) + len(joined) // prefilter._TARGET_BYTES


def test_targets_are_judged_until_the_budget_is_spent(monkeypatch):
    """The targets that no tail rules out, one by one."""
    reader = without_tails(RULES)
    wires = [chained(name(b"www.plain.test"), name(b"cdn%d.plain.test" % number)) for number in range(50)]
    monkeypatch.setattr(prefilter, "WORK_UNITS_MAX", units_for([b"cdn%d.plain.test" % at for at in range(50)]) + 100)
    candidates = reader.scan(wires)
    units = prefilter._JUDGE_UNITS + NAME_UNITS + (len(name(b"cdn10.plain.test")) >> 3)
    assert len(candidates) == 50 - (100 // units + 1)
    for candidate in candidates:
        with pytest.raises(WorkExceededError):
            reader.read(candidate)


def test_targets_of_new_names_are_charged_for():
    reader = Prefilter(RULES)
    wires = [chained(name(b"www%d.plain.test" % number), name(b"cdn.plain.test")) for number in range(15)]
    learnt = 2 * (len(name(b"cdn.plain.test")[:-1]) // prefilter._TARGET_BYTES)  # for two of so few names
    for more in (0, learnt):
        assert reader.scan(wires) == []
        assert reader.work.left == prefilter.WORK_UNITS_MAX - units_for([b"cdn.plain.test"] * 15) - more


def test_cnames_that_are_as_they_came_last_cost_nothing_of_the_budget(reader):
    wires = [chained(name(b"www.plain.test"), name(b"cdn.plain.test"), ttl) for ttl in (1, 2, 3)]
    assert see(reader, wires[0]) == see(reader, wires[1]) == "no"
    assert see(reader, wires[2]) == "no"
    assert reader.work.left == prefilter.WORK_UNITS_MAX


def test_beyond_the_budget_no_target_is_ruled_out_and_none_learnt(monkeypatch):
    question, targets = b"www.plain.test", [b"cdn%d.plain.test" % at for at in range(3)]
    wires = [chained(name(question), name(target)) for target in targets]
    monkeypatch.setattr(prefilter, "WORK_UNITS_MAX", units_for(targets))
    reader = Prefilter(RULES)
    reader.memo.put(name(question)[:-1], ())
    assert reader.scan(wires) == []
    assert reader.memo.entries[name(question)[:-1]] == (), "what would be learnt is beyond it"
    monkeypatch.setattr(prefilter, "WORK_UNITS_MAX", units_for(targets) - 1)
    candidates = reader.scan(wires)
    assert [candidate[0] for candidate in candidates] == [0, 1, 2]
    for candidate in candidates:
        with pytest.raises(WorkExceededError):
            reader.read(candidate)


def test_the_second_of_two_targets_that_nothing_rules_out_is_read_where_it_stands(reader):
    """Both end as a rule does, and are on no list."""
    question = name(b"www.plain.test")
    reader = Prefilter(RuleSet.build([("list", [Rule(b"www.near.test", RuleKind.EXACT)])]))
    links = [(POINTER, b"aa.near.test"), (name(b"aa.near.test"), b"b.near.test")]
    records = [record(owner, CNAME, name(target)) for owner, target in links]
    for _ in range(3):
        assert see(reader, message(question, *records, record(name(b"b.near.test"), A, ADDRESS))) == "no"


def test_a_listed_name_whose_targets_rotate_keeps_few_templates(reader):
    for number in range(8 * TEMPLATES_MAX):
        wire = chained(name(b"a.listed.test"), name(b"cdn%d.plain.test" % number))
        assert see(reader, wire) == claim(b"a.listed.test")
    (known,) = (entry for entry in reader.memo.entries.values() if isinstance(entry, ListedName))
    assert len(known.templates) == TEMPLATES_MAX


def test_a_domain_is_asked_about_as_a_whole_once_it_has_so_many_names():
    reader, parent = without_tails(RULES), b"\5quiet\3net"
    for _ in range(prefilter.CHILDREN_MAX // prefilter.SAMPLE):
        assert not reader._silent
        reader._count_child(parent)
    assert reader._silent == {parent}


def test_domains_with_many_names_are_noticed_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(prefilter, "DOMAINS_MAX", 2)
    reader = without_tails(RULES)
    parents = [b"\x06quiet%d\3net" % number for number in range(3)]
    noticed, silent = [], []
    for parent in parents:
        reader._count_child(parent)
        noticed.append(len(reader._children))
    for parent in parents:
        reader._children.clear()
        for _ in range(prefilter.CHILDREN_MAX // prefilter.SAMPLE):
            reader._count_child(parent)
        silent.append(len(reader._silent))
    assert (noticed, silent) == ([1, 2, 1], [1, 2, 1])


def test_a_target_is_proved_by_its_labels_and_what_its_pointer_leads_to():
    reader, question = Prefilter(RULES), b"\3www\5plain\4test"

    def is_proved(target):
        rest = message(question + b"\0", record(POINTER, CNAME, target))[12 + len(question) + 1 :]
        targets = read_targets(question, rest)
        return bool(targets) and not reader._doubtful(targets)

    assert is_proved(b"\3cdn\xc0\x10")
    for target in (b"\6listed\xc0\x16", b"", b"\xc0", b"\3cdn\5plain\4test", b"\3cdn\xc0\x0b", b"\3cdn\xc0\x1b"):
        assert not is_proved(target), target


def test_a_target_that_is_too_long_makes_the_message_malformed_each_time():
    """Also where the question's name is remembered; the target ends as a rule does, so that nothing rules it out."""
    reader = Prefilter(RuleSet.build([("list", [Rule(b"www.near.test", RuleKind.EXACT)])]))
    question = name(b"a.near.test")
    target = (b"\x3f" + b"x" * 63) * 3 + b"\x3c" + b"x" * 60 + b"\xc0\x0e"
    for _ in range(4):
        assert see(reader, message(question, record(POINTER, CNAME, target))) == "malformed"
