"""A list in each format says of each name what a naive reader of that format says, which knows nothing of ours."""

import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.lists.formats import FORMATS
from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.compile_child import Built, build_lists
from dnstap_bgp.workers.lists.files import plan

Matcher = Callable[[list[str], str], bool]


def parents(name: str) -> list[str]:
    """The name itself, then each domain that it lies below."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def naive_hosts(lines: list[str], name: str) -> bool:
    named: set[str] = set()
    for line in lines:
        named |= {word.lower() for word in line.split("#")[0].split()[1:]}
    return name in named - {"localhost", "broadcasthost"}


def naive_adblock(lines: list[str], name: str) -> bool:
    """As a blocker does it: any filter blocks, any exception unblocks, whichever is longer."""

    def speaks(line: str) -> bool:
        filtered = re.fullmatch(r"(?:@@)?(\|\|(?:\*\.)?|\|)([a-z0-9._-]+)\^", line)
        if filtered is None:
            return False
        mark, domain = filtered.groups()
        if mark == "|":
            return name == domain
        return name.endswith("." + domain) or (mark == "||" and name == domain)

    return any(map(speaks, [line for line in lines if line[:2] != "@@"])) and not any(
        map(speaks, [line for line in lines if line[:2] == "@@"])
    )


def naive_dnsmasq(lines: list[str], name: str) -> bool:
    """As dnsmasq does it: the longest domain decides; for one domain, what is sent to the standard servers."""
    decisions: dict[str, set[bool]] = {}
    for line in lines:
        option, _, rest = line.partition("=")
        if option.startswith("#") or not rest.startswith("/"):
            continue
        *domains, value = rest[1:].split("/")
        for domain in domains:
            decisions.setdefault(domain, set()).add(not (option in ("server", "local") and value == "#"))
    for parent in parents(name):
        if parent in decisions:
            return False not in decisions[parent]
    return False


def naive_v2fly(lines: list[str], name: str) -> bool:
    for line in lines:
        words = line.split("#")[0].split()
        if not words:
            continue
        kind, _, value = words[0].rpartition(":")
        if (kind == "full" and name == value) or (kind in ("", "domain") and value in parents(name)):
            return True
        if (kind == "keyword" and value in name) or (kind == "regexp" and re.search(value, name)):
            return True
    return False


def naive_plain(lines: list[str], name: str) -> bool:
    """The longest domain decides; for one domain exceptions first, then `=`, `*.` and the name alone."""
    best = (-1, False, -1)
    for line in lines:
        if not line or line[0] == "#":
            continue
        exception = line.startswith("!")
        rest = line.lstrip("!")
        sign = "=" if rest.startswith("=") else "*" if rest.startswith("*.") else ""
        domain = rest.removeprefix("=").removeprefix("*.")
        if domain not in parents(name) or (sign == "=" and name != domain) or (sign == "*" and name == domain):
            continue
        best = max(best, (domain.count("."), exception, ["", "*", "="].index(sign)))
    return best[0] >= 0 and not best[1]


def naive_mihomo(lines: list[str], name: str) -> bool:
    """`+.` is the name and all below, `.` all below, `*.` exactly one label, and nothing in front just the name."""
    for line in lines:
        above = parents(name)[1:]
        if line.startswith("+."):
            speaks = line[2:] in parents(name)
        elif line.startswith("*."):
            speaks = line[2:] in above[:1]
        elif line.startswith("."):
            speaks = line[1:] in above
        else:
            speaks = line == name
        if speaks:
            return True
    return False


def naive_autoproxy(lines: list[str], name: str) -> bool:
    """The longest domain decides; for one domain the exception."""
    best = (-1, False)
    for line in lines:
        exception, domain = line.startswith("@@"), line.removeprefix("@@").removeprefix("||").removesuffix("^")
        if "||" in line and domain in parents(name):
            best = max(best, (domain.count("."), exception))
    return best[0] >= 0 and not best[1]


def naive_surge(lines: list[str], name: str) -> bool:
    """A dot in front or DOMAIN-SUFFIX: the name and all below it; else just the name."""
    for line in lines:
        kind, comma, rest = line.partition(",")
        value = rest.split(",")[0] if comma else line
        if kind == "DOMAIN-SUFFIX" or (not comma and line.startswith(".")):
            if value.lstrip(".") in parents(name):
                return True
        elif value == name and (not comma or kind == "DOMAIN"):
            return True
    return False


def naive_rpz(lines: list[str], name: str) -> bool:
    """The record of the name itself decides, or else the nearest wildcard above it; to let through beats all else."""
    decisions: dict[str, list[bool]] = {}
    for line in lines:
        owner, *words = line.split() if not line.startswith(";") else [""]
        if words:
            decisions.setdefault(owner, []).append(words[-1] not in ("rpz-passthru.", f"{owner}."))
    for owner in (name, *(f"*.{parent}" for parent in parents(name)[1:])):
        if owner in decisions:
            return all(decisions[owner])
    return False


def naive_unbound(lines: list[str], name: str) -> bool:
    """Local data answers; else the nearest zone decides; of one zone that stands twice the type that resolves."""
    zones: dict[str, list[bool]] = {}
    for line in lines:
        words = line.replace('"', "").split()
        if words[:1] == ["local-zone:"]:
            zones.setdefault(words[1], []).append(words[2] != "transparent")
        elif words[:2] == ["local-data:", name]:
            return True
    for parent in parents(name):
        if parent in zones:
            return all(zones[parent])
    return False


label = st.sampled_from(["a", "b", "ba", "a-b", "x1", "1b", "com"])
names = st.lists(label, min_size=1, max_size=4).map(".".join)
cosmetic = st.sampled_from(["! x", "com##.ad", "||com^$script", "/a/", "||a", "com", "-x-"])
LINES: dict[str, tuple[Matcher, st.SearchStrategy[str]]] = {
    "plain": (
        naive_plain,
        st.builds(str.__add__, st.sampled_from(["", "", "=", "*.", "!", "!=", "!*."]), names) | st.just("# com"),
    ),
    "hosts": (
        naive_hosts,
        st.builds("{} {}".format, st.sampled_from(["0.0.0.0", "::1"]), st.lists(names, min_size=1).map(" ".join))
        | st.sampled_from(["127.0.0.1 localhost", "# 0.0.0.0 com", "255.255.255.255 broadcasthost a"]),
    ),
    "adblock": (
        naive_adblock,
        st.builds("{}{}^".format, st.sampled_from(["||", "||", "||*.", "|", "@@||", "@@||*.", "@@|"]), names)
        | cosmetic,
    ),
    "dnsmasq": (
        naive_dnsmasq,
        st.builds(
            "{}=/{}/{}".format,
            st.sampled_from(["server", "address", "local", "ipset", "nftset"]),
            st.lists(names, min_size=1, max_size=3).map("/".join),
            st.sampled_from(["192.0.2.1", "#", "", "set"]),
        )
        | st.sampled_from(["server=192.0.2.1", "no-resolv", "# server=/com/x"]),
    ),
    "v2fly": (
        naive_v2fly,
        st.builds("{}{}{}".format, st.sampled_from(["", "domain:", "full:"]), names, st.sampled_from(["", " @x", "#c"]))
        | st.sampled_from(["keyword:a", "regexp:^a", "# com"]),
    ),
}


MORE: dict[str, tuple[Matcher, st.SearchStrategy[str]]] = {
    "mihomo": (
        naive_mihomo,
        st.builds("{}{}".format, st.sampled_from(["+.", "+.", "", ".", "*."]), names)
        | st.sampled_from(["# com", "a.*.b"]),
    ),
    "autoproxy": (
        naive_autoproxy,
        st.builds("{}{}{}".format, st.sampled_from(["||", "||", "@@||"]), names, st.sampled_from(["", "^"]))
        | st.sampled_from(["! com", ".com", "|http://a", "[AutoProxy 0.2.9]", "a.com"]),
    ),
    "surge": (
        naive_surge,
        st.builds("{}{}".format, st.sampled_from(["", ".", "DOMAIN,", "DOMAIN-SUFFIX,"]), names)
        | st.builds("DOMAIN-SUFFIX,{},DIRECT".format, names)
        | st.sampled_from(["# com", "// com", "; com", "GEOIP,CN", "PROCESS-NAME,a", "IP-CIDR,192.0.2.0/24"]),
    ),
    "rpz": (
        naive_rpz,
        st.builds(
            "{}{} {}{}".format,
            st.sampled_from(["", "*."]),
            names,
            st.sampled_from(["CNAME ", "60 IN CNAME ", "IN CNAME "]),
            st.sampled_from([".", "*.", "rpz-drop.", "rpz-passthru.", "a.b.", "com."]),
        )
        | st.builds("{} A 192.0.2.1".format, names)
        | st.sampled_from([";com CNAME .", "24.0.2.0.192.rpz-ip CNAME .", "32.1.2.0.192.rpz-client-ip CNAME ."]),
    ),
    "unbound": (
        naive_unbound,
        st.builds('local-zone: "{}" {}'.format, names, st.sampled_from(["static", "always_nxdomain", "transparent"]))
        | st.builds('local-data: "{} A 192.0.2.1"'.format, names)
        | st.sampled_from(["# com", "server:", "local-data-ptr: 192.0.2.1 com"]),
    ),
}
"""Formats that are tried line by line only."""


def built(form: str, *files: list[str]) -> Built:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(files))]
        for path, lines in zip(paths, files, strict=True):
            path.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape", newline="")
        return build_lists(plan([ListSource("l", tuple(map(str, paths)), form)], None))


def test_every_format_has_a_naive_reader():
    written_by_another_writer = {"geosite-dat", "geoip-dat", "sing-box", "srs", "json"}  # test_documents.py
    assert FORMATS.keys() - (LINES | MORE) == written_by_another_writer


@pytest.mark.parametrize("form", LINES | MORE)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_each_format_means_what_it_says(form: str, data: st.DataObject):
    naive, line = (LINES | MORE)[form]
    lines = data.draw(st.lists(line, max_size=12))
    asked = data.draw(st.lists(names, min_size=1, max_size=20))
    # A list is the same in one file or in two; unbound's own files are one configuration each.
    cut = data.draw(st.integers(0, len(lines))) if form != "unbound" else 0
    rules = built(form, lines[:cut], lines[cut:]).rules
    for name in asked:
        assert bool(rules.lists(name.encode())) == naive(lines, name), name


HEADS = {
    "plain": ["# Our names", "#", ""],
    "hosts": ["# Title: hosts", "127.0.0.1 localhost", "::1 ip6-loopback", "fe80::1%lo0 localhost", "0.0.0.0 0.0.0.0"],
    "adblock": ["[Adblock Plus 2.0]", "! Title: A filter list", "! Expires: 4 days", "!#if env_firefox"],
    "dnsmasq": ["# accelerated domains", "no-resolv", "server=192.0.2.1", "cache-size=1000"],
    "v2fly": ["# Category of things", "", "# END head"],
}
"""What stands at the top of such lists, and gives no rule."""

ASIDE = {
    "plain": ["# nothing", "", "  \t"],
    "hosts": ["# 0.0.0.0 com", "", "255.255.255.255 broadcasthost", "::1 localhost"],
    "adblock": ["! com", "example##.ad", "##.ad-box", "/banner/*", "||example^$script,third-party", "com#@#.x", "-ad-"],
    "dnsmasq": ["# server=/com/x", "conf-dir=/etc/x", "", "bogus-nxdomain=192.0.2.1"],
    "v2fly": ["keyword:nowhere", "regexp:^nothing\\.com$", "# com", "  # x"],
}
"""Between the rules, and no rules either, or such that no name of here has."""


IDN = "b\u00fccher"


BAD = ["bad..name.example", "b\udcfad.example", f"{'l' * 64}.example"]
"""No names: an empty label, no UTF-8, a label too long."""


def cleaned(form: str, line: str) -> str:
    """A line as the naive readers know it; empty for a malformed one."""
    line = line.strip("\ufeff \t\r").lower().replace(IDN, "xn--bcher-kva")
    if any(name in line for name in BAD):
        return ""
    return line.partition(" #")[0].strip(".") if form == "plain" else line


def vast(form: str, rng: random.Random, count: int) -> tuple[list[str], int]:
    """A list as long as real ones, with all the dirt that they have; and how many of its lines are malformed."""
    bad = 0

    def name() -> str:
        host, end = rng.choice(["", "www.", "a.b.", "x-1._y."]), rng.choice(["com", "co.uk", "example"])
        made = f"{host}{rng.choice(['d', 'd', 'd', IDN + '.d', 'D'])}{rng.randrange(count)}.{end}"
        return made.upper() if rng.random() < 0.01 else made

    def one(name: str, marked: float) -> str:
        match form:
            case "plain":
                sign = rng.choice(["=", "*.", "!", "!="]) if marked < 0.2 else "." if marked < 0.22 else ""
                return sign + name + ("." if marked > 0.98 else "") + (" # why" if 0.9 < marked < 0.95 else "")
            case "hosts":
                address = rng.choice(["0.0.0.0", "127.0.0.1", "::", "0.0.0.0\t"])
                return f"{address} {name}" + (" other.example # c" if marked < 0.1 else "")
            case "adblock":
                return f"{'@@' if marked < 0.02 else ''}||{name}^{'$third-party' if marked > 0.9 else ''}"
            case "dnsmasq":
                value = "#" if marked < 0.05 else "4#inet#fw4#set" if marked < 0.5 else "127.0.0.1#53"
                option = "nftset" if "inet" in value else "server"
                return f"{option}=/{'other.example/' if marked > 0.9 else ''}{name}/{value}"
            case _:
                mark = " @ads" if marked < 0.1 else " @cn @ads &more" if marked < 0.2 else " # c" * (marked > 0.95)
                return f"{rng.choice(['', 'domain:', 'full:'])}{name}{mark}"

    lines = ["\ufeff" + HEADS[form][0], *HEADS[form][1:]]
    for _ in range(count):
        dirt = rng.random()
        if dirt < 0.02:
            lines.append(rng.choice(ASIDE[form]))
        elif dirt < 0.025:
            lines.append(one(rng.choice(BAD), 0.5))
            bad += 1
        else:
            around = rng.choice(["", "", "", " ", "\t"]), rng.choice(["", "", " \t", "\r"])
            lines.append(one(name(), rng.random()).join(around))
    return lines, bad


@pytest.mark.parametrize("form", LINES)
def test_a_list_of_100_000_lines(form: str):
    """Against the naive reader, which is given only the lines that could matter: it takes a second a name otherwise."""
    rng = random.Random(form)
    lines, bad = vast(form, rng, 100_000)
    found = built("auto", lines)
    assert [report.format for report in found.reports] == [form]
    assert found.reports[0].complaints == bad > 0
    plain = [cleaned(form, line) for line in lines]
    words = [re.findall(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.[a-z]+", line) for line in plain]
    by_word: dict[str, list[str]] = {}
    for line, there in zip(plain, words, strict=True):
        for word in there:
            by_word.setdefault(word, []).append(line)
    asked = [rng.choice(["", "", "z."]) + there[-1] for there in rng.sample(words, 3000) if there]
    asked += [f"d{rng.randrange(200_000)}.example" for _ in range(500)]
    hits = 0
    for name in asked:
        expected = LINES[form][0]([line for parent in parents(name) for line in by_word.get(parent, [])], name)
        assert bool(found.rules.lists(name.encode())) == expected, name
        hits += expected
    assert 500 < hits < len(asked) - 200
