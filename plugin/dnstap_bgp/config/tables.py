"""The file's tables as frozen models: every key with its type, its default and its limits, each with its reason.

A field's alias is its key in the file; without one it is the field's own name.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
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

from dnstap_bgp.config import addresses, bgp_values, values
from dnstap_bgp.config.addresses import IPAddress, IPNetwork, ListenAddress, TcpAddress
from dnstap_bgp.config.settings import (
    BgpConfig,
    ControlConfig,
    DnstapConfig,
    HttpConfig,
    LogConfig,
    NeighborConfig,
    ProcessConfig,
    SyncerConfig,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that holds a secret, as a key `..._file` names it.

    Attributes:
        path: Absolute.
        content: The secret; None: it was not to be read.
    """

    path: Path
    content: str | None = field(repr=False)


def folder_of(info: ValidationInfo) -> Path:
    """Return what relative paths are relative to: the file's own folder, since ExaBGP starts us in `/`."""
    folder = (info.context or {}).get("folder", Path("/"))
    assert isinstance(folder, Path)
    return folder


def _in_folder(value: object, info: ValidationInfo) -> Path:
    """A path; a relative one begins at the configuration file's folder."""
    return folder_of(info) / values.text(value)


def _listen_address(value: object, info: ValidationInfo) -> ListenAddress:
    """A unix socket's path, `host:port`, `[IPv6]:port`, or `:port`; with `tls://` or `tcp://` before a TCP endpoint."""
    # A tls_cert that is no good has been told already, and is missing from `data`.
    found = addresses.listen_address(value, folder_of(info), tls=info.data.get("tls_cert") is not None)
    if isinstance(found, TcpAddress) and found.tls and info.data.get("tls_cert", found) is None:
        msg = f"{found} needs tls_cert"
        raise ValueError(msg)
    return found


def _secret_file(check: Callable[[object], str]) -> PlainValidator:
    """Give the validator of a key that names a file with a secret, which `check` has to accept."""

    def secret_file(value: object, info: ValidationInfo) -> SecretFile:
        """The path of a file that holds nothing else; a relative one begins at the configuration file's folder."""
        path = _in_folder(value, info)
        if not (info.context or {}).get("with_secrets", True):
            return SecretFile(path, None)
        try:
            return SecretFile(path, check(values.secret_in(path)))
        except ValueError as error:
            msg = str(error) if str(path) in str(error) else f"{path}: {error}"
            raise ValueError(msg) from None

    return PlainValidator(secret_file)


def _distinct(found: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse what stands twice."""
    values.distinct(found)
    return found


FilePath = Annotated[Path, PlainValidator(_in_folder)]
Seconds = Annotated[float, BeforeValidator(values.duration)]
Margin = Annotated[float, PlainValidator(values.margin)]
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


class FileTable(BaseModel):
    """One table of the file: frozen, and no key but those that it names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # an input may be a password

    def settings(self) -> object:
        """Return the same values as a plain frozen dataclass."""
        raise NotImplementedError

    def _plain(self) -> dict[str, Any]:
        """Map each field to its value, tables among them as dataclasses, and secrets from files as if written out."""
        found = {name: _plain(getattr(self, name)) for name in type(self).model_fields}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretFile):
                found[name.removesuffix("_file")] = value.content
        return found

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        for name in type(self).model_fields:
            key = name.removesuffix("_file")
            if isinstance(getattr(self, name), SecretFile) and getattr(self, key) is not None:
                msg = f"{key} and {name} exclude each other"
                raise ValueError(msg)
        return self


def _plain(value: object) -> object:
    if isinstance(value, FileTable):
        return value.settings()
    if isinstance(value, SecretFile):
        return value.path
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


