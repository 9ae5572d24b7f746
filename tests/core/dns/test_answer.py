import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from dnstap_bgp.core.dns.answer import (
    ADDRESSES_MAX,
    NAMES_MAX,
    RECORDS_MAX,
    SVCB_MAX,
    Answer,
    is_truncated,
    parse,
)
from dnstap_bgp.core.dns.labels import RECORD_UNITS, WorkBudget
from dnstap_bgp.errors import DnsError, WorkExceededError

NOTHING = Answer()


def response(question, *answers, rdtype="A", authority=()):
    """A response as dnspython writes it, which compresses names; answers: lines of a zone file."""
    message = dns.message.make_response(dns.message.make_query(question, rdtype, use_edns=True))
    message.answer = [record(line) for line in answers]
    message.authority = [record(line) for line in authority]
    return message


def record(line):
    owner, ttl, rdclass, rdtype, data = line.split(" ", 4)
    return dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, data)


def read(question, *answers, rdtype="A", authority=()):
    return parse(response(question, *answers, rdtype=rdtype, authority=authority).to_wire(max_size=65535))


def test_addresses_of_the_question():
    answer = read("WWW.example.com.", "www.example.com. 300 IN A 192.0.2.1", "www.EXAMPLE.com. 200 IN A 192.0.2.2")
    assert answer.names == (b"www.example.com",)
    assert answer.addresses == ((b"\xc0\0\2\1", 0, 300), (b"\xc0\0\2\2", 0, 200))
    assert answer.link_ttls_s == ()


def test_ipv6():
    answer = read("a.test.", "a.test. 5 IN AAAA 2001:db8::1", rdtype="AAAA")
    assert answer.addresses == ((bytes.fromhex("20010db8000000000000000000000001"), 0, 5),)


