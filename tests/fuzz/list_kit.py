"""Lists under fuzzing: what holds for every format, and what independent readers of each say of the same bytes."""

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from dnstap_bgp.core.lists.formats import FORMATS, detect, without_base64
from dnstap_bgp.core.lists.lines import Complaint, FileLines, Include, Read, open_document, read_bulk, read_document
from dnstap_bgp.core.lists.patterns import EXPRESSION_MAX_BYTES, Pattern
from dnstap_bgp.core.lists.rules import Rule, RuleBatch, RuleKind
from dnstap_bgp.core.validation import clean_name
from dnstap_bgp.errors import ListError
from tests.fuzz.test_list_formats import FILES, SELECTORS

ITEMS_PER_BYTE = 2
"""A file gives no more things than it has bytes, or nearly."""

_COMPOSED = frozenset({"srs", "rpz"})
"""Formats whose names don't stand in the file as they are: a trie's, and those behind an origin."""

Oracle = Callable[[bytes, Sequence[Read]], None]


def seeds(form: str) -> Iterator[bytes]:
    """A file with all that the format has, and each of its lines alone."""
    yield FILES[form]
    yield from FILES[form].splitlines(keepends=True)


def check(form: str, content: bytes) -> None:
    """Read a file, and hold what it gives against the independent reader."""
    assert detect(content) in FORMATS
    without_base64(content)
    document = FORMATS[form].document
    if document is not None and (document.is_read is None or document.is_read(content)):
        try:
            items = [item for _, item in read_document(open_document(document, content), SELECTORS.get(form, ""))]
        except ListError as error:
            sane(Complaint(1, str(error)))
            return
    else:
        items = each(form, content, in_bulk=False)
        assert Counter(items) == Counter(each(form, content, in_bulk=True))
    assert len(items) <= ITEMS_PER_BYTE * len(content) + 1
    for item in items:
        sane(item)
        if isinstance(item, Rule) and content.isascii():  # UTS 46 maps others, even to ASCII: º to o
            has_escapes = document is not None and b"\\" in content
            assert item.domain in content.lower() or has_escapes or form in _COMPOSED, item
    if form in ORACLES:
        ORACLES[form](content, items)


def each(form: str, content: bytes, *, in_bulk: bool) -> list[Read]:
    """Read a file line by line; simple lines together, or each alone. A complaint's line is as the file has it."""
    lines = FileLines(content, FORMATS[form])
    found: list[Read] = []
    for item in read_bulk(lines.bulk() if in_bulk else lines, FORMATS[form]):
        if isinstance(item, RuleBatch):
            found += (Rule(domain, item.kind, item.exception) for domain in item.domains)
        elif isinstance(item, Complaint):
            found.append(Complaint(lines.number, item.reason, item.kind))
        else:
            found.append(item)
    return found


def sane(item: Read) -> None:
    """What no file may break."""
    if isinstance(item, Rule):
        assert clean_name(item.domain) == item.domain
    elif isinstance(item, bytes):
        assert len(item) in (4, 16) or (len(item) in (5, 17) and item[-1] < 8 * (len(item) - 1))
    elif isinstance(item, Complaint):
        assert item.line > 0
        assert item.reason.isprintable()
        assert len(item.reason) < 1000
    elif isinstance(item, Pattern):
        assert 0 < len(item.text.encode()) <= EXPRESSION_MAX_BYTES
        assert item.text.isprintable()
    else:
        assert isinstance(item, Include)


# -- lines: one plain pattern says what such a line gives, whatever stands around it