class DnstapTable(FileTable):
    """`[dnstap]`: the resolvers whose answers are read.

    Attributes:
        tls_cert: The PEM file of this machine's certificate, its chain behind it. With it, TCP endpoints speak TLS,
            except those that are written `tcp://host:port`. Without it they are plain.
        tls_key: The PEM file of the certificate's key, without a passphrase. Without it the key is in `tls_cert`.
        tls_client_ca: The PEM file of the authorities that sign the senders' certificates: a sender without one is not
            let in. Without it senders need no certificate.
        listen: The unix sockets and TCP endpoints that resolvers send their tap to.
        perm: The mode of the unix sockets. By 0660 a resolver gets in through the group, and nobody else makes routes.
        group: The group of the unix sockets. Without it they have the plugin's own.
        messages: The types of DNSTap messages whose answers count. `client_response` alone shows whole CNAME chains
            and what a resolver answers from its cache; PowerDNS Recursor has only `resolver_response`.
        allow: The prefixes that may connect over TCP; looked at before any TLS. Empty: everybody.
        connections_max: Senders at a time. A handful of resolvers with a few workers each is usual; more is a fault or
            an attack, and each connection may hold one unfinished frame.
        frame_max_bytes: The size of a frame, above which its sender is sent away. The default holds a query and a
            response of 65,535 bytes each with their envelope; the least is what an answer over UDP takes, the most
            what the C library itself allows.
        handshake_timeout_s: The time from a sender's connection to its START. A sender on the same network needs
            milliseconds; who takes longer holds a place for nothing.
        identities: The DNSTap identities (`dnstap-identity` of unbound) whose answers count. Empty: all.
        rewritten: Whether answers count that the resolver's own policy rewrote (RPZ). Such an address is no truth about
            the name, but a block page or a detour of the resolver's operator.
        memo_bytes: The memory for names that are asked for often, so that they need not be looked up again. The default
            holds 30,000 to 70,000 names; a resolver of hundreds of thousands of names gains some percent from more.
            Answers of hooks (`[hold]`) have an eighth of it beside it.
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
    memo_bytes: Annotated[int, BeforeValidator(values.size), Field(ge=64_000, le=64_000_000)] = Field(
        default=8_000_000, alias="memo"
    )

    @model_validator(mode="after")
    def _tls_together(self) -> Self:
        if self.tls_cert is None and (self.tls_key or self.tls_client_ca):
            msg = "tls_key and tls_client_ca are of no use without tls_cert"
            raise ValueError(msg)
        values.distinct(str(found).removeprefix("tls://") for found in self.listen)  # once plain and once TLS
        return self

    def settings(self) -> DnstapConfig:
        """Return the same values as a plain frozen dataclass."""
        return DnstapConfig(**self._plain())


class NeighborTable(FileTable):
    """`[bgp] peers`: a BGP neighbor of ExaBGP each, as a table `{ address = "192.0.2.1", as = 64513 }`.

    Attributes:
        address: The neighbor's address, or a host name that is looked up at the start and at a changed `[bgp]`.
        port: The TCP port where the neighbor listens; of a passive one, where this machine listens for it.
        as_number: The neighbor's AS. Without it, ours: iBGP, as files without this key have always meant it.
        password: The password of TCP MD5 (RFC 2385), the same at the neighbor. Both ends refuse a session without it.
        password_file: The same from a file, which the user of ExaBGP and the plugin has to be able to read, and nobody
            else should: then the configuration holds no secret.
        ttl_security: The hops to the neighbor at most (RFC 5082, GTSM), 1 or `true` being a direct link: what comes
            from farther is dropped by the kernel. Under 100, so that a TTL written here by mistake is refused instead
            of opening the session to everybody. The neighbor has to send with TTL 255, as GTSM does.
        multihop: The hops that our packets may take, `true` for 255. Without it the system's default TTL, which is
            enough for neighbors behind routers as well. Excludes `ttl_security`.
        passive: Whether the neighbor connects to us, and we don't connect to it. It takes `source_ip`.
        hold_time_s: The BGP hold time: without a message from the neighbor for so long the session ends. 0 switches it
            off. 180 as most routers: ExaBGP may miss one under 30 while it is busy.
        margin_s: The time from ExaBGP's acknowledgment until a route stands in the router's own table, for `[hold]`.
            Without it `[hold] margin`. `dnstap-bgp margin` measures it.
        max_prefixes: The most prefixes to announce to this neighbor, both families together, for a router with room
            for some thousands. Where more are wanted, the least recently seen give way, at this neighbor only; static
            prefixes and those added by hand don't. Leave the router's own maximum 5 % above it. IPv6 prefixes take
            places also where the session is for IPv4 alone. Without it, all are announced.
    """

    address: Annotated[str, PlainValidator(bgp_values.neighbor_address)]
    port: Annotated[int, Strict(), Field(ge=1, le=0xFFFF)] = 179
    as_number: AsNumber | None = Field(default=None, alias="as")
    password: Annotated[str, PlainValidator(bgp_values.password)] | None = Field(default=None, repr=False)
    password_file: Annotated[SecretFile, _secret_file(bgp_values.password)] | None = None
    ttl_security: Annotated[int | None, Strict(), Field(ge=1, lt=100), BeforeValidator(bgp_values.ttl_security)] = None
    multihop: Annotated[int | None, Strict(), Field(ge=1, le=255), BeforeValidator(bgp_values.multihop)] = None
    passive: Flag = False
    hold_time_s: Annotated[int, PlainValidator(bgp_values.hold_time)] = Field(default=180, alias="hold_time")
    margin_s: Margin | None = Field(default=None, alias="margin")
    max_prefixes: Annotated[int, PlainValidator(bgp_values.prefix_budget)] | None = None

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

    def settings(self) -> NeighborConfig:
        """Return the same values as a plain frozen dataclass."""
        return NeighborConfig(**self._plain())


class BgpTable(FileTable):
    """`[bgp]`: our side of the sessions, the attributes of our routes, and the routers that get them.

    Attributes:
        as_number: Our AS. Needed by `dnstap-bgp up`; under an ExaBGP of one's own its configuration has it.
        router_id: Our BGP identifier. Without it, an IPv4 address among `source_ip` and `next_hop`.
        source_ip: The address that sessions of its family are spoken from. Without it, as the system's routes say.
        next_hop: The next-hop of IPv4 routes: where the routers send this traffic. Without it `source_ip`, then
            `router_id`, where a router can forward to it.
        next_hop_ipv6: The next-hop of IPv6 routes. Without it `source_ip`, where it is IPv6; else no IPv6 routes.
        communities: The communities of each route. By default neighbors keep our host routes within their AS. 64 of 4
            bytes and 32 large ones of 12 leave room for prefixes in an UPDATE of 4,096 bytes (RFC 4271, 4).
        large_communities: The large communities (RFC 8092) of each route, for AS numbers above 65,535.
        local_preference: LOCAL_PREF of each route, for iBGP neighbors; ExaBGP leaves it out for others.
        med: MULTI_EXIT_DISC of each route, for neighbors with several ways to us; the lowest wins.
        neighbors: The routers that get the routes: addresses, with `:port` where it isn't 179, or tables.
        max_prefixes: The most prefixes to announce to neighbors by their addresses, before `max_prefixes` of `peers`:
            for those of an ExaBGP configuration of one's own.
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
    neighbors: Annotated[tuple[NeighborTable, ...], Many] = Field(default=(), alias="peers")
    max_prefixes: Annotated[tuple[tuple[str, int], ...], PlainValidator(bgp_values.prefix_budgets)] = ()

    @field_validator("neighbors")
    @classmethod
    def _one_session_each(cls, neighbors: tuple[NeighborTable, ...]) -> tuple[NeighborTable, ...]:
        values.distinct(neighbor.address for neighbor in neighbors)
        return neighbors

    def settings(self) -> BgpConfig:
        """Return the same values as a plain frozen dataclass."""
        return BgpConfig(**self._plain())


