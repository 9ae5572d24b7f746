"""Answers and frames that are made to cost much: each attack as it was, and how much work the reader does for it.

Work is counted, not timed: lines of the package that are executed, and calls of what is costly. A chunk of the longest
that a turn of a connection brings is fed again and again, as an attacker would send it, to a reader that has seen it.
"""

import itertools
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dnstap_bgp.core.dns import answer as exact
from dnstap_bgp.core.lists.rules import Rule, RuleSet
from dnstap_bgp.core.tap import ingest as reader
from dnstap_bgp.core.tap.framestream import BUFFER_BYTES
from dnstap_bgp.core.tap.ingest import Ingest, IngestCounters
from tests.property.messages import field, stream

A, CNAME, TXT, HTTPS = 1, 5, 16, 65
QUESTION = b"\xc0\x0c"
RULES = RuleSet.build([("one", [Rule(b"listed.test")]), ("two", [Rule(b"listed.test")])])
NAMES = [b"%d.any.test", b"%d.listed.test"]
PLACES = pytest.mark.parametrize("name", NAMES, ids=["on no list", "listed"])
LINES_MAX = 1_000_000
"""Executed for one chunk: some 25 ms of CPU. Without a budget the rows of pointers took twice to five times as many."""
SIGHTINGS_MAX = 10_000
"""Of one chunk: each costs the table some 2.5 us. Without a budget, long chains gave 94,000."""


def spell(name: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in name.split(b".")) + b"\0"


def record(owner: bytes, rdtype: int, data: bytes, ttl: int = 0) -> bytes:
    return owner + struct.pack("!HHIH", rdtype, 1, ttl, len(data)) + data


def message(question: bytes, records: list[bytes], rdtype: int = A) -> bytes:
    head = struct.pack("!6H", 7, 0x8180, 1, len(records), 0, 0)
    return head + spell(question) + struct.pack("!HH", rdtype, 1) + b"".join(records)


def pointer(offset: int) -> bytes:
    return struct.pack("!H", 0xC000 | offset)


def frames(wires: list[bytes]) -> list[bytes]:
    return [field(1, b"resolver") + field(14, field(1, 6) + field(14, wire)) + field(15, 1) for wire in wires]


def https(number: int, padding: int) -> bytes:
    """One with an address, and a parameter that makes it as long as is wanted."""
    hint = b"\0\4\0\4" + bytes((1, 2, number >> 8, number & 255))
    return b"\0\1\0" + b"\0\1\0\3\2h2" + hint + b"\xff\0" + struct.pack("!H", padding) + bytes(padding)


ODD = b"\0\1\0\0\5\0\1" + b"\xff" * 20
"""The data of an HTTPS record in which a fast reader sees a CNAME record with a name that is none."""


def many_https(name: bytes, messages: int, records: int, padding: int) -> list[bytes]:
    wires = []
    for number in range(messages):
        found = [record(QUESTION, HTTPS, https(at, padding)) for at in range(records)]
        found.insert(3, record(QUESTION, HTTPS, ODD))
        wires.append(message(name % number, found, HTTPS))
    return wires


def pointers(name: bytes, messages: int, count: int, links: int) -> list[bytes]:
    """CNAME records whose targets are the last of so many pointers, each to the one before."""
    wires = []
    for number in range(messages):
        start = 12 + len(spell(name % number)) + 4 + 12
        chain = b"".join([QUESTION, *(pointer(start + 2 * at) for at in range(count - 1))])
        found = [record(QUESTION, TXT, chain)]
        found += [record(QUESTION, CNAME, pointer(start + 2 * (count - 1)))] * links
        wires.append(message(name % number, found))
    return wires


def long_targets(name: bytes, messages: int, links: int) -> list[bytes]:
    """CNAME records that are a pointer each, to one target of as many labels as a name can have."""
    wires = []
    for number in range(messages):
        start = 12 + len(spell(name % number)) + 4 + 12
        found = [record(QUESTION, CNAME, b"\1x" * 125 + b"\0")]
        found += [record(QUESTION, CNAME, pointer(start))] * (links - 1)
        wires.append(message(name % number, found))
    return wires


def owners(name: bytes, messages: int, count: int) -> list[bytes]:
    """Address records whose owners are spelled by long rows of pointers, each by another one."""
    wires = []
    for number in range(messages):
        start = 12 + len(spell(name % number)) + 4 + 12
        chain = b"".join([QUESTION, *(pointer(start + 2 * at) for at in range(126))])
        found = [record(QUESTION, TXT, chain)]
        found += [record(pointer(start + 2 * (126 - at % 8)), A, b"\1\2\3\4") for at in range(count)]
        wires.append(message(name % number, [*found, record(QUESTION, CNAME, b"\xc0\xff")]))
    return wires


