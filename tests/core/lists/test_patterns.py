"""Keywords and expressions: what is one, which lists have one for a name, and a set that has failed."""

import random
import re

import pytest

from dnstap_bgp.core.lists import patterns
from dnstap_bgp.core.lists.patterns import Pattern, PatternKind, PatternSet, expression, keyword
from dnstap_bgp.errors import ListError, PatternsFailedError


def test_what_is_a_keyword():
    assert keyword("Ads") == Pattern("ads", PatternKind.KEYWORD)
    assert str(keyword("a-b.c_d")) == "keyword:a-b.c_d"


@pytest.mark.parametrize("text", ["", "a b", "m\u00fcnchen", "a/b", "a" * 64, "*"])
def test_what_is_none(text: str):
    with pytest.raises(ListError, match="keyword"):
        keyword(text)


def test_how_long_they_may_be():
    assert len(keyword("a" * 63).text) == 63
    assert len(expression("a" * 512).text) == 512


def test_what_is_an_expression():
    assert str(expression(r"^r\d+\.example\.com$")) == r"regexp:^r\d+\.example\.com$"
    assert not expression("a").exception


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 bytes"),
        ("a" * 513, "513 bytes"),
        ("(", "no expression of RE2: missing"),
        (r"(?=a)", "invalid perl operator"),
        (r"(a)\1", "no expression of RE2"),
        ("a{1001}", "no expression of RE2"),
        ("^a\x08", "can't be printed"),
        ("a\x1b[2J", "can't be printed"),
        ("((a{100}){100}){100}", "no expression of RE2"),
        (r"\\xff" + "(", "no expression of RE2"),
    ],
)
def test_expressions_that_are_none(text: str, reason: str):
    with pytest.raises(ListError, match=reason):
        expression(text)


def test_which_lists_have_one():
    made = PatternSet([(0, keyword("ads")), (1, keyword("ads")), (1, expression("^a")), (3, keyword("x-"))])
    assert made.match(b"b.ads.example") == 0b11
    assert made.match(b"ads.example") == 0b11
    assert made.match(b"a.example") == 0b10
    assert made.match(b"x-ads.example") == 0b1011
    assert made.match(b"example") == 0
    assert list(made.of_list(1)) == [keyword("ads"), expression("^a")]
    assert made.deciding(1, b"ads.example") == keyword("ads")
    assert made.deciding(1, b"a.example") == expression("^a")
    assert made.deciding(0, b"a.example") is None


def test_keywords_alone_need_no_expressions():
    made = PatternSet([(0, keyword("ads")), (1, keyword("badsome")), (0, keyword("reads"))])
    assert made.find is None
    assert made.match(b"x-badsome.example") == 0b11
    assert made.match(b"reads.example") == 0b01
    assert made.match(b"example") == 0


def test_escapes_of_names_are_text_like_others():
    """A name's odd bytes stand as `\\ddd` in it, and an expression may ask for them."""
    made = PatternSet([(0, expression(r"^a\\032b\."))])
    assert made.match(rb"a\032b.example") == 1
    assert made.match(b"a b.example") == 0


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kinds", ["keywords", "both"])
def test_the_same_as_one_by_one(seed: int, kinds: str):
    """Against Python's own search, with expressions that mean the same in both."""
    pick = random.Random(seed)
    letters = "ab.-"

    def some_expression() -> str:
        body = "".join(pick.choice(["a", "b", r"\.", "[ab]", "a*", "b+", "(a|b)", ".", r"\d", "-"]) for _ in range(4))
        return pick.choice(["", "^"]) + body + pick.choice(["", "$"])

    given: list[tuple[int, Pattern]] = []
    for _ in range(pick.randint(1, 12)):
        if kinds == "keywords" or pick.random() < 0.5:
            given.append((pick.randrange(5), keyword("".join(pick.choices(letters, k=pick.randint(1, 4))))))
        else:
            given.append((pick.randrange(5), expression(some_expression())))
    made = PatternSet(given)
    for _ in range(60):
        name = "".join(pick.choices(letters, k=pick.randint(1, 12)))
        expected = 0
        for number, pattern in given:
            is_keyword = pattern.kind is PatternKind.KEYWORD
            if pattern.text in name if is_keyword else re.search(pattern.text, name):
                expected |= 1 << number
        assert made.match(name.encode()) == expected, (name, given)


