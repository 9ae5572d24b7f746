"""ExaBGP's tables under a random history, in this process: what each neighbor is sent, line by line.

    python -m tests.commands.host_histories SEED STEPS [patched | spoiled]

Changes go the way of the api (parse, action, `inject_change`); what comes out is every UPDATE's packed bytes, in order,
for five neighbors: of one family or two, eBGP and iBGP, grouped and not.
"""

import random
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dnstap_bgp.commands import host_patches

NEIGHBOR = """
neighbor 127.0.0.{number} {{
  router-id 10.99.0.1; local-address 127.0.0.1; local-as 65001; peer-as {peer_as}; group-updates {grouped};
  family {{ {families} }}
  static {{
    route 192.0.2.{number}/32 next-hop 10.0.0.1 watchdog dog withdraw;
    route 198.51.100.{number}/32 next-hop self community [ 65001:{number} ];
  }}
}}
"""
KINDS = (
    (65002, "true", "ipv4 unicast; ipv6 unicast;"),
    (65001, "true", "ipv4 unicast; ipv6 unicast;"),
    (65003, "false", "ipv4 unicast;"),
    (65004, "true", "ipv6 unicast;"),
    (65001, "false", "ipv4 unicast;"),
)
ATTRIBUTES = (
    "next-hop 10.0.0.1",
    "next-hop 10.0.0.2 community [ no-export ]",
    "next-hop self med 5",
    "next-hop 10.0.0.1 local-preference 200 large-community [ 65001:1:2 ] watchdog cat",
)
ATTRIBUTES_IPV6 = ("next-hop 2001:db8::1", "next-hop 2001:db8::2 community [ 65001:7 ]")


class History:
    """One configuration, and the neighbors of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        from exabgp.configuration.configuration import Configuration  # noqa: PLC0415 - patched before, in `main`

        text = "".join(
            NEIGHBOR.format(number=number, peer_as=peer_as, grouped=grouped, families=families)
            for number, (peer_as, grouped, families) in enumerate(KINDS, 2)
        )
        file = folder / "exabgp.conf"
        file.write_text(text)
        self.configuration = Configuration([str(file)])
        assert self.configuration.reload(), str(self.configuration.error)
        self.parser = Configuration([])
        self.random = random.Random(seed)
        self.peers = list(self.configuration.neighbors)

    def lines(self, steps: int) -> Iterator[str]:
        for neighbor in self.configuration.neighbors.values():
            for change in neighbor.changes:
                neighbor.rib.outgoing.add_to_rib_watchdog(change)
        for number in range(steps):
            self.step()
            if self.random.random() < 0.3:
                yield from self.sent(number)
        yield from self.sent(steps)
        for name, neighbor in self.configuration.neighbors.items():
            held = neighbor.rib.outgoing.cached_changes(neighbor.families())
            yield from sorted(f"{name} holds {change.extensive()}" for change in held)

    def step(self) -> None:
        outgoing = [neighbor.rib.outgoing for neighbor in self.configuration.neighbors.values()]
        match self.random.randrange(20):
            case 0:
                self.random.choice(outgoing).resend(enhanced_refresh=True)  # flush, or a route refresh of the neighbor
            case 1:
                self.random.choice(outgoing).announce_watchdog(self.random.choice(["dog", "cat"]))
            case 2:
                self.random.choice(outgoing).withdraw_watchdog(self.random.choice(["dog", "cat"]))
            case 3:
                self.random.choice(outgoing).reset()  # the session is lost
            case 4:
                self.random.choice(outgoing).resend(enhanced_refresh=False)  # and is back
            case 5:
                previous = [change for one in outgoing[:1] for change in one.cached_changes(one.families)]
                outgoing[0].replace_reload(previous, previous[: len(previous) // 2])
            case _:
                self.inject()

    def inject(self) -> None:
        from exabgp.bgp.message import Action  # noqa: PLC0415 - as above

        is_ipv6 = self.random.random() < 0.3
        attributes = self.random.choice(ATTRIBUTES_IPV6 if is_ipv6 else ATTRIBUTES)
        form = "2001:db8:1::{}/128" if is_ipv6 else "203.0.113.{}/32"
        prefixes = " ".join(form.format(self.random.randrange(1, 9)) for _ in range(self.random.randrange(1, 5)))
        self.parser.static.clear()
        assert self.parser.partial("static", f"attributes {attributes} nlri {prefixes}")
        self.parser.scope.to_context()
        action = self.random.choice([Action.ANNOUNCE, Action.ANNOUNCE, Action.WITHDRAW])
        peers = self.random.sample(self.peers, self.random.randrange(1, len(self.peers) + 1))
        for change in self.parser.scope.pop_routes():
            change.nlri.action = action
            self.configuration.inject_change(peers, change)

    def sent(self, number: int) -> Iterator[str]:
        for name, neighbor in self.configuration.neighbors.items():
            for update in neighbor.rib.outgoing.updates(neighbor["group-updates"]):
                for message in self.packed(neighbor, update):
                    yield f"{number} {name} {message.hex()}"

    def packed(self, neighbor: Any, update: Any) -> Iterator[bytes]:
        from exabgp.bgp.message import Open  # noqa: PLC0415 - as above
        from exabgp.bgp.message.open import ASN, HoldTime, RouterID, Version  # noqa: PLC0415 - as above
        from exabgp.bgp.message.open.capability import Capabilities  # noqa: PLC0415 - as above
        from exabgp.bgp.message.open.capability.negotiated import Negotiated  # noqa: PLC0415 - as above

        negotiated = Negotiated(neighbor)
        capabilities = Capabilities().new(neighbor, False)
        for asn, learn in ((neighbor["local-as"], negotiated.sent), (neighbor["peer-as"], negotiated.received)):
            learn(Open(Version(4), ASN(int(asn)), HoldTime(180), RouterID("10.99.0.1"), capabilities))
        yield from map(bytes, update.messages(negotiated, include_withdraw=True))


def main() -> None:
    if sys.argv[3:] == ["patched"]:
        left_out = {name: reason for name, reason in host_patches.apply(version("exabgp")).items() if reason}
        assert not left_out, left_out
    if sys.argv[3:] == ["spoiled"]:
        from exabgp.bgp.neighbor import Neighbor  # noqa: PLC0415 - as above

        Neighbor.remove_self = lambda _self, change: change  # what a copy too few would be
    from exabgp.environment import getenv  # noqa: PLC0415 - as above
    from exabgp.logger import log  # noqa: PLC0415 - as above

    env = getenv()
    env.log.enable = False
    log.init(env)
    with TemporaryDirectory() as folder:
        for line in History(Path(folder), int(sys.argv[1])).lines(int(sys.argv[2])):
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
