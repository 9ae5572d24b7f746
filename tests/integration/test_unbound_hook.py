"""unbound-hook.py beside the race: an earlier script, refetches, reloads, and what a script must never do."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.exception
import pytest

from tests.integration.hooks import HookedUnbound, HookedUnbound13
from tests.integration.lab import eventually
from tests.integration.race import DOMAIN, Question, Race
from tests.integration.resolvers import ask
from tests.integration.shipped import DEPLOY, tls_folder

pytestmark = [
    pytest.mark.netns,
    pytest.mark.timeout(300),
    pytest.mark.real("named", "bird", "birdc", "unbound", "apt-get", "dpkg-deb"),
]
RELEASES = [HookedUnbound, HookedUnbound13]

EARLIER = '''
"""What a script does that filters: it answers one name itself, changes another's answer, and breaks at a third."""

import sys

mod_env["loaded"] = True


def init(number, config):
    log_info("the earlier script has started")
    return True


def deinit(number):
    return True


def inform_super(number, qstate, superqstate, qdata):
    return True


def answer(number, qstate, address):
    made = DNSMessage(qstate.qinfo.qname_str, RR_TYPE_A, RR_CLASS_IN, PKT_QR | PKT_RA)
    made.answer.append("%s 60 IN A %s" % (qstate.qinfo.qname_str, address))
    made.set_return_msg(qstate)
    qstate.return_msg.rep.security = 2
    qstate.return_rcode = RCODE_NOERROR
    qstate.ext_state[number] = MODULE_FINISHED


def operate(number, event, qstate, qdata):
    name = qstate.qinfo.qname_str
    if event == MODULE_EVENT_NEW or event == MODULE_EVENT_PASS:
        if name == "BLOCKED.":
            answer(number, qstate, "0.0.0.0")
        elif name == "BROKEN.":
            raise RuntimeError("not today")
        else:
            qstate.ext_state[number] = MODULE_WAIT_MODULE
        return True
    if event == MODULE_EVENT_MODDONE:
        if name == "CHANGED.":
            answer(number, qstate, "11.200.0.1")
        else:
            qstate.ext_state[number] = MODULE_FINISHED
        return True
    qstate.ext_state[number] = MODULE_ERROR
    return True
