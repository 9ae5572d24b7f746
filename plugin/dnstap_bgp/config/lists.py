"""`[[list]]` and `[guard]`: which lists there are, what they ask for, and what may become a route at all.

A key that a list leaves out has the value of `[bgp]`, or for a TTL that of the top of the file.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo, model_validator

from dnstap_bgp.config import addresses, bgp_values, values
from dnstap_bgp.config.addresses import IPNetwork
from dnstap_bgp.config.settings import DNS, GuardConfig, ListConfig
from dnstap_bgp.config.tables import Community, FileTable, LargeCommunity, Many, Once, Seconds, Uint32, folder_of
from dnstap_bgp.core.lists.formats import ALIASES, FORMATS
from dnstap_bgp.core.lists.source import AUTO, JSON, Fetching, UrlPrefixes, is_url, located
from dnstap_bgp.core.routes.policy import CLAIMS_PER_ROUTE, ROUTES_MAX

PATH_MAX = 1024
"""Characters of a `path`: whoever writes the file may write any, and nobody needs a longer one."""


def _ttl(value: object) -> float | Literal["dns"]:
    """A duration of at least 1 s, below which nothing would ever be routed, or `"dns"`."""
    if value == DNS:
        return DNS
    seconds = values.duration(value)
    if seconds < 1:
        msg = "should be greater than or equal to 1"
        raise ValueError(msg)
    return seconds


def _source(value: object, info: ValidationInfo) -> str:
    """A path or glob, beginning at the configuration file's folder, or an http or https URL."""
    written = values.text(value)
    return values.url(written) if "://" in written else str(folder_of(info) / written)


def _format(value: object) -> str:
    """A format's name."""
    written = values.text(value).lower()
    name = ALIASES.get(written, written)
    if name not in (AUTO, *FORMATS):
        msg = f"{written!r} is no format: {', '.join((AUTO, *FORMATS))}"
        raise ValueError(msg)
    return name


Ttl: TypeAlias = Annotated[float | Literal["dns"], PlainValidator(_ttl)]
Sources: TypeAlias = Annotated[tuple[Annotated[str, PlainValidator(_source)], ...], Many, Once]
Networks: TypeAlias = Annotated[tuple[Annotated[IPNetwork, PlainValidator(addresses.network)], ...], Many, Once]


