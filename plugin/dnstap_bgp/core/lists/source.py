"""List sources as the configuration names them: files, globs and URLs, and how far to trust them.

A source may name a part of a file: `geosite.dat#google`. The part behind `#` is its selector only where the format has
such parts, which `format` says or the ending `.dat`; elsewhere `#` is a character like others.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

AUTO = "auto"
"""In place of a format's name: each source's own lines tell."""


JSON = "json"
"""The format whose sources need a `path`."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """Settings for fetching a list's URLs.

    Attributes:
        interval_s: From one look to the next; each is moved by up to a tenth, lest all the world asks at the hour.
        sha256: The only content that is accepted, hexadecimal, lower-case; None: any.
        max_bytes: Of one source, also after decompression. Twice the largest list in use.
    """

    interval_s: float = 6 * 3600.0
    sha256: str | None = None
    max_bytes: int = 64 << 20


class UrlPrefixes(NamedTuple):
    """Limits of the static prefixes that a list's URLs give: whoever writes such a list announces at will.

    Attributes:
        allowed: They are announced; None: not said, so they are, as version 0.1.0 did, and each start says so.
        min_ipv4: The shortest length of an IPv4 prefix. No public list has reason for more than a /8.
        min_ipv6: Of an IPv6 prefix; the largest that registries give out is a /19.
        share_max: The share (0..1) of either address space that the prefixes of all URLs of a list may cover together.
    """

    allowed: bool | None = None
    min_ipv4: int = 8
    min_ipv6: int = 19
    share_max: float = 1 / 64


SELECTABLE_FORMATS = frozenset({"geosite-dat", "geoip-dat"})
"""Formats whose sources have a selector behind `#`."""

SELECTABLE_ENDING = ".dat"
"""The ending of a file, before `#`, that tells the same."""

NOT_SAID = UrlPrefixes()
"""The limits where the configuration has none."""


@dataclass(frozen=True, slots=True)
class ListSource:
    """A list and what it is read from.

    Attributes:
        name: The list's name.
        sources: In order: absolute paths of files, absolute globs, and http or https URLs.
        format: A key of `core.lists.formats.FORMATS`, or `AUTO`.
        fetching: Of the URLs.
        shrink_max: The share of its rules (0..1) that a new version may lose; None: see `core.lists.plausibility`.
        growth_max: The share that it may gain, 1.0 being twice as many; None: see there.
        prefixes: How many static prefixes the configuration itself gives the list.
        url_prefixes: What its URLs may announce as static prefixes.
        patterns: Its keywords and expressions count; None: not said, so they do unless a version that skipped them had
            the list in force.
        is_managed: Its one source is a file that only the program writes, for people: no judge, and may be missing.
        path: The JMESPath of the prefixes in its sources, with the format `json`; empty: none.
    """

    name: str
    sources: tuple[str, ...]
    format: str = AUTO
    fetching: Fetching = field(default_factory=Fetching)
    shrink_max: float | None = None
    growth_max: float | None = None
    prefixes: int = 0
    url_prefixes: UrlPrefixes = NOT_SAID
    patterns: bool | None = None
    is_managed: bool = False
    path: str = ""

    def located(self, source: str) -> tuple[str, str]:
        """Split one of its sources: the path or URL, and the selector within; empty: none."""
        location, selector = located(source, self.format)
        return location, selector or self.path

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of its sources, without selectors, each once."""
        return tuple(dict.fromkeys(self.located(source)[0] for source in filter(is_url, self.sources)))


def located(source: str, form: str) -> tuple[str, str]:
    """Split a source into the path or URL, and its selector; empty: it has none.

    Args:
        source: As the configuration has it.
        form: The format of its list.
    """
    location, mark, selector = source.rpartition("#")
    if not mark:
        return source, ""
    file = location.partition("?")[0] if is_url(location) else location
    if form in SELECTABLE_FORMATS or file.lower().endswith(SELECTABLE_ENDING):
        return location, selector
    return source, ""


Force: TypeAlias = bool | frozenset[str]
"""Lists whose new content is taken although it would be held back: True: all; else those of these names."""


def is_forced(force: Force, list_name: str) -> bool:
    """Tell whether a list's new content is taken although it would be held back."""
    return force if isinstance(force, bool) else list_name in force


def is_url(source: str) -> bool:
    """Tell whether a source is a URL, which is fetched; all others are paths, which are absolute."""
    return source.startswith(("http://", "https://"))
