"""Answer templates: which answers give one, which answers fit it, and what must never fit."""

import struct

import pytest

from dnstap_bgp.core.dns.answer import ADDRESSES_MAX, parse
from dnstap_bgp.core.dns.labels import WorkBudget
from dnstap_bgp.core.tap.answer_templates import STRETCHES_MAX, learn_cnames, learn_template, read, read_targets
from dnstap_bgp.errors import DnsError
from tests.core.tap.test_prefilter import AAAA, ADDRESS, CNAME, HTTPS, POINTER, A, message, name, record

QUESTION = name(b"a.listed.test")
BEHIND = 12 + len(QUESTION)
TARGET = name(b"cdn.test")
AT_TARGET = struct.pack("!H", 0xC000 | BEHIND + 4 + 12)


def chained(ttl=300, address_ttl=200, target=TARGET, **more):
    link = record(POINTER, CNAME, target, ttl)
    return message(QUESTION, link, record(AT_TARGET, A, ADDRESS, address_ttl), **more)


def learnt(wire):
    answer = parse(wire, lambda name: ("list",) if name == b"a.listed.test" else ())
    return learn_template(wire, BEHIND, answer, WorkBudget(10_000))


def fitted(wire, *templates):
    return read(templates, ("list",), b"a.listed.test", wire, wire[BEHIND:])


def found(ttl, address=ADDRESS):
    return [(address, "list", b"a.listed.test", ttl)]


def test_a_template_fits_the_next_answer_whatever_its_ttls():
    template = learnt(chained())
    assert template is not None
    assert fitted(chained()) is None  # without it, the exact parser must say
    for ttl, address_ttl in ((300, 200), (7, 9), (9, 7), (0, 0)):
        assert fitted(chained(ttl, address_ttl), template) == found(min(ttl, address_ttl))


def test_the_first_that_fits_is_taken():
    other = learnt(chained(target=name(b"other.test")))
    template = learnt(chained())
    assert fitted(chained(5, 6), other, template) == found(5)
    assert fitted(chained(5, 6), other) is None


def test_an_answer_without_cnames_needs_no_template():
    assert fitted(message(QUESTION, record(POINTER, A, ADDRESS, 60))) == found(60)
    two = message(QUESTION, record(POINTER, AAAA, bytes(16), 60), record(POINTER, AAAA, bytes(16), 50), rdtype=AAAA)
    assert fitted(two) == found(60, bytes(16)) + found(50, bytes(16))
    hint = b"\0\1\0\0\4\0\4" + ADDRESS
    assert fitted(message(QUESTION, record(POINTER, HTTPS, hint, 60), rdtype=HTTPS)) == found(60)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(chained(target=name(b"xdn.test")), id="another target"),
        pytest.param(chained(ttl=0x80000000), id="a TTL beyond"),
        pytest.param(chained(address_ttl=0x80000000), id="an address's TTL beyond"),
        pytest.param(chained(flags=0x8380), id="truncated"),
        pytest.param(chained(answers=3), id="fewer records than counted"),
        pytest.param(chained(answers=1, counts=(1, 0)), id="the address in another section"),
        pytest.param(chained(rdtype=16), id="another type asked"),
        pytest.param(message(QUESTION, record(POINTER, CNAME, TARGET)), id="the CNAME alone"),
        pytest.param(
            message(QUESTION, record(POINTER, CNAME, TARGET), record(POINTER, A, ADDRESS)), id="another owner's address"
        ),
        pytest.param(
            message(QUESTION, record(POINTER, CNAME, TARGET), record(AT_TARGET, A, ADDRESS + b"!")), id="five bytes"
        ),
    ],
)
def test_what_does_not_fit_goes_to_the_exact_parser(wire):
    assert fitted(wire, learnt(chained())) is None


def test_what_can_give_nothing_gives_nothing():
    assert fitted(chained(flags=0x8183), learnt(chained())) == []
    assert fitted(message(QUESTION), learnt(chained())) == []


