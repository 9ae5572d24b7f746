"""Listening sockets of tap, hold, web and sync: opened, given to their group, kept, removed; no thread of its own.

A listener that can't be opened is never the end of the others: it keeps its `problem` and is tried again. That is also
how a new process takes over from an old one that lives for a moment more: a unix socket whose owner is dead is
replaced, a live one is waited for.
"""

import contextlib
import errno
import grp
import ipaddress
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from dnstap_bgp.config import HoldAddress, IPAddress, TcpAddress, UdpAddress, UnixAddress
from dnstap_bgp.config.addresses import join_port
from dnstap_bgp.core.timing import Backoff
from dnstap_bgp.errors import ListenerError

BACKLOG = 1024
"""Connections that wait for `accept`: senders connect without blocking, and a full backlog turns them away for 5 s."""

RETRY_FIRST_S = 0.25
RETRY_MAX_S = 5.0
"""Between attempts, doubling: an old process is gone within 2 s, an address or folder may come at any time."""

CHECK_S = 2.0
"""How often we look whether the socket file is still ours."""

UCRED = struct.Struct("3i")
"""Credentials of a process: pid, uid, gid (unix(7))."""

KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""Seconds and probes: there is no idle timeout, so a sender that lost its power frees its place after two minutes."""

_OWNER_ONLY = 0o600
_KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET, "dgram": socket.SOCK_DGRAM}
_REASONS = {
    errno.ENOENT: "its folder does not exist",
    errno.EACCES: "not permitted: the folder, or for a port below 1024 the capability",
    errno.EADDRNOTAVAIL: "this machine has no such address, or not yet",
    errno.EADDRINUSE: "another process listens on it",
}

_FileId: TypeAlias = tuple[int, int, int]
"""Device, inode, mtime: a new file often gets the inode of one just removed; chmod and chown leave the mtime."""
_Endpoint: TypeAlias = tuple[int, tuple[Any, ...]]


class Listener:
    """One address that we listen on, or want to.

    Attributes:
        address: As the configuration has it.
        sock: The listening socket, non-blocking, or None.
        problem: Why there is none, for people; None while all is well.
    """

    def __init__(
        self, address: HoldAddress, perm: int, group: str | None, prepare: Callable[[], None] | None = None
    ) -> None:
        """Make one, not open yet. Resolves a host name, so it may take seconds: not for the tap thread.

        Args:
            address: Where to listen.
            perm: A unix socket's mode.
            group: A unix socket's group; None: ours.
            prepare: Called each time before it is opened; may raise ListenerError, and then it isn't.
        """
        self.address = address
        self.sock: socket.socket | None = None
        self.problem: str | None = "not open yet"
        self._perm = perm
        self._group = group
        self._prepare = prepare
        self._file: _FileId | None = None
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self.due = 0.0
        self._kind = _KINDS[address.kind] if isinstance(address, UnixAddress) else socket.SOCK_STREAM
        self._target = address.path if isinstance(address, UnixAddress) else _resolve(address)

    def attend(self, now: float) -> bool:
        """Open it where it should be open and is not, as often as the back-off lets; look after its file.

        Returns:
            Whether `sock` or `problem` changed.
        """
        if now < self.due:
            return False
        before = self.sock, self.problem
        if self.sock is None:
            self._try_open(now)
        else:
            self._check_file(now)
        return (self.sock, self.problem) != before

    def give(self, perm: int, group: str | None) -> None:
        """Change a unix socket's mode and group where it stands; a failure closes it, to be tried again."""
        self._perm, self._group = perm, group
        if self.sock is not None and isinstance(self._target, Path):
            try:
                _give(self._target, perm, group_id(group))
            except (OSError, ListenerError) as error:
                self.fail(_why(error))

    def accept(self, most: int) -> Iterator[socket.socket]:
        """Accept connections that wait; where that fails for want of descriptors or memory, the listener closes.

        Without the pause that this makes, whoever waits for connections would spin.

        Args:
            most: How many at once.
        """
        for _ in range(most):
            assert self.sock is not None
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self.fail(f"can't accept connections: {error.strerror}")
                return
            yield sock

    def fail(self, problem: str) -> None:
        """Close it because of a problem; it is tried again after the shortest delay."""
        self.close()
        self.problem = problem
        self._backoff.reset()
        self.due = 0.0

    def close(self) -> None:
        """Stop listening; the socket file goes with it, unless it is another process's by now."""
        if self.sock is None:
            return
        if isinstance(self._target, Path) and self._file == _file_id(self._target):
            with contextlib.suppress(OSError):  # the folder became read-only: the next process replaces a dead socket
                self._target.unlink()
        self.sock.close()
        self.sock = None
        self.problem = "closed"

    def _try_open(self, now: float) -> None:
        try:
            if self._prepare is not None:
                self._prepare()
            if isinstance(self._target, Path):
                self.sock, self._file = _open_unix(self._target, self._kind, self._perm, self._group)
            elif isinstance(self.address, UdpAddress):
                self.sock = _open_udp(self._target)
            else:
                self.sock = _open_tcp(self._target)
        except (OSError, ListenerError) as error:
            self.problem = _why(error)
            self.due = now + self._backoff.next()
        else:
            self.problem = None
            self._backoff.reset()
            self.due = now + CHECK_S

    def _check_file(self, now: float) -> None:
        """Notice that the socket's file was removed or replaced: nobody can reach it then, and nothing else tells."""
        self.due = now + CHECK_S
        if isinstance(self._target, Path) and self._file != _file_id(self._target):
            self.fail("the socket file was removed or replaced by another process")


