"""Patches of ExaBGP that make it faster, and outlive us: named, tried with named versions, and left out elsewhere.

    patch               what ExaBGP does without it                 measured with 5.0.15 and 100,000 routes
    full-collections    full garbage collections, one after the     a fresh address during a bulk load, p95: 7 to 10 ms
                        other while its table grows                 in place of 166 to 223 (bench, router)
    no-delay            no TCP_NODELAY on sessions that it opens:   the second of two updates: 1 ms in place of up to 43
                        an update waits for the ACK of the last
    shared-attributes   copies each route for each neighbor, with   10,600 to 11,100 routes/s in place of 5,400 to
                        attributes and all                          6,100; resident 102 MB in place of 305
    known-families      makes a family out of a new AFI and SAFI    with the copies by hand of shared-attributes, and
                        five times a route and neighbor             20,000 routes: 26 us of CPU a route in place of
                                                                    31; two neighbors: 37 in place of 46
    ended-process       gives up all neighbors until its restart    50 answers of `show neighbor json` to a process that
                        if it writes over 8 KiB to an api process   has just died: no session ends
                        before it has seen that this has ended

Each patch of code looks first whether the code is the one that it was written for: by ExaBGP's version, and by a digest
of the function's source. What isn't stays as it is, and the reason is told, in the log and by `dnstap-bgp status`.
`[process] patches = false` leaves all of them out.
"""

import gc
import hashlib
import inspect
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

TRIED: Final = frozenset({"5.0.15"})
"""Versions of ExaBGP with which the tests compare patched and unpatched runs."""

GC_THRESHOLDS: Final = (700, 10, 1000)
"""Python's own, but for the last: a full collection after a hundred times as many. ExaBGP's table is made of many small
objects, and a full collection looks at all of them: 100 to 200 ms at 20,000 routes, in which nothing is sent."""

_REMOVE_SELF: Final = "cbd04747e6f3e834"
_CONNECT: Final = "0c1ab487dd2c796a"
_WRITE: Final = "59a9a5eb6dfdcd34"
_FAMILY: Final = "137dc8f00d925c6e", "68fe5bba820e5f61", "e3572ad165fdaab7", "4fac2e5ab4213303"
"""Of `Family.family`, `Family.__init__`, and the two `create` that it calls."""


class NotAsTriedError(Exception):
    """The code that a patch replaces is not the code that it was written for."""


def apply(version: str) -> dict[str, str]:
    """Apply all patches to this process, before ExaBGP runs in it.

    Args:
        version: ExaBGP's.

    Returns:
        Name of each patch -> why it is not in force; empty: it is.
    """
    found = {}
    for name, patch in PATCHES.items():
        try:
            patch(version)
            found[name] = ""
        except (NotAsTriedError, ImportError, AttributeError) as error:
            found[name] = str(error)
    return found


def collect_rarely(_version: str) -> None:
    """Have full garbage collections come a hundred times more rarely; ExaBGP leaves hardly any cycles behind."""
    gc.set_threshold(*GC_THRESHOLDS)


def send_at_once(version: str) -> None:
    """Set TCP_NODELAY on the sessions that ExaBGP opens, as it does itself on those that it accepts."""
    from exabgp.reactor.network import outgoing  # noqa: PLC0415 - only ExaBGP's own process imports it

    original = outgoing.connect
    _require(version, original, _CONNECT)

    def connect(io: socket.socket, *arguments: Any) -> None:  # noqa: ANN401 - handed on as they are
        with suppress(OSError):  # a socket of another kind, or closed: what follows tells
            io.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        original(io, *arguments)

    outgoing.connect = connect


