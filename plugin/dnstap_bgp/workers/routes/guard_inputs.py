"""Inputs of the guard: our own addresses, neighbors, peers and resolvers, as learnt; no thread of its own."""

import logging
import socket
import struct
from collections.abc import Mapping

from dnstap_bgp.config import Config, DnstapConfig, policies
from dnstap_bgp.core.model import Address, Prefix
from dnstap_bgp.core.routes import refusal_texts
from dnstap_bgp.core.routes.policy import Policies, RefusedPrefix
from dnstap_bgp.core.tap.trust import ResolverAddresses, Trust
from dnstap_bgp.core.text import prefix_text
from dnstap_bgp.workers.process.clocks import process_clock

logger = logging.getLogger(__name__)

PREFIXES_LOGGED = 20
"""Static prefixes that are refused, one by one in the log; the rest is only counted."""


class GuardInputs:
    """Learns which addresses must not become a route; for the main thread.

    The tap adds to the resolvers' addresses meanwhile, which whoever asks the guard reads.
    """

    def __init__(self) -> None:
        """Look at this machine's addresses."""
        self._neighbors: frozenset[Address] = frozenset()
        self._own: frozenset[Address] = frozenset()
        self._own_error = ""
        self._resolvers = ResolverAddresses()
        self._resolvers_known: frozenset[Address] = frozenset()
        self._refused: list[RefusedPrefix] = []
        self._look_at_own()

    def learn(self, neighbors: frozenset[Address]) -> bool:
        """Take note of what must not become a route, or stay one.

        Args:
            neighbors: ExaBGP's neighbors, and our ends of their sessions.

        Returns:
            Whether that, this machine's own addresses, or those that answers come from, are others than before.
        """
        before = self._neighbors, self._own, self._resolvers_known
        self._neighbors = neighbors
        self._resolvers.age(process_clock())
        self._resolvers_known = frozenset(self._resolvers)
        self._look_at_own()
        return (self._neighbors, self._own, self._resolvers_known) != before

    @property
    def protected(self) -> frozenset[Address]:
        """Addresses that were learnt: of neighbors, of their sessions' other ends, this machine's, and resolvers'."""
        return self._neighbors | self._own | self._resolvers_known

    def policies(self, config: Config, prefixes: Mapping[str, tuple[Prefix, ...]]) -> Policies:
        """Put the policies of a configuration together, given all that was learnt.

        Args:
            config: The configuration.
            prefixes: List name -> the static prefixes in its sources; those in the file itself come before them.
        """
        guard = policies.guard(config, (*self._neighbors, *self._own), self._resolvers)
        written = policies.static_prefixes(config)
        lists, caps = policies.list_policies(config), policies.caps(config)
        return Policies(lists, guard, caps, written, prefixes, budgets=config.bgp.budgets)

    def log_refused(self, policies: Policies) -> None:
        """Log which static prefixes are not announced, but for those that were logged the last time."""
        before, self._refused = set(self._refused), policies.refused
        new = [refused for refused in policies.refused if refused not in before]
        for refused in new[:PREFIXES_LOGGED]:
            text = "list %s: %s is not announced: %s"
            said = refusal_texts.sentence(refused.reason, refused.prefix)
            logger.warning(text, refused.list, prefix_text(refused.prefix), said)
        if len(new) > PREFIXES_LOGGED:
            logger.warning("%d static prefixes are not announced in all", len(policies.refused))

    def trust(self, config: DnstapConfig) -> Trust:
        """Make the judge of whose answers count."""
        identities = frozenset(identity.encode() for identity in config.identities)
        return Trust(identities, rewritten=config.rewritten, resolvers=self._resolvers)

    def _look_at_own(self) -> None:
        try:
            self._own = own_addresses()
        except OSError as error:
            if not self._own and str(error) != self._own_error:  # this is tried every second
                self._own_error = str(error)
                logger.warning("this machine's addresses are not known, and so not protected: %s", error)


_GETADDR, _NEWADDR, _DONE, _ERROR = 22, 20, 3, 2
_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_IFADDR = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_DATAGRAM_MAX_BYTES = 1 << 16
_DATAGRAMS_MAX = 1024  # some 100 addresses in each
_WAIT_S = 1.0


def own_addresses() -> frozenset[Address]:
    """Ask the kernel for every IPv4 and IPv6 address that an interface has (rtnetlink(7), RTM_GETADDR).

    Returns:
        Packed addresses.

    Raises:
        OSError: The kernel doesn't say.
    """
    found: set[Address] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(_WAIT_S)
        request = _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(request), _GETADDR, _REQUEST_DUMP, 1, 0) + request)
        for _ in range(_DATAGRAMS_MAX):
            if _read(netlink.recv(_DATAGRAM_MAX_BYTES), found):
                break
    return frozenset(found)


def _read(datagram: bytes, found: set[Address]) -> bool:
    """Take the addresses out of one datagram; tell whether it was the last."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        if kind in (_DONE, _ERROR) or length < _HEADER.size:
            return True
        if kind == _NEWADDR:
            attributes = _attributes(datagram[at + _HEADER.size + _IFADDR.size : at + length])
            address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)  # of a point-to-point link: the first
            if address is not None:
                found.add(address)
        at += _aligned(length)
    return False


def _attributes(data: bytes) -> dict[int, bytes]:
    attributes = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return attributes


def _aligned(length: int) -> int:
    return -(-length // 4) * 4
