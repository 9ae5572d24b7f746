"""Whether the instance is ready, as its status tells; what is wrong with it is `core.doctor`'s."""

from dnstap_bgp.core.status.status import Host, Status

SILENT_S = 10.0
"""ExaBGP answers within milliseconds, and within a second or two while it takes thousands of routes."""


def not_ready(status: Status) -> list[str]:
    """What is missing until routers can have all routes: `lists`, `state`, `exabgp`; mostly nothing."""
    missing = [] if status.lists_loaded else ["lists"]
    if not status.restored:
        missing.append("state")
    if not _answers(status.exabgp):
        missing.append("exabgp")
    return missing


def _answers(host: Host | None) -> bool:
    return host is not None and host.stage == "ready" and host.silent_s < SILENT_S and host.stalled_s < SILENT_S
