"""/v1/routes: what is held, in pages and filtered, in the thread "loop".

100,000 routes are more than a second's work. So it goes in steps: each copies some addresses under the keeper's lock,
and every few milliseconds the thread sleeps, so that neither the loop nor the tap (which need the same interpreter)
wait. Two may list at a time; others wait for their turn.

The order is that of the table's shards, by the last byte of the address, then by the address; static prefixes are last.
A page's cursor is its last prefix, and means the same whatever came and went since. With `order=newest` the routes come
by when they were first seen, the newest first: all are walked through once, the newest so far are kept, and there is
one page without a cursor.
"""

import asyncio
import heapq
import ipaddress
import itertools
import json
import math
import operator
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

from dnstap_bgp.core.dns import names
from dnstap_bgp.core.model import Address, Claim, Name, Prefix
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes.explain import ViewFacts
from dnstap_bgp.core.state.records import audience_object
from dnstap_bgp.core.text import name_text, prefix_text
from dnstap_bgp.errors import BadNameError, CommandError
from dnstap_bgp.workers.net.http_server import send
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.web.inspector import Inspector

LIMIT_DEFAULT = 1_000
LIMIT_MAX = 10_000
"""Routes of a page: 3 MB of JSON."""

NEWEST_MAX = 1_000
"""Routes of a page that is ordered by age: they are kept and compared all along the walk."""

STEP = 64
"""Addresses that are looked at at once: a millisecond of the interpreter, a third of it under the keeper's lock."""

WORK_S = 0.002
PAUSE_S = 0.001
"""After so much work a pause: two thirds of one core's Python at most go into listing, while it lasts."""

NAMES_MAX = 32
LISTERS_MAX = 2
TEXT_MAX = 256

_Row = dict[str, object]
_HOST_BYTES = frozenset({4, 16})
_NETWORK_BYTES = frozenset({5, 17})
_FIRST = operator.attrgetter("first")


class PageCursor(NamedTuple):
    """Place where a page ends: within the routes that are claimed, or within the static prefixes behind them."""

    static: bool
    prefix: Prefix

    def __str__(self) -> str:
        return ("s" if self.static else "") + self.prefix.hex()


@dataclass(frozen=True, slots=True)
class Query:
    """Parameters of a page.

    Attributes:
        limit: Routes of this page.
        newest: Those that were first seen last, in this order; else by address.
        after: The cursor of the page before; None: from the start.
        list_name: Of this list only.
        name: Of this name and what lies below.
        network: Within.
        text: Part of a name or of the address's text, lower-case.
    """

    limit: int
    newest: bool
    after: PageCursor | None
    list_name: str | None
    name: Name | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    text: str

    def admits(self, prefix: Prefix, claims: list[Claim], owners: Mapping[Prefix, str]) -> bool:
        """Say whether a route is asked for."""
        if self.list_name not in (None, owners.get(prefix), *(claim.list for claim in claims)):
            return False
        if self.name is not None and not any(_is_below(claim.name, self.name) for claim in claims):
            return False
        if self.network is not None and not _is_within(prefix, self.network):
            return False
        if not self.text:
            return True
        return any(self.text in name_text(claim.name) for claim in claims) or self.text in prefix_text(prefix)


