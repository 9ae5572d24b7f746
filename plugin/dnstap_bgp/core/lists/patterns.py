"""Patterns: keywords and regular expressions over whole names, of all lists in one automaton.

A rule on a domain is found by the name's own labels; a pattern may match any name, so that each name that nothing is
known of is held against all of them. Keywords alone are found by Aho and Corasick's automaton. Where there are
expressions, all are one RE2 set, and keywords are expressions in it: a call costs as much as what it does (0.5 us), so
that two would cost twice. Either reads a name once and in linear time, however many patterns there are and whatever
they look like (RE2 has neither back-references nor look-around).

RE2 builds the states of its automaton when a name asks for them, within `MEMORY_MAX_BYTES`; what doesn't fit is built
again. A set for which that is too little to begin with finds nothing at all, and says nothing of it. So each set has an
empty expression, which matches every name: where not even that one is found, the set has failed.

A flood of names that nothing is near shall not cost twice what it costs without patterns. So names that are judged
together are looked at as the lines of one text: mostly nothing is found in it, which one call tells of hundreds; else
the half with a find is looked for, and so on. There `^` and `$` mean a line's ends, and nothing reaches over one.

Both libraries are imported where a list has patterns, and nowhere else.
"""

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from dnstap_bgp.core.model import Name
from dnstap_bgp.errors import ListError, PatternsFailedError

KEYWORDS_MAX = 5_000
"""Different keywords in all lists together; they take 1 KB each in the plugin. All of geosite has some 200."""

EXPRESSIONS_MAX = 1_000
"""Different expressions in all lists together. All of geosite has some 300."""

KEYWORD_MAX_BYTES = 63
EXPRESSION_MAX_BYTES = 512
"""Bytes of a keyword, which are those of a label, and of an expression."""

MEMORY_MAX_BYTES = 16 << 20
"""Memory of the RE2 set, its program and its states."""

LINES_MEMORY_MAX_BYTES = 4 << 20
"""Memory of the set for many names at once."""

FEW = 8
"""Names that are looked at one by one, where one of them has something."""

_WHOLE_TEXT = re.compile(r"\\[AzZ]|\(\?[a-zA-Z]*-")
"""Signs of the ends of the whole text, which are not those of a line, and of flags that are taken back."""

_KEYWORD = re.compile(r"[a-z0-9._-]+")


class PatternKind(enum.IntEnum):
    """Kinds of patterns, in the order in which they decide."""

    KEYWORD = 0
    EXPRESSION = 1


_SIGNS = {PatternKind.KEYWORD: "keyword:", PatternKind.EXPRESSION: "regexp:"}


class Pattern(NamedTuple):
    """A line of a list that speaks for names by what they look like.

    Attributes:
        text: The keyword, lower-case, or the expression in RE2's syntax.
        kind: Which of the two.
    """

    text: str
    kind: PatternKind

    @property
    def exception(self) -> bool:
        """False: there are no patterns that take names off a list."""
        return False

    def __str__(self) -> str:
        return f"{_SIGNS[self.kind]}{self.text}"

    def speaks_for(self, name: Name) -> bool:
        """Tell whether a name is meant; for people, who ask for a few."""
        if self.kind is PatternKind.KEYWORD:
            return self.text.encode() in name
        return _compiled(self.text).search(name) is not None


def keyword(text: str) -> Pattern:
    """Make the pattern for a keyword.

    Raises:
        ListError: No name can have it, or it is empty or too long.
    """
    lowered = text.lower()
    if not _KEYWORD.fullmatch(lowered):
        raise ListError("no keyword: letters, digits, `-`, `_` and dots may stand in one")
    if len(lowered) > KEYWORD_MAX_BYTES:
        raise ListError(f"a keyword of {len(lowered)} bytes, {KEYWORD_MAX_BYTES} are allowed")
    return Pattern(lowered, PatternKind.KEYWORD)


def expression(text: str) -> Pattern:
    """Make the pattern for an expression; imports RE2.

    Raises:
        ListError: RE2 can't read it, it is empty or too long, or has characters that can't be printed.
    """
    size = len(text.encode())
    if not 0 < size <= EXPRESSION_MAX_BYTES:
        raise ListError(f"an expression of {size} bytes, 1 to {EXPRESSION_MAX_BYTES} are allowed")
    if not text.isprintable():  # it is shown on terminals, and no name has such a character
        raise ListError("an expression with a character that can't be printed: write it as \\x{...}")
    _compiled(text)
    return Pattern(text, PatternKind.EXPRESSION)


