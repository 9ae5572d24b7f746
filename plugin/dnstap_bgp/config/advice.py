"""What is allowed and still worth a warning at each start."""

from collections.abc import Iterator

from dnstap_bgp.config.addresses import UnixAddress
from dnstap_bgp.config.asked import guard, packed
from dnstap_bgp.config.model import FALLBACK_NEXT_HOP_IPV6, Config
from dnstap_bgp.config.tables import SyncerConfig
from dnstap_bgp.core.routes import remedies

HOLD_TIME_SAFE_S = 30
"""ExaBGP sends no KEEPALIVE while it carries out a command; the longest seen took 12 s, at 100,000 routes."""


def warnings(config: Config) -> Iterator[str]:
    """Say what an operator should know about a valid configuration, one sentence each, each naming its key."""
    yield from _of_the_tap(config)
    if config.ipv6 and config.bgp.usable_next_hop_ipv6 is None:
        yield f"ipv6 = true without bgp.next_hop_ipv6: IPv6 routes get the next-hop {FALLBACK_NEXT_HOP_IPV6}"
    if config.next_hop is None:
        yield "bgp.next_hop is missing: no IPv4 route is announced"
    for neighbor in config.bgp.neighbors:
        if 0 < neighbor.hold_time_s < HOLD_TIME_SAFE_S:
            yield (
                f"bgp.peers {neighbor.address}: hold_time {neighbor.hold_time_s}: a busy ExaBGP may miss it and lose"
                f" the session; {HOLD_TIME_SAFE_S} or more is safe"
            )
        if neighbor.passive and neighbor.ttl_security is not None:
            yield (
                f"bgp.peers {neighbor.address}: passive with ttl_security: ExaBGP accepts its connection with the"
                " system's default TTL, so no session comes about if it checks TTLs as well"
            )
    yield from _refused_prefixes(config)
    for endpoint in config.http.open_endpoints if config.http is not None else ():
        yield f"http.listen {endpoint}: whoever reaches it sees what is visited; say in http.allow who may connect"
    if config.dry_run:
        yield "dry_run = true: everything is done but telling ExaBGP"
    if config.syncer is not None:
        yield from _of_the_sync(config.syncer)


def _of_the_tap(config: Config) -> Iterator[str]:
    for endpoint in config.dnstap.open_endpoints:
        certificates = ", or ask for certificates with dnstap.tls_client_ca" if endpoint.tls else ""
        yield (
            f"dnstap.listen {endpoint}: whoever reaches it can make routes;"
            f" say in dnstap.allow who may connect{certificates}"
        )
    if config.dnstap.tls_cert is not None and not config.dnstap.speaks_tls:
        yield "dnstap.tls_cert: of no use, since no endpoint of dnstap.listen speaks TLS"
    if config.dnstap.perm & 0o002 and any(isinstance(found, UnixAddress) for found in config.dnstap.listen):
        yield (
            f"dnstap.perm {config.dnstap.perm:04o}: every local user can make routes;"
            " with 0660 and dnstap.group only the resolver can"
        )


def _of_the_sync(syncer: SyncerConfig) -> Iterator[str]:
    """Say who may feed us, where nobody has to show who he is."""
    if syncer.listen is None or syncer.is_authenticated:
        return
    better = "syncer.token or certificates (tls_cert, tls_key, tls_ca) tell members from others"
    if syncer.insecure:
        yield f"syncer.insecure = true: whoever reaches {syncer.listen} can make routes; {better}"
    elif syncer.peers:
        yield f"syncer: neither token nor certificates, so only the addresses of its peers are answered; {better}"
    else:
        yield f"syncer.listen {syncer.listen}: nobody is answered, without token, certificates or peers"


def _refused_prefixes(config: Config) -> Iterator[str]:
    rails = guard(config)
    for index, found in enumerate(config.lists):
        refusals = rails.prefix_refusals(map(packed, found.prefixes), found.name)
        for written, (_, reason) in zip(found.prefixes, refusals, strict=True):
            if reason is not None:
                said = remedies.sentence(reason, packed(written))
                yield f"list[{index}].prefixes: {written} is not announced: {said}"
