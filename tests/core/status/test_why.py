"""Why an address or a name is routed, or isn't: each question's answer in words."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.lists.domains import Rule, RuleKind
from dnstap_bgp.core.model import BY_HAND, Attributes, Claim
from dnstap_bgp.core.routes.past import Bygone
from dnstap_bgp.core.status.why import AddressFacts, Facts, Why, duration_text, of_address, of_name

A = b"\xcb\0\x71\7"  # 203.0.113.7
NAME = b"www.example.com"
SUFFIX = ("l", Rule(b"example.com"))
WANTED = Attributes(b"\n\0\0\1", communities=("no-export",))
NOTHING = AddressFacts(None, None, None, None, None, None, static=False)
ROUTED = AddressFacts("l", WANTED, WANTED, None, None, None, static=False)


def claim(name: bytes = NAME, **changes: object) -> Claim:
    return Claim(A, "l", name, 940.0, 400.0, 3600.0)._replace(**changes)  # type: ignore[arg-type] # as each test says


def facts(**changes: object) -> Facts:
    found = Facts(1000.0, [], {A: "unrouted"}, {}, [], None, muted=False)
    return replace(found, **changes)  # type: ignore[arg-type] # as each test says


def past(event: str, reason: str, times: int = 1) -> Bygone:
    return Bygone(A, "l", NAME, event, reason, 940.0, times)


def routed(state: str = "announced", **changes: object) -> Why:
    known = facts(claims=[claim()], states={A: state}, rules={NAME: [SUFFIX]}, **changes)
    return of_address(A, known, ROUTED)


def unrouted(more: AddressFacts = NOTHING, **changes: object) -> Why:
    found = of_address(A, facts(**changes), more)
    assert not found.routed
    return found


def test_a_routed_address_has_its_claims_with_list_rule_and_times():
    found = routed()
    assert found.routed
    assert found.address is not None
    [held] = found.address.claims
    assert (held.list, held.rule, held.name, held.state) == ("l", "example.com", "www.example.com", "announced")
    assert (held.seen_s_ago, held.first_s_ago, held.ends_in_s) == (60.0, 600.0, 3540.0)
    assert found.address.attributes == {"next_hop": "10.0.0.1", "communities": ("no-export",)}
    assert "by the rule example.com, and was seen 1 min ago" in found.reasons[0]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("announced", "has acknowledged it"),
        ("unanswered", "has not answered yet"),
        ("waiting", "waits for its turn"),
        ("refused", "ExaBGP refuses it"),
    ],
)
def test_what_became_of_it_with_exabgp(state: str, words: str):
    assert words in routed(state).reasons[-1]


def test_a_dry_run_says_so():
    assert "dry_run" in routed("waiting", muted=True).reasons[-1]


def test_by_hand():
    found = of_address(A, facts(claims=[claim(BY_HAND)], states={A: "announced"}), ROUTED)
    assert found.reasons[0] == "it was added by hand, with the attributes of the list l, 1 min ago"
    assert found.address is not None
    assert found.address.claims[0].rule is None


def test_a_static_prefix_covers_it():
    covered = AddressFacts("l", None, None, None, None, A[:3] + b"\0\x18", static=False)
    found = of_address(A, facts(claims=[claim()], states={A: "covered"}), covered)
    assert found.routed
    assert found.reasons[0] == "the static prefix 203.0.113.0/24 announces it already"


def test_never_seen():
    assert "never seen" in unrouted().reasons[0]


def test_the_guard_with_its_block_and_what_opens_it():
    [reason] = unrouted(replace(NOTHING, guard="documentation", block="203.0.113.0/24")).reasons
    assert "documentation 203.0.113.0/24" in reason
    assert "allow" in reason


def test_a_deny_prefix_is_named():
    [reason] = unrouted(replace(NOTHING, guard="denied", block="203.0.112.0/22")).reasons
    assert "203.0.112.0/22" in reason


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (past("ended", "expired"), "ended 1 min ago: it was not seen for as long as its TTL"),
        (past("ended", "list"), "no longer on the list"),
        (past("ended", "list-routes"), "had to go 1 min ago, at the cap"),
        (past("refused", "routes", 3), "was refused 3 times, the last 1 min ago at the cap"),
        (past("refused", "rate"), "max_new_routes_per_second"),
    ],
)
def test_what_is_remembered_says_why(event: Bygone, words: str):
    found = unrouted(past=[event])
    assert words in found.reasons[0]
    assert "203.0.113.7 for www.example.com (list l)" in found.reasons[0]
    assert found.past[0].s_ago == 60.0


def test_a_tombstone_says_for_how_long():
    found = unrouted(forgotten_until=1600.0)
    assert "forgotten by hand: for 10 min more" in found.reasons[0]
    assert found.forgotten_for_s == 600.0


def test_a_list_without_a_next_hop_of_that_family():
    assert "no next-hop" in unrouted(claims=[claim()]).reasons[-1]


# -- names


def test_a_name_without_a_rule():
    assert of_name(NAME, facts()).reasons == ("no list has a rule for it",)


def test_a_name_stopped_by_an_exception():
    found = of_name(NAME, facts(rules={NAME: [("l", Rule(NAME, RuleKind.EXACT, exception=True))]}))
    assert found.reasons == ("list l: stopped by the exception !=www.example.com",)
    assert not found.routed


def test_a_listed_name_that_was_never_seen():
    found = of_name(NAME, facts(rules={NAME: [SUFFIX]}))
    assert found.reasons[0] == "list l: on the list by the rule example.com"
    assert "no answer with an address was seen" in found.reasons[1]


def test_a_name_with_routes_and_one_whose_routes_have_ended():
    found = of_name(NAME, facts(claims=[claim()], states={A: "announced"}, rules={NAME: [SUFFIX]}))
    assert found.routed
    assert found.reasons[1] == "203.0.113.7 was seen 1 min ago: announced, for 59 min more"
    ended = of_name(NAME, facts(rules={NAME: [SUFFIX]}, past=[past("ended", "expired")]))
    assert not ended.routed
    assert "ended 1 min ago" in ended.reasons[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
        (86_405, "1 d 5 s"),
    ],
)
def test_durations(seconds: float, text: str):
    assert duration_text(seconds) == text