'''


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    """One router and one plugin for all resolvers of this file."""
    made = Race(tmp_path_factory.mktemp("u"))
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def lab(race: Race) -> object:
    """Under the name by which a failed test's report finds the daemons' logs."""
    return race.track


def name_of(question: Question) -> str:
    return f"r{question.number}.{DOMAIN}"


def routes(race: Race, name: str) -> str:
    return race.speaker.run("routes", "--name", name)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kind", RELEASES, ids=lambda kind: kind.name)
def test_an_earlier_script_goes_on_as_if_it_were_alone(race: Race, kind: type[HookedUnbound]):
    blocked, changed, broken = race.track.fresh(6)[::2]
    script = race.track.folder / f"earlier-{kind.name}.py"
    text = EARLIER.replace("BLOCKED", name_of(blocked)).replace("CHANGED", name_of(changed))
    script.write_text(text.replace("BROKEN", name_of(broken)))
    resolver = kind(race.track, race.hold, settings={"BEFORE": f'"{script}"'})
    resolver.start()
    try:
        race.warm(resolver)
        assert ask(race.track, resolver.port, name_of(blocked)) == ["0.0.0.0"]
        assert ask(race.track, resolver.port, name_of(changed)) == ["11.200.0.1"]
        with pytest.raises(AssertionError, match="SERVFAIL"):
            ask(race.track, resolver.port, name_of(broken))
        found = race.track.surely(resolver.port, 20)
    finally:
        resolver.stop()
    assert found.right == 20
    # what a filter made up is no sighting: it is marked as rewritten
    assert changed.address not in routes(race, name_of(changed))
    assert "11.200.0.1" not in routes(race, name_of(changed))
    assert "the earlier script has started" in resolver.daemon.text()
    assert "operate of the script before: RuntimeError: not today (told once)" in resolver.daemon.text()


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kind", RELEASES, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "FileNotFoundError"),
        ("def operate(", "SyntaxError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("def operate(a, b, c, d): pass", "has no function deinit"),
        (EARLIER.replace("return True", "raise OSError('no file')", 1), "init of the script before: OSError: no file"),
    ],
    ids=["missing", "broken", "ends", "half", "no init"],
)
def test_an_earlier_script_that_fails_is_told_and_left_out(
    race: Race, kind: type[HookedUnbound], text: str | None, why: str
):
    script = race.track.folder / "failing.py"
    script.unlink(missing_ok=True)
    if text is not None:
        script.write_text(text)
    resolver = kind(race.track, race.hold, settings={"BEFORE": f'"{script}"'})
    resolver.start()
    try:
        race.warm(resolver)
    finally:
        resolver.stop()
    assert why in resolver.daemon.text()
    assert "the resolver runs without it" in resolver.daemon.text()


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kind", RELEASES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("where", ['"ftp://127.0.0.1:1"', '"tls://127.0.0.1:port"', '""', '"/nowhere/hold.sock"'])
def test_a_wrong_setting_costs_the_hold_and_nothing_else(race: Race, kind: type[HookedUnbound], where: str):
    resolver = kind(race.track, race.hold, settings={"HOLD": where})
    resolver.start()
    try:
        found = race.track.one_by_one(resolver.port, race.track.fresh(5), gap_s=0)
    finally:
        resolver.stop()
    assert "error: dnstap-bgp: " in resolver.daemon.text()
    assert found.unanswered == []
    assert found.right == 0


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kind", RELEASES, ids=lambda kind: kind.name)
def test_a_reload_of_unbound_changes_nothing(race: Race, kind: type[HookedUnbound]):
    """It ends Python and starts it again, in the same process."""
    resolver = kind(race.track, race.hold, threads=2)
    resolver.start()
    try:
        for _ in range(4):
            race.warm(resolver)
            assert resolver.control("reload").strip() == "ok"
        race.warm(resolver)
        found = race.track.surely(resolver.port, 20)
    finally:
        resolver.stop()
    assert found.right == 20


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kind", RELEASES, ids=lambda kind: kind.name)
def test_a_refetch_is_told(race: Race, kind: type[HookedUnbound]):
    """The client gets what is old, at once; what then comes is learnt, too."""
    resolver = kind(race.track, race.hold, server="serve-expired: yes\n  serve-expired-reply-ttl: 1")
    resolver.start()
    try:
        assert ask(race.track, resolver.port, "brief.example") == ["11.1.0.4"]
        race.speaker.write([DOMAIN, "brief.example"])
        race.speaker.run("reload")

        def is_learnt() -> bool:
            try:
                assert ask(race.track, resolver.port, "brief.example") == ["11.1.0.4"]
            except dns.exception.Timeout:
                return False
            return "11.1.0.4" in routes(race, "brief.example")

        eventually(is_learnt, 20, "the refetched answer became a route")
    finally:
        resolver.stop()
        race.speaker.run("forget", "brief.example")


@pytest.mark.real("openssl")
@pytest.mark.parametrize("kind", RELEASES, ids=lambda kind: kind.name)
def test_over_tls_from_another_host(tmp_path: Path, kind: type[HookedUnbound]):
    """As a resolver does that is elsewhere, or in a chroot; it connects again, and a stranger costs no answer."""
    tls = tls_folder(tmp_path / "tls")
    files: dict[str, Any] = {
        "tls_cert": f"{tls}/server.pem",
        "tls_key": f"{tls}/server.key",
        "tls_client_ca": f"{tls}/ca.pem",
    }
    where = {"HOLD": '"tls://127.0.0.1:6054"', "TLS_NAME": '"tap.example.net"'}
    ours = {"TLS_CA, TLS_CERT, TLS_KEY": f'"{tls}/ca.pem", "{tls}/client.pem", "{tls}/client.key"'}
    nobody = {"TLS_CA, TLS_CERT, TLS_KEY": f'"{tls}/ca.pem", "", ""'}
    race = Race(tmp_path, listen=["127.0.0.1:6054"], **files)
    try:
        race.start()
        resolver = kind(race.track, race.hold, settings={**where, **ours})
        resolver.start()
        race.warm(resolver)
        found = race.track.surely(resolver.port, 20)
        race.speaker.stop()
        gone = race.track.one_by_one(resolver.port, race.track.fresh(5))
        race.speaker.start()
        race.warm(resolver)
        resolver.stop()
        stranger = kind(race.track, race.hold, settings={**where, **nobody})
        stranger.start()
        unheld = race.track.one_by_one(stranger.port, race.track.fresh(10))
    finally:
        race.close()
    assert found.right == 20
    assert gone.unanswered == unheld.unanswered == []
    assert unheld.right == 0
    assert "can't ask at tls://127.0.0.1:6054" in stranger.daemon.text()


def test_the_script_is_for_python_3_9_too():
    ast.parse((DEPLOY / "resolvers/unbound-hook.py").read_text(), feature_version=(3, 9))