class ListTable(FileTable):
    """`[[list]]`: one list each, in order of precedence: an address that several claim gets what the first says.

    A key that is left out has the value of `[bgp]`, or for a TTL that of the top of the file.

    Attributes:
        name: The name of the list, in messages, in the state file and in `match`. Each once.
        enabled: The list counts. `dnstap-bgp lists disable NAME` and `enable NAME` switch it in place of this key.
        managed: The list is a file beside the state file (`cache`), which only the program writes, as `dnstap-bgp lists
            add NAME DOMAIN` and the page ask for it: at most 100,000 names. It has no `sources`.
        sources: Files, globs and http(s) URLs, in order. A list has sources or `prefixes`, or both. Of a geosite.dat or
            geoip.dat, `#` and a code say which part: `geosite.dat#google@cn`.
        format: The format of all its sources: `auto` (each source's own lines tell), `plain`, `hosts`, `adblock`,
            `autoproxy`, `dnsmasq`, `v2fly`, `mihomo`, `surge`, `sing-box`, `srs`, `geosite-dat`, `geoip-dat`, `rpz`,
            `unbound`, or `json` (prefixes, with `path`), which is never told by itself.
        path: The prefixes in a JSON source, as a JMESPath that gives a list of texts: `prefixes[].ip_prefix`. With
            `format = "json"` only, and needed there.
        patterns: Its keywords and expressions count, but for those that would cost too much. Without it they do, unless
            a version that skipped them had the list in force: then they wait, and each start says how many.
        interval_s: The time from one look at a URL to the next, each moved by up to a tenth.
        sha256: The only content of its one URL that is accepted. Without it, any.
        max_bytes: The size of one URL's content, also after decompression. The default is twice the largest list in
            use.
        shrink_max: The share of its rules that a new version may lose unasked, at any size. Without it, half, for URLs
            at any size and for files from 20 rules. 1 lets it lose any share; a loss of all is held back in any case.
        growth_max: The share that a new version may gain unasked, `"100 %"` being twice as many, at any size. Without
            it ten times as many, from 10,000 rules.
        prefixes_from_urls: The static prefixes that its URLs give are announced. Without it they are, as 0.1.0 did, and
            each start says so; formats that are made of prefixes imply true.
        prefix_min_ipv4: The shortest length of an IPv4 prefix that a URL may give.
        prefix_min_ipv6: The shortest length of an IPv6 prefix that a URL may give.
        prefix_share_max: The share of the IPv4 or IPv6 address space that the prefixes of its URLs may cover together.
        communities: The communities of its routes, in place of those of `[bgp]`.
        large_communities: The large communities of its routes, in place of those of `[bgp]`.
        next_hop: The next-hop of its IPv4 routes, in place of that of `[bgp]`.
        next_hop_ipv6: The next-hop of its IPv6 routes, in place of that of `[bgp]`.
        local_preference: LOCAL_PREF of its routes, in place of that of `[bgp]`.
        med: MULTI_EXIT_DISC of its routes, in place of that of `[bgp]`.
        ttl: The time that an address stays routed after it was last seen, in place of that of the top of the file.
        ttl_min_s: The shortest time with `ttl = "dns"`, in place of that of the top of the file.
        ttl_max_s: The longest time with `ttl = "dns"`, in place of that of the top of the file.
        grace_s: The time that is added with `ttl = "dns"`, in place of that of the top of the file.
        peers: The only neighbors that get its routes, as `[bgp] peers` names them. Empty: all.
        max_routes: The addresses that its names may hold. Without it only the cap of `[guard]` counts.
        prefixes: Prefixes that are announced always, beside what its names give.
        allow: Space that the guard refuses otherwise, opened for this list.
        deny: Space that is refused for this list.
        forward_to: The DNS servers, such as one beyond the tunnel, that `dnstap-bgp resolver-conf` has the resolver ask
            for the names of the list: addresses, with a port where it is not 53. The program itself doesn't ask them.
        refresh: Its exact names, and names of it that clients ask for, are asked again through `[refresh] resolver`
            when their records' TTL is over, so that another address has its route before a client meets it.
    """

    name: Annotated[str, PlainValidator(values.list_name)]
    enabled: Annotated[bool, Strict()] = True
    managed: Annotated[bool, Strict()] = False
    sources: Sources = ()
    format: Annotated[str, PlainValidator(_format)] = AUTO
    path: Annotated[str, PlainValidator(values.text)] = Field(default="", max_length=PATH_MAX)
    patterns: Annotated[bool, Strict()] | None = None
    interval_s: Annotated[Seconds, Field(ge=1)] = Field(default=Fetching().interval_s, alias="interval")
    sha256: Annotated[str, PlainValidator(values.sha256)] | None = None
    max_bytes: Annotated[int, Strict(), Field(ge=1, le=256 << 20)] = Fetching().max_bytes
    shrink_max: Annotated[Annotated[float, Field(le=1)], BeforeValidator(values.share)] | None = None
    growth_max: Annotated[float, BeforeValidator(values.share)] | None = None
    prefixes_from_urls: Annotated[bool, Strict()] | None = None
    prefix_min_ipv4: Annotated[int, Strict(), Field(ge=0, le=32)] = UrlPrefixes().min_ipv4
    prefix_min_ipv6: Annotated[int, Strict(), Field(ge=0, le=128)] = UrlPrefixes().min_ipv6
    prefix_share_max: Annotated[Annotated[float, Field(le=1)], BeforeValidator(values.share)] = UrlPrefixes().share_max
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
    peers: Annotated[tuple[Annotated[str, PlainValidator(bgp_values.neighbor_reference)], ...], Many, Once] = ()
    max_routes: Annotated[int, Strict(), Field(ge=1, le=ROUTES_MAX)] | None = None
    prefixes: Networks = ()
    allow: Networks = ()
    deny: Networks = ()
    forward_to: Annotated[tuple[Annotated[str, PlainValidator(addresses.dns_server)], ...], Many, Once] = ()
    refresh: Annotated[bool, Strict()] = False

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.managed and self.sources:
            msg = "is managed, so it has no sources: give those a list of their own"
            raise ValueError(msg)
        if not self.managed and not self.sources and not self.prefixes:
            msg = "has neither sources nor prefixes, and is not managed"
            raise ValueError(msg)
        if (self.path != "") != (self.format == JSON):
            msg = 'path = "prefixes[].ip_prefix" and format = "json" belong together: neither is without the other'
            raise ValueError(msg)
        urls = {located(source, self.format)[0] for source in filter(is_url, self.sources)}
        if self.sha256 is not None and len(urls) != 1:
            msg = "sha256 is of one URL: give each URL of this list a list of its own"
            raise ValueError(msg)
        return self

    def settings(self) -> ListConfig:
        """Return the same values as a plain frozen dataclass."""
        return ListConfig(**self._plain())