LINKS = ["a.test. 300 IN CNAME b.test.", "b.test. 60 IN CNAME c.test.", "c.test. 100 IN A 192.0.2.1"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_chain_in_any_order(order):
    answer = read("a.test.", *(LINKS[number] for number in order))
    assert answer.names == (b"a.test", b"b.test", b"c.test")
    assert answer.link_ttls_s == (300, 60)
    assert answer.addresses == ((b"\xc0\0\2\1", 2, 100),)


def test_every_name_that_matches_claims_with_its_own_ttl():
    lists = {b"a.test": ("one", "two"), b"c.test": ("one",)}
    wire = response("a.test.", *LINKS).to_wire()
    sightings = parse(wire, lambda name: lists.get(name, ())).sightings()
    address = b"\xc0\0\2\1"
    assert sightings == [
        (address, "one", b"a.test", 60),
        (address, "two", b"a.test", 60),
        (address, "one", b"c.test", 100),
    ]


def test_a_dname_is_passed_over_its_cname_is_not():
    answer = read(
        "www.old.test.",
        "old.test. 100 IN DNAME new.test.",
        "www.old.test. 0 IN CNAME www.new.test.",
        "www.new.test. 100 IN A 192.0.2.1",
    )
    assert answer.names == (b"www.old.test", b"www.new.test")
    assert answer.addresses == ((b"\xc0\0\2\1", 1, 100),)


def test_records_outside_the_chain_are_ignored():
    answer = read(
        "a.test.",
        "b.test. 300 IN A 192.0.2.9",
        "a.test. 300 IN A 192.0.2.1",
        "a.test. 300 IN TXT text",
        "x.test. 300 IN CNAME a.test.",
        "c.test. 300 IN A 192.0.2.7",
        authority=["a.test. 300 IN A 192.0.2.6"],
    )
    assert answer.names == (b"a.test",)
    assert [address for address, _, _ in answer.addresses] == [b"\xc0\0\2\1"]


def test_hints_of_https():
    answer = read(
        "a.test.",
        "a.test. 300 IN CNAME b.test.",
        "b.test. 60 IN HTTPS 1 . alpn=h3,h2 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
        "b.test. 60 IN HTTPS 2 svc.test. mandatory=port port=8443 ipv4hint=192.0.2.3",
        rdtype="HTTPS",
    )
    assert [(address[-1], owner, ttl_s) for address, owner, ttl_s in answer.addresses] == [
        (1, 1, 60),
        (2, 1, 60),
        (1, 1, 60),
        (3, 1, 60),
    ]


def test_alias_mode_has_no_hints():
    assert read("a.test.", "a.test. 60 IN HTTPS 0 b.test.", rdtype="HTTPS").addresses == ()


def test_a_broken_https_record():
    wire = response("a.test.", "a.test. 60 IN HTTPS 1 . ipv4hint=192.0.2.1", rdtype="HTTPS").to_wire()
    with pytest.raises(DnsError, match="type 65"):
        parse(wire.replace(b"\0\4\0\4\xc0\0\2\1", b"\0\4\0\3\xc0\0\2\1"))


def test_names_with_odd_bytes():
    assert read(r"a\.b.c\000d.test.", r"a\.b.c\000d.test. 60 IN A 192.0.2.1").names == (rb"a\046b.c\000d.test",)


def test_ttls_beyond_the_limit_mean_zero():
    wire = response("a.test.", "a.test. 4660 IN A 192.0.2.1").to_wire().replace(b"\0\0\x12\x34", b"\x80\0\0\0")
    assert parse(wire).addresses == ((b"\xc0\0\2\1", 0, 0),)


def test_what_is_no_answer():
    message = response("a.test.", "a.test. 60 IN A 192.0.2.1")
    message.set_rcode(dns.rcode.NXDOMAIN)
    assert parse(message.to_wire()) == NOTHING
    message = response("a.test.", "a.test. 60 IN A 192.0.2.1")
    message.flags &= ~dns.flags.QR
    assert parse(message.to_wire()) == NOTHING
    assert read("a.test.", "a.test. 60 IN A 192.0.2.1", rdtype="MX") == NOTHING
    wire = response("a.test.", "a.test. 60 IN A 192.0.2.1").to_wire()
    assert parse(wire.replace(b"\4test\0\0\1\0\1", b"\4test\0\0\1\0\3", 1)) == NOTHING  # class CH
    assert parse(wire[:2] + bytes([wire[2] | 0x28]) + wire[3:]) == NOTHING  # another opcode


def test_records_that_are_only_walked_are_charged_for_as_well():
    wire = response("a.test.", *(f"n{number}.test. 60 IN TXT x" for number in range(50))).to_wire()
    budget = WorkBudget(1000)
    assert parse(wire, work=budget).addresses == ()
    assert budget.left < 1000 - 50 * RECORD_UNITS
    with pytest.raises(WorkExceededError):
        parse(wire, work=WorkBudget(50 * RECORD_UNITS))


def test_reading_ends_with_the_name_that_spends_the_budget():
    """Whether it is a link of the chain or the owner of an address: what follows costs nothing any more."""
    others = [f"o{number}.test. 60 IN A 192.0.2.1" for number in range(20)]
    wire = response("n0.test.", *chain(10), *others).to_wire()
    whole = WorkBudget(10_000)
    parse(wire, work=whole)
    for units in range(30 * RECORD_UNITS, 10_000 - whole.left):
        budget = WorkBudget(units)
        with pytest.raises(WorkExceededError):
            parse(wire, work=budget)
        assert budget.left > -10, "two short names"


def test_truncated():
    message = response("a.test.", "a.test. 60 IN A 192.0.2.1")
    message.flags |= dns.flags.TC
    whole = message.to_wire()
    assert parse(whole) == Answer((b"a.test",), (), ((b"\xc0\0\2\1", 0, 60),), truncated=True)
    for end in range(len(whole)):  # cut where the room for it ended: a record counts if it came whole
        if end < 24:  # the question itself
            with pytest.raises(DnsError):
                parse(whole[:end])
        else:
            assert bool(parse(whole[:end]).addresses) == (end >= 40), end


def test_a_message_cut_anywhere_gives_nothing():
    wire = response("a.test.", *LINKS, authority=["test. 60 IN NS ns.test."]).to_wire()
    assert parse(wire).addresses
    for end in range(len(wire)):
        with pytest.raises(DnsError):
            parse(wire[:end])
    with pytest.raises(DnsError, match="1 bytes follow"):
        parse(wire + b"\0")


@pytest.mark.parametrize("offset", [5, 7, 9, 11])
@pytest.mark.parametrize("count", [-1, 1, 200])
def test_lying_counts(offset, count):
    wire = bytearray(response("a.test.", *LINKS, authority=["test. 60 IN NS ns.test."]).to_wire())
    wire[offset] = (wire[offset] + count) % 256
    with pytest.raises(DnsError):
        parse(bytes(wire))


def test_loops_and_forks():
    with pytest.raises(DnsError, match="loops"):
        read("a.test.", "a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test.", "b.test. 60 IN A 192.0.2.1")
    with pytest.raises(DnsError, match="loops"):
        read("a.test.", "a.test. 60 IN CNAME a.test.")
    with pytest.raises(DnsError, match="forks"):
        read("a.test.", "a.test. 60 IN CNAME b.test.", "a.test. 60 IN CNAME c.test.")


def chain(links):
    return [f"n{number}.test. 60 IN CNAME n{number + 1}.test." for number in range(links)]


def test_limits():
    assert len(read("n0.test.", *chain(NAMES_MAX - 1)).names) == NAMES_MAX
    with pytest.raises(DnsError, match="longer"):
        read("n0.test.", *chain(NAMES_MAX))
    addresses = [f"a.test. 60 IN A 10.0.{number // 256}.{number % 256}" for number in range(RECORDS_MAX + 1)]
    assert len(read("a.test.", *addresses[:ADDRESSES_MAX]).addresses) == ADDRESSES_MAX
    with pytest.raises(DnsError, match="257 addresses"):
        read("a.test.", *addresses[: ADDRESSES_MAX + 1])
    hints = [f"a.test. 60 IN HTTPS {number} . ipv4hint=10.0.0.{number}" for number in range(1, SVCB_MAX + 2)]
    assert len(read("a.test.", *hints[:SVCB_MAX], rdtype="HTTPS").addresses) == SVCB_MAX
    with pytest.raises(DnsError, match="33 HTTPS or SVCB records"):
        read("a.test.", *hints, rdtype="HTTPS")
    with pytest.raises(DnsError, match="513 answers"):
        read("a.test.", *addresses)
    with pytest.raises(DnsError, match="65536 bytes"):
        parse(bytes(65536))


@pytest.mark.parametrize(("rdtype", "size"), [(b"\0\1", 4), (b"\0\x1c", 16)])
def test_addresses_of_a_wrong_size(rdtype, size):
    head = b"\0\0\x81\x80\0\1\0\1\0\0\0\0\1a\0" + rdtype + b"\0\1" + b"\xc0\x0c" + rdtype + b"\0\1\0\0\0\x3c"
    assert parse(head + bytes([0, size]) + bytes(size)).addresses
    for wrong in (0, size - 1, size + 1):
        with pytest.raises(DnsError, match="address of"):
            parse(head + bytes([0, wrong]) + bytes(wrong))


def test_a_cname_must_fill_its_record():
    head = b"\0\0\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1" + b"\xc0\x0c\0\5\0\1\0\0\0\x3c"
    assert parse(head + b"\0\3\1b\0").names == (b"a", b"b")
    with pytest.raises(DnsError, match="ends at"):
        parse(head + b"\0\4\1b\0\0")


def test_the_shortest_and_the_longest_message():
    """Neither is an answer, which is no error."""
    assert parse(bytes(12)) == parse(bytes(65535)) == NOTHING
    with pytest.raises(DnsError, match="11 bytes"):
        parse(bytes(11))


def test_as_many_records_as_may_be_are_walked():
    others = [f"a.test. 60 IN TXT {number}" for number in range(RECORDS_MAX - 1)]
    answer = read("a.test.", *others, "a.test. 60 IN A 192.0.2.1")
    assert [address for address, _, _ in answer.addresses] == [b"\xc0\0\2\1"]


def test_the_longest_ttl_is_none_beyond_the_limit():
    wire = response("a.test.", "a.test. 4660 IN A 192.0.2.1").to_wire().replace(b"\0\0\x12\x34", b"\x7f\xff\xff\xff")
    assert parse(wire).addresses == ((b"\xc0\0\2\1", 0, 0x7FFFFFFF),)


def test_a_sighting_has_the_smallest_ttl_from_its_name_to_the_address():
    """Links before the name, and behind the address's owner, don't count."""
    answer = Answer(
        (b"a", b"b", b"c"),
        (50, 20),
        ((b"1111", 0, 90), (b"2222", 1, 40), (b"3333", 2, 10)),
        claims=(("one", b"a", 0), ("two", b"b", 1)),
    )
    assert answer.sightings() == [
        (b"1111", "one", b"a", 90),
        (b"2222", "one", b"a", 40),
        (b"3333", "one", b"a", 10),
        (b"1111", "two", b"b", 90),
        (b"2222", "two", b"b", 40),
        (b"3333", "two", b"b", 10),
    ]
    assert is_truncated(b"\0\0\x82\x80")
    assert not is_truncated(b"\0\2\x80\x82")


def test_of_a_chain_on_no_list_the_names_are_known_and_no_address_is_read():
    wire = response("a.test.", *LINKS).to_wire()
    assert parse(wire, lambda _: ()) == Answer((b"a.test", b"b.test", b"c.test"), (300, 60))
    cut = wire[:2] + bytes([wire[2] | 0x02]) + wire[3:]
    assert parse(cut, lambda _: ()) == Answer((b"a.test", b"b.test", b"c.test"), (300, 60), truncated=True)