_NAME = rb"([a-z]{1,20}(?:\.[a-z]{1,20}){1,4})"
_LINES: dict[str, list[tuple[bytes, RuleKind, bool]]] = {
    "plain": [
        (_NAME, RuleKind.SUFFIX, False),
        (rb"=" + _NAME, RuleKind.EXACT, False),
        (rb"\*\." + _NAME, RuleKind.SUBDOMAINS, False),
        (rb"=\*\." + _NAME, RuleKind.CHILDREN, False),
        (rb"!" + _NAME, RuleKind.SUFFIX, True),
        (rb"!=" + _NAME, RuleKind.EXACT, True),
    ],
    "hosts": [(rb"(?:0\.0\.0\.0|::1) (?!local)" + _NAME, RuleKind.EXACT, False)],
    "adblock": [
        (rb"\|\|" + _NAME + rb"\^", RuleKind.SUFFIX, False),
        (rb"@@\|\|" + _NAME + rb"\^", RuleKind.SUFFIX, True),
        (rb"\|" + _NAME + rb"\^", RuleKind.EXACT, False),
    ],
    "autoproxy": [(rb"\|\|" + _NAME, RuleKind.SUFFIX, False), (rb"@@\|\|" + _NAME, RuleKind.SUFFIX, True)],
    "dnsmasq": [(rb"(?:server|address)=/" + _NAME + rb"/192\.0\.2\.1", RuleKind.SUFFIX, False)],
    "v2fly": [
        (rb"(?:domain:)?" + _NAME, RuleKind.SUFFIX, False),
        (rb"full:" + _NAME + rb"(?: @[a-z]{1,9})?", RuleKind.EXACT, False),
    ],
    "surge": [
        (_NAME, RuleKind.EXACT, False),
        (rb"(?:\.|DOMAIN-SUFFIX,)" + _NAME, RuleKind.SUFFIX, False),
        (rb"DOMAIN," + _NAME, RuleKind.EXACT, False),
    ],
    "mihomo": [
        (_NAME, RuleKind.EXACT, False),
        (rb"\+\." + _NAME, RuleKind.SUFFIX, False),
        (rb"\." + _NAME, RuleKind.SUBDOMAINS, False),
        (rb"\*\." + _NAME, RuleKind.CHILDREN, False),
    ],
    "unbound": [(rb'local-zone: "' + _NAME + rb'(?<!\.arpa)" static', RuleKind.SUFFIX, False)],
}


def lines_oracle(form: str) -> Oracle:
    """Make the oracle of a format of lines: each such line gives just this rule, and none is lost."""

    def holds(content: bytes, items: Sequence[Read]) -> None:
        wanted: Counter[Rule] = Counter()
        for line in content.split(b"\n"):
            for pattern, kind, exception in _LINES[form]:
                if found := re.fullmatch(pattern, line):
                    wanted[Rule(found[1], kind, exception)] += 1
                    break
        given = Counter(item for item in items if isinstance(item, Rule))
        assert wanted <= given, wanted - given

    return holds


# -- documents: the library that everybody uses


def yaml_oracle(content: bytes, items: Sequence[Read]) -> None:
    """PyYAML's own loader: as many texts as we give things, but for those that are comments of the format."""
    if not FORMATS["mihomo"].document.is_read(content):  # type: ignore[union-attr,misc]
        lines_oracle("mihomo")(content, items)
        return
    try:
        payload = yaml.load(content, yaml.BaseLoader)["payload"] or []  # noqa: S506 - texts alone, whatever their tags
    except (yaml.composer.ComposerError, yaml.scanner.ScannerError):
        return  # an anchor twice, which YAML 1.2 allows; tabs in plain texts and odd tags, which libyaml takes
    given = [item for item in items if not isinstance(item, Complaint)]
    assert len(given) <= len(payload)
    assert len(items) <= len(payload)


def sing_box_oracle(content: bytes, items: Sequence[Read]) -> None:
    """json.loads and a walk: all texts of rules without other keys, and nothing else."""
    wanted = 0
    keys = {"domain", "domain_suffix", "domain_keyword", "domain_regex", "ip_cidr"}

    def walk(rules: list[Any]) -> None:
        nonlocal wanted
        for rule in rules:
            if rule.get("type") == "logical":
                if rule["mode"] == "or" and not rule.get("invert"):
                    walk(rule["rules"])
                continue
            if any(value not in ([], False) for key, value in rule.items() if key not in keys | {"type"}):
                continue
            for key in keys & rule.keys():
                values = rule[key] if isinstance(rule[key], list) else [rule[key]]
                wanted += sum(isinstance(value, str) for value in values)

    walk(json.loads(content.decode("utf-8-sig")).get("rules", []))
    good = [item for item in items if not isinstance(item, Complaint)]
    assert len(good) <= wanted
    assert len([item for item in items if not _is_condition(item)]) >= wanted


