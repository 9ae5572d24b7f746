"""Carriers without connections: unix datagrams, with the sender's credentials, and UDP on loopback with a token.

Of a unix datagram the kernel tells who has sent it (SCM_CREDENTIALS, unix(7)). A reply goes to a socket in the folder
of the configuration alone: to the sender's own, or where that has no name (dnsdist), to the one named as the hook. It
has to belong to the sender's user and is reached without following a link; so nobody can have us write to the socket of
somebody else.
"""

import errno
import grp
import hmac
import os
import pwd
import secrets
import socket
import stat
import threading
from collections import Counter, deque
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dnstap_bgp.core.hold.message import QUESTION_MAX_BYTES, TOKEN_BYTES, read_question
from dnstap_bgp.errors import HoldMessageError, ListenerError
from dnstap_bgp.workers.hold.carriers import Ask
from dnstap_bgp.workers.net.listeners import UCRED, give_to_group, no_member_text
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.runtime import write_atomically

TURN_MAX = 16
"""Datagrams that one turn takes: a flood doesn't keep those who wait for their replies waiting longer."""

UNSENT_S = 0.2
"""A reply that its socket's queue has no room for is tried again for so long: the longest that a question may wait."""
UNSENT_MAX = 4096
"""Of such replies, in all: as many as questions may wait."""
RETRY_S = 0.001
"""Between two attempts: nothing tells when a queue has room again."""

LOOK_AGAIN_S = 10.0
"""Between two lookups of a group's members, however many strangers send."""

_TOKEN_FILE_MODE = 0o640
_TOKEN_FILE_MAX_BYTES = 4096


class AdmittedUsers:
    """The users whose datagrams count: root, ours, and those of the socket's group.

    The group's members are looked up when the socket opens; a stranger has them looked up again, at most once in
    LOOK_AGAIN_S, so that somebody who was added meanwhile is let in. That may take a directory server's time, so it is
    done in a thread of its own, and that datagram of the stranger's does not count yet.

    Attributes:
        gid: The group; whoever has it as its own counts, too.
    """

    def __init__(self, gid: int) -> None:
        self.gid = gid if gid >= 0 else os.getegid()
        self._ours = frozenset((0, os.geteuid()))
        self._members = _members(self.gid)
        self._looking = threading.Thread()
        self._due = process_clock() + LOOK_AGAIN_S

    def count(self, uid: int, gid: int) -> bool:
        """Tell whether the datagrams of a process with these credentials count."""
        if gid == self.gid or uid in self._ours or uid in self._members:
            return True
        now = process_clock()
        if now >= self._due and not self._looking.is_alive():
            self._due = now + LOOK_AGAIN_S
            # a daemon: nothing can end a lookup that hangs, and the process has to end in spite of it
            self._looking = threading.Thread(target=self._look_again, name="hold-group", daemon=True)
            self._looking.start()
        return False

    def _look_again(self) -> None:
        self._members = _members(self.gid)


def _members(gid: int) -> frozenset[int]:
    """Look up the users that a group has as its members; none where there is no such group."""
    found = set()
    with suppress(KeyError):
        for name in grp.getgrgid(gid).gr_mem:
            with suppress(KeyError):
                found.add(pwd.getpwnam(name).pw_uid)
    return frozenset(found)


