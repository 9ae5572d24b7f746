"""Files that are read as a whole say of each name what the rules say from which an independent writer made them."""

import ipaddress
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.core.model import Prefix
from dnstap_bgp.workers.lists.compile_child import Built, build_lists
from dnstap_bgp.workers.lists.files import plan
from tests.core.lists.formats import encoders
from tests.property.test_formats import MORE, naive_mihomo, names, parents

EXACT, SUFFIX, BELOW = "exact", "suffix", "below"
rules = st.lists(st.tuples(st.sampled_from([EXACT, SUFFIX, BELOW]), names), max_size=12)
attributes = st.lists(st.sampled_from(["a", "b", "!c"]), max_size=2, unique=True)
networks = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
        lambda pair: ipaddress.IPv4Network(pair, strict=False)
    ),
    st.tuples(st.integers(1 << 125, 2**126 - 1), st.integers(0, 128)).map(
        lambda pair: ipaddress.IPv6Network(pair, strict=False)
    ),
)


def built(content: bytes, selector: str = "", form: str = "auto", path: str = "") -> Built:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "list.dat")
        file.write_bytes(content)
        return build_lists(plan([ListSource("l", (f"{file}{selector}",), form, path=path)], None))


def on_list(found: Iterable[tuple[str, str]], name: str) -> bool:
    return any(
        (kind == EXACT and name == domain)
        or (kind == SUFFIX and domain in parents(name))
        or (kind == BELOW and domain in parents(name)[1:])
        for kind, domain in found
    )


def packed(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Prefix:
    address = network.network_address.packed
    return address if network.prefixlen == network.max_prefixlen else address + bytes([network.prefixlen])


def source_form(found: Sequence[tuple[str, str]]) -> bytes:
    rule = {
        "domain": [domain for kind, domain in found if kind == EXACT],
        "domain_suffix": [f"{'.' * (kind == BELOW)}{domain}" for kind, domain in found if kind != EXACT],
    }
    return json.dumps({"version": 3, "rules": [rule]}).encode()


def binary_form(found: Sequence[tuple[str, str]], *, legacy: bool) -> bytes:
    item = encoders.domain_item(
        [domain for kind, domain in found if kind == EXACT],
        [f"{'.' * (kind == BELOW)}{domain}" for kind, domain in found if kind != EXACT],
        legacy=legacy,
    )
    return encoders.srs(encoders.default_rule(item), version=1 if legacy else 3)


@settings(max_examples=100, deadline=None)
@given(found=rules.filter(bool), asked=st.lists(names, min_size=1, max_size=20), legacy=st.booleans())
def test_rule_sets_of_sing_box(found: list[tuple[str, str]], asked: list[str], legacy: bool):
    for content in (source_form(found), binary_form(found, legacy=legacy)):
        made = built(content)
        assert made.reports[0].error is None
        for name in asked:
            assert bool(made.rules.lists(name.encode())) == on_list(found, name), name


@settings(max_examples=100, deadline=None)
@given(
    codes=st.lists(
        st.lists(st.tuples(st.sampled_from(["full", "domain"]), names, attributes), max_size=8), min_size=1, max_size=3
    ),
    wanted=attributes,
    asked=st.lists(names, min_size=1, max_size=20),
    data=st.data(),
)
def test_geosite_dat(
    codes: list[list[tuple[str, str, list[str]]]], wanted: list[str], asked: list[str], data: st.DataObject
):
    number = data.draw(st.integers(0, len(codes) - 1))
    content = encoders.geosite({f"CODE-{at}": found for at, found in enumerate(codes)})
    made = built(content, f"#code-{number}{''.join(f'@{each}' for each in wanted)}", "geosite-dat")
    counted = [rule for rule in codes[number] if set(wanted) <= set(rule[2])]
    if wanted and not counted:
        assert "has the attribute" in (made.reports[0].error or "")
        return
    assert made.reports[0].error is None
    kinds = {"full": EXACT, "domain": SUFFIX}
    for name in asked:
        assert bool(made.rules.lists(name.encode())) == on_list([(kinds[kind], of) for kind, of, _ in counted], name)


@settings(max_examples=100, deadline=None)
@given(found=st.lists(networks, min_size=1, max_size=12))
def test_prefixes_in_every_form(found: list[ipaddress.IPv4Network | ipaddress.IPv6Network]):
    texts = list(map(str, found))
    expected = tuple(sorted({packed(network) for network in found}))
    geoip = encoders.geoip({"X": texts})
    srs = encoders.srs(encoders.default_rule(encoders.addresses_item(6, texts)))
    sing_box = json.dumps({"version": 1, "rules": [{"ip_cidr": texts}]}).encode()
    feed = json.dumps({"prefixes": [{"prefix": text} for text in texts]}).encode()
    mihomo = yaml.safe_dump({"payload": texts}).encode()
    for made in (
        built(geoip, "#x", "geoip-dat"),
        built(srs),
        built(sing_box),
        built(feed, form="json", path="prefixes[].prefix"),
        built(mihomo),
    ):
        assert made.reports[0].error is None
        assert made.prefixes["l"] == expected


@pytest.mark.parametrize("style", [None, "'", '"'])
@pytest.mark.parametrize("flow", [False, True])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_yaml_is_as_its_text_form(style: str | None, flow: bool, data: st.DataObject):
    lines = data.draw(st.lists(MORE["mihomo"][1], min_size=1, max_size=12))
    content = yaml.safe_dump({"payload": lines}, default_style=style, default_flow_style=flow).encode()
    made = built(content)
    assert made.reports[0].format == "mihomo"
    assert made.reports[0].error is None
    for name in data.draw(st.lists(names, min_size=1, max_size=20)):
        entries = [line for line in lines if not line.startswith("#")]
        assert bool(made.rules.lists(name.encode())) == naive_mihomo(entries, name)
