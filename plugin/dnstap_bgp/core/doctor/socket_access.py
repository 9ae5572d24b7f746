"""Access to a unix socket: each folder on the way must let an account through (x), the socket must take it (w)."""

from collections.abc import Iterator, Sequence

from dnstap_bgp.core.doctor.evidence import Account, PathStep, SocketAccess
from dnstap_bgp.core.status.report import Finding, TapStatus

_PASS, _CONNECT = 0o1, 0o2


def examine(tap: TapStatus, access: SocketAccess) -> Iterator[Finding]:
    """Find the sockets that none of this system's resolvers can reach, where no sender has ever come."""
    if tap.accepted or not access.accounts:
        return
    for steps in access.paths:
        blocked = [(account, step) for account in access.accounts if (step := obstacle(account, steps)) is not None]
        if len(blocked) == len(access.accounts):
            yield blockage(*blocked[0], steps)


def obstacle(account: Account, steps: Sequence[PathStep]) -> PathStep | None:
    """Find the step that keeps an account from a socket; None: none that modes tell of (AppArmor and ACLs might).

    Args:
        account: Of a resolver.
        steps: The folders from the top, then the socket.
    """
    if account.uid == 0:
        return None
    for index, step in enumerate(steps):
        needed = _CONNECT if index == len(steps) - 1 else _PASS
        if account.uid == step.uid:
            granted = step.mode >> 6
        elif step.gid in account.groups:
            granted = step.mode >> 3
        else:
            granted = step.mode
        if not granted & needed:
            return step
    return None


def blockage(account: Account, step: PathStep, steps: Sequence[PathStep]) -> Finding:
    """Say that and why an account can't reach a socket, and what to change."""
    socket = steps[-1].path
    lies = f"{step.path} has mode {step.mode & 0o777:04o}, uid {step.uid}, gid {step.gid}"
    text = f"{account.name} can't connect to {socket}: {lies}"
    if step.path == socket:
        advice = (
            f"set dnstap.group to a group of {account.name} (`id {account.name}`) that the plugin's own user is in as"
            ' well, with dnstap.perm = "0660"'
        )
    else:
        advice = f"let it pass (chmod o+x {step.path}), or put the socket (dnstap.listen) elsewhere"
    return Finding("warning", "socket-permissions", text, advice, socket)
