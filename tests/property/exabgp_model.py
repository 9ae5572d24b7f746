"""A model of ExaBGP 5.0.15, as faithful as it must be to go wrong where the real one does.

Kept: the order of one turn of its reactor (every neighbor sends, commands are read, 50 steps of the queue are taken),
pending changes in buckets by attribute set that nobody takes a prefix out of, generations of pending changes that are
sent 25 messages a turn, IPv6 ungrouped, withdraws left out of the first generation after `up`, the cache that makes a
repeated announce a no-op, answers at once for what doesn't go through the queue, events and rows. Left out: bytes.
"""

import ipaddress
import json
import re
from collections import deque
from collections.abc import Iterator

STEPS = 50
MESSAGES = 25
DUMMY = "192.0.0.8/32"
LINE = re.compile(
    r"(?P<targets>(neighbor \S+ (, )?)*)(?P<verb>announce|withdraw) attributes (?P<attributes>.*) nlri (?P<nlri>.*)"
)


class Neighbor:
    def __init__(self, address, families=("ipv4 unicast", "ipv6 unicast"), remote=None, ours=True):
        self.address = address
        self.families = set(families)
        self.remote = set(families if remote is None else remote)
        self.ours = ours
        self.up = False
        self.counter = 0
        self.cache = {}
        self.buckets = {}
        self.latest = {}
        self.refresh = []
        self.generation = None
        self.with_withdraws = False
        self.eors: deque[str] = deque()
        self.sent = 0
        self.age = 0.0
        self.table = {}  # of the router at the other end
        self.got_eor = []

    # the Adj-RIB-Out

    def change(self, verb, attributes, prefix):
        if verb == "announce" and self.cache.get(prefix) == attributes:
            return
        self.buckets.setdefault(attributes, {})[prefix] = verb
        self.latest[prefix] = verb
        if verb == "announce":
            self.cache[prefix] = attributes
        else:
            self.cache.pop(prefix, None)

    def updates(self, with_withdraws):
        buckets, latest, refresh = self.buckets, self.latest, dict(self.refresh)
        self.buckets, self.latest, self.refresh = {}, {}, []
        self._fold(buckets, latest, refresh)
        for prefix, attributes in refresh.items():
            yield {prefix: self.cache.get(prefix, attributes)}
        for attributes, bucket in buckets.items():
            ipv4 = {prefix: verb for prefix, verb in bucket.items() if ":" not in prefix}
            ipv6 = [{prefix: verb} for prefix, verb in bucket.items() if ":" in prefix]
            for one in (ipv4, *ipv6):
                gone = {prefix: None for prefix, verb in one.items() if verb == "withdraw"}
                if gone and with_withdraws:
                    yield gone
                said = {prefix: attributes for prefix, verb in one.items() if verb == "announce"}
                if said:
                    yield said
        yield {}

    @staticmethod
    def _fold(buckets, latest, refresh):
        """A refresh takes the announces that it repeats out of the buckets, but not ahead of their withdraws."""
        pending = {
            prefix
            for bucket in buckets.values()
            for prefix, verb in bucket.items()
            if prefix in refresh and verb == "withdraw"
        }
        consumed = set(refresh)
        for prefix in pending:
            del refresh[prefix]
            if latest[prefix] == "announce":
                consumed.discard(prefix)
        for bucket in buckets.values():
            for prefix in [p for p, verb in bucket.items() if p in consumed and verb == "announce"]:
                del bucket[prefix]

    # the session

    def turn(self):
        if not self.up:
            return
        if self.generation is None and (self.latest or self.refresh):
            self.generation = self.updates(self.with_withdraws)
        if self.generation is not None:
            for _ in range(MESSAGES):
                message = next(self.generation, None)
                if message is None:
                    self.generation = None
                    self.with_withdraws = True
                    break
                self.sent += bool(message)
                for prefix, attributes in message.items():
                    family = "ipv6 unicast" if ":" in prefix else "ipv4 unicast"
                    if family not in self.remote:
                        continue
                    if attributes is None:
                        self.table.pop(prefix, None)
                    else:
                        self.table[prefix] = attributes
        elif self.eors:
            self.got_eor.append((self.eors.popleft(), dict(self.table)))

    def establish(self):
        self.up = True
        self.age = 0.0
        self.sent = 0
        self.with_withdraws = False
        self.generation = None
        for prefix, attributes in list(self.cache.items()):
            self.buckets.setdefault(attributes, {})[prefix] = "announce"
            self.latest[prefix] = "announce"

    def fall(self):
        self.up = False
        self.table.clear()
        self.eors.clear()
        self.generation = None
        self.buckets, self.latest, self.refresh = {}, {}, []

    def row(self):
        return {
            "fsm": "ESTABLISHED" if self.up else "ACTIVE",
            "duration": int(self.age),
            "local": {
                "address": "127.0.0.1",
                "as": 65001,
                "id": "10.0.0.1",
                "families": dict.fromkeys(self.families, True),
            },
            "peer": {"address": self.address, "as": 65002},
            "families": sorted(self.families & self.remote) if self.up else [],
            "messages": {"sent": {"update": self.sent}},
        }

    def event(self, kind, **what):
        self.counter += 1
        neighbor = {
            "address": {"local": "127.0.0.1", "peer": self.address},
            "asn": {"local": 65001, "peer": 65002},
            "router-id": "10.0.0.1",
            **what,
        }
        return json.dumps({"exabgp": "5.0.0", "counter": self.counter, "type": kind, "neighbor": neighbor})


