"""Exact aggregation of prefixes: the same addresses in the fewest routes, none more and none fewer.

A prefix that another one covers goes, and two halves become what they are the halves of, again and again. A default
route never comes of it: routers take one for something else than its two halves.
"""

from collections.abc import Iterable

from dnstap_bgp.core.model import Prefix

SHORTEST = 1
"""The shortest length that halves may become."""

_SIZES = (4, 16)


def aggregated(prefixes: Iterable[Prefix]) -> list[Prefix]:
    """Aggregate prefixes; 0.2 s for 100,000.

    Args:
        prefixes: Of both families, in any order, repeated ones included; no bits are set beyond a length.

    Returns:
        IPv4 first, each by address.
    """
    found = tuple(prefixes)
    return [prefix for size in _SIZES for prefix in _of_family(found, size)]


def _of_family(prefixes: Iterable[Prefix], size: int) -> list[Prefix]:
    bits = 8 * size
    # Sorted so, whatever covers a prefix comes before it, and the last one kept is the only one that may.
    ordered = sorted(
        (int.from_bytes(prefix[:size]), prefix[size] if len(prefix) > size else bits)
        for prefix in prefixes
        if len(prefix) in (size, size + 1)
    )
    kept: list[tuple[int, int]] = []
    for value, length in ordered:
        if kept and value >> bits - kept[-1][1] == kept[-1][0] >> bits - kept[-1][1]:
            continue
        kept.append((value, length))
        while len(kept) > 1 and kept[-1][1] == kept[-2][1] > SHORTEST:
            (first, shared), (second, _) = kept[-2:]
            if first >> bits - shared + 1 != second >> bits - shared + 1:
                break
            kept[-2:] = [(first, shared - 1)]
    return [
        value.to_bytes(size) if length == bits else value.to_bytes(size) + bytes([length]) for value, length in kept
    ]
