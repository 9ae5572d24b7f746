"""Endpoints of the hold service: its listeners and the connections of hooks; all of it in the hold thread.

A listener is opened and tried again as the tap's are. What it needs beside its socket (a token, a certificate, a folder
for replies) is looked at each time it opens; where that changes with a reload, it is closed and opened anew.
"""

import contextlib
import functools
import logging
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from dnstap_bgp.config import Config, HoldAddress, HoldConfig, TcpAddress, UdpAddress, UnixAddress
from dnstap_bgp.core.status.report import ListenerStatus
from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.hold.carriers import Ask, Asker, HookConnection, PacketConnection
from dnstap_bgp.workers.hold.datagrams import AdmittedUsers, UdpQuestions, UnixDatagrams, ensure_folder, ensure_token
from dnstap_bgp.workers.net.fair_share import crowding, most_of, owner_of
from dnstap_bgp.workers.net.listeners import Listener, group_id, keep_alive, peer_address, peer_text
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog

if TYPE_CHECKING:
    from dnstap_bgp.workers.hold.tls_carrier import HoldTls

ACCEPTS_PER_TURN = 8
"""Connections that one turn of a listener accepts: a flood of them doesn't keep questions waiting."""


class Endpoints:
    """Listeners of the hold service, and the connections of hooks."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        ask: Ask,
        on_end: Callable[[Asker], None],
        refused: Counter[str],
        log: RateLimitedLog,
    ) -> None:
        """Make it; nothing is open before the first `apply`.

        Args:
            selector: Whose events are the callbacks that it registers.
            ask: Takes each message.
            on_end: Told of a connection that has ended.
            refused: Counts what is turned away, by reason.
            log: For what operators should know.
        """
        self._selector = selector
        self._ask = ask
        self._on_end = on_end
        self._refused = refused
        self._log = log
        self._config: Config | None = None
        self._listeners: list[Listener] = []
        self._connections: dict[HookConnection, None] = {}  # oldest first
        self._unfinished: dict[HookConnection, None] = {}  # has messages that no selector tells of
        self._shaking: dict[HookConnection, None] = {}  # something of a handshake has come; the first one is the next
        self._datagrams: dict[socket.socket, UnixDatagrams] = {}
        self._senders: AdmittedUsers | None = None
        self._token = b""
        self._tls: HoldTls | None = None

    def __len__(self) -> int:
        """Count the connections."""
        return len(self._connections)

    # -- any thread

    def listeners_of(self, config: Config) -> list[Listener]:
        """Make the listeners of a configuration, none open yet; may take seconds where a host name must be resolved."""
        hold = config.hold
        return [] if hold is None else [self._listener(config, hold, at) for at in hold.listen]

    def status(self) -> tuple[ListenerStatus, ...]:
        """Copy how the listeners stand."""
        return tuple(ListenerStatus(str(one.address), one.problem) for one in list(self._listeners))

    # -- the thread

    def apply(self, config: Config, listeners: list[Listener]) -> None:
        """Keep the open listeners that are still wanted as they are, close the others, take the new ones."""
        standing = {}
        if self._config is not None and _opened_with(self._config) == _opened_with(config):
            standing = {one.address: one for one in self._listeners if one.sock is not None}
        self._config = config
        old, self._listeners = self._listeners, [standing.get(one.address, one) for one in listeners]
        for gone in old:
            if gone not in self._listeners:
                self._close_listener(gone)
        if config.hold is None:
            for connection in list(self._connections):
                self._drop(connection)

    def attend(self, now: float) -> None:
        """Open what is to be open, and close what has passed its deadline."""
        for listener in self._listeners:
            before = listener.sock
            if listener.attend(now):
                self._follow(listener, before)
        deadlines = [(one, one.deadline) for one in self._connections]
        for connection in [one for one, deadline in deadlines if deadline is not None and deadline <= now]:
            self._refused["slow"] += 1
            self._drop(connection)

    @property
    def has_more(self) -> bool:
        """Tell whether messages are here that no selector tells of."""
        return bool(self._unfinished)

    @property
    def has_unsent(self) -> bool:
        """Tell whether replies wait for room, of which no selector tells either: each RETRY_S they are tried again."""
        return any(one.has_unsent for one in self._datagrams.values())

    def retry(self, now: float) -> None:
        """Try those replies again."""
        for carrier in self._datagrams.values():
            carrier.retry(now)

    def take_more(self) -> None:
        """Give a turn to each connection with such messages."""
        unfinished, self._unfinished = self._unfinished, {}
        for connection in unfinished:
            self._receive(connection)

    def shake_hands(self) -> bool:
        """Take one step of one handshake, the one that waits for longest; False: there is none.

        One in each round of the selector: a stranger's takes some ms before it fails, and a flood of them would keep
        each question waiting for all that came before it.
        """
        connection = next(iter(self._shaking), None)
        if connection is None:
            return False
        del self._shaking[connection]
        self._take_turn(connection)
        return True

    def close(self) -> None:
        """Close all."""
        for listener in self._listeners:
            self._close_listener(listener)
        for connection in list(self._connections):
            self._drop(connection)

    # -- listeners

    def _listener(self, config: Config, hold: HoldConfig, address: HoldAddress) -> Listener:
        """Make a listener, and what has to be there before it opens; that runs in the hold thread.

        A group's members are looked up here, since that may take a directory server's time, in which nobody would be
        answered; in the hold thread only where the group was not there yet.
        """
        admitted: AdmittedUsers | None = None
        if isinstance(address, UnixAddress) and address.kind == "dgram":
            with contextlib.suppress(ListenerError):
                admitted = AdmittedUsers(group_id(hold.group))

        def prepare() -> None:
            if isinstance(address, UdpAddress):
                self._token = ensure_token(config.hold_token_file, group_id(hold.group))
            elif isinstance(address, TcpAddress):
                from dnstap_bgp.workers.hold.tls_carrier import HoldTls  # noqa: PLC0415 - ssl takes 5 MB

                self._tls = HoldTls(hold)
            elif address.kind == "dgram":
                assert hold.reply_folder is not None, "the configuration refuses datagrams without it"
                ensure_folder(hold.reply_folder, group_id(hold.group))
                self._senders = admitted or AdmittedUsers(group_id(hold.group))

        return Listener(address, hold.perm, hold.group, prepare)

    def _follow(self, listener: Listener, before: socket.socket | None) -> None:
        """Bring the selector in line with a listener that was opened or has failed, and say so."""
        if before is not None:
            self._selector.unregister(before)
            self._datagrams.pop(before, None)
        if listener.sock is not None:
            self._selector.register(listener.sock, selectors.EVENT_READ, self._receiver(listener, listener.sock))
            self._log.log(logging.INFO, f"open {listener.address}", "hooks may ask at %s", listener.address)
        else:
            text = "hooks can't ask at %s: %s; trying again"
            self._log.log(logging.WARNING, f"closed {listener.address}", text, listener.address, listener.problem)

    def _receiver(self, listener: Listener, sock: socket.socket) -> Callable[[], None]:
        """Choose what takes from a listener's socket: datagrams, or connections."""
        address = listener.address
        if isinstance(address, UdpAddress):
            return UdpQuestions(sock, self._token, self._ask, self._refused).receive
        if isinstance(address, UnixAddress) and address.kind == "dgram":
            assert self._hold.reply_folder is not None
            assert self._senders is not None, "the listener opened after they were looked up"
            carrier = UnixDatagrams(sock, self._hold.reply_folder, self._senders, self._ask, self._refused)
            self._datagrams[sock] = carrier
            return carrier.receive
        return functools.partial(self._accept, listener)

    @property
    def _hold(self) -> HoldConfig:
        assert self._config is not None, "it was applied before anything was opened"
        assert self._config.hold is not None, "or nothing would be open"
        return self._config.hold

    def _close_listener(self, listener: Listener) -> None:
        if listener.sock is not None:
            self._selector.unregister(listener.sock)
            self._datagrams.pop(listener.sock, None)
            listener.close()

    # -- connections

    def _accept(self, listener: Listener) -> None:
        before = listener.sock
        for sock in listener.accept(ACCEPTS_PER_TURN):
            self._admit(sock)
        if listener.sock is None:
            self._follow(listener, before)

    def _admit(self, sock: socket.socket) -> None:
        """Take over a socket that was just accepted: register it, or close it."""
        try:
            sock.settimeout(0)
            owner, reason = owner_of(sock), ""
            if sock.family != socket.AF_UNIX:
                allow = self._hold.allow
                if allow and not any(peer_address(sock) in network for network in allow):
                    reason = "not allowed"
                keep_alive(sock)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # it is gone already
            sock.close()
            return
        if not reason and not self._make_room(owner):
            reason = "limit"
        if reason:
            self._refused[reason] += 1
            sock.close()
            return
        connection = self._connection(sock, owner)
        self._connections[connection] = None
        self._selector.register(sock, selectors.EVENT_READ, functools.partial(self._receive, connection))

    def _connection(self, sock: socket.socket, owner: Hashable) -> HookConnection:
        if sock.family == socket.AF_UNIX:
            return PacketConnection(sock, owner, self._ask, self._drop)
        from dnstap_bgp.workers.hold.tls_carrier import TlsConnection  # noqa: PLC0415 - as above

        assert self._tls is not None, "the listener opened after it was made"
        return TlsConnection(sock, self._tls.wire(sock), owner, ask=self._ask, on_end=self._drop, clock=process_clock)

    def _receive(self, connection: HookConnection) -> None:
        """Take one turn of one connection; a handshake waits for its own."""
        if connection.is_shaking_hands:
            self._shaking[connection] = None
        else:
            self._take_turn(connection)

    def _take_turn(self, connection: HookConnection) -> None:
        connection.receive()
        if connection.is_open and connection.has_more:
            self._unfinished[connection] = None

    def _make_room(self, newcomer: Hashable) -> bool:
        """Have a place for a newcomer: the oldest of whoever has most gives way, first one that has asked nothing."""
        connections = self._connections
        if len(connections) < self._hold.connections_max:
            return True
        silent = [one for one in connections if not one.asked]
        if silent:
            owner: Hashable | None = most_of(one.owner for one in silent)
        else:
            owner = crowding([one.owner for one in connections], newcomer)
        displaced = next((one for one in silent or connections if owner is not None and one.owner == owner), None)
        if displaced is None:
            return False
        self._refused["crowded"] += 1
        self._drop(displaced)
        return True

    def _drop(self, connection: HookConnection) -> None:
        """Close a connection; what it asked is answered by nobody any more."""
        if not connection.is_open:
            return
        connection.is_open = False
        self._connections.pop(connection, None)
        self._shaking.pop(connection, None)
        self._selector.unregister(connection.sock)
        if connection.problem:
            self._refused["broken"] += 1
            with contextlib.suppress(OSError):
                who = peer_text(connection.sock)
                self._log.log(logging.WARNING, "broken", "a hook's connection from %s: %s", who, connection.problem)
        connection.sock.close()
        self._on_end(connection)


def _opened_with(config: Config) -> tuple[object, ...]:
    """Gather what a listener is opened with, beside its address."""
    hold = config.hold
    if hold is None:
        return ()
    files = hold.tls_cert, hold.tls_key, hold.tls_client_ca, hold.reply_folder, config.hold_token_file
    return *files, hold.perm, hold.group