class ProcessTable(FileTable):
    """`[process]`: the user and network namespace of `dnstap-bgp up`. The packages' service has both from its unit.

    Attributes:
        user: The user that `up`, started as root, becomes. Without it, whoever starts it.
        netns: The network namespace that `up`, started as root, enters first. Without it, where it is started.
        patches: Whether `up` starts ExaBGP with our patches, which make it faster and have it outlive the plugin:
            TCP_NODELAY, attributes that routes share, rarer full garbage collections, no end of all sessions where it
            writes to a plugin that has just ended. They are left out by themselves where ExaBGP is another version
            than they were tried with. A change needs a restart.
    """

    user: Annotated[str, PlainValidator(values.account)] | None = None
    netns: Annotated[str, PlainValidator(values.netns)] | None = None
    patches: bool = True

    def settings(self) -> ProcessConfig:
        """Return the same values as a plain frozen dataclass."""
        return ProcessConfig(**self._plain())


class LogTable(FileTable):
    """`[log]`: the messages on stderr, which under systemd is the journal.

    Attributes:
        format: `plain` for people, or `json`, an object a line, for machines.
        level: The least important level that is written.
    """

    format: Literal["plain", "json"] = "plain"
    level: Literal["debug", "info", "warning", "error"] = "info"

    def settings(self) -> LogConfig:
        """Return the same values as a plain frozen dataclass."""
        return LogConfig(**self._plain())


