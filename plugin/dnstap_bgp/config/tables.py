"""The file's tables as frozen models: every key with its type, its default and its limits, each with its reason.

A field's alias is its key in the file; without one it is the field's own name.
"""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from dnstap_bgp.config import addresses, bgp_values, engine, values
from dnstap_bgp.config.addresses import IPAddress, IPNetwork, ListenAddress, TcpAddress
from dnstap_bgp.config.schema import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)

T = TypeVar("T")

DEFAULT_LIST = "default"
"""The name of the list whose files are `domains`."""


def folder_of(info: ValidationInfo) -> Path:
    """Return what relative paths are relative to: the file's own folder, since ExaBGP starts us in `/`."""
    folder = (info.context or {}).get("folder", Path("/"))
    assert isinstance(folder, Path)
    return folder


def _in_folder(value: object, info: ValidationInfo) -> Path:
    return folder_of(info) / values.text(value)


def _listen_address(value: object, info: ValidationInfo) -> ListenAddress:
    # A tls_cert that is no good has been told already, and is missing from `data`.
    found = addresses.listen_address(value, folder_of(info), tls=info.data.get("tls_cert") is not None)
    if isinstance(found, TcpAddress) and found.tls and info.data.get("tls_cert", found) is None:
        msg = f"{found} needs tls_cert"
        raise ValueError(msg)
    return found


def _distinct(found: tuple[T, ...]) -> tuple[T, ...]:
    values.distinct(found)
    return found


FilePath = Annotated[Path, PlainValidator(_in_folder)]
Seconds = Annotated[float, BeforeValidator(values.duration)]
Uint32 = Annotated[int, Strict(), Field(ge=0, le=values.UINT32_MAX)]
Flag = Annotated[bool, Strict()]
AsNumber = Annotated[int, PlainValidator(bgp_values.as_number)]
Endpoint = Annotated[TcpAddress, PlainValidator(addresses.tcp_address)]
Many = BeforeValidator(values.one_or_many)
Some = AfterValidator(values.nonempty)
Once = AfterValidator(values.each_once)
Distinct = AfterValidator(_distinct)

Community = Annotated[str, PlainValidator(bgp_values.community)]
LargeCommunity = Annotated[str, PlainValidator(bgp_values.large_community)]