class PatternSet:
    """The patterns of several lists, ready to be asked; immutable.

    Attributes:
        patterns: (number of the list, pattern), in the order of the lists and their lines; each once.
        find: A name -> the numbers of expressions and keywords that match it, and 0, which always does: without it the
            set has failed. None: there are only keywords, see `match`.
    """

    __slots__ = ("_automaton", "_has_lines", "_masks", "find", "patterns")

    def __init__(self, patterns: Iterable[tuple[int, Pattern]]) -> None:
        """Build a set; some 10 ms for hundreds.

        Raises:
            ListError: The expressions don't fit into the memory that they may have, or there are too many patterns.
        """
        self.patterns = tuple(dict.fromkeys(patterns))
        masks: dict[Pattern, int] = {}
        for number, pattern in self.patterns:
            masks[pattern] = masks.get(pattern, 0) | 1 << number
        keywords = {pattern.text: mask for pattern, mask in masks.items() if pattern.kind is PatternKind.KEYWORD}
        expressions = {pattern.text: mask for pattern, mask in masks.items() if pattern.kind is PatternKind.EXPRESSION}
        if len(keywords) > KEYWORDS_MAX or len(expressions) > EXPRESSIONS_MAX:
            raise ListError(
                f"{len(keywords)} keywords and {len(expressions)} expressions in all lists, {KEYWORDS_MAX} and"
                f" {EXPRESSIONS_MAX} are allowed"
            )
        self._masks = (0, *expressions.values(), *keywords.values())
        self._automaton = None
        self.find: Callable[[bytes], Sequence[int]] | None = None
        self._has_lines: Callable[[bytes], bool] | None = None
        if expressions:
            self._has_lines = _lines(tuple(expressions), tuple(keywords))
            self.find = _expressions(tuple(expressions), tuple(keywords))
        elif keywords:
            self._automaton = _automaton(keywords)

    def match(self, name: Name) -> int:
        """Tell the lists that have a pattern for a name, bit n for list n; 0.7 us.

        Raises:
            PatternsFailedError: The set of expressions has failed: nothing is known of the name.
        """
        mask = 0
        if self.find is not None:
            hits = self.find(name)
            if not hits:  # not even the empty expression's
                raise PatternsFailedError("the expressions of the lists ran out of memory")
            if len(hits) > 1:
                for hit in hits:
                    mask |= self._masks[hit]
        elif self._automaton is not None:
            for _, found in self._automaton.iter(name.decode("ascii")):
                mask |= found
        return mask

    def which(self, names: Sequence[Name]) -> list[int]:
        """Tell by their places which of some names have a pattern, or may have; 0.1 us a name where none has.

        Args:
            names: In presentation form.
        """
        found: list[int] = []
        todo = [(0, len(names))]
        while todo:
            begin, end = todo.pop()
            if end - begin <= FEW or self._has_lines is None:
                found += (place for place in range(begin, end) if self._may_match(names[place]))
            elif self._has_lines(b"\n".join(names[begin:end])):
                middle = (begin + end) // 2
                todo += ((middle, end), (begin, middle))
        return found

    def _may_match(self, name: Name) -> bool:
        try:
            return self.match(name) != 0
        except PatternsFailedError:
            return True

    def deciding(self, number: int, name: Name) -> Pattern | None:
        """Find the pattern of a list that decides over a name, a keyword before an expression; for people."""
        mine = [pattern for of, pattern in self.patterns if of == number and pattern.speaks_for(name)]
        return min(mine, key=lambda pattern: pattern.kind, default=None)

    def of_list(self, number: int) -> Iterator[Pattern]:
        """Give the patterns of one list."""
        return (pattern for of, pattern in self.patterns if of == number)


def _automaton(keywords: dict[str, int]) -> Any:  # noqa: ANN401 - pyahocorasick has no types
    """Make the automaton: keyword -> its lists. One that has another of the same lists in it says nothing more."""
    import ahocorasick  # noqa: PLC0415 - see the module

    automaton = ahocorasick.Automaton()
    for text in sorted(keywords, key=len):
        # Two dozen keywords within one another would else be found hundreds of times in one name.
        covered = 0
        for size in range(1, len(text)):
            for start in range(len(text) - size + 1):
                covered |= keywords.get(text[start : start + size], 0)
        if keywords[text] & ~covered:
            automaton.add_word(text, keywords[text])
    automaton.make_automaton()
    return automaton


def _expressions(texts: Sequence[str], keywords: Sequence[str]) -> Callable[[bytes], Sequence[int]]:
    """Make the RE2 set of expressions and keywords: a name -> the numbers of those that match.

    Number 0 is the empty expression, which matches any name.

    Raises:
        ListError: It doesn't fit into its memory.
    """
    import re2  # noqa: PLC0415 - see the module

    made = re2.Set.SearchSet(_options())
    for text in ("", *texts, *map(re2.escape, keywords)):
        made.Add(text.encode())
    try:
        made.Compile()
    except re2.error:
        raise ListError(f"{len(texts)} expressions take more than {MEMORY_MAX_BYTES >> 20} MB") from None
    # Its Python wrapper only encodes text, for a fifth of the time; a later version may have another one.
    find: Callable[[bytes], Sequence[int]] = getattr(made, "_set", made).Match
    if not find(b"a.example"):
        raise ListError(f"{len(texts)} expressions take more than {MEMORY_MAX_BYTES >> 20} MB")
    return find


def _lines(texts: Sequence[str], keywords: Sequence[str]) -> Callable[[bytes], bool] | None:
    """Make the function that tells of lines whether any has a pattern, or may have; None: lines can't tell that."""
    import re2  # noqa: PLC0415 - see the module

    if any(map(_WHOLE_TEXT.search, texts)):
        return None
    options = _options(LINES_MEMORY_MAX_BYTES)
    options.never_nl = True
    made = re2.Set.SearchSet(options)
    try:
        for text in ("", f"(?m){'|'.join(f'(?:{text})' for text in (*texts, *map(re2.escape, keywords)))}"):
            made.Add(text.encode())
        made.Compile()
    except re2.error:
        return None
    find = getattr(made, "_set", made).Match
    return lambda lines: len(find(lines)) != 1  # none at all: the set has failed, and one by one they are told


def _compiled(text: str) -> Any:  # noqa: ANN401 - RE2 has no types
    import re2  # noqa: PLC0415 - see the module

    try:
        return re2.compile(text.encode(), _options())
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ListError(f"no expression of RE2: {told}") from None


def _options(memory_max_bytes: int | None = None) -> Any:  # noqa: ANN401 - RE2 has no types
    import re2  # noqa: PLC0415 - see the module

    options = re2.Options()
    options.max_mem = MEMORY_MAX_BYTES if memory_max_bytes is None else memory_max_bytes
    options.log_errors = False  # it would write to our standard error
    options.never_capture = True
    return options