class UnixDatagrams:
    """A unix socket of datagrams: each is a question."""

    def __init__(
        self, sock: socket.socket, folder: Path, senders: AdmittedUsers, ask: Ask, refused: Counter[str]
    ) -> None:
        """Take over a bound socket that has SO_PASSCRED set.

        Args:
            sock: The socket; stays the caller's.
            folder: Where replies may go.
            senders: Whose datagrams count.
            ask: Takes each message.
            refused: Counts what is turned away, by reason.
        """
        self._sock = sock
        self._folder = str(folder)
        self._senders = senders
        self._ask = ask
        self._refused = refused
        self._unsent: dict[tuple[str, int], deque[tuple[float, bytes]]] = {}  # path, user -> until when, reply
        self._unsent_count = 0

    @property
    def has_unsent(self) -> bool:
        """Tell whether replies wait for room in their sockets' queues."""
        return bool(self._unsent)

    def receive(self) -> None:
        """Take some datagrams."""
        for _ in range(TURN_MAX):
            try:
                data, ancillary, _, address = self._sock.recvmsg(QUESTION_MAX_BYTES + 1, socket.CMSG_SPACE(UCRED.size))
            except OSError:
                return
            self._take(data, ancillary, address)

    def reply(self, data: bytes, path: str, uid: int) -> bool:
        """Send a reply to a user's socket; tells whether it was sent, or is tried again by `retry`.

        A queue holds `net.unix.max_dgram_qlen` datagrams, 10 where nobody has set more: a burst that settles at one
        moment is more than that.
        """
        queue = self._unsent.get((path, uid))
        is_sent = self._send(data, path, uid) if queue is None else None  # behind those that came before
        if is_sent is not None:
            return is_sent
        if self._unsent_count >= UNSENT_MAX:
            self._refused["reply queue"] += 1
            return False
        self._unsent.setdefault((path, uid), deque()).append((process_clock() + UNSENT_S, data))
        self._unsent_count += 1
        return True

    def retry(self, now: float) -> None:
        """Send what found no room, as far as there is some by now; give up what is too old."""
        for (path, uid), queue in list(self._unsent.items()):
            while queue:
                until, data = queue[0]
                if self._send(data, path, uid) is None:
                    if now < until:
                        break
                    self._refused["reply queue"] += 1
                queue.popleft()
                self._unsent_count -= 1
            if not queue:
                del self._unsent[path, uid]

    def _send(self, data: bytes, path: str, uid: int) -> bool | None:
        """Send a reply at once; None: there is no room for it now."""
        try:
            fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            found = os.fstat(fd)
            if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
                self._refused["reply path"] += 1
                return False
            # by the descriptor: the path may be another's by now
            return self._sock.sendto(data, f"/proc/self/fd/{fd}") == len(data)
        except OSError as error:
            return None if error.errno in (errno.EAGAIN, errno.ENOBUFS) else False
        finally:
            os.close(fd)

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]], address: object) -> None:
        credentials = [
            UCRED.unpack(value)
            for level, kind, value in ancillary
            if (level, kind, len(value)) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, UCRED.size)
        ]
        if not credentials or not self._senders.count(credentials[0][1], credentials[0][2]):
            self._refused["sender"] += 1
            return
        uid = credentials[0][1]
        path = self._path(data, address)
        if path is None:
            self._refused["reply path"] += 1
            return
        self._ask(data, _Sender(self, path, uid))

    def _path(self, data: bytes, address: object) -> str | None:
        """Find the socket that a reply goes to; None: none that may be."""
        if not address:
            try:
                name = read_question(data).hook
            except HoldMessageError:
                name = ""
        elif isinstance(address, str):
            folder, _, name = address.rpartition("/")
            if folder != self._folder:
                return None
        else:  # an abstract one has no folder
            return None
        return None if name in ("", ".", "..") else f"{self._folder}/{name}"


class _Sender:
    """A sender of unix datagrams."""

    __slots__ = ("_carrier", "_path", "_uid", "owner")

    def __init__(self, carrier: UnixDatagrams, path: str, uid: int) -> None:
        self.owner: Hashable = ("uid", uid)
        self._carrier, self._path, self._uid = carrier, path, uid

    def reply(self, data: bytes) -> bool:
        """Send a reply, now or when there is room for it; tells whether that may be."""
        return self._carrier.reply(data, self._path, self._uid)


