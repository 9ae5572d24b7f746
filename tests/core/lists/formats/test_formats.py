"""Detection of a file's format, and what holds for all formats."""

import pytest

from dnstap_bgp.core.lists import formats
from dnstap_bgp.core.lists.formats import FORMATS, detect, lost_format
from dnstap_bgp.core.lists.lines import NAMES, Complaint, SkippedKind, open_document, read_lines
from dnstap_bgp.core.lists.rules import Rule
from dnstap_bgp.errors import ListError

HEADS = {
    "a hosts file": ("hosts", "# Title: hosts\n#\n127.0.0.1 localhost\n::1 localhost\n0.0.0.0 foo.com\n"),
    "one hosts line": ("hosts", "0.0.0.0 foo.com"),
    "CRLF and a mark": ("hosts", "\ufeff0.0.0.0 foo.com\r\n0.0.0.0 bar.com\r\n"),
    "adblock": ("adblock", "! Title: x\n! Updated: y\n||foo.com^\n@@||bar.com^\n"),
    "adblock with a header": ("adblock", "[Adblock Plus 2.0]\nfoo\nbar\nbaz\n"),
    "cosmetic filters": ("adblock", "foo.com##.ad\nbar.com#@#.ad\n"),
    "dnsmasq": ("dnsmasq", "# x\nserver=/foo.com/192.0.2.1\n"),
    "dnsmasq with settings": ("dnsmasq", "no-resolv\nbogus-priv\nserver=/foo.com/192.0.2.1\n"),
    "nftset": ("dnsmasq", "nftset=/foo.com/4#inet#fw4#set\n"),
    "v2fly": ("v2fly", "# x\nfoo.com\nbar.com\nfull:www.foo.com @ads\n"),
    "v2fly by attributes": ("v2fly", "foo.com\nbar.com @ads\nbaz.com\n"),
    "v2fly that only includes": ("v2fly", "include:a\ninclude:b\n"),
    "names": ("plain", "foo.com\nbar.com # why\n"),
    "prefixes": ("plain", "192.0.2.0/24\n2001:db8::/32\n"),
    "addresses": ("plain", "192.0.2.1\n2001:db8::1\n"),
    "names under a head of adblock": ("plain", "! Title: x\n! Updated: y\n!\n" * 3 + "foo.com\n" * 5),
    "hosts under a head of adblock": ("hosts", "! Title: x\n! Updated: y\n!\n" * 3 + "0.0.0.0 foo.com\n" * 5),
    "filters under a head of adblock": ("adblock", "! Title: x\n! Updated: y\n||foo.com^\nbar.com\n||x.com^\n"),
    "a filter among hosts lines": ("adblock", "0.0.0.0 foo.com\n0.0.0.0 bar.com\n||x.com^\n"),
    "three filters among six names": ("plain", "foo.com\nbar.com\n||x.com^\n" * 2 + "||y.com^\na.com\nb.com\n"),
    "comments of many kinds": ("plain", "; domain:x\n// full:y\n! ||x^\n# 0.0.0.0 x\nfoo.com\n"),
    "names among records that are commented out": ("plain", ";foo.com CNAME .\n;bar.com CNAME .\nbaz.com\n"),
    "an error page": ("plain", "404: Not Found\n"),
    "words that are no addresses": ("plain", "Bad: gateway\nFace: to face\nDead: end\n"),
    "v2fly as published": ("v2fly", "domain:foo.com:@cn\nfull:bar.com:@ads,@cn\n"),
    "mihomo": ("mihomo", "# x\n+.foo.com\nbar.com\n*.baz.com\n*.x.com\n"),
    "AutoProxy": ("autoproxy", "[AutoProxy 0.2.9]\n||foo.com\n||bar.com\n"),
    "signs": ("plain", "foo.com\n=bar.com\n*.baz.com\n!x.foo.com\n"),
    "exceptions only": ("plain", "!a.com\n!b.com\n"),
    "a plain list with a foreign line": ("plain", "foo.com\n||bar.com^\nbaz.com\nqux.com\n"),
    "a signed list with a v2fly line": ("plain", "foo.com\n=bar.com\n*.baz.com\nfull:qux.com\n"),
    "nothing": ("plain", ""),
    "comments": ("plain", "# a\n## b ##\n; c\n"),
    "noise": ("plain", "\x00\x01\x02\n\xff\xfe"),
}


