"""`[[list]]` and `[guard]`: which lists there are, what they ask for, and what may become a route at all.

A key that a list leaves out has the value of `[bgp]`, or for a TTL that of the top of the file.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal, Self, TypeAlias

from dnstap_bgp.config import addresses, bgp_values, values
from dnstap_bgp.config.addresses import IPNetwork
from dnstap_bgp.config.schema import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo, model_validator
from dnstap_bgp.config.tables import Community, LargeCommunity, Many, Once, Seconds, Table, Uint32, folder_of
from dnstap_bgp.core.lists.formats import ALIASES, FORMATS
from dnstap_bgp.core.lists.source import AUTO, Fetching, is_url
from dnstap_bgp.core.routes.policies import ROUTES_MAX

DNS: Literal["dns"] = "dns"
"""In place of a duration: `ttl` follows the record's own."""


def _ttl(value: object) -> float | Literal["dns"]:
    if value == DNS:
        return DNS
    seconds = values.duration(value)
    if seconds < 1:
        msg = "should be greater than or equal to 1"
        raise ValueError(msg)
    return seconds


def _source(value: object, info: ValidationInfo) -> str:
    written = values.text(value)
    return values.url(written) if "://" in written else str(folder_of(info) / written)


def _format(value: object) -> str:
    written = values.text(value).lower()
    name = ALIASES.get(written, written)
    if name not in (AUTO, *FORMATS):
        msg = f"{written!r} is no format: {', '.join((AUTO, *FORMATS))}"
        raise ValueError(msg)
    return name


Ttl: TypeAlias = Annotated[float | Literal["dns"], PlainValidator(_ttl)]
Sources: TypeAlias = Annotated[tuple[Annotated[str, PlainValidator(_source)], ...], Many, Once]
Networks: TypeAlias = Annotated[tuple[Annotated[IPNetwork, PlainValidator(addresses.network)], ...], Many, Once]


class ListConfig(Table):
    """One `[[list]]`.

    Attributes:
        name: Stands in messages, in the state file and in `match`; unique.
        sources: Files, globs and URLs, in order.
        format: Of all its sources; `auto`: each source's own lines tell.
        interval_s: From one fetch of a URL to the next.
        sha256: The only content of a URL that is accepted; None: any.
        max_bytes: Of one URL, also after decompression. Twice the largest list in use.
        shrink_max: The share of its rules (0..1) that a new version may lose unasked; None: half.
        growth_max: The share that it may gain unasked, 1.0 being twice as many; None: as `core.plausible` has it.
        communities: Replace those of `[bgp]`; None: those.
        large_communities: The same.
        next_hop: The same, of IPv4.
        next_hop_ipv6: The same, of IPv6.
        local_preference: The same.
        med: The same.
        ttl: How long a claim outlives its last sighting, or `dns`; None: as at the top of the file.
        ttl_min_s: With `dns`; None: as at the top of the file. The same for `ttl_max_s` and `grace_s`.
        peers: Addresses of the only neighbors that get its routes; empty: all.
        max_routes: Addresses that its names may hold; None: only the guard's cap counts.
        prefixes: Announced always, beside what its names give.
        allow: Opens space that the guard refuses, for this list.
        deny: Refuses space for this list.
    """

    name: Annotated[str, PlainValidator(values.list_name)]
    sources: Sources = ()
    format: Annotated[str, PlainValidator(_format)] = AUTO
    interval_s: Annotated[Seconds, Field(ge=1)] = Field(default=Fetching().interval_s, alias="interval")
    sha256: Annotated[str, PlainValidator(values.sha256)] | None = None
    max_bytes: Annotated[int, Strict(), Field(ge=1, le=256 << 20)] = Fetching().max_bytes
    shrink_max: Annotated[Annotated[float, Field(le=1)], BeforeValidator(values.share)] | None = None
    growth_max: Annotated[float, BeforeValidator(values.share)] | None = None
    communities: Annotated[tuple[Community, ...], Many, Once] | None = Field(default=None, max_length=64)
    large_communities: Annotated[tuple[LargeCommunity, ...], Many, Once] | None = Field(default=None, max_length=32)
    next_hop: Annotated[IPv4Address, PlainValidator(bgp_values.next_hop)] | None = None
    next_hop_ipv6: Annotated[IPv6Address, PlainValidator(bgp_values.next_hop_ipv6)] | None = None
    local_preference: Uint32 | None = None
    med: Uint32 | None = None
    ttl: Ttl | None = None
    ttl_min_s: Annotated[Seconds, Field(ge=1)] | None = Field(default=None, alias="ttl_min")
    ttl_max_s: Annotated[Seconds, Field(ge=1)] | None = Field(default=None, alias="ttl_max")
    grace_s: Seconds | None = Field(default=None, alias="grace")
    peers: Annotated[tuple[Annotated[str, PlainValidator(bgp_values.neighbor_ip)], ...], Many, Once] = ()
    max_routes: Annotated[int, Strict(), Field(ge=1, le=ROUTES_MAX)] | None = None
    prefixes: Networks = ()
    allow: Networks = ()
    deny: Networks = ()

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.sources and not self.prefixes:
            msg = "has neither sources nor prefixes"
            raise ValueError(msg)
        if self.sha256 is not None and len([source for source in self.sources if is_url(source)]) != 1:
            msg = "sha256 is of one URL: give each URL of this list a list of its own"
            raise ValueError(msg)
        return self


class GuardConfig(Table):
    """`[guard]`: rails for what DNS answers may do to routers.

    Attributes:
        allow: Opens private, documentation and other special-purpose space, for a lab or a network of one's own.
        deny: Refuses these prefixes, whatever else is said.
        max_routes: Addresses at most. What a small router's hardware table carries beside its own; more is a mistake in
            a list more often than a wish.
        max_routes_per_name: Addresses at most that one name may hold: a fast-flux name has thousands, the largest
            content networks some dozens. Above 4,096 looking for the one to give way would take too long. 0: no limit.
        max_new_routes_per_second: Beyond it newcomers are refused until the next second; None: no limit.
        when_full: At a cap, whether the least recently seen gives way or the newcomer is refused.
    """

    allow: Networks = ()
    deny: Networks = ()
    max_routes: Annotated[int, Strict(), Field(ge=1, le=ROUTES_MAX)] = 100_000
    max_routes_per_name: Annotated[int, Strict(), Field(ge=0, le=4096)] = 256
    max_new_routes_per_second: Annotated[float, Field(gt=0)] | None = None
    when_full: Literal["evict", "refuse"] = "evict"
