"""Where a list's rules come from, as the configuration says it: files, globs and URLs, and how far to trust them."""

from dataclasses import dataclass, field

AUTO = "auto"
"""In place of a format's name: each source's own lines tell."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """How a list's URLs are fetched.

    Attributes:
        interval_s: From one look to the next; each is moved by up to a tenth, lest all the world asks at the hour.
        sha256: The only content that is accepted, hexadecimal, lower-case; None: any.
        max_bytes: Of one source, also after decompression. Twice the largest list in use.
    """

    interval_s: float = 6 * 3600.0
    sha256: str | None = None
    max_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class ListSource:
    """A list and what it is read from.

    Attributes:
        name: The list's name.
        sources: In order: absolute paths of files, absolute globs, and http or https URLs.
        format: A key of `core.formats.FORMATS`, or `AUTO`.
        fetching: Of the URLs.
        shrink_max: The share of its rules (0..1) that a new version may lose; None: as `core.plausible` has it.
        growth_max: The share that it may gain, 1.0 being twice as many; None: as `core.plausible` has it.
        prefixes: How many static prefixes the configuration itself gives the list.
    """

    name: str
    sources: tuple[str, ...]
    format: str = AUTO
    fetching: Fetching = field(default_factory=Fetching)
    shrink_max: float | None = None
    growth_max: float | None = None
    prefixes: int = 0


def is_url(source: str) -> bool:
    """Whether a source is fetched; all others are paths, which are absolute."""
    return source.startswith(("http://", "https://"))