class GuardTable(FileTable):
    """`[guard]`: limits on what DNS answers may do to routers.

    Attributes:
        allow: Private, documentation and other special-purpose space that is opened, for a lab or one's own network.
            Nothing opens loopback, link-local and multicast space, next-hops, neighbors and default routes.
        deny: Prefixes that are refused, whatever else is said.
        max_routes: Addresses in all. The default is what a small router's hardware table carries beside its own; more
            is a mistake in a list more often than a wish.
        max_routes_per_name: Addresses that one name may hold: a fast-flux name has thousands, the largest content
            networks some dozens. Above 4,096 looking for the one to give way would take too long. 0: no limit.
        max_routes_per_rule: Addresses that one owner may hold in one list: the domain of the rule, or one label more of
            the name where that domain is a public suffix such as `co.uk`. Newcomers beyond it are refused, so that the
            owner of one listed domain, to whom subdomains are free, can't fill the table. Without it 4,096, or an
            eighth of `max_routes` if that is more. 0: no limit.
        max_claims: Claims in all: each name of each list that an address was seen for is one, of about 170 bytes.
            Beyond it those of the addresses with the most names go, and never an address's last. At least
            `max_routes`; without it four times as many.
        max_new_routes_per_second: New addresses a second, beyond which they are refused until the next. Owners (as
            above) share it: one that asks for more than its part takes nothing from the others. Without it, no limit.
        when_full: `evict`: in a full table the largest owner's least recently seen gives way, at another cap the least
            recently seen of those that it counts; `refuse`: the newcomer is refused.
    """

    allow: Networks = ()
    deny: Networks = ()
    max_routes: Annotated[int, Strict(), Field(ge=1, le=ROUTES_MAX)] = 100_000
    max_routes_per_name: Annotated[int, Strict(), Field(ge=0, le=4096)] = 256
    max_routes_per_rule: Annotated[int, Strict(), Field(ge=0, le=ROUTES_MAX)] | None = None
    max_claims: Annotated[int, Strict(), Field(ge=1, le=CLAIMS_PER_ROUTE * ROUTES_MAX)] | None = None
    max_new_routes_per_second: Annotated[float, Field(gt=0)] | None = None
    when_full: Literal["evict", "refuse"] = "evict"

    @model_validator(mode="after")
    def _has_room_for_each_route(self) -> Self:
        if self.max_claims is not None and self.max_claims < self.max_routes:
            msg = f"max_claims = {self.max_claims} is less than max_routes = {self.max_routes}: each route is a claim"
            raise ValueError(msg)
        return self

    def settings(self) -> GuardConfig:
        """Return the same values as a plain frozen dataclass."""
        return GuardConfig(**self._plain())