class UdpQuestions:
    """A UDP socket on loopback: each datagram is the token and a question."""

    def __init__(self, sock: socket.socket, token: bytes, ask: Ask, refused: Counter[str]) -> None:
        self._sock = sock
        self._token = token
        self._ask = ask
        self._refused = refused

    def receive(self) -> None:
        """Take some datagrams."""
        for _ in range(TURN_MAX):
            try:
                data, address = self._sock.recvfrom(TOKEN_BYTES + QUESTION_MAX_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of a reply before
                continue
            if not hmac.compare_digest(data[:TOKEN_BYTES], self._token):
                self._refused["token"] += 1
                continue
            self._ask(data[TOKEN_BYTES:], _UdpSender(self._sock, address))


class _UdpSender:
    """A sender over UDP."""

    __slots__ = ("_address", "_sock", "owner")

    def __init__(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        self.owner: Hashable = ("udp", address)
        self._sock, self._address = sock, address

    def reply(self, data: bytes) -> bool:
        """Send a reply at once, or not at all; tells whether it was sent."""
        with suppress(OSError):
            return self._sock.sendto(data, self._address) == len(data)
        return False


def ensure_folder(folder: Path, gid: int) -> None:
    """Make the folder of the hooks' sockets, where it is missing, and have it belong to our user and the group.

    Raises:
        ListenerError: It can't be made, or is no folder.
    """
    try:
        folder.mkdir(mode=0o770)
        folder.chmod(0o770)  # whatever the umask
    except FileExistsError:
        if not os.path.isdir(folder):  # noqa: PTH112 - `Path.is_dir` raises behind a link to where we may not look
            raise ListenerError(f"reply_folder {folder} is no folder") from None
    except OSError as error:
        raise ListenerError(f"reply_folder {folder} can't be made: {error.strerror}") from None
    _give_ours(folder, gid, f"reply_folder {folder}")


def ensure_token(path: Path, gid: int) -> bytes:
    """Read the token of questions over UDP; make it where the file is missing, whole or not at all.

    Returns:
        16 bytes.

    Raises:
        ListenerError: The file can't be read or made, or holds something else.
    """
    if not os.path.lexists(path):  # `Path.exists` follows a link, which would be replaced
        try:
            # The group's from the beginning: our own may have resolvers in it, which are to know no token.
            write_atomically(path, f"{secrets.token_hex(TOKEN_BYTES)}\n", _TOKEN_FILE_MODE, gid=gid, durable=True)
        except OSError as error:
            is_of_group = error.errno == errno.EPERM and error.filename is None  # of a descriptor
            reason = no_member_text(gid) if is_of_group else error.strerror
            raise ListenerError(f"token_file {path} can't be made: {reason}") from None
    return _read_token(path, gid)


def _give_ours(made: Path | int, gid: int, name: str) -> None:
    """Give what belongs to our user to the group, also what was made for another one; leave what is somebody else's."""
    found = os.stat(made)  # noqa: PTH116 - a descriptor, too
    if gid < 0 or found.st_uid != os.geteuid() or found.st_gid == gid:
        return
    try:
        give_to_group(made, gid)
    except ListenerError as error:
        raise ListenerError(f"{name}: {error}") from None
    except OSError as error:
        if error.errno != errno.EROFS:  # such a mount is as its operator has made it
            raise ListenerError(f"{name} can't be given to group {gid}: {error.strerror}") from None


def _read_token(path: Path, gid: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ListenerError(f"token_file {path} is no regular file")
            _give_ours(fd, gid, f"token_file {path}")
            content = os.read(fd, _TOKEN_FILE_MAX_BYTES)
        finally:
            os.close(fd)
        token = bytes.fromhex(content.decode("ascii").strip())
    except OSError as error:
        raise ListenerError(f"token_file {path} can't be read: {error.strerror}") from None
    except ValueError:
        token = b""
    if len(token) != TOKEN_BYTES:
        raise ListenerError(f"token_file {path} does not hold {2 * TOKEN_BYTES} hexadecimal digits")
    return token