def test_what_follows_the_answer_section_is_checked():
    template = learnt(chained())
    opt = b"\0\0\x29\x04\xd0" + bytes(6)
    assert fitted(chained(rest=opt, counts=(0, 1)), template) == found(200)
    for rest, counts in ((opt, (0, 0)), (opt[:-1], (0, 1)), (b"", (0, 1)), (opt + bytes(100), (0, 1))):
        with pytest.raises(DnsError):
            fitted(chained(rest=rest, counts=counts), template)


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([record(POINTER, A, ADDRESS), record(POINTER, CNAME, TARGET)], id="an address first"),
        pytest.param(
            [
                record(TARGET, CNAME, name(b"b.test")),
                record(POINTER, CNAME, TARGET),
                record(name(b"b.test"), A, ADDRESS),
            ],
            id="links in another order",
        ),
        pytest.param(
            [
                record(POINTER, CNAME, TARGET),
                record(AT_TARGET, A, ADDRESS),
                record(AT_TARGET, CNAME, name(b"b.test")),
            ],
            id="a link behind",
        ),
        pytest.param(
            [record(POINTER, CNAME, TARGET), record(b"\3odd\xc0\xfe", 16, b""), record(AT_TARGET, A, ADDRESS)],
            id="an owner that is no name",
        ),
        pytest.param(
            [record(POINTER, CNAME, b"\3cdn\xc0" + bytes([BEHIND + 10]), 0x01610000), record(POINTER, A, ADDRESS)],
            id="a target spelled with a TTL",
        ),
    ],
)
def test_answers_that_give_no_template(records):
    assert learnt(message(QUESTION, *records)) is None


@pytest.mark.parametrize(("links", "is_learnt"), [(5, True), (16, False)])
def test_names_in_many_stretches_give_no_template(links, is_learnt):
    """Each stretch is compared with each TTL: names that point into one another made that take long."""
    records, owner, at = [], POINTER, BEHIND + 4
    for _ in range(links):
        target = b"\1x" + owner  # one label before the name before
        records.append(record(owner, CNAME, target))
        owner = struct.pack("!H", 0xC000 | at + len(owner) + 10)
        at += len(records[-1])
    wire = message(QUESTION, *records, record(owner, A, ADDRESS))
    assert len(parse(wire).names) == links + 1
    assert (learnt(wire) is not None) == is_learnt
    assert 6 * links < STRETCHES_MAX if is_learnt else links * links / 2 > STRETCHES_MAX


NAME = QUESTION[:-1]


def cnames_of(*records):
    rest = message(QUESTION, *records)[BEHIND:]
    targets = read_targets(NAME, rest)
    return learn_cnames(NAME, rest, targets), targets


def test_cnames_of_an_unlisted_name_are_learnt_without_their_ttls():
    end = POINTER + bytes.fromhex("00050001")
    template, targets = cnames_of(record(POINTER, CNAME, TARGET), record(AT_TARGET, A, ADDRESS))
    assert template == (end, bytes((0, len(TARGET))) + TARGET)
    assert targets == [TARGET[:-1]]
    other = cnames_of(record(QUESTION, CNAME, TARGET, 7), record(TARGET, CNAME, b"\1x\xc0\x0c", 9))
    assert other == (
        (QUESTION + end[2:], bytes((0, len(TARGET))) + TARGET + TARGET + end[2:], b"\0\4\1x\xc0\x0c"),
        [TARGET[:-1], b"\1x" + NAME],
    )
    usual = cnames_of(record(POINTER, CNAME, TARGET), record(AT_TARGET, CNAME, b"\1x\xc0\x0c"))
    assert usual == ((end, bytes((0, len(TARGET))) + TARGET + AT_TARGET + end[2:], b"\0\4\1x\xc0\x0c"), other[1])
    assert cnames_of(record(POINTER, A, ADDRESS)) == (None, [])


AT = BEHIND + 4 + 12  # where the first record's data stands
LONG = name(b".".join([b"x" * 60] * 4))