def _is_condition(item: Read) -> bool:
    return isinstance(item, Complaint) and item.kind == "rules with other conditions"


def feed_oracle(content: bytes, items: Sequence[Read]) -> None:
    """json.loads and the ipaddress module, for the path `prefixes[].p`."""
    found = json.loads(content.decode("utf-8-sig"))["prefixes"]
    texts = [one["p"].strip() for one in found if isinstance(one, dict) and one.get("p") is not None]
    wanted = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            continue
        if network.version == 6 and network.network_address.ipv4_mapped is not None:
            continue
        packed = network.network_address.packed
        wanted.append(packed if network.num_addresses == 1 else packed + bytes([network.prefixlen]))
    assert [item for item in items if isinstance(item, bytes)] == wanted


# -- protobuf: V2Ray's schema, declared here once more


def _schema() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="v2ray_for_tests.proto", package="v2ray_for_tests", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> None:
        found = file.message_type.add(name=name)
        for field_name, number, kind, repeated, of in fields:
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            made = found.field.add(name=field_name, number=number, type=kind, label=label)
            if of:
                made.type_name = f".v2ray_for_tests.{of}"

    message("Attribute", ("key", 1, field.TYPE_BYTES, False, ""))
    message(
        "Domain",
        ("type", 1, field.TYPE_INT32, False, ""),
        ("value", 2, field.TYPE_BYTES, False, ""),
        ("attribute", 3, field.TYPE_MESSAGE, True, "Attribute"),
    )
    message("CIDR", ("ip", 1, field.TYPE_BYTES, False, ""), ("prefix", 2, field.TYPE_UINT32, False, ""))
    message("Site", ("code", 1, field.TYPE_BYTES, False, ""), ("domain", 2, field.TYPE_MESSAGE, True, "Domain"))
    message("Ip", ("code", 1, field.TYPE_BYTES, False, ""), ("cidr", 2, field.TYPE_MESSAGE, True, "CIDR"))
    message("Sites", ("entry", 1, field.TYPE_MESSAGE, True, "Site"))
    message("Ips", ("entry", 1, field.TYPE_MESSAGE, True, "Ip"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v2ray_for_tests.{name}"))
        for name in ("Sites", "Ips")
    }


_MESSAGES = _schema()


def _entry(name: str, content: bytes) -> Any:
    try:
        found = _MESSAGES[name].FromString(content)
    except DecodeError:
        return None  # another code is damaged, which is nobody's business
    [entry] = [entry for entry in found.entry if entry.code.lower() == b"x"]
    return entry


def geosite_oracle(content: bytes, items: Sequence[Read]) -> None:
    entry = _entry("Sites", content)
    if entry is None:
        return
    assert len(items) == len(entry.domain)
    for domain, item in zip(entry.domain, items, strict=True):
        if isinstance(item, Rule):
            assert item.kind == {2: RuleKind.SUFFIX, 3: RuleKind.EXACT}[domain.type]
            assert item.domain == domain.value.lower() or b"xn--" in item.domain or b"." in domain.value
        elif isinstance(item, Pattern):
            assert item.kind == domain.type


def geoip_oracle(content: bytes, items: Sequence[Read]) -> None:
    entry = _entry("Ips", content)
    if entry is not None:
        assert len(items) == len(entry.cidr)


ORACLES: dict[str, Oracle] = {
    **{form: lines_oracle(form) for form in _LINES},
    "mihomo": yaml_oracle,
    "sing-box": sing_box_oracle,
    "json": feed_oracle,
    "geosite-dat": geosite_oracle,
    "geoip-dat": geoip_oracle,
}