class ControlTable(FileTable):
    """`[control]`: the control socket, by which `status`, `why` and their like reach the running plugin.

    Attributes:
        group: The group of the socket, whose members may ask and steer. Without it, the plugin's user and root alone.
    """

    group: Annotated[str, PlainValidator(values.account)] | None = None

    def settings(self) -> ControlConfig:
        """Return the same values as a plain frozen dataclass."""
        return ControlConfig(**self._plain())


class HttpTable(FileTable):
    """`[http]`: page, metrics and API over TCP, only to read without a token. Without it: no such listener.

    Attributes:
        listen: The TCP endpoints. By default this machine only: routes tell what people visit.
        allow: The prefixes that may connect. Empty: everybody who reaches it.
        hosts: The names by which browsers and machines reach it, beside addresses, `localhost` and this machine's own
            name. A request with another name is refused: a page elsewhere could have its own name point here.
        connections_max: Connections at a time. A browser takes six, a scraper one; each may hold some 100 KB.
        token: The secret with which the page steers: switch and edit lists, add and forget routes, reload. Beyond
            loopback it goes with `tls_cert`: who can read the traffic would have it. Without it nothing can be changed.
        token_file: The same from a file, which the plugin's user has to be able to read, and nobody else should.
        tls_cert: The PEM file of our certificate, its chain behind it. With it all endpoints speak TLS.
        tls_key: The PEM file of the certificate's key, without a passphrase. Without it the key is in `tls_cert`.
    """

    listen: Annotated[tuple[Endpoint, ...], Many, Some, Distinct] = (TcpAddress("127.0.0.1", 8179),)
    allow: Annotated[tuple[Annotated[IPNetwork, PlainValidator(addresses.network)], ...], Many, Once] = ()
    hosts: Annotated[tuple[Annotated[str, PlainValidator(values.http_host)], ...], Many, Once] = ()
    connections_max: Annotated[int, Strict(), Field(ge=1, le=4096)] = 64
    token: Annotated[str, PlainValidator(values.token)] | None = Field(default=None, repr=False)
    token_file: Annotated[SecretFile, _secret_file(values.token)] | None = None
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None

    @model_validator(mode="after")
    def _token_in_secret(self) -> Self:
        if self.tls_key is not None and self.tls_cert is None:
            msg = "tls_key is of no use without tls_cert"
            raise ValueError(msg)
        bare = [found for found in self.listen if not found.is_loopback]
        if (self.token is not None or self.token_file is not None) and self.tls_cert is None and bare:
            msg = f"token needs tls_cert and tls_key beyond loopback: on {bare[0]} who reads the traffic would have it"
            raise ValueError(msg)
        return self

    def settings(self) -> HttpConfig:
        """Return the same values as a plain frozen dataclass."""
        return HttpConfig(**self._plain())