@pytest.mark.parametrize(
    ("targets", "read"),
    [
        ([b"\3cdn\xc0\x0e"], [b"\3cdn\6listed\4test"]),
        ([b"\3cdn\xc0" + bytes([12 + len(NAME)])], []),
        ([b"\3cdn\xc0\x0b"], []),
        ([b"\3cdn\xc0" + bytes([AT])], []),
        ([b"\xc0\x0c"], [NAME]),
        ([b"\0"], [b""]),
        ([b""], []),
        ([b"\x0c"], []),
        ([b"\3c\0n\0"], [b"\3c\0n"]),  # whoever asks has to look for zero bytes
        ([TARGET, b"\1x\xc0" + bytes([AT])], [TARGET[:-1], b"\1x" + TARGET[:-1]]),
        ([TARGET, b"\1x\xc0" + bytes([AT + 4])], [TARGET[:-1], b"\1x\4test"]),
        ([TARGET, b"\1x\xc0" + bytes([AT + 1])], []),  # into a label
        ([TARGET, b"\1x\xc0" + bytes([AT + len(TARGET) - 1])], []),
        ([b"\1y\xc0\x0e", b"\1x\xc0" + bytes([AT])], [b"\1y\6listed\4test", b"\1x\1y\6listed\4test"]),
        ([b"\1y\xc0\x0e", b"\1x\xc0" + bytes([AT + 2])], []),
        ([b"\5abc\xc0\x0e", b"\1x\xc0" + bytes([AT])], []),  # what looks like a pointer is a part of a label
        (
            [TARGET, b"\1y\xc0" + bytes([AT]), b"\xc0" + bytes([AT + len(TARGET) + 12])],
            [TARGET[:-1], b"\1y" + TARGET[:-1], b"\1y" + TARGET[:-1]],
        ),
        (
            [LONG, TARGET, b"\1x" + struct.pack("!H", 0xC000 | AT + len(LONG) + 12)],  # beyond the first 256 bytes
            [LONG[:-1], TARGET[:-1], b"\1x" + TARGET[:-1]],
        ),
        ([b"\1x\0"] * 16, [b"\1x"] * 16),
        ([b"\1x\0"] * 17, []),
    ],
)
def test_targets_are_read_where_they_are_written_as_usual(targets, read):
    assert cnames_of(*(record(POINTER, CNAME, target) for target in targets))[1] == read


def test_a_target_that_a_mark_cuts_short_is_not_read():
    """Its label holds what looks like a pointer; the mark that follows is a part of it."""
    target = b"\5abc\xc0\x0e" + bytes.fromhex("00050001")
    assert cnames_of(record(POINTER, CNAME, target))[1] == []


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([record(b"\3odd\0", CNAME, TARGET)], id="another owner"),
        pytest.param([record(POINTER, CNAME, bytes(0x100) + TARGET)], id="a long target"),
        pytest.param(
            [record(POINTER, CNAME, TARGET), record(AT_TARGET, A, ADDRESS), record(AT_TARGET, CNAME, TARGET)],
            id="an address between",
        ),
        pytest.param([record(POINTER, CNAME, TARGET), record(b"\1x\0", CNAME, TARGET)], id="an owner in full"),
        pytest.param([record(POINTER, CNAME, TARGET), record(b"\1x", CNAME, TARGET)], id="an owner of no form"),
        pytest.param([record(POINTER, CNAME, b"\1x\xc0\x02")], id="a target in the header"),
        pytest.param([record(POINTER, CNAME, b"\1x\xc0" + bytes([BEHIND]))], id="a target in the question's type"),
        pytest.param([record(POINTER, CNAME, b"\1x\xc0" + bytes([BEHIND + 10]))], id="a target in a TTL"),
        pytest.param([record(POINTER, CNAME, b"\xc0\x0d")], id="a target in a label of the question"),
    ],
)
def test_cnames_that_give_no_template(records):
    assert cnames_of(*records)[0] is None


def test_as_many_addresses_as_the_exact_parser_reads_are_read_and_no_more():
    def addresses(count):
        return message(QUESTION, *[record(POINTER, A, struct.pack("!I", number), 60) for number in range(count)])

    def hints(count):
        data = b"\0\1\0\0\4" + struct.pack("!H", 4 * count) + struct.pack(f"!{count}I", *range(count))
        return message(QUESTION, record(POINTER, HTTPS, data, 60), rdtype=HTTPS)

    for wire in (addresses, hints):
        assert len(fitted(wire(ADDRESSES_MAX))) == ADDRESSES_MAX
        assert fitted(wire(ADDRESSES_MAX + 1)) is None


@pytest.mark.parametrize("ttl", [0, 1])
def test_an_https_record_that_may_not_be_kept_is_read_all_the_same(ttl):
    hint = b"\0\1\0\0\4\0\4" + ADDRESS
    assert fitted(message(QUESTION, record(POINTER, HTTPS, hint, ttl), rdtype=HTTPS)) == found(ttl)


def test_an_owner_that_is_spelled_in_full_is_recognised_and_no_other_in_its_place():
    template = learnt(message(QUESTION, record(QUESTION, A, ADDRESS)))
    assert template is not None
    assert fitted(message(QUESTION, record(QUESTION, A, ADDRESS, 7)), template) == found(7)
    other = name(b"b.listed.test")
    assert len(other) == len(QUESTION)
    assert fitted(message(QUESTION, record(other, A, ADDRESS)), template) is None
