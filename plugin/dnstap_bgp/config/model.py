"""The whole file as one frozen model."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from dnstap_bgp.config import values
from dnstap_bgp.config.hold import HoldTable
from dnstap_bgp.config.lists import GuardTable, ListTable, Sources, Ttl
from dnstap_bgp.config.refresh import RefreshTable
from dnstap_bgp.config.settings import DEFAULT_LIST, PIDFILE, Config, default_runtime_dir
from dnstap_bgp.config.tables import (
    BgpTable,
    ControlTable,
    DnstapTable,
    FilePath,
    FileTable,
    Flag,
    HttpTable,
    LogTable,
    ProcessTable,
    Seconds,
    Some,
    SyncerTable,
)

LISTS_MAX = 64
"""Each takes bits in every row of the rules; people have a handful."""


class ConfigFile(FileTable):
    """The keys at the top of the file, before the first table.

    Attributes:
        domains: The sources of a list named `default`, before all others: files, globs and http(s) URLs. A file has
            this key or `[[list]]` tables, or both.
        lists: See `[[list]]`.
        cache: The state file, where what is learnt survives a restart. Without it, it dies with the process.
        ttl: The time that an address stays routed after it was last seen. A day: people come back to a site daily, and
            the tap is too late for the first connection after a lookup. `dns`: as long as the record's own TTL says,
            within the three keys that follow.
        ttl_min_s: With `ttl = "dns"`, the shortest: addresses that rotate every few seconds would only flap.
        ttl_max_s: With `ttl = "dns"`, the longest: resolvers themselves keep a record for a day at most.
        grace_s: With `ttl = "dns"`, added to each: programs and their connections hold on to an address longer than
            the record says.
        ipv6: Whether IPv6 routes are announced. Without it, where an IPv6 next-hop is configured.
        dry_run: Do everything but tell ExaBGP.
        runtime_dir: The folder of the pidfiles, ExaBGP's configuration and its FIFOs. Without it systemd's
            `$RUNTIME_DIRECTORY`, `/run/dnstap-bgp` of root, `$XDG_RUNTIME_DIR/dnstap-bgp` of a user, or else
            `/tmp/dnstap-bgp-UID`. Commands of any user find the packages' service.
        pidfile: The pidfile of the plugin; the control socket is beside it. Without it `dnstap-bgp.pid` in
            `runtime_dir`.
        on_stop: `keep`: routers with graceful restart keep the routes for 120 s while ExaBGP restarts; `withdraw`: they
            drop them with the session.
        dnstap: See `[dnstap]`.
        guard: See `[guard]`.
        bgp: See `[bgp]`.
        process: See `[process]`.
        log: See `[log]`.
        control: See `[control]`.
        http: See `[http]`.
        syncer: See `[syncer]`.
        hold: See `[hold]`.
        refresh: See `[refresh]`.
    """

    domains: Annotated[Sources, Some] | None = None
    lists: tuple[ListTable, ...] = Field(default=(), alias="list", max_length=LISTS_MAX)
    cache: FilePath | None = None
    ttl: Ttl = 86400.0
    ttl_min_s: Annotated[Seconds, Field(ge=1)] = Field(default=60.0, alias="ttl_min")
    ttl_max_s: Annotated[Seconds, Field(ge=1)] = Field(default=86400.0, alias="ttl_max")
    grace_s: Seconds = Field(default=300.0, alias="grace")
    ipv6: Flag | None = None
    dry_run: Flag = False
    runtime_dir: FilePath = Field(default_factory=default_runtime_dir)
    pidfile: FilePath = Field(default_factory=lambda data: data["runtime_dir"] / PIDFILE)
    on_stop: Literal["keep", "withdraw"] = "keep"
    dnstap: DnstapTable
    guard: GuardTable = GuardTable()
    bgp: BgpTable = BgpTable()
    process: ProcessTable = ProcessTable()
    log: LogTable = LogTable()
    control: ControlTable = ControlTable()
    http: HttpTable | None = None
    syncer: SyncerTable | None = None
    hold: HoldTable | None = None
    refresh: RefreshTable = RefreshTable()

    @field_validator("lists")
    @classmethod
    def _distinct_names(cls, lists: tuple[ListTable, ...], info: ValidationInfo) -> tuple[ListTable, ...]:
        values.distinct([DEFAULT_LIST] * (info.data.get("domains") is not None) + [found.name for found in lists])
        return lists

    def settings(self, path: Path = Path("/")) -> Config:
        """Return the same values as plain frozen dataclasses.

        Args:
            path: The file, absolute.
        """
        default = None if self.domains is None else ListTable.model_construct(name=DEFAULT_LIST, sources=self.domains)
        return Config(path=path, default_list=None if default is None else default.settings(), **self._plain())