class ExaBgp:
    """Commands in through `write`, lines out through `read`, one `turn` at a time."""

    def __init__(self, neighbors=(), version="5.0.15"):
        self.neighbors = {neighbor.address: neighbor for neighbor in neighbors}
        self.version = version
        self.refuses = set()  # prefixes whose line is answered with `error`
        self.hasty = 0  # so many more lines are answered with `error`, whatever they say; not the harmless probe
        self.unreadable = {}  # address of a neighbor: the key that its row lacks
        self.acknowledges = True
        self._pipe = b""
        self._out = []
        self._queue: deque[Iterator[None]] = deque()
        self.routes_said = 0

    # the process's side

    def write(self, data):
        self._pipe += data

    def read(self):
        out, self._out = self._out, []
        return out

    # the operator's and the routers' side

    def up(self, address):
        neighbor = self.neighbors[address]
        if neighbor.up:
            return
        if neighbor.ours:
            self._say(neighbor.event("state", state="connected"))
            families = sorted(neighbor.families & neighbor.remote)
            self._say(neighbor.event("negotiated", negotiated={"families": families}))
            self._say(neighbor.event("state", state="up"))
        neighbor.establish()

    def down(self, address):
        neighbor = self.neighbors[address]
        if neighbor.up:
            if neighbor.ours:
                self._say(neighbor.event("state", state="down", reason="test"))
            neighbor.fall()

    def reload(self):
        for neighbor in self.neighbors.values():
            if neighbor.ours:
                self._say(neighbor.event("signal", code="10", name="SIGUSR1"))
            neighbor.counter = 0

    def assign(self, ours):
        """Read a configuration that names our process at some neighbors: address -> whether at this one."""
        if len(set(ours.values()) | {neighbor.ours for neighbor in self.neighbors.values()}) > 1:
            self.reload()
        for address, is_ours in ours.items():
            self.neighbors[address].ours = is_ours

    def add(self, neighbor):
        self.reload()
        self.neighbors[neighbor.address] = neighbor

    def remove(self, address):
        self.reload()
        self.down(address)
        del self.neighbors[address]

    # one turn of the reactor

    def turn(self):
        for neighbor in self.neighbors.values():
            neighbor.turn()
            neighbor.age += 0.01
        *lines, self._pipe = self._pipe.split(b"\n")
        for line in lines:
            self._read(re.sub(r"\s+", " ", line.decode("ascii").replace(",", " , ")).strip())
        steps = STEPS
        while steps and self._queue:
            try:
                next(self._queue[0])
            except StopIteration:
                self._queue.popleft()
            steps -= 1

    def _say(self, line):
        # as ExaBGP writes it: `{ "exabgp": ...`
        self._out.append(line.replace('{"exabgp"', '{ "exabgp"', 1).encode("ascii"))

    def _answer(self, *, done=True):
        if self.acknowledges:
            self._say("done" if done else "error")

    def _read(self, line):
        match line.split():
            case ["enable-ack"]:
                self.acknowledges = True
                self._answer()
            case ["version"]:
                self._say(f"exabgp {self.version}")
                self._answer()
            case ["#", *_]:
                self._answer()
            case ["show", "neighbor", *words]:
                self._queue.append(self._show(words))
            case ["neighbor", address, "announce", "eor", *family]:
                self._eor(address, " ".join(family))
            case ["neighbor", address, "flush", "adj-rib", "out"]:
                self._flush(address)
            case words if "attributes" in words and "nlri" in words:
                self._queue.append(self._routes(line))
            case _:  # what a dead process had begun
                self._answer(done=False)

    def _show(self, words):
        if words == ["json"]:
            self._say(json.dumps([self._row(neighbor) for neighbor in self.neighbors.values()]))
        elif "summary" in words:
            self._say("Peer            AS        up/down state       |     #sent     #recvd")
        yield
        self._answer()

    def _row(self, neighbor):
        return {key: value for key, value in neighbor.row().items() if key != self.unreadable.get(neighbor.address)}

    def _is_hasty(self):
        self.hasty -= 1
        return self.hasty >= 0

    def _eor(self, address, family):
        neighbor = self.neighbors.get(address)
        if self._is_hasty() or neighbor is None or not neighbor.up or not neighbor.ours:
            self._answer(done=False)
            return

        def steps():
            neighbor.eors.append(family)
            yield
            self._answer()

        self._queue.append(steps())

    def _flush(self, address):
        neighbor = self.neighbors.get(address)
        if self._is_hasty() or neighbor is None or not neighbor.up or not neighbor.ours:
            self._answer(done=False)
            return

        def steps():
            neighbor.refresh = list(neighbor.cache.items())
            yield
            self._answer()

        self._queue.append(steps())

    def _routes(self, line):
        found = LINE.fullmatch(line)
        try:
            prefixes = [str(ipaddress.ip_network(text)) for text in found["nlri"].split()] if found else []
        except ValueError:  # what a dead process had begun, with our first line behind it
            prefixes = []
        if not found or not prefixes:
            self._answer(done=False)
            yield
            return
        addresses = re.findall(r"neighbor (\S+)", found["targets"])
        assert len({":" in prefix for prefix in prefixes}) == 1, "families mixed"
        targets = [
            neighbor
            for neighbor in self.neighbors.values()
            if neighbor.ours and (not addresses or neighbor.address in addresses)
        ]
        if not targets or self.refuses.intersection(prefixes) or (prefixes != [DUMMY] and self._is_hasty()):
            self._answer(done=False)
            yield
            return
        family = "ipv6 unicast" if ":" in prefixes[0] else "ipv4 unicast"
        for prefix in prefixes:
            self.routes_said += 1
            for neighbor in targets:
                if family in neighbor.families:
                    neighbor.change(found["verb"], found["attributes"], prefix)
            yield
        self._answer()
