"""The status of the whole program as one value: what `dnstap-bgp status`, `/v1/status` and `/metrics` are made of.

Each part returns its own class of these, in copies that any thread may keep. Names and order of the fields are those
of the JSON; properties are not in it. Times are ages in seconds, but for files and servers, whose clock is the wall's.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning", "note"]
"""An error keeps routes from being right, a warning may; a note is only to be known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing worth telling an operator: an error, a warning or a note, with what to change.

    Attributes:
        level: See `Level`.
        kind: A word that stays the same, for machines: `neighbor-down`.
        text: A sentence for a person: what is wrong, where, and what to change.
        advice: What to change, or where to look, if `text` doesn't tell.
        subject: What it is about where there may be several: a sender, a listener, a neighbor, a list.
    """

    level: Level
    kind: str
    text: str
    advice: str = ""
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}" if self.advice else self.text


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """An address to listen on; `problem` says why nobody can connect there, None: all is well."""

    address: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class SenderStatus:
    """A DNSTap connection.

    Attributes:
        peer: Address and port, or the process at the other end of a unix socket: `unbound[1234]`.
        listener: The address that it came to.
        state: A value of `core.tap.framestream.StreamState`.
        bidirectional: It waits for our ACCEPT and FINISH.
        age_s: Since it connected.
        bytes: Received so far.
        frames: Data frames so far.
        identity: What its frames say it is; empty where they don't, or none has come yet.
        version: Likewise, of its software.
    """

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
    """Mistakes of senders of one kind.

    Attributes:
        kind: A value of `core.tap.framestream.Fault`.
        count: How often since the start.
        last: The last time's sender, and what is wrong or to be changed.
        age_s: Since that time.
    """

    kind: str
    count: int
    last: str
    age_s: float


@dataclass(frozen=True, slots=True)
class MemoStatus:
    """The memo of names, and how questions were decided since the lists came into force.

    Attributes:
        names: Names in it.
        bytes: Its memory, estimated. `max_bytes`: the most that it may take.
        asked: Questions.
        recalled: Of these, those whose name was in it: the hits.
        ruled_out: Those whose last labels proved that no rule is near.
        looked_up: Names that were looked up in the lists, the targets of CNAMEs among them.
    """

    names: int
    bytes: int
    max_bytes: int
    asked: int
    recalled: int
    ruled_out: int
    looked_up: int


@dataclass(frozen=True, slots=True)
class TapStatus:
    """Status of the tap: its senders, and what came of their frames.

    Attributes:
        frames_per_s: Over the last seconds; None: not known yet. Rates are the inspector's to fill in.
        matched_per_s: The same of messages that gave a sighting.
        match_share: Of the frames of that time; None also where there were none.
        counters: Those of `IngestCounters`, by name.
        accepted: Connections since the start, those turned away included.
        listeners: All of them.
        connections: Those that are open.
        troubles: By kind.
        memo: What is known of names.
    """

    frames_per_s: float | None
    matched_per_s: float | None
    match_share: float | None
    counters: dict[str, int]
    accepted: int
    listeners: tuple[ListenerStatus, ...]
    connections: tuple[SenderStatus, ...]
    troubles: tuple[Trouble, ...]
    memo: MemoStatus | None = None


@dataclass(frozen=True, slots=True)
class RoutesStatus:
    """The routes of the table.

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
class SourceStatus:
    """A source of a list: a file, a glob's files together, or a URL.

    Attributes:
        source: As it is configured, without user and password.
        state: `ok`; `pending`: never fetched yet; `stale`: the last look failed, the copy is used; `held`: a newer
            version is held back; `partial`: more than a few of its lines are lost; `error`: it can't be used.
        why: Of each state but `ok`.
        formats: That its files were read in.
        files: How many, included ones too.
        rules: That they gave, repeated ones included; what they give when the lists were refused.
        prefixes: Static prefixes, alike.
        skipped: Kind -> lines that gave no rule.
        changed: When its content is from, wall clock: the newest file's time, or the fetch; 0: unknown.
        checked: When the server last gave or confirmed it, wall clock; None: it is no URL.
    """

    source: str
    state: str
    why: str = ""
    formats: tuple[str, ...] = ()
    files: int = 0
    rules: int = 0
    prefixes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    changed: float = 0.0
    checked: float | None = None