@pytest.mark.parametrize(("expected", "text"), HEADS.values(), ids=HEADS)
def test_detection(expected: str, text: str):
    assert detect(text.encode()) == expected


@pytest.mark.parametrize(
    ("line", "form"),
    [(b"||foo.com^", "adblock"), (b"0.0.0.0 foo.com", "hosts"), (b"foo.com", NAMES), (b"what is this", None)],
)
def test_what_a_line_would_be_that_its_file_s_format_cannot_read(line: bytes, form: str | None):
    assert lost_format(line) == form


def test_a_long_head_of_comments_and_a_hostile_line():
    assert detect(b"# license\n" * 2000 + b"0.0.0.0 foo.com\n") == "hosts"
    assert detect(b"a." * 100_000) == "plain"
    assert detect(b"1:" * 100_000) == "plain"


@pytest.mark.parametrize("form", FORMATS)
def test_long_and_binary_lines_are_told(form: str):
    lines = [b"||" + b"x" * 100_000 + b"^", b"server=/caf\xe9.fr/x", b"0.0.0.0 \xff\xfe", b"\xff\xfea\x00"]
    items = list(read_lines(lines, FORMATS[form]))
    assert len(items) == 4
    assert all(isinstance(item, Complaint) and item.kind is SkippedKind.MALFORMED for item in items)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.signs])
def test_the_short_way_says_of_each_sign_what_the_exact_one_does(name: str):
    form, seen = FORMATS[name], 0
    for sign, (kind, exception) in form.signs.items():
        ends = (b"foo.com", b"foo.com^", b"foo.com/", b"foo.com/1.2.3.4")
        for line in (*(sign + end for end in ends), b"0.0.0.0 " + sign + b"foo.com"):
            matched = form.simple.fullmatch(line)
            if matched is not None and matched[1] == sign:
                (item,) = form.read(line.decode())
                assert isinstance(item, Rule)
                assert (item.kind, item.exception) == (kind, exception), line
                seen += 1
    assert seen


@pytest.mark.parametrize(
    ("votes", "count"),
    [({"hosts": 3}, 0), ({"adblock": 2}, 2), ({"adblock": 2, "hosts": 3}, 5), ({"adblock": 2, "rpz": 3}, 2)],
)
def test_a_format_reads_its_own_lines_and_those_of_others_that_it_knows(votes: dict[str, int], count: int):
    assert formats._read(FORMATS["adblock"], votes) == count


MEGABYTES = {
    "geosite-dat": 64,
    "geoip-dat": 64,
    "json": 16,
    "mihomo": 64,
    "rpz": 256,
    "sing-box": 64,
    "srs": 64,
    "unbound": 256,
}


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.document is not None])
def test_a_document_is_as_large_as_the_manual_says(form: str):
    document = FORMATS[form].document
    assert document is not None
    assert document.max_bytes == MEGABYTES[form] * 1_048_576
    with pytest.raises(ListError, match=f"it has {document.max_bytes + 1} bytes, {document.max_bytes} are allowed"):
        open_document(document, bytes(document.max_bytes + 1))


def test_binary_documents_are_no_text_and_feeds_are_of_prefixes():
    documents = {name: form.document for name, form in FORMATS.items() if form.document is not None}
    assert {name for name, one in documents.items() if not one.is_text} == {"geosite-dat", "geoip-dat", "srs"}
    assert {name for name, form in FORMATS.items() if form.is_of_prefixes} == {"geoip-dat", "json"}


def test_detection_looks_at_64_kib():
    comment = b"#" * 63 + b"\n"
    line = b"0.0.0.0 foo.com\n"
    assert detect(comment * 1_023 + b"#" * (64 - len(line) - 1) + b"\n" + line) == "hosts"
    assert detect(comment * 1_024 + line) == "plain"


@pytest.mark.parametrize("name", ["hosts", "dnsmasq", "adblock", "autoproxy", "mihomo", "surge", "v2fly"])
def test_signs_of_the_short_way_are_no_exceptions_but_those_that_say_so(name: str):
    signs = FORMATS[name].signs
    assert {sign for sign, (_, exception) in signs.items() if exception} == {sign for sign in signs if b"@@" in sign}
