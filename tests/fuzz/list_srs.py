"""Lists in the format srs: the names of a trie are those that a naive reader finds in it; bytes are what is packed."""

import zlib
from collections.abc import Iterator

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.lines import Complaint, open_document, read_document
from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.errors import ListError
from tests.core.lists.formats import encoders
from tests.fuzz import list_kit
from tests.fuzz.choices import Choices
from tests.fuzz.test_list_formats import SRS

COVERS = {"dnstap_bgp.core.lists.formats.srs": 0.90}
LABELS = ["a", "b", "com", "www", "x-1", "long" * 10]


def one_input(data: bytes) -> None:
    if data[:1] == b"\0":  # any bytes within the packing
        list_kit.check("srs", b"SRS\3" + zlib.compress(data[1:], 1))
    elif data[:1] == b"\1":  # any bytes at all
        list_kit.check("srs", data[1:])
    else:
        compare(Choices(data[1:]))


def compare(pick: Choices) -> None:
    """Write names, and read them."""
    exact, suffixes = (
        {".".join(pick.choice(LABELS) for _ in range(pick.randint(1, 4))) for _ in range(8)} for _ in "12"
    )
    below = {f".{name}" for name in suffixes if pick.random() < 0.3}
    content = encoders.srs(encoders.default_rule(encoders.domain_item(exact, suffixes | below)))
    document = FORMATS["srs"].document
    assert document is not None
    items = [item for _, item in read_document(open_document(document, content), "")]
    wanted = {Rule(name.encode(), RuleKind.EXACT) for name in exact}
    wanted |= {Rule(name.encode(), RuleKind.SUFFIX) for name in suffixes}
    wanted |= {Rule(name[1:].encode(), RuleKind.SUBDOMAINS) for name in below}
    assert set(items) == wanted
    assert not any(isinstance(item, Complaint) for item in items)
    for cut in {len(content) // 2, len(content) - 1}:
        try:
            list(read_document(open_document(document, content[:cut]), ""))
        except ListError:
            continue
        raise AssertionError("a cut file was read")


def seeds() -> Iterator[bytes]:
    yield b"\0" + zlib.decompress(SRS[4:])
    yield b"\1" + SRS
    yield b"\1SRS\1"
    yield b"\2" + bytes(range(60))