def listen_tcp(endpoints: Iterable[tuple[int, tuple[Any, ...]]]) -> list[socket.socket]:
    """Listen at every address of a host: IPv6 beside IPv4, not for it.

    Args:
        endpoints: Family and address of each, as of `getaddrinfo`; one that stands there twice counts once.

    Returns:
        Sockets that don't block.

    Raises:
        OSError: One of them can't be had, and then none is kept.
    """
    with contextlib.ExitStack() as undo:
        bound = [
            undo.enter_context(_listen_tcp(family, address, v6_only=True))
            for family, address in dict.fromkeys(endpoints)
        ]
        undo.pop_all()
    return bound


def peer_text(sock: socket.socket) -> str:
    """Name whoever is connected, in printable ASCII: address and port, or the process behind a unix socket."""
    if sock.family != socket.AF_UNIX:
        address, port = peer_address(sock), sock.getpeername()[1]
        return join_port(str(address), port)
    pid, _, _ = peer_credentials(sock)
    try:
        comm = Path(f"/proc/{pid}/comm").read_bytes().strip()
    except OSError:  # it has ended, or lives in another pid namespace
        comm = b"process"
    name = "".join(chr(byte) if 0x20 < byte < 0x7F else "?" for byte in comm)
    return f"{name}[{pid}]"


def peer_credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Give pid, uid and gid of the process behind a unix socket, as they were when it connected (unix(7)).

    Raises:
        OSError: The connection is gone already.
    """
    pid, uid, gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return pid, uid, gid


def peer_address(sock: socket.socket) -> IPAddress:
    """The address behind a TCP connection; IPv4 is IPv4 over a listener on [::] as well."""
    address = ipaddress.ip_address(sock.getpeername()[0].partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel notice a TCP sender that is gone without a word."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _resolve(address: TcpAddress | UdpAddress) -> _Endpoint | ListenerError:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return ListenerError(f"the host name can't be resolved ({_why(error)}): write its address")
    return found[0][0], found[0][4]


def _open_unix(path: Path, kind: int, perm: int, group: str | None) -> tuple[socket.socket, _FileId | None]:
    """Listen on a unix socket that nobody else can connect to before it has its mode and group."""
    gid = group_id(group)
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK))
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # before anybody can send
        os.fchmod(sock.fileno(), perm & _OWNER_ONLY)  # Linux makes the file with this mode, less the umask
        _bind_unix(sock, path)
        undo.callback(path.unlink, missing_ok=True)
        file = _file_id(path)
        _give(path, perm, gid)
        if kind != socket.SOCK_DGRAM:
            sock.listen(BACKLOG)
        undo.pop_all()
    return sock, file


def _open_udp(endpoint: _Endpoint | ListenerError) -> socket.socket:
    """Open a UDP socket; nobody shares its port."""
    if isinstance(endpoint, ListenerError):
        raise endpoint
    family, address = endpoint
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
        sock.bind(address)
        undo.pop_all()
    return sock


def _open_tcp(endpoint: _Endpoint | ListenerError) -> socket.socket:
    """Listen on TCP; [::] takes IPv4 as well, unless another listener has the port there."""
    if isinstance(endpoint, ListenerError):
        raise endpoint
    family, address = endpoint
    if family == socket.AF_INET6 and address[0] == "::":
        with contextlib.suppress(OSError):
            return _listen_tcp(family, address, v6_only=False)
    return _listen_tcp(family, address, v6_only=True)


def _listen_tcp(family: int, address: tuple[Any, ...], *, v6_only: bool) -> socket.socket:
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        sock.bind(address)
        sock.listen(BACKLOG)
        undo.pop_all()
    return sock


def _bind_unix(sock: socket.socket, path: Path) -> None:
    try:
        sock.bind(str(path))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _remove_stale(path)
        sock.bind(str(path))


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a dead process.

    Raises:
        ListenerError: It is no socket, or a live one; it is left alone.
    """
    found = _file_id(path)
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise ListenerError("something that is no socket has this name: remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(str(path))
    if code != errno.ECONNREFUSED:
        reason = f"its answer: {os.strerror(code)}" if code else "it accepts connections"
        raise ListenerError(f"another process listens on it ({reason})")
    if _file_id(path) == found:
        path.unlink()


def _give(path: Path, perm: int, gid: int) -> None:
    """Set mode and group; in between only the owner may connect, so it is never more open than asked for."""
    path.chmod(perm & _OWNER_ONLY)
    give_to_group(path, gid)
    path.chmod(perm)


def give_to_group(made: Path | int, gid: int) -> None:
    """Change the group of a file or folder of ours.

    Args:
        made: Its path, or a descriptor of it.
        gid: The group's number; -1: it stays as it is.

    Raises:
        ListenerError: The user of this process is no member of that group.
    """
    try:
        os.chown(made, -1, gid)
    except PermissionError:
        raise ListenerError(no_member_text(gid)) from None


def no_member_text(gid: int) -> str:
    """Say why nothing can be given to a group, and what to do."""
    user = user_name(os.geteuid()) or str(os.geteuid())
    group = _group_name(gid)
    reason = f"may not give it to group {group}: the user {user} is no member of it, or was none when this started"
    return f"{reason} (usermod -aG {group} {user}, and restart)"


def group_id(group: str | None) -> int:
    """Give a group's number; -1, which leaves the group as it is, for none."""
    if group is None:
        return -1
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenerError(f"the group {group!r} does not exist") from None


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_name(uid: int) -> str | None:
    """Find the name of a user of this system; None: there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _file_id(path: Path) -> _FileId | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _why(error: OSError | ListenerError) -> str:
    """The reason in words for an operator."""
    if isinstance(error, ListenerError):
        return str(error)
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)