REDIS_SCHEMES = ("redis", "rediss", "unix")


def redis_url(value: object) -> str:
    """A URL: `redis://HOST:PORT/DATABASE`, `rediss://...` (TLS) or `unix:///PATH`."""
    written = values.text(value)
    try:
        parts = urlsplit(written)
        _ = parts.port
    except ValueError as error:
        msg = f"is no URL: {error}"
        raise ValueError(msg) from None
    if parts.scheme not in REDIS_SCHEMES or not (parts.path if parts.scheme == "unix" else parts.hostname):
        msg = "must be redis://HOST:PORT/DATABASE, rediss://... (TLS) or unix:///PATH"
        raise ValueError(msg)  # without the value, which may hold a password
    if importlib.util.find_spec("redis") is None:
        msg = "needs redis-py: pip install 'dnstap-bgp[redis]'"
        raise ValueError(msg)
    return written


class SyncerTable(FileTable):
    """`[syncer]`: other instances, and Go programs, that sightings are shared with.

    Attributes:
        listen: The TCP endpoint where peers ask us. Without it nobody follows us.
        sync_interval_s: The time between two full pulls from a Go program; 0: only the one at the start. Instances of
            this program follow each other's changes and need none.
        peers: The instances that we follow. 128, for each of which a connection stays open; larger fleets have an
            engine (`redis`).
        token: The secret that every member knows and says. At 16 characters nobody guesses it within any rate of ours.
        token_file: The same from a file, which the plugin's user has to be able to read, and nobody else should.
        tls_cert: The PEM file of our certificate: peers speak TLS then, and each shows one. Goes with the next two.
        tls_key: The PEM file of the certificate's key.
        tls_ca: The PEM file of the fleet's own authority: whoever it signed for is a member.
        insecure: Whether anybody is answered where there is neither token nor certificates, not only the addresses of
            `peers`.
        compatible: Whether the Go program's protocol is spoken, too.
        redis: The URL of a fleet's engine, Redis or Valkey. It may hold a password.
        redis_sentinels: The Sentinels that know where the engine's primary is. Empty: it is where the URL says.
        redis_service: The name by which the Sentinels know the primary.
    """

    listen: Endpoint | None = None
    sync_interval_s: Seconds = Field(default=600.0, alias="sync_interval")
    peers: Annotated[tuple[Endpoint, ...], Many, Once] = Field(default=(), max_length=128)
    token: Annotated[str, PlainValidator(values.token)] | None = Field(default=None, repr=False)
    token_file: Annotated[SecretFile, _secret_file(values.token)] | None = None
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    tls_ca: FilePath | None = None
    insecure: Flag = False
    compatible: Flag = True
    redis: Annotated[str, PlainValidator(redis_url)] | None = Field(default=None, repr=False)
    redis_sentinels: Annotated[tuple[Endpoint, ...], Many, Once] = ()
    redis_service: Annotated[str, AfterValidator(values.text)] = "mymaster"

    @model_validator(mode="after")
    def _tls_together(self) -> Self:
        files = (self.tls_cert, self.tls_key, self.tls_ca)
        if any(files) and not all(files):
            msg = "tls_cert, tls_key and tls_ca go together: each member shows a certificate, and looks at the others'"
            raise ValueError(msg)
        return self

    def settings(self) -> SyncerConfig:
        """Return the same values as a plain frozen dataclass."""
        return SyncerConfig(**self._plain())
