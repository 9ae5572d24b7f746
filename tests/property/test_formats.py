"""A list in each format says of each name what a naive reader of that format says, which knows nothing of ours."""

import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.workers.lists.sources import Built, build_here, plan

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


def built(form: str, *files: list[str]) -> Built:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(files))]
        for path, lines in zip(paths, files, strict=True):
            path.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape", newline="")
        return build_here(plan([ListSource("l", tuple(map(str, paths)), form)], None))


@pytest.mark.parametrize("form", LINES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_each_format_means_what_it_says(form: str, data: st.DataObject):
    naive, line = LINES[form]
    lines = data.draw(st.lists(line, max_size=12))
    asked = data.draw(st.lists(names, min_size=1, max_size=20))
    cut = data.draw(st.integers(0, len(lines)))
    rules = built(form, lines[:cut], lines[cut:]).rules  # a list is the same in one file or in two
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
    "v2fly": ["keyword:example", "regexp:^a.*\\.com$", "# com", "  # x"],
}
"""Between the rules, and no rules either."""


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