def share_attributes(version: str) -> None:
    """Have the routes of one line, and each route at all neighbors, share their attributes.

    ExaBGP copies the whole change for each neighbor (`Neighbor.remove_self`), as it may put its own address into it. A
    shallow copy of change and NLRI is enough where it doesn't. What ExaBGP changes in place afterwards:

    - `nlri.action` and `nlri.nexthop`: set on an NLRI of its own, the copy's;
    - attributes: `next-hop self` puts an address in, `watchdog` and `withdraw` of routes in a configuration file are
      taken out (`add_to_rib_watchdog`). Such changes are copied as before, and so is every kind of NLRI but an IPv4 or
      IPv6 prefix;
    - the cached texts of attributes: the same for all who share them.

    The copies are made by hand, which takes a third of what `copy.copy` takes for objects like these.
    """
    from exabgp.bgp.message.update.attribute import Attribute  # noqa: PLC0415 - as above
    from exabgp.bgp.message.update.nlri.inet import INET  # noqa: PLC0415 - as above
    from exabgp.bgp.neighbor import Neighbor  # noqa: PLC0415 - as above
    from exabgp.rib.change import Change  # noqa: PLC0415 - as above

    original = Neighbor.remove_self
    _require(version, original, _REMOVE_SELF)
    taken_out = Attribute.CODE.INTERNAL_WATCHDOG, Attribute.CODE.INTERNAL_WITHDRAW
    new: Callable[[type], Any] = object.__new__

    def remove_self(self: Any, changes: Any) -> Any:  # noqa: ANN401 - ExaBGP's own classes
        nlri, attributes = changes.nlri, changes.attributes
        is_plain = type(nlri) is INET and type(changes) is Change and not nlri.nexthop.SELF
        if not is_plain or any(code in attributes for code in taken_out):
            return original(self, changes)
        own, change = new(INET), new(Change)
        own.__dict__.update(nlri.__dict__)
        change.__dict__.update(changes.__dict__)
        change.nlri = own
        return change

    Neighbor.remove_self = remove_self


def know_families(version: str) -> None:
    """Look up a route's family where ExaBGP makes one (`Family.family`), five times for each route and neighbor.

    What it makes has the AFI and the SAFI of two tables that never change, where they have them; and so has this one.
    """
    from exabgp.protocol.family import AFI, SAFI, Family  # noqa: PLC0415 - as above

    original = Family.family
    for function, expected in zip((original, Family.__init__, AFI.create, SAFI.create), _FAMILY, strict=True):
        _require(version, function, expected)
    known = {(afi, safi): (afi, safi) for afi in AFI.cache.values() for safi in SAFI.cache.values()}
    new: Callable[[type], Any] = object.__new__

    def family(self: Any) -> Any:  # noqa: ANN401 - as above
        found = known.get((self.afi, self.safi))
        if found is None:
            return original(self)
        made = new(Family)
        made.afi, made.safi = found
        return made

    Family.family = family


def outlive_processes(version: str) -> None:
    """Have answers and events for an api process that has just ended go nowhere.

    ExaBGP's loop sees in its next turn that the process has ended, and starts the next one, or ends after too many. But
    if more than a pipe's buffer (8 KiB: one answer about a dozen neighbors) is written before that, ExaBGP marks the
    process as broken, never takes that back, and so stops each neighbor; or ends, where what it wrote was a signal.
    """
    from exabgp.reactor.api.processes import ProcessError, Processes  # noqa: PLC0415 - as above

    original = Processes.write
    _require(version, original, _WRITE)

    def write(self: Any, process: str, string: str | None, neighbor: Any = None) -> bool:  # noqa: ANN401 - as above
        marks = len(self._broken)
        try:
            return bool(original(self, process, string, neighbor))
        except ProcessError:
            del self._broken[marks:]
            return True

    Processes.write = write


PATCHES: Final[dict[str, Callable[[str], None]]] = {
    "full-collections": collect_rarely,
    "no-delay": send_at_once,
    "shared-attributes": share_attributes,
    "known-families": know_families,
    "ended-process": outlive_processes,
}


def digest(function: Callable[..., Any]) -> str:
    """Give the digest of a function's source by which a patch knows it.

    Raises:
        NotAsTriedError: There is no source.
    """
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise NotAsTriedError(f"the source of {function.__qualname__} is not there") from error
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _require(version: str, function: Callable[..., Any], expected: str) -> None:
    if version not in TRIED:
        raise NotAsTriedError(f"not tried with ExaBGP {version}")
    if digest(function) != expected:
        raise NotAsTriedError(f"{function.__qualname__} of this ExaBGP {version} is another one than was tried")
