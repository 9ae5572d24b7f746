"""Feeds of prefixes in JSON, as networks publish their own; `path` is a JMESPath that gives a list of texts.

    path = "[prefixes[].ip_prefix, ipv6_prefixes[].ipv6_prefix][]"     AWS
    path = "prefixes[].[ipv4Prefix, ipv6Prefix][]"                     Google
    path = "result.[ipv4_cidrs, ipv6_cidrs][]"                         Cloudflare
    path = "[addresses, ipv6_addresses][]"                             Fastly
    path = "[web, api, git][]"                                         GitHub
    path = "data.prefixes[].prefix"                                    RIPEstat, announced-prefixes

Each text is a prefix or an address. Where the path gives nothing, or something else than texts, the file can't be used:
whoever changes such a form shall not empty a list.
"""

from collections.abc import Iterator

from dnstap_bgp.core.lists.formats import json_text, plain
from dnstap_bgp.core.lists.lines import (
    SELECTOR_PATH,
    Detection,
    Document,
    DocumentReader,
    Item,
    document_format,
    malformed,
)
from dnstap_bgp.errors import ListError

FILE_MAX_BYTES = 16 << 20
"""Bytes of a feed; the largest in use, AWS', has 2 MB. As values it takes ten times as much."""


def _open(content: bytes) -> DocumentReader:
    """Open a feed."""
    found = json_text.load(content)
    return lambda path: _prefixes(found, path)


def _prefixes(found: object, path: str) -> Iterator[tuple[int, Item]]:
    import jmespath  # noqa: PLC0415 - for the process that compiles lists

    try:
        texts = jmespath.search(path, found)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        raise ListError(f"path: {str(error).splitlines()[0][:200]}") from None
    if isinstance(texts, str):
        texts = [texts]
    if not texts or not isinstance(texts, list):
        raise ListError(f"path gives {_told(texts)}, where a list of prefixes should be: {path}")
    for number, text in enumerate(texts, 1):
        if text is None:
            continue  # what an object lacks, of which the path asks one key or another
        if not isinstance(text, str):
            raise ListError(f"path gives {_told(text)} as number {number}, where each is a text: {path}")
        try:
            yield number, plain.prefix(text.strip())
        except ListError as error:
            yield number, malformed(text, str(error))


def _told(value: object) -> str:
    """Tell the kind of a value."""
    if value is None or value == []:
        return "nothing"
    return {list: "a list", dict: "an object", str: "a text", bool: "true or false"}.get(type(value), "a number")


JSON_PREFIXES = document_format(
    "json",
    Document(_open, FILE_MAX_BYTES, selects=SELECTOR_PATH),
    Detection(rb"(?!)"),
    is_of_prefixes=True,
)
