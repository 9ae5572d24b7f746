"""Everything at a glance, as one value: what `dnstap-bgp status`, /v1/status and /metrics are made of.

The field names are those of the JSON. Times are ages in seconds, but for files and servers, whose clock is the wall's.
"""

from dataclasses import dataclass, field

from dnstap_bgp.core.status.findings import Finding


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that we listen on; `problem` says why not."""

    address: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Sender:
    """A DNSTap connection; `identity` and `version` are what its frames say, or empty."""

    peer: str
    listener: str
    state: str
    bidirectional: bool
    age_s: float
    bytes: int
    frames: int
    identity: str
    version: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What senders got wrong in one way: how often, and the last of them with what to change."""

    kind: str
    count: int
    last: str
    age_s: float


@dataclass(frozen=True, slots=True)
class Tap:
    """The DNSTap side.

    Attributes:
        frames_per_s: Over the last seconds; None: not known yet.
        matched_per_s: The same of messages that gave a sighting.
        match_share: Of the frames of that time; None also where there were none.
        counters: Those of `IngestCounters`, by name.
        accepted: Connections since the start.
        listeners: All of them.
        connections: Those that are open.
        troubles: By kind.
    """

    frames_per_s: float | None
    matched_per_s: float | None
    match_share: float | None
    counters: dict[str, int]
    accepted: int
    listeners: tuple[Listener, ...]
    connections: tuple[Sender, ...]
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """What is held.

    Attributes:
        routes: Addresses with live claims.
        ipv4: Of these.
        ipv6: Of these.
        claims: (list, name) on an address.
        static: Static prefixes that are announced.
        max: The most addresses that may be held.
        ended: Claims that are no more, ever.
        refused: Reason -> sightings that could not become a claim, ever.
        evicted: Reason -> claims that had to go, ever.
    """

    routes: int
    ipv4: int
    ipv6: int
    claims: int
    static: int
    max: int
    ended: int
    refused: dict[str, int]
    evicted: dict[str, int]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list is from; as `workers.lists.status.SourceStatus` tells it."""

    source: str
    state: str
    why: str
    formats: tuple[str, ...]
    files: int
    rules: int
    prefixes: int
    skipped: dict[str, int]
    changed: float
    checked: float | None


@dataclass(frozen=True, slots=True)
class List:
    """One list: rules in force, static prefixes of its sources, addresses that it holds, and how many it may."""

    name: str
    rules: int
    prefixes: int
    routes: int
    ipv4: int
    ipv6: int
    max: int | None
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A BGP neighbor of ExaBGP's; `lacking` are families of which there are routes and that it doesn't take."""

    address: str
    peer_as: int
    up: bool
    families: tuple[str, ...]
    lacking: tuple[str, ...]
    end_of_rib: bool
    replaying: bool
    foreign: bool


@dataclass(frozen=True, slots=True)
class Host:
    """ExaBGP; see `workers.exabgp.bgp.HostStatus`. `backlog` is what waits, by kind, `waiting` what of it may go."""

    stage: str
    version: str
    told_ipv4: int
    told_ipv6: int
    waiting: int
    unanswered: int
    silent_s: float
    stalled_s: float
    backlog: dict[str, int]
    lines: int
    acknowledged: int
    errors: int
    stray: int
    neighbors: tuple[Neighbor, ...]


@dataclass(frozen=True, slots=True)
class State:
    """The state file; `synced_s_ago` is when the disk last had everything."""

    path: str
    durable: bool
    error: str | None
    size: int
    written_bytes: int
    queued: int
    snapshots: int
    synced_s_ago: float | None
    failures: int


@dataclass(frozen=True, slots=True)
class Peer:
    """Another instance that we sync with; `state` is `ok` or a word for what is wrong, which `why` tells.

    Attributes:
        address: As it is configured.
        state: See above.
        why: What went wrong last; "": nothing.
        synced_s_ago: When it said anything last.
        routes: How many it holds, where it tells.
        carrier: How: `delta`, `compatible` (the Go program's protocol), `redis`, or `unknown` as yet.
        lag_s: How old the last change was when it was taken.
        given: Claims that it got from us.
        taken: Claims of it that were news.
        refused: Claims of it that were not to be taken.
        errors: Failed tries.
        is_configured: False: somebody who follows us, from anywhere.
    """

    address: str
    state: str
    why: str = ""
    synced_s_ago: float | None = None
    routes: int | None = None
    carrier: str = "unknown"
    lag_s: float | None = None
    given: int = 0
    taken: int = 0
    refused: int = 0
    errors: int = 0
    is_configured: bool = True


@dataclass(frozen=True, slots=True)
class Web:
    """Who asks us.

    Attributes:
        listeners: The control socket first, then HTTP.
        watchers: Who follows the events.
        events_lost: Events that a watcher was too slow for, ever.
        refused: Reason -> requests and connections that were turned away, ever.
    """

    listeners: tuple[Listener, ...]
    watchers: int
    events_lost: int
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    """All of it.

    Attributes:
        version: Of this program.
        pid: Of the plugin.
        config: The configuration file.
        now: Wall clock.
        uptime_s: Since the start.
        dry_run: ExaBGP is told nothing, by configuration.
        restored: What the state file had is back.
        lists_loaded: There are rules in force, or none are missing.
        tap: DNSTap.
        routes: The table.
        lists: In order of precedence.
        lists_refused: Why what the sources have now is not in force; None: it is.
        exabgp: None: not started yet.
        state: None: no `cache` is set.
        peers: None configured: ().
        web: Who asks.
        findings: What is worth telling.
    """

    version: str
    pid: int
    config: str
    now: float
    uptime_s: float
    dry_run: bool
    restored: bool
    lists_loaded: bool
    tap: Tap
    routes: Routes
    lists: tuple[List, ...]
    lists_refused: str | None
    exabgp: Host | None
    state: State | None
    peers: tuple[Peer, ...]
    web: Web
    findings: tuple[Finding, ...] = field(default=())
