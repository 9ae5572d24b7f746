"""Network namespace and unprivileged user that `up` enters before it runs ExaBGP. Both need root, once."""

import ctypes
import os
import pwd
from pathlib import Path

from dnstap_bgp.errors import CommandError

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000


def find_user(name: str | None) -> pwd.struct_passwd | None:
    """Look up the user that `[process] user` names, where we have to become that user.

    Returns:
        None: No user is named, or we are that user.

    Raises:
        CommandError: There is no such user, or only root could become it.
    """
    if name is None:
        return None
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise CommandError(f"process.user: there is no user {name!r} on this system") from None
    if user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise CommandError(f"process.user: only root can become {name!r}; start `up` as root or as {name!r}")
    return user


def enter_namespace(name: str) -> None:
    """Move this process into a network namespace that `ip netns add` has prepared.

    Raises:
        CommandError: There is none of that name, or we are not allowed to.
    """
    try:
        fd = os.open(NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(
            f"process.netns: {NAMESPACES / name}: {error.strerror}; `ip netns list` shows them"
        ) from error
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:  # os.setns came with Python 3.12
            reason = os.strerror(ctypes.get_errno())
            raise CommandError(f"process.netns: can't enter {name!r}: {reason}; it takes root")
    finally:
        os.close(fd)


def become(user: pwd.struct_passwd) -> None:
    """Give up root for good: groups first, the user last."""
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    os.environ.pop("XDG_RUNTIME_DIR", None)  # root's