@dataclass(frozen=True, slots=True)
class ListStatus:
    """Status of a list: its size, its sources, whether it counts.

    Attributes:
        name: Its name.
        rules: Different rules in force.
        prefixes: Static prefixes of its sources and of the configuration.
        routes: Addresses that it holds.
        ipv4: Of these.
        ipv6: Of these.
        max: The most addresses that it may hold; None: no limit of its own.
        sources: In order.
        enabled: It counts.
        is_managed: People add and remove its names by command or on the page.
        switched: It is as it is by hand, not by the configuration.
        switched_until: Wall clock when that is over; None: never, or it is not.
        switched_by: Who switched it; empty: not known.
    """

    name: str
    rules: int
    prefixes: int
    routes: int
    ipv4: int
    ipv6: int
    max: int | None
    sources: tuple[SourceStatus, ...]
    enabled: bool = True
    is_managed: bool = False
    switched: bool = False
    switched_until: float | None = None
    switched_by: str = ""


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A neighbor's budget of prefixes (`max_prefixes`).

    Attributes:
        max: The most prefixes to announce to it.
        used: The prefixes that have a place in it.
        left_out: Those that are wanted and have none.
        displaced: How many times one gave way to another.
    """

    max: int
    used: int
    left_out: int
    displaced: int


@dataclass(frozen=True, slots=True)
class NeighborStatus:
    """A BGP neighbor of ExaBGP.

    Attributes:
        address: Its address.
        peer_as: Its AS number.
        up: Whether the session is established.
        families: What it takes in this session: `ipv4 unicast`, `ipv6 unicast`.
        lacking: Families of which there are routes and that it doesn't take.
        end_of_rib: Whether it has had End-of-RIB (RFC 4724) since it came up.
        replaying: Whether it is still being told what was announced before it came.
        foreign: Whether ExaBGP has it, but not for us: `processes` in its api section names others.
        budget: How full its budget is; None: it has none.
    """

    address: str
    peer_as: int
    up: bool
    families: tuple[str, ...]
    lacking: tuple[str, ...]
    end_of_rib: bool
    replaying: bool
    foreign: bool
    budget: BudgetStatus | None = None


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """Some neighbors for which the same lists speak, where that isn't so for all.

    Attributes:
        neighbors: Their addresses.
        except_these: Whether it is about everyone except these.
        told_ipv4: IPv4 routes announced to them and not withdrawn.
        told_ipv6: The same of IPv6.
        waiting: Prefixes that they are to be told yet, without what is refused.
        refused: Prefixes given up for now.
    """

    neighbors: tuple[str, ...]
    except_these: bool
    told_ipv4: int
    told_ipv6: int
    waiting: int
    refused: int


@dataclass(frozen=True, slots=True)
class ExabgpStatus:
    """Status of the conversation with ExaBGP, and of its neighbors.

    Attributes:
        stage: `opening`, `barrier`, `ready`, or `refused`: it is of another major version.
        version: What it says it is.
        told_ipv4: IPv4 routes announced and not withdrawn; one of several views counts once for each.
        told_ipv6: The same of IPv6.
        waiting: Prefixes to be told yet: the backlog without what is refused.
        unanswered: Lines without an answer yet.
        silent_s: How long the oldest of them has waited.
        stalled_s: How long it has read nothing although there was something to read.
        backlog: Kind -> prefixes that wait.
        lines: Lines said.
        acknowledged: Of these, answered so.
        errors: Of these, answered so.
        stray: Answers that nothing had been asked for; 0 unless another process writes to our pipe.
        neighbors: All of them.
        patches: Name of each of our patches of ExaBGP -> why it is left out; empty: it is in force. None of them is
            there where ExaBGP was started without patches, or not by us.
        views: Neighbors by what they get; empty where all get the same.
    """

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
    neighbors: tuple[NeighborStatus, ...]
    patches: dict[str, str] = field(default_factory=dict)
    views: tuple[ViewStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class StateFileStatus:
    """Status of the state file: its size, and whether records get there in time.

    Attributes:
        path: Where it is.
        durable: What was appended is in it, as far as our own death goes.
        error: Why not, or what else doesn't work (a snapshot); None: all is well.
        size: Bytes in the file.
        written_bytes: Bytes written by this process, snapshots included.
        queued: Records that wait.
        snapshots: How many replaced the file.
        synced_s_ago: When the disk last had everything; None: not yet.
        failures: Failed tries to write.
    """

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
class PeerStatus:
    """A peer of the sync; `state` is `ok` or a word for what is wrong, which `why` tells.

    Attributes:
        address: As it is configured.
        state: See above.
        why: What went wrong last; "": nothing.
        synced_s_ago: When it said anything last.
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
    carrier: str = "unknown"
    lag_s: float | None = None
    given: int = 0
    taken: int = 0
    refused: int = 0
    errors: int = 0
    is_configured: bool = True


