"""Lists of every format under mutation: nothing is raised but what a damaged file is told by, and each rule is a name.

Files that are packed (zlib) are mutated inside, too: their checksum would turn every other mutation away.
"""

import json
import random
import zlib
from collections.abc import Callable

import pytest

from dnstap_bgp.core.lists.formats import FORMATS, detect, without_base64
from dnstap_bgp.core.lists.lines import Complaint, Include, Read, open_document, read_document, read_lines
from dnstap_bgp.core.lists.patterns import EXPRESSION_MAX_BYTES, Pattern
from dnstap_bgp.core.lists.rules import Rule
from dnstap_bgp.core.validation import clean_name
from dnstap_bgp.errors import ListError
from tests.core.lists.formats import encoders

RULE_SET = {
    "version": 3,
    "rules": [
        {
            "domain": ["a.com"],
            "domain_suffix": ["b.com", ".c.com"],
            "domain_keyword": ["x"],
            "ip_cidr": ["192.0.2.0/24"],
        },
        {"type": "logical", "mode": "or", "rules": [{"domain_regex": "^a"}, {"port": 1}]},
    ],
}
SRS = encoders.srs(
    encoders.default_rule(
        encoders.domain_item(["a.com", "www.b.net"], ["b.com", ".c.com"]),
        encoders.texts_item(3, ["ads"]),
        encoders.addresses_item(6, ["192.0.2.0/24", "2001:db8::/32"]),
    ),
    encoders.logical_rule(1, encoders.default_rule(encoders.adguard_item(["||x.com^", "y.*.z^"]))),
    encoders.default_rule(b"\x09\1\0\1", encoders.texts_item(11, ["p"])),
)
FILES: dict[str, bytes] = {
    "plain": b"a.com\n=b.com\n*.c.com\n!d.com\n192.0.2.0/24\n2001:db8::/32 # x\n",
    "hosts": b"0.0.0.0 a.com b.com\n::1 localhost\nfe80::1%lo0 c.com # x\n",
    "adblock": b"[Adblock Plus]\n||a.com^\n@@||*.b.com^\n|c.com^|\n||d.com^$third-party\na.com##.x\n/re/\n",
    "autoproxy": b"[AutoProxy 0.2.9]\n||a.com\n@@||b.com^\n/re/\n",
    "dnsmasq": b"server=/a.com/b.com/192.0.2.1\naddress=/*.c.com/#\nlocal=/d.com/\n",
    "v2fly": b"domain:a.com @ads\nfull:b.com:@cn,@x\ninclude:other @cn @-ads\nkeyword:x\nregexp:^a\n&c\n",
    "mihomo": b"payload:\n  - '+.a.com'\n  - \"b.com\"\n  - DOMAIN-SUFFIX,c.com\n  - &x 192.0.2.0/24\n",
    "surge": b".a.com\nDOMAIN,b.com\nDOMAIN-REGEX,^a,b\nIP-CIDR,192.0.2.0/24,no-resolve\nAND,((x),(y))\n",
    "rpz": b"$TTL 60\n$ORIGIN r.\n@ SOA a. b. ( 1\n2 )\na.com CNAME .\n*.b.com 60 IN A 192.0.2.1\n"
    b"32.zz.1.rpz-ip CNAME .\n"
    b'c TXT "x;y"\n  CNAME rpz-passthru.\n',
    "unbound": b"server:\nlocal-zone: \"a.com\" static\nlocal-data: 'b.com A 192.0.2.1'\n"
    b"local-zone: c.com transparent\n",
    "geosite-dat": encoders.geosite({"X": [("domain", "a.com", ["ads"]), ("keyword", "k", []), ("full", "b.com", [])]}),
    "geoip-dat": encoders.geoip({"X": ["192.0.2.0/24", "2001:db8::/32"], "Y": ["192.0.2.1"]}, inverse=["Y"]),
    "sing-box": json.dumps(RULE_SET, indent=1).encode(),
    "srs": SRS,
    "json": json.dumps({"prefixes": [{"p": "192.0.2.0/24"}, {"p": "2001:db8::/32"}]}).encode(),
}
SELECTORS = {"geosite-dat": "x", "geoip-dat": "x", "json": "prefixes[].p"}


def mutate(pick: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(pick.randint(1, 4)):
        at, end = sorted(pick.randint(0, len(data)) for _ in range(2))
        match pick.randint(0, 6):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = data[at:end]
            case 2:
                data[at : at + 1] = bytes([pick.randrange(256)])
            case 3:
                data[at:at] = pick.choice(
                    [b"\n", b" ", b'"', b"*", b"\xff", b"\0", b"&", b"(", b"[", b"{", b"#", b"\\"]
                )
            case 4:
                data = data[:end]
            case 5:
                data[at:at] = data[at : at + 3] * pick.choice([2, 50])
            case _:
                other = FILES[pick.choice(list(FILES))]
                data[at:end] = other[: end - at]
    return bytes(data)


def mutate_packed(pick: random.Random, content: bytes) -> bytes:
    if content.startswith(b"SRS") and pick.random() < 0.9:
        return content[:4] + zlib.compress(mutate(pick, zlib.decompress(content[4:])), 1)
    return mutate(pick, content)


def items_of(form: str, content: bytes) -> list[Read]:
    document = FORMATS[form].document
    if document is not None and (document.is_read is None or document.is_read(content)):
        try:
            return [item for _, item in read_document(open_document(document, content), SELECTORS.get(form, ""))]
        except ListError as error:
            return [Complaint(1, str(error))]
    return list(read_lines(content.split(b"\n"), FORMATS[form]))


def check(seed: int, rounds: int, mutation: Callable[[random.Random, bytes], bytes]) -> None:
    for number in range(rounds):
        pick = random.Random(seed + number)
        form = pick.choice(list(FILES))
        content = mutation(pick, FILES[form])
        assert detect(content) in FORMATS
        without_base64(content)
        for item in items_of(form, content):
            where = f"seed {seed + number}, {form}: {content!r}"
            if isinstance(item, Rule):
                assert clean_name(item.domain) == item.domain, where
            elif isinstance(item, bytes):
                assert len(item) in (4, 16) or (len(item) in (5, 17) and item[-1] < 8 * (len(item) - 1)), where
            elif isinstance(item, Complaint):
                assert item.line > 0, where
                assert item.reason.isprintable(), where
            elif isinstance(item, Pattern):
                assert 0 < len(item.text.encode()) <= EXPRESSION_MAX_BYTES, where
                assert item.text.isprintable(), where
            else:
                assert isinstance(item, Include), where


@pytest.mark.parametrize("form", FILES)
def test_the_files_are_good_to_begin_with(form: str):
    assert form == "json" or detect(FILES[form]) == form
    assert any(isinstance(item, Rule | bytes) for item in items_of(form, FILES[form]))


def test_every_format_is_here():
    assert FILES.keys() == FORMATS.keys()


def test_mutations():
    check(1, 4000, mutate_packed)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_mutations_for_long():
    check(random.randrange(1 << 32), 400_000, mutate_packed)