def long_chains(name: bytes, messages: int, links: int, addresses: int) -> list[bytes]:
    """Every name of a chain claims every address: a few kilobytes make thousands of sightings."""
    wires = []
    for number in range(messages):
        names = [b"%d." % at + name % number for at in range(links + 1)]
        found = [record(spell(owner), CNAME, spell(target)) for owner, target in itertools.pairwise(names)]
        at = message(names[0], found).rindex(spell(names[-1]))
        found += [record(pointer(at), A, bytes((9, number, one >> 8, one & 255))) for one in range(addresses)]
        wires.append(message(names[0], found))
    return wires


class Work:
    """Counts executed lines of the package, and calls of C functions by name."""

    def __init__(self) -> None:
        self.lines = 0
        self.calls: dict[str, int] = {}

    def __enter__(self):
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_):
        sys.settrace(None)
        sys.setprofile(None)

    def _trace(self, frame, event, _):
        if "dnstap_bgp" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines += 1
        return self._trace

    def _profile(self, frame, event, function):
        if event == "c_call" and "dnstap_bgp" in frame.f_code.co_filename:
            self.calls[function.__name__] = self.calls.get(function.__name__, 0) + 1


def fed(ingest: Ingest, data: bytes) -> tuple[Work, IngestCounters]:
    """The work for one chunk, and what it counted."""
    assert len(data) <= 1.01 * BUFFER_BYTES
    before = ingest.counters
    ingest.counters = IngestCounters()
    with Work() as work:
        done, _ = ingest.feed(bytearray(data), 0, len(data), 1 << 18)
    assert done == len(data)
    counted, ingest.counters = ingest.counters, before
    return work, counted


ATTACKS = {
    "500 HTTPS records": lambda name: many_https(name, 1, 484, 97),
    "16 answers with 100 HTTPS records": lambda name: many_https(name, 16, 100, 0),
    "rows of pointers behind 16 CNAMEs": lambda name: pointers(name, 90, 120, 16),
    "rows of pointers behind one CNAME": lambda name: pointers(name, 180, 120, 1),
    "owners that are rows of pointers": lambda name: owners(name, 9, 390),
    "chains of 17 names with 250 addresses": lambda name: long_chains(name, 11, 16, 250),
    "chains of 17 names with an address": lambda name: long_chains(name, 60, 16, 1),
}


@PLACES
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_work_for_a_chunk_is_bounded(attack: str, name: bytes):
    data = stream(frames(ATTACKS[attack](name)))
    ingest = Ingest(RULES, frozenset({6}))
    for _ in range(4):  # templates are learnt with the second and fourth time
        work, counted = fed(ingest, data)
        assert work.lines < LINES_MAX, counted
        assert counted.sightings < SIGHTINGS_MAX, counted


@pytest.mark.parametrize("links", [8, 16])
def test_the_work_for_targets_that_a_pointer_spells_is_bounded(links: int):
    """Once the names are known, their CNAMEs change each time, and what is learnt of them is of no use."""
    chunks = [stream(frames(long_targets(NAMES[0], 120, links - less))) for less in (0, 1)]
    ingest = Ingest(RULES, frozenset({6}))
    for chunk in [chunks[0]] * 9 + [chunks[1], chunks[0]]:
        work, counted = fed(ingest, chunk)
        assert work.lines < LINES_MAX, counted