def test_just_as_many_as_are_allowed():
    made = PatternSet((0, Pattern(f"k{number:04}", PatternKind.KEYWORD)) for number in range(5000))
    assert made.match(b"xk4999.example") == 1
    assert made.match(b"xk5000.example") == 0
    usual = [(0, Pattern(rf"^r{number:03}\.example\.com$", PatternKind.EXPRESSION)) for number in range(1000)]
    assert PatternSet(usual).match(b"r999.example.com") == 1
    with pytest.raises(ListError, match="1001 expressions"):
        PatternSet((0, Pattern(f"^a{number}$", PatternKind.EXPRESSION)) for number in range(1001))


def test_too_many():
    with pytest.raises(ListError, match="5001 keywords"):
        PatternSet((0, Pattern(f"k{number}", PatternKind.KEYWORD)) for number in range(5001))


def test_expressions_that_take_too_much_memory_are_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patterns, "MEMORY_MAX_BYTES", 1 << 17)
    with pytest.raises(ListError, match="expressions take more than"):
        PatternSet((0, Pattern(f"(a{{1,50}}){{1,5}}{number}", PatternKind.EXPRESSION)) for number in range(100))


def test_a_set_that_fails_never_says_no():
    made = PatternSet([(0, expression("^a"))])
    made.find = lambda _: []  # as RE2 answers without memory
    with pytest.raises(PatternsFailedError):
        made.match(b"a.example")


@pytest.mark.parametrize("budget_bytes", [1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18])
def test_whatever_the_memory_a_set_is_right_or_says_that_it_is_not(monkeypatch: pytest.MonkeyPatch, budget_bytes: int):
    """Expressions with thousands of states in little memory: RE2 builds states again, or the set can't be made."""
    monkeypatch.setattr(patterns, "MEMORY_MAX_BYTES", budget_bytes)
    pick = random.Random(budget_bytes)
    texts = [f"a.{{{number}}}b" for number in range(8, 13)]
    try:
        made = PatternSet((number, Pattern(text, PatternKind.EXPRESSION)) for number, text in enumerate(texts))
    except ListError:
        return
    for _ in range(200):
        name = "".join(pick.choices("abc", k=60))
        expected = sum(1 << number for number, text in enumerate(texts) if re.search(text, name))
        try:
            assert made.match(name.encode()) == expected
        except PatternsFailedError:
            continue


@pytest.mark.parametrize("seed", range(40))
def test_many_names_at_once_are_as_one_by_one(seed: int):
    """Also where an expression would reach over the end of a line, or be held by one."""
    pick = random.Random(seed)
    texts = [
        r"^a",
        r"b$",
        r"^[^z]{6,}$",
        r"a\s*b",
        r"\Ba",
        r"\b-",
        r"^$",
        r"(?i)^AB",
        r"(?s)a.b",
        "[^a-z]b",
        r"x\Ay",
        r"b\z",
    ]
    texts += [r"x\Ay", r"b\z", r"(?-m)^a", r"c(?m:^)d", "\\nb", "a[\\x00-\\x20]b"]
    given = [(0, expression(text)) for text in pick.sample(texts, pick.randint(1, 4))]
    given += [(1, keyword("".join(pick.choices("ab-", k=3)))) for _ in range(pick.randrange(3))]
    made = PatternSet(given)
    for _ in range(30):
        names = ["".join(pick.choices("abz-.", k=pick.randint(1, 8))).encode() for _ in range(pick.randrange(80))]
        assert made.which(names) == [place for place, name in enumerate(names) if made.match(name)]


def test_one_name_among_many_costs_few_looks():
    made = PatternSet([(0, expression("^needle"))])
    looks = 0
    find = made.find
    assert find is not None

    def counted(name: bytes) -> object:
        nonlocal looks
        looks += 1
        return find(name)

    made.find = counted  # type: ignore[assignment]
    names = [b"straw%d.example" % number for number in range(1000)]
    assert made.which(names) == []
    assert looks == 0
    names[777] = b"needle.example"
    assert made.which(names) == [777]
    assert looks <= 2 * patterns.FEW


def test_kinds_keep_the_numbers_that_files_have_of_them():
    """Another version reads what this one has compiled, and the other way about."""
    assert [(kind.name, kind.value) for kind in PatternKind] == [("KEYWORD", 0), ("EXPRESSION", 1)]