@dataclass(frozen=True, slots=True)
class HookStatus:
    """A resolver's hook, which asks whether routes are there.

    Attributes:
        hook: Its identity.
        asked: Questions so far that wanted a reply.
        told: Questions that wanted none.
        dropped: Replies that it did not take.
        verdicts: Word of each verdict -> how often it was given.
        held_p50_s: Half of its last held questions waited no longer; None: none was held.
        held_p99_s: The same of 99 in 100.
        stood_share: Of the new routes that it asked for, those that stood before the answer left; None: none was new.
    """

    hook: str
    asked: int
    told: int
    dropped: int
    verdicts: dict[str, int]
    held_p50_s: float | None
    held_p99_s: float | None
    stood_share: float | None


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """Status of the hold service, and of each hook that asks it.

    Attributes:
        is_on: False: everything is answered at once, by `dnstap-bgp hold off`.
        bound_s: The longest that a question waits.
        waiting: Questions that wait now.
        late_max_s: The latest reply of a held question after its time, ever.
        listeners: Where hooks ask.
        connections: Hooks that are connected.
        refused: Reason -> messages and connections that were turned away, ever.
        counters: Those of `HookAnswerCounters`, by name.
        hooks: By identity.
    """

    is_on: bool
    bound_s: float
    waiting: int
    late_max_s: float
    listeners: tuple[ListenerStatus, ...]
    connections: int
    refused: dict[str, int]
    counters: dict[str, int]
    hooks: tuple[HookStatus, ...]


@dataclass(frozen=True, slots=True)
class RefreshStatus:
    """Active refresh: names that are asked again.

    Attributes:
        resolver: Who is asked.
        names: Names that are asked for.
        exact: Of these, exact names of lists; the others were seen.
        left_out: Exact names beyond `refresh.max_names`.
        asked: Questions so far.
        answered: Of these, those that were answered.
        unanswered: Those that were not.
        returned: Answers for our questions that came back by the tap or a hook.
        late_s: How long the first of the names has been due; 0: none is.
        silent: The resolver doesn't answer, and is asked now and then only.
        blind: It answers, and the tap doesn't show that; it is asked now and then only.
        problem: What became of the last question; empty: it was answered.
    """

    resolver: str
    names: int
    exact: int
    left_out: int
    asked: int
    answered: int
    unanswered: int
    returned: int
    late_s: float
    silent: bool
    blind: bool
    problem: str


@dataclass(frozen=True, slots=True)
class WebStatus:
    """Clients of the control socket and of HTTP.

    Attributes:
        listeners: The control socket first, then HTTP.
        watchers: Who follows the events.
        events_lost: Events that a watcher was too slow for, ever.
        refused: Reason -> requests and connections that were turned away, ever.
        steering: Who has the token of [http] may change things there.
    """

    listeners: tuple[ListenerStatus, ...]
    watchers: int
    events_lost: int
    refused: dict[str, int]
    steering: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """The status of the whole program.

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
        hold: Resolvers' hooks; None: there is no `[hold]`.
        refresh: Active refresh; None: no list asks for it, or nothing is to be told (`dry_run`).
    """

    version: str
    pid: int
    config: str
    now: float
    uptime_s: float
    dry_run: bool
    restored: bool
    lists_loaded: bool
    tap: TapStatus
    routes: RoutesStatus
    lists: tuple[ListStatus, ...]
    lists_refused: str | None
    exabgp: ExabgpStatus | None
    state: StateFileStatus | None
    peers: tuple[PeerStatus, ...]
    web: WebStatus
    findings: tuple[Finding, ...] = field(default=())
    hold: HoldStatus | None = None
    refresh: RefreshStatus | None = None


SILENT_S = 10.0
"""ExaBGP answers within milliseconds, and within a second or two while it takes thousands of routes."""


def not_ready(status: Status) -> list[str]:
    """List what is missing until routers can have all routes: `lists`, `state`, `exabgp`; mostly nothing."""
    missing = [] if status.lists_loaded else ["lists"]
    if not status.restored:
        missing.append("state")
    if not _answers(status.exabgp):
        missing.append("exabgp")
    return missing


def _answers(host: ExabgpStatus | None) -> bool:
    return host is not None and host.stage == "ready" and host.silent_s < SILENT_S and host.stalled_s < SILENT_S