def count_hints(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The data of each HTTPS record that is read from now on."""
    read = []

    def hints(_: int, data: bytes) -> tuple[bytes, ...]:
        read.append(data)
        return ()

    monkeypatch.setattr(exact, "address_hints", hints)
    return read


@pytest.mark.parametrize(("messages", "records", "padding"), [(1, 484, 97), (16, 100, 0)])
def test_https_records_of_a_name_on_no_list_are_not_read(monkeypatch, messages: int, records: int, padding: int):
    read = count_hints(monkeypatch)
    ingest = Ingest(RULES, frozenset({6}))
    _, counted = fed(ingest, stream(frames(many_https(NAMES[0], messages, records, padding))))
    assert not read
    assert (counted.messages, counted.malformed, counted.costly) == (messages, 0, 0)


def test_a_listed_name_has_few_of_its_https_records_read(monkeypatch):
    read = count_hints(monkeypatch)
    _, counted = fed(Ingest(RULES, frozenset({6})), stream(frames(many_https(NAMES[1], 1, 484, 97))))
    assert counted.malformed == 1
    assert len(read) <= exact.SVCB_MAX


def test_beyond_the_budget_messages_are_skipped_counted_and_never_remembered():
    ingest = Ingest(RULES, frozenset({6}))
    good = record(QUESTION, CNAME, spell(b"cdn.listed.test")) + record(spell(b"cdn.listed.test"), A, b"\5\6\7\x08")
    victim = struct.pack("!6H", 7, 0x8180, 1, 2, 0, 0) + spell(b"www.any.test") + struct.pack("!HH", A, 1) + good
    attack = pointers(NAMES[0], 90, 120, 16)
    for _ in range(3):
        _, counted = fed(ingest, stream(frames([*attack, victim])))
        assert counted.costly > 20
        assert counted.matched == 0
    buffer = bytearray(stream(frames([victim])))
    _, sightings = ingest.feed(buffer, 0, len(buffer), 1 << 18)
    assert [(found[0], found[2]) for found in sightings] == [(b"\5\6\7\x08", b"cdn.listed.test")] * 2


def test_somebody_elses_costly_answers_do_not_cost_the_usual_ones():
    usual = message(b"www.listed.test", [record(QUESTION, A, b"\5\6\7\x08")])
    ingest = Ingest(RULES, frozenset({6}))
    for attack in (pointers(NAMES[0], 90, 120, 16), long_chains(NAMES[1], 11, 16, 250)):
        _, counted = fed(ingest, stream(frames([*attack, *[usual] * 20])))
        assert counted.costly
        assert counted.matched >= 20


def test_message_types_are_counted_in_one_pass():
    """65 KB of messages without a response, each of another type, were counted once for each type."""
    ingest = Ingest(RULES, frozenset({6}))
    found = []
    for size in (2000, 4000):
        payloads = [field(14, field(1, 100 + 2 * number)) for number in range(size)]
        work, counted = fed(ingest, stream(payloads))
        assert work.calls.get("count", 0) <= reader.TYPES_MAX + 1
        assert (counted.frames, counted.odd_chunks) == (size, 1)
        found.append(work.lines)
    assert found[1] < 2.2 * found[0]


@pytest.mark.parametrize(
    "payload", [b"\1", b"\x72\0", field(14, field(1, 6)), field(14, field(14, b"")), field(15, 1)], ids=bytes.hex
)
def test_chunks_of_the_smallest_frames_cost_in_proportion(payload: bytes):
    ingest = Ingest(RULES, frozenset({6}))
    small, large = (fed(ingest, stream([payload] * count))[0].lines for count in (2000, 4000))
    assert large < 2.2 * small


def test_nothing_is_imported_by_what_comes(tmp_path: Path):
    """An odd HTTPS record had a library imported in the tap's thread: 61 ms."""
    script = f"""
        import sys
        from dnstap_bgp.core.tap.ingest import Ingest
        from tests.faults import test_costly_answers as costly
        chunks = [costly.frames(attack(name)) for attack in costly.ATTACKS.values() for name in costly.NAMES]
        odd = [costly.record(costly.QUESTION, costly.HTTPS, data) for data in {_odd_records()!r}]
        chunks.append(costly.frames([costly.message(b"www.listed.test", [one], costly.HTTPS) for one in odd]))
        chunks.append([b"\\1", *chunks[-1]])
        for name in [name for name in sys.modules if name == "dns" or name.startswith("dns.")]:
            del sys.modules[name]
        before = set(sys.modules)
        ingest = Ingest(costly.RULES, frozenset({{6}}))
        for chunk in chunks:
            buffer = bytearray(costly.stream(chunk))
            ingest.feed(buffer, 0, len(buffer), 1 << 18)
        assert ingest.counters.matched > 10, ingest.counters
        print(sorted(set(sys.modules) - before))
    """
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": f"{root}:{root / 'plugin'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def _odd_records() -> list[bytes]:
    return [
        b"\0\1\3svc\4test\0\0\4\0\4\1\2\3\4",
        b"\0\1\0\0\0\0\2\0\4\0\4\0\4\1\2\3\4",
        b"\0\1\0\0\7\0\1/\0\4\0\4\1\2\3\4",
        b"\0\0\0",
    ]
