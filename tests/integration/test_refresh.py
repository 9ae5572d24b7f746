"""Active refresh with real resolvers: an address is routed before any client asks, and what nobody asks for ends."""

import json
import signal
from typing import Any

import pytest

from tests.integration.lab import Lab, becomes, eventually
from tests.integration.resolvers import AUTHORITY_PORT, PROGRAMS, RESOLVERS, ZONE, Authority, ClientTap, Unbound, ask
from tests.integration.routers import Bird, Session
from tests.integration.speaker import Speaker

pytestmark = [
    pytest.mark.netns,
    pytest.mark.long,
    pytest.mark.real(*PROGRAMS, "named", "bird", "birdc"),
]


class RotatingAuthority(Authority):
    """The authority, whose `rotate.example.` and `seen.example.` change when a test says so."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, self.zone(1))

    def zone(self, number: int) -> str:
        rotating = f"rotate 2 A 11.3.0.{number}\nseen 2 A 11.4.0.{number}\n"
        rotating += "".join(f"n{one} 2 A 11.5.0.{one}\n" for one in range(30))
        return ZONE.replace("hostmaster 1 ", f"hostmaster {number} ") + rotating

    def rotate(self, number: int) -> None:
        (self._folder / "example.zone").write_text(self.zone(number))
        assert self._daemon
        self._daemon.signal(signal.SIGHUP)


def speaker_of(lab: Lab, bird: Bird, names: list[str], port: int, ttl: str = "1h") -> Speaker:
    """One whose list `tunnel` is refreshed."""
    file = lab.folder / "tunnel.txt"
    file.write_text("".join(f"{name}\n" for name in names))
    tunnel = {"name": "tunnel", "sources": str(file), "refresh": True}
    return Speaker(
        lab, [bird.session], ["nobody.example"], ttl=ttl, list=[tunnel], refresh={"resolver": f"127.0.0.1:{port}"}
    )


def status(speaker: Speaker) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(speaker.run("status", "--json"))
    return found


@pytest.mark.parametrize("resolver_type", RESOLVERS)
def test_an_exact_name_is_routed_though_nobody_asks_and_so_is_its_next_address(
    lab: Lab, resolver_type: type[ClientTap]
):
    bird, authority = Bird(lab, Session(2)), RotatingAuthority(lab)
    speaker = speaker_of(lab, bird, ["=rotate.example"], resolver_type.port)
    for part in (bird, authority, speaker, resolver_type(lab, str(speaker.tap))):
        part.start()
    becomes(bird.prefixes, {"11.3.0.1/32"}, 400, "at the start")
    authority.rotate(2)
    becomes(bird.prefixes, {"11.3.0.1/32", "11.3.0.2/32"}, 30, "the next address")
    found = status(speaker)
    assert found["refresh"]["returned"] >= 2
    assert found["refresh"]["exact"] == 1
    assert not [one for one in found["findings"] if one["kind"].startswith("refresh")]


def test_a_name_that_a_client_asked_for_is_followed_and_ends_when_no_client_asks(lab: Lab):
    bird, authority = Bird(lab, Session(2)), RotatingAuthority(lab)
    speaker = speaker_of(lab, bird, ["example"], Unbound.port, ttl="20s")
    for part in (bird, authority, speaker, resolver := Unbound(lab, str(speaker.tap))):
        part.start()
    assert bird.prefixes() == set()
    ask(lab, resolver.port, "seen.example")
    becomes(bird.prefixes, {"11.4.0.1/32"}, 15, "a client asked")
    authority.rotate(2)
    becomes(bird.prefixes, {"11.4.0.1/32", "11.4.0.2/32"}, 15, "the next address, before a client asks")
    eventually(lambda: status(speaker)["refresh"]["names"] == 0, 60, "nobody asks any more, so neither do we")
    becomes(bird.prefixes, set(), 60, "and the routes end")


def test_a_resolver_that_is_not_the_tapped_one_is_told_by_the_doctor(lab: Lab):
    bird, authority = Bird(lab, Session(2)), RotatingAuthority(lab)
    speaker = speaker_of(lab, bird, [f"=n{number}.example" for number in range(30)], AUTHORITY_PORT)
    for part in (bird, authority, speaker, Unbound(lab, str(speaker.tap))):
        part.start()

    def told() -> bool:
        return "refresh-unseen" in {one["kind"] for one in status(speaker)["findings"]}

    eventually(told, 90, "the doctor tells")
    assert "unseen by the tap" in speaker.run("status")


def test_a_resolver_that_ends_is_told_and_asked_again_when_it_is_back(lab: Lab):
    bird, authority = Bird(lab, Session(2)), RotatingAuthority(lab)
    speaker = speaker_of(lab, bird, ["=rotate.example", *(f"=n{n}.example" for n in range(5))], Unbound.port)
    for part in (bird, authority, speaker, resolver := Unbound(lab, str(speaker.tap))):
        part.start()
    eventually(lambda: len(bird.prefixes()) == 6, 400, "all are asked")
    resolver.stop()
    eventually(lambda: status(speaker)["refresh"]["silent"], 60, "silent")
    eventually(lambda: "refresh-silent" in {one["kind"] for one in status(speaker)["findings"]}, 30, "and told")
    authority.rotate(2)
    resolver.start()
    eventually(lambda: "11.3.0.2/32" in bird.prefixes(), 400, "asked again")
    eventually(lambda: not status(speaker)["refresh"]["silent"], 30, "no more silent")