class RoutesApi:
    """Handler of /v1/routes."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._turns = asyncio.Semaphore(LISTERS_MAX)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Give a page, as it is found."""
        query = read_query(request.query.get)
        known = [one.name for one in self._inspector.config.all_lists]  # also one that is switched off
        if query.list_name is not None and query.list_name not in known:
            raise CommandError(f"there is no list {query.list_name!r}; there are: {', '.join(known)}")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await send(request, response, b'{"routes": [')
        count, after = 0, None
        async for rows in self._steps(query):
            taken = rows[: query.limit - count]
            if taken:
                text = ", ".join(json.dumps(row) for _, row in taken)
                await send(request, response, (f", {text}" if count else text).encode())
                count += len(taken)
            if count >= query.limit:
                after = None if query.newest else str(taken[-1][0])
                break
        end = {"next": after, "total": len(self._inspector.parts.keeper.table)}
        await send(request, response, f"], {json.dumps(end)[1:]}".encode())
        await response.write_eof()
        return response

    async def _steps(self, query: Query) -> AsyncIterator[list[tuple[PageCursor, _Row]]]:
        """Give the routes that are asked for, a few at a time; they are sent between two turns, however slowly."""
        found = self._found(query)
        more = True
        while more:
            async with self._turns:
                rows: list[tuple[PageCursor, _Row]] = []
                pause_at, more = time.monotonic() + WORK_S, False
                for step in found:
                    rows += step
                    if time.monotonic() >= pause_at:
                        more = True
                        break
                await asyncio.sleep(PAUSE_S)
            yield rows

    def _found(self, query: Query) -> Iterator[list[tuple[PageCursor, _Row]]]:
        if query.newest:
            yield from self._newest(query)
            return
        for static, prefixes in self._prefixes(query):
            owners = self._inspector.parts.keeper.table.policies.static_owners() if static and prefixes else {}
            for start in range(0, len(prefixes), STEP):
                yield self._rows(query, prefixes[start : start + STEP], owners, static=static)

    def _newest(self, query: Query) -> Iterator[list[tuple[PageCursor, _Row]]]:
        """Walk through all routes, a step at a time, then give the newest; static prefixes come last."""
        newest: list[tuple[float, Prefix]] = []
        statics: list[Prefix] = []
        for static, prefixes in self._prefixes(query):
            if static:
                statics = prefixes
                continue
            of_shard: list[tuple[float, Prefix]] = []
            since = newest[-1][0] if len(newest) == query.limit else -math.inf
            for start in range(0, len(prefixes), STEP):
                of_shard += self._first_seen(query, prefixes[start : start + STEP], since)
                yield []
            if of_shard:
                newest = heapq.nlargest(query.limit, itertools.chain(newest, of_shard))
        chosen = [prefix for _, prefix in newest]
        for start in range(0, len(chosen), STEP):
            yield self._rows(query, chosen[start : start + STEP], {}, static=False)
        owners = self._inspector.parts.keeper.table.policies.static_owners() if statics else {}
        for start in range(0, len(statics), STEP):
            yield self._rows(query, statics[start : start + STEP], owners, static=True)

    def _first_seen(self, query: Query, prefixes: list[Prefix], since: float) -> list[tuple[float, Prefix]]:
        """Find out when addresses were first seen: those that are asked for, and that nobody saw before `since`."""
        claims = self._inspector.parts.keeper.table.claims
        with self._inspector.parts.keeper.lock:
            claimed = [claims.of_address(one) for one in prefixes]
        return [
            (first, prefix)
            for prefix, found in zip(prefixes, claimed, strict=True)
            if found and (first := min(map(_FIRST, found))) > since and query.admits(prefix, found, {})
        ]

    def _prefixes(self, query: Query) -> Iterator[tuple[bool, list[Prefix]]]:
        """Give the prefixes to look at, in order: the claimed ones shard by shard, then the static ones."""
        keeper, after = self._inspector.parts.keeper, query.after
        one = _only_address(query)
        for shard in range(SHARDS) if one is None else (one[-1],):
            if after is not None and (after.static or shard < after.prefix[-1]):
                continue
            with keeper.lock:
                found = keeper.table.claims.addresses(shard) if one is None else [one]
            found.sort(key=_order)
            yield False, [prefix for prefix in found if after is None or _order(prefix) > _order(after.prefix)]
        statics = sorted(keeper.table.policies.statics.announced)
        begin = after.prefix if after is not None and after.static else b""
        yield True, [prefix for prefix in statics if prefix > begin]

    def _rows(
        self, query: Query, prefixes: list[Prefix], owners: Mapping[Prefix, str], *, static: bool
    ) -> list[tuple[PageCursor, _Row]]:
        now, keeper = process_clock(), self._inspector.parts.keeper
        announced = keeper.table.policies.statics.announced
        with keeper.lock:
            claimed = [keeper.table.claims.of_address(one) if len(one) in _HOST_BYTES else [] for one in prefixes]
        found = [
            (prefix, claims)
            for prefix, claims in zip(prefixes, claimed, strict=True)
            if (prefix in announced) == static and (static or claims) and query.admits(prefix, claims, owners)
        ]
        with keeper.lock:
            states = [self._inspector.state_of(prefix) for prefix, _ in found]
            views = [
                self._inspector.views_of(prefix, dict.fromkeys(claim.list for claim in claims))
                for prefix, claims in found
            ]
        return [
            (
                PageCursor(static, prefix),
                self._row(prefix, claims, state, owners, now) | _views(of_views),
            )
            for (prefix, claims), state, of_views in zip(found, states, views, strict=True)
        ]

    def _row(self, prefix: Prefix, claims: list[Claim], state: str, owners: Mapping[Prefix, str], now: float) -> _Row:
        policies = self._inspector.parts.keeper.table.policies
        lists = dict.fromkeys(claim.list for claim in claims)
        decides = policies.first(lists) if claims else None
        return {
            "prefix": prefix_text(prefix),
            "list": owners.get(prefix) or (decides.list if decides is not None else ""),
            "lists": list(dict.fromkeys([owners[prefix], *lists] if prefix in owners else lists)),
            "names": list(dict.fromkeys(name_text(claim.name) for claim in claims))[:NAMES_MAX],
            "claims": len(claims),
            "first_seen_s_ago": round(now - min(claim.first for claim in claims), 1) if claims else None,
            "last_seen_s_ago": round(now - max(claim.seen for claim in claims), 1) if claims else None,
            "ends_in_s": round(max(claim.seen + claim.ttl_s for claim in claims) - now, 1) if claims else None,
            "static": prefix in owners,
            "state": state,
        }