class Table(BaseModel):
    """One table of the file: frozen, and no key but those that it names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # an input may be a password


class DnstapConfig(Table):
    """`[dnstap]`: whom we listen to.

    Attributes:
        tls_cert: PEM file of our certificate, its chain behind it. With it, TCP endpoints speak TLS, except those that
            are written `tcp://host:port`. None: they are plain.
        tls_key: PEM file of its key, without a passphrase; None: it is in `tls_cert`.
        tls_client_ca: PEM file of whoever signs the senders' certificates; who has none is not let in. None: senders
            need no certificate.
        listen: Unix sockets and TCP endpoints.
        perm: The unix sockets' mode. 0660: a resolver gets in through the group; nobody else feeds routes.
        group: The unix sockets' group; None: ours.
        messages: The dnstap Message.Type numbers that count. CLIENT_RESPONSE alone shows whole chains and cache hits.
        allow: Who may connect over TCP; empty: everybody.
        connections_max: A handful of resolvers with a few workers each is usual; more is a fault or an attack, and each
            connection may hold one unfinished frame.
        frame_max_bytes: A query and a response of 65,535 bytes each with their envelope, rounded up. At least what an
            answer over UDP takes; at most what the C library itself allows.
        handshake_timeout_s: From the connection to START. A sender on the same network needs milliseconds.
        identities: The DNSTap identities whose answers count; empty: all.
        rewritten: Whether answers count that the resolver's own policy rewrote (RPZ): such an address is no truth about
            the name, but a block page or a detour of the resolver's operator.
    """

    # Before `listen`, which depends on them.
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    tls_client_ca: FilePath | None = None
    listen: Annotated[tuple[Annotated[ListenAddress, PlainValidator(_listen_address)], ...], Many, Some, Distinct]
    perm: Annotated[int, PlainValidator(values.file_mode)] = 0o660
    group: Annotated[str, PlainValidator(values.account)] | None = None
    messages: Annotated[frozenset[Annotated[int, PlainValidator(values.message_type)]], Many, Some] = frozenset(
        {values.MESSAGE_TYPES["client_response"]}
    )
    allow: Annotated[tuple[Annotated[IPNetwork, PlainValidator(addresses.network)], ...], Many, Once] = ()
    connections_max: Annotated[int, Strict(), Field(ge=1, le=4096)] = 128
    frame_max_bytes: Annotated[int, Strict(), Field(ge=4096, le=1 << 20)] = 1 << 18
    handshake_timeout_s: Annotated[Seconds, Field(ge=0.1, le=300)] = Field(default=5.0, alias="handshake_timeout")
    identities: Annotated[frozenset[Annotated[str, AfterValidator(values.text)]], Many] = frozenset()
    rewritten: Flag = False

    @model_validator(mode="after")
    def _tls_together(self) -> Self:
        if self.tls_cert is None and (self.tls_key or self.tls_client_ca):
            msg = "tls_key and tls_client_ca are of no use without tls_cert"
            raise ValueError(msg)
        values.distinct(str(found).removeprefix("tls://") for found in self.listen)  # once plain and once TLS
        return self

    @property
    def speaks_tls(self) -> bool:
        """Whether any endpoint does."""
        return any(isinstance(found, TcpAddress) and found.tls for found in self.listen)

    @property
    def open_endpoints(self) -> tuple[TcpAddress, ...]:
        """TCP endpoints beyond loopback that anybody may connect to and feed."""
        if self.allow:
            return ()
        tcp = (found for found in self.listen if isinstance(found, TcpAddress) and not found.is_loopback)
        return tuple(found for found in tcp if not (found.tls and self.tls_client_ca))


class Neighbor(Table):
    """One of `[bgp] peers`: a BGP neighbor of ExaBGP, as text (`"192.0.2.1:1179"`) or as a table.

    Attributes:
        address: In canonical text, or a host name until it is resolved.
        port: Where it listens; of a passive one, where we listen for it.
        as_number: Its AS; None: our own (iBGP), as files without this key have always meant it.
        password: For TCP MD5 (RFC 2385).
        ttl_security: Hops to it at most, 1 being a direct link; what comes from farther is dropped (RFC 5082).
            Under 100, so that a TTL written here by mistake is refused instead of opening the session to everybody.
        multihop: Hops that our packets may take; None: the system's default TTL.
        passive: It connects to us; we don't connect to it.
        hold_time_s: 0, or 3 to 65,535. 180 as most routers: ExaBGP may miss one under 30 while it is busy.
    """

    address: Annotated[str, PlainValidator(bgp_values.neighbor_address)]
    port: Annotated[int, Strict(), Field(ge=1, le=0xFFFF)] = 179
    as_number: AsNumber | None = Field(default=None, alias="as")
    password: Annotated[str, PlainValidator(bgp_values.password)] | None = Field(default=None, repr=False)
    ttl_security: Annotated[int | None, Strict(), Field(ge=1, lt=100), BeforeValidator(bgp_values.ttl_security)] = None
    multihop: Annotated[int | None, Strict(), Field(ge=1, le=255), BeforeValidator(bgp_values.multihop)] = None
    passive: Flag = False
    hold_time_s: Annotated[int, PlainValidator(bgp_values.hold_time)] = Field(default=180, alias="hold_time")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, port = addresses.split_port(value)
        return {"address": host} if port is None else {"address": host, "port": port}

    @model_validator(mode="after")
    def _one_ttl(self) -> Self:
        if self.ttl_security is not None and self.multihop is not None:
            msg = "ttl_security and multihop exclude each other: the first has its own TTL, 255"
            raise ValueError(msg)
        return self

    @property
    def ip(self) -> IPAddress | None:
        """The address, or None while it is a host name."""
        return addresses.literal(self.address)


class BgpConfig(Table):
    """`[bgp]`: who we are, what our announcements say, and whom ExaBGP speaks to.

    Attributes:
        as_number: Ours; needed only where we write ExaBGP's configuration.
        router_id: Our BGP identifier.
        source_ip: What sessions of its family are spoken from; None: as the system's routes say.
        next_hop: Of IPv4 routes; None: `source_ip`, then `router_id`.
        next_hop_ipv6: Of IPv6 routes; None: `source_ip`.
        communities: Of each route. By default neighbors keep our host routes within their AS. 64 of 4 bytes and 32
            large ones of 12 leave room for prefixes in an UPDATE of 4,096 bytes (RFC 4271, 4).
        large_communities: The same of RFC 8092.
        local_preference: For iBGP neighbors; ExaBGP leaves it out for others.
        med: MULTI_EXIT_DISC.
        neighbors: The sessions that ExaBGP's configuration gets.
    """

    as_number: AsNumber | None = Field(default=None, alias="as")
    router_id: Annotated[IPv4Address, PlainValidator(bgp_values.router_id)] | None = None
    source_ip: Annotated[IPAddress | None, PlainValidator(bgp_values.source_address)] = None
    next_hop: Annotated[IPv4Address, PlainValidator(bgp_values.next_hop)] | None = None
    next_hop_ipv6: Annotated[IPv6Address, PlainValidator(bgp_values.next_hop_ipv6)] | None = None
    communities: Annotated[tuple[Community, ...], Many, Once] = Field(default=("no-export",), max_length=64)
    large_communities: Annotated[tuple[LargeCommunity, ...], Many, Once] = Field(default=(), max_length=32)
    local_preference: Uint32 | None = None
    med: Uint32 | None = None
    neighbors: Annotated[tuple[Neighbor, ...], Many] = Field(default=(), alias="peers")

    @field_validator("neighbors")
    @classmethod
    def _one_session_each(cls, neighbors: tuple[Neighbor, ...]) -> tuple[Neighbor, ...]:
        values.distinct(neighbor.address for neighbor in neighbors)
        return neighbors

    @property
    def usable_next_hop(self) -> IPv4Address | None:
        """What IPv4 routes point at: the first of three keys that a router can forward to."""
        candidates = (self.next_hop, self.source_ip, self.router_id)
        return next((found for found in candidates if isinstance(found, IPv4Address) and _usable(found)), None)

    @property
    def usable_next_hop_ipv6(self) -> IPv6Address | None:
        """What IPv6 routes point at: the first of two keys that a router can forward to."""
        candidates = (self.next_hop_ipv6, self.source_ip)
        return next((found for found in candidates if isinstance(found, IPv6Address) and _usable(found)), None)

    @property
    def identifier(self) -> IPv4Address | None:
        """The BGP identifier: `router_id`, or else an IPv4 address that is named already."""
        candidates = (self.router_id, self.source_ip, self.next_hop)
        return next((found for found in candidates if isinstance(found, IPv4Address)), None)


class ProcessConfig(Table):
    """`[process]`: as whom and where `up` runs ExaBGP.

    Attributes:
        user: Whom `up` becomes; None: whoever starts it.
        netns: The network namespace that `up` enters first; None: where it is.
    """

    user: Annotated[str, PlainValidator(values.account)] | None = None
    netns: Annotated[str, PlainValidator(values.netns)] | None = None


class LogConfig(Table):
    """`[log]`: what stderr gets.

    Attributes:
        format: `plain` for people, `json` (an object a line) for machines.
        level: What is less important is left out.
    """

    format: Literal["plain", "json"] = "plain"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ControlConfig(Table):
    """`[control]`: the control socket, by which `status`, `why` and their like reach the running plugin.

    Attributes:
        group: The socket's group, whose members may ask and steer; None: ours.
    """

    group: Annotated[str, PlainValidator(values.account)] | None = None


class HttpConfig(Table):
    """`[http]`: for people and machines elsewhere; only to read. Without this table there is no such listener.

    Attributes:
        listen: TCP endpoints. By default this machine only: routes tell what people visit.
        allow: Who may connect; empty: everybody who reaches it.
        hosts: The names by which browsers and machines reach it, beside addresses, `localhost` and this machine's own
            name: a page elsewhere that has its own name point here is refused by it.
        connections_max: A browser takes six, a scraper one; each may hold some 100 KB.
    """

    listen: Annotated[tuple[Endpoint, ...], Many, Some, Distinct] = (TcpAddress("127.0.0.1", 8179),)
    allow: Annotated[tuple[Annotated[IPNetwork, PlainValidator(addresses.network)], ...], Many, Once] = ()
    hosts: Annotated[tuple[Annotated[str, PlainValidator(values.http_host)], ...], Many, Once] = ()
    connections_max: Annotated[int, Strict(), Field(ge=1, le=4096)] = 64

    @property
    def open_endpoints(self) -> tuple[TcpAddress, ...]:
        """Endpoints beyond loopback that anybody may read from."""
        return () if self.allow else tuple(found for found in self.listen if not found.is_loopback)


class SyncerConfig(Table):
    """`[syncer]`: other instances, and Go programs, that we share sightings with.

    Attributes:
        listen: Where peers ask us; None: nowhere.
        sync_interval_s: Between two full pulls from a Go program; 0: only the one at the start. Our own kind follow.
        peers: Whom we ask; 128 for each of which a connection stays open. Larger fleets have an engine.
        token: What every member knows and says. 16 characters at least: it is not guessed within any rate of ours.
        tls_cert: PEM file of our certificate; peers speak TLS then, and each shows one.
        tls_key: PEM file of its key.
        tls_ca: PEM file of the fleet's own authority: whoever it signed for is a member.
        insecure: Without a token or certificates, answer anybody, not only the addresses of the peers.
        compatible: Speak the Go program's protocol too.
        redis: The URL of a fleet's engine, Redis or Valkey.
        redis_sentinels: Sentinels that know where its primary is; empty: it is where the URL says.
        redis_service: The name that they know it by.
    """

    listen: Endpoint | None = None
    sync_interval_s: Seconds = Field(default=600.0, alias="sync_interval")
    peers: Annotated[tuple[Endpoint, ...], Many, Once] = Field(default=(), max_length=128)
    token: Annotated[str, PlainValidator(values.token)] | None = Field(default=None, repr=False)
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    tls_ca: FilePath | None = None
    insecure: Flag = False
    compatible: Flag = True
    redis: Annotated[str, PlainValidator(engine.url)] | None = Field(default=None, repr=False)
    redis_sentinels: Annotated[tuple[Endpoint, ...], Many, Once] = ()
    redis_service: Annotated[str, AfterValidator(values.text)] = "mymaster"

    @model_validator(mode="after")
    def _tls_together(self) -> Self:
        files = (self.tls_cert, self.tls_key, self.tls_ca)
        if any(files) and not all(files):
            msg = "tls_cert, tls_key and tls_ca go together: each member shows a certificate, and looks at the others'"
            raise ValueError(msg)
        return self

    @property
    def is_active(self) -> bool:
        """Whether there is anything to do."""
        return self.listen is not None or bool(self.peers) or self.redis is not None

    @property
    def engine(self) -> engine.EngineConfig | None:
        """The fleet's engine."""
        if self.redis is None:
            return None
        sentinels = tuple((str(found.host), found.port) for found in self.redis_sentinels)
        return engine.EngineConfig(self.redis, sentinels, self.redis_service)

    @property
    def is_authenticated(self) -> bool:
        """Whether members show what makes them members."""
        return self.token is not None or self.tls_ca is not None


def _usable(found: IPAddress) -> bool:
    return bgp_values.unusable_next_hop(found) is None