def _views(found: Sequence[ViewFacts]) -> _Row:
    """Write what the neighbors of each view have of a route; nothing where there is one view."""
    views = [
        audience_object(one.decision.audience) | {"list": one.decision.list or "", "state": one.state} for one in found
    ]
    return {"views": views} if views else {}


def read_query(given: Callable[[str], str | None]) -> Query:
    """Read a page's parameters.

    Raises:
        CommandError: One of them is no good.
    """
    texts = {key: given(key) or "" for key in ("limit", "after", "order", "list", "name", "prefix", "q")}
    for key, text in texts.items():
        if len(text) > TEXT_MAX:
            raise CommandError(f"{key} is longer than {TEXT_MAX} characters")
    if texts["order"] not in ("", "newest"):
        raise CommandError("order is `newest`, or left out: then it is by address")
    newest = bool(texts["order"])
    if newest and texts["after"]:
        raise CommandError("after is of no use with order=newest, which gives one page")
    limit, limit_max = texts["limit"] or str(LIMIT_DEFAULT), NEWEST_MAX if newest else LIMIT_MAX
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit) <= limit_max):
        raise CommandError(f"limit is a number from 1 to {limit_max}{' with order=newest' if newest else ''}")
    return Query(
        limit=int(limit),
        newest=newest,
        after=_cursor(texts["after"]),
        list_name=texts["list"] or None,
        name=_name(texts["name"]),
        network=_network(texts["prefix"]),
        text=texts["q"].strip().lower(),
    )


def _cursor(text: str) -> PageCursor | None:
    if not text:
        return None
    try:
        found = bytes.fromhex(text.removeprefix("s"))
    except ValueError:
        found = b""
    static = text.startswith("s")
    if len(found) not in _HOST_BYTES and not (static and len(found) in _NETWORK_BYTES):
        raise CommandError("after is the `next` of an earlier page")
    return PageCursor(static, found)


def _name(text: str) -> Name | None:
    try:
        return names.from_text(text) if text else None
    except BadNameError as error:
        raise CommandError(f"name: {text!r} is no domain name: {error}") from error


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if text else None
    except ValueError:
        raise CommandError(f"prefix: {text!r} is no prefix") from None


def _only_address(query: Query) -> Address | None:
    """Give the address where just one is asked for: no need to look through all."""
    network = query.network
    return (
        network.network_address.packed if network is not None and network.prefixlen == network.max_prefixlen else None
    )


def _order(address: Address) -> tuple[int, int, bytes]:
    return address[-1], len(address), address


def _is_below(name: Name, domain: Name) -> bool:
    return name == domain or name.endswith(b"." + domain)


def _is_within(prefix: Prefix, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    size = 4 if network.version == 4 else 16
    if len(prefix) not in (size, size + 1):
        return False
    length = prefix[size] if len(prefix) > size else size * 8
    drop = size * 8 - network.prefixlen
    return length >= network.prefixlen and (
        int.from_bytes(prefix[:size]) >> drop == int(network.network_address) >> drop
    )
