"""Explanations: each question's answer in words."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.lists.rules import Rule, RuleKind
from dnstap_bgp.core.model import BY_HAND, Attributes, Audience, Claim
from dnstap_bgp.core.routes.explain import (
    CLAIMANTS_MAX,
    AddressFacts,
    ExceptedName,
    Facts,
    HeldClaim,
    OfAddress,
    OfName,
    OfView,
    PastEvent,
    RuleDecision,
    SharedAddress,
    ViewFacts,
    Why,
    of_address,
    of_name,
)
from dnstap_bgp.core.routes.history import HistoryEntry
from dnstap_bgp.core.routes.policy import ViewDecision

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


def past(event: str, reason: str, times: int = 1) -> HistoryEntry:
    return HistoryEntry(A, "l", NAME, event, reason, 940.0, times)


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


def test_what_exabgp_refuses_is_not_routed():
    assert not routed("refused").routed
    assert not of_name(NAME, facts(claims=[claim()], states={A: "refused"})).routed
    one, others = Audience(("192.0.2.1",)), Audience(("192.0.2.1",), is_except=True)
    views = [
        ViewFacts(ViewDecision(0, one, "l", WANTED, None), None, "refused"),
        ViewFacts(ViewDecision(1, others, "l", WANTED, None), WANTED, "announced"),
    ]
    known = facts(claims=[claim()], states={A: "refused"})
    assert of_address(A, known, replace(ROUTED, views=views)).routed, "others have it"
    assert not of_address(A, known, replace(ROUTED, views=views[:1])).routed


def test_a_network_that_only_some_neighbors_have_is_told_of_them():
    one, others = Audience(("192.0.2.1",)), Audience(("192.0.2.1",), is_except=True)
    network = A[:3] + b"\0\x18"
    views = [
        ViewFacts(ViewDecision(0, one, None, None, network), None, "covered"),
        ViewFacts(ViewDecision(1, others, None, None, None), None, "unrouted"),
    ]
    found = of_address(A, facts(), replace(NOTHING, views=views))
    assert found.routed
    assert found.reasons == (
        "for 192.0.2.1: the static prefix 203.0.113.0/24 announces it already",
        "for everyone except 192.0.2.1: no list that claims it serves them, so they get no route",
    )


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
def test_what_is_remembered_says_why(event: HistoryEntry, words: str):
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
    assert found.reasons[0] == "list l: stopped by the exception !=www.example.com"
    assert not found.routed


def test_a_listed_name_that_was_never_seen():
    found = of_name(NAME, facts(rules={NAME: [SUFFIX]}))
    assert found.reasons[0] == "list l: on the list by the rule example.com"
    assert "no answer with an address was seen" in found.reasons[1]


def test_a_name_with_routes_and_one_whose_routes_have_ended():
    found = of_name(NAME, facts(claims=[claim()], states={A: "announced"}, rules={NAME: [SUFFIX]}))
    assert found.routed
    assert found.reasons[1] == "203.0.113.7 was seen 1 min ago (list l): announced, for 59 min more"
    ended = of_name(NAME, facts(rules={NAME: [SUFFIX]}, past=[past("ended", "expired")]))
    assert not ended.routed
    assert "ended 1 min ago" in ended.reasons[1]


def test_truncated_answers_are_told():
    assert not any("truncated" in text for text in (*routed().reasons, *of_name(NAME, facts()).reasons))
    found = routed(cut=frozenset({NAME}))
    assert any("answers for www.example.com came truncated (TC): the addresses" in text for text in found.reasons)
    found = of_name(NAME, facts(cut=frozenset({NAME})))
    assert any("answers for it came truncated (TC)" in text for text in found.reasons)


def test_each_view_is_told_with_its_list_and_state():
    one, others = Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)
    other = Attributes(b"\n\0\0\2")
    views = [
        ViewFacts(ViewDecision(0, one, "l", WANTED, None), WANTED, "announced"),
        ViewFacts(ViewDecision(1, others, "m", other, None), None, "waiting"),
    ]
    known = facts(claims=[claim(), claim(list="m")], states={A: "waiting"}, rules={NAME: [SUFFIX]})
    found = of_address(A, known, replace(ROUTED, views=views))
    assert found.address is not None
    assert [(view.neighbors, view.except_these, view.list, view.state) for view in found.address.views] == [
        (("192.0.2.9",), False, "l", "announced"),
        (("192.0.2.9",), True, "m", "waiting"),
    ]
    assert found.reasons[-2:] == (
        "for 192.0.2.9: the list l decides; ExaBGP was told, and has acknowledged it",
        "for everyone except 192.0.2.9: the list m decides; it waits for its turn with ExaBGP",
    )


def test_a_view_without_a_route_says_why():
    one, others = Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)
    network = b"\xcb\0\x71\0\x18"
    views = [
        ViewFacts(ViewDecision(0, one, "l", None, network), None, "covered"),
        ViewFacts(ViewDecision(1, others, None, None, None), None, "unrouted"),
    ]
    found = of_address(A, facts(claims=[claim()], states={A: "covered"}), replace(ROUTED, views=views))
    assert found.reasons[-2:] == (
        "for 192.0.2.9: the static prefix 203.0.113.0/24 announces it already",
        "for everyone except 192.0.2.9: no list that claims it serves them, so they get no route",
    )


EXCEPTION = ("l", Rule(b"bank.example", exception=True))


def test_an_address_names_who_is_excepted_beside_who_holds_it():
    found = routed(excepted={b"bank.example": [EXCEPTION, ("m", Rule(b"example"))]})
    assert found.address is not None
    assert [(one.name, one.list, one.rule) for one in found.address.excepted] == [
        ("bank.example", "l", "!bank.example")
    ]
    assert "www.example.com is on the list l" in found.reasons[0]
    expected = "bank.example was seen at it, too: the exception !bank.example keeps it off the list l"
    assert [reason for reason in found.reasons if reason.startswith(expected)] == [
        f"{expected}, and what goes there for it is routed all the same"
    ]
    alone = unrouted(excepted={b"bank.example": [EXCEPTION]})
    assert alone.reasons[0] == f"{expected}, and no other name holds the address"


def test_an_excepted_name_tells_for_whom_its_address_is_routed():
    name, b = b"bank.example", b"\xcb\0\x71\x08"
    known = {"rules": {name: [EXCEPTION]}, "states": {A: "announced", b: "unrouted"}}
    found = of_name(name, facts(shared={A: [claim(), claim(list="m")], b: []}, **known))
    whom = "www.example.com (list l), www.example.com (list m)"
    assert found.reasons[1:] == (
        f"its address 203.0.113.7 is routed all the same (announced), for {whom}",
        "its address 203.0.113.8 is not routed",
    )
    assert found.name is not None
    assert [(one.address, one.state, len(one.claims)) for one in found.name.shared] == [
        ("203.0.113.7", "announced", 2),
        ("203.0.113.8", "unrouted", 0),
    ]
    unknown = of_name(name, facts(**known))
    assert "is not known: no answer for it was seen since the start" in unknown.reasons[1]
    static = of_name(name, facts(shared={A: []}, **known))
    assert static.reasons[1].endswith("is routed all the same (announced), as a static prefix")


def test_a_rule_of_a_list_that_is_switched_off_does_not_count_and_says_so():
    off = {"l": "by alice until 2026-11-28 23:00:00 UTC"}
    found = of_name(NAME, facts(rules={NAME: [SUFFIX]}, off=off))
    assert found.reasons == (
        (
            "list l: on the list by the rule example.com, but the list is switched off by alice until"
            " 2026-11-28 23:00:00 UTC"
        ),
    )
    assert found.name is not None
    assert [rule.off for rule in found.name.rules] == [off["l"]]
    exception = of_name(NAME, facts(rules={NAME: [("l", Rule(b"example.com", exception=True))]}, off=off))
    assert "whether its address is routed" not in " ".join(exception.reasons)


def test_a_route_that_ended_as_its_list_was_switched_off_says_so():
    off = {"l": "by hand"}
    found = unrouted(past=[past("ended", "list")], off=off)
    assert found.reasons[0].endswith("ended 1 min ago; its list is switched off by hand")
    assert "no longer on the list" in unrouted(past=[past("ended", "list")]).reasons[0]


def test_a_full_budget_is_told_with_its_key():
    one, others = Audience(("192.0.2.1",)), Audience(("192.0.2.1",), is_except=True)
    views = [
        ViewFacts(ViewDecision(0, one, "l", WANTED, None), None, "left-out", 4000),
        ViewFacts(ViewDecision(1, others, "l", WANTED, None), WANTED, "announced"),
    ]
    found = of_address(A, facts(claims=[claim()], states={A: "announced"}), replace(ROUTED, views=views))
    assert found.routed
    assert found.address is not None
    assert [view.budget for view in found.address.views] == [4000, None]
    assert found.reasons[-2:] == (
        (
            "not at 192.0.2.1: its budget of 4000 is full, and nothing there gave way to this prefix when it was last"
            " seen; max_prefixes of [bgp], or of the neighbor in [[bgp.peers]], raises it"
        ),
        "for everyone except 192.0.2.1: the list l decides; ExaBGP was told, and has acknowledged it",
    )


def test_what_no_budget_has_room_for_is_not_routed():
    views = [ViewFacts(ViewDecision(0, Audience(("192.0.2.1",)), "l", WANTED, None), None, "left-out", 4000)]
    found = of_address(A, facts(claims=[claim()], states={A: "left-out"}), replace(ROUTED, views=views))
    assert not found.routed
    assert not of_name(NAME, facts(claims=[claim()], states={A: "left-out"})).routed


def test_what_happened_once_is_told_without_a_number():
    (reason,) = unrouted(past=[past("refused", "routes")]).reasons[:1]
    assert "was refused 1 min ago at the cap" in reason


HELD = HeldClaim("203.0.113.7", "l", "example.com", "www.example.com", 60.0, 600.0, 3600.0, 3540.0, "announced")
PAST = PastEvent("203.0.113.7", "l", "www.example.com", "refused", "routes", 60.0, 3)
NETWORK = A[:3] + b"\0\x18"


def test_all_that_is_known_of_an_address_stands_in_its_answer():
    told = replace(WANTED, med=7)
    only = Audience(("192.0.2.9",))
    known = facts(
        claims=[claim()],
        states={A: "announced"},
        rules={NAME: [SUFFIX]},
        past=[past("refused", "routes", 3)],
        forgotten_until=1600.0,
        excepted={b"bank.example": [EXCEPTION]},
    )
    view = ViewFacts(ViewDecision(3, only, "m", WANTED, NETWORK), told, "covered", 17)
    more = AddressFacts("l", WANTED, told, "denied", "203.0.113.0/25", NETWORK, static=True, views=[view])
    found = of_address(A, known, more)
    wanted: dict[str, object] = {"next_hop": "10.0.0.1", "communities": ("no-export",)}
    assert found.address == OfAddress(
        "203.0.113.7",
        "announced",
        "l",
        wanted,
        wanted | {"med": 7},
        "denied",
        "203.0.113.0/25",
        "203.0.113.0/24",
        static=True,
        claims=(HELD,),
        views=(OfView(("192.0.2.9",), False, "covered", "m", wanted, wanted | {"med": 7}, "203.0.113.0/24", 17),),
        excepted=(ExceptedName("bank.example", "l", "!bank.example"),),
    )
    assert (found.target, found.kind, found.routed, found.name) == ("203.0.113.7", "address", True, None)
    assert (found.past, found.forgotten_for_s) == ((PAST,), 600.0)
    assert found.reasons[0] == "it is a static prefix of the configuration"
    assert found.reasons[1] == "the static prefix 203.0.113.0/24 announces it already"


def test_all_that_is_known_of_a_name_stands_in_its_answer():
    known = facts(
        claims=[claim()],
        states={A: "announced"},
        rules={NAME: [SUFFIX, EXCEPTION]},
        past=[past("refused", "routes", 3)],
        forgotten_until=1600.0,
        shared={A: [claim(b"n%d.example" % number) for number in range(CLAIMANTS_MAX + 1)]},
        off={"m": "by hand"},
        cut=frozenset({NAME}),
    )
    found = of_name(NAME, known)
    claimants = tuple((f"n{number}.example", "l") for number in range(CLAIMANTS_MAX))
    assert found.name == OfName(
        "www.example.com",
        (RuleDecision("l", "example.com", False), RuleDecision("l", "!bank.example", True)),
        (HELD,),
        (SharedAddress("203.0.113.7", "announced", claimants),),
    )
    assert (found.target, found.kind, found.routed, found.address) == ("www.example.com", "name", True, None)
    assert (found.past, found.forgotten_for_s) == ((PAST,), 600.0)
    assert [text.partition(" ")[0] for text in found.reasons] == [
        "it",
        "list",
        "list",
        "203.0.113.7",
        "its",
        "203.0.113.7",
        "answers",
    ]


def test_a_claim_whose_state_is_not_known_is_unrouted():
    assert not of_name(NAME, facts(claims=[claim()], states={})).routed


def test_the_rule_that_is_told_of_a_claim_is_its_own_lists_and_no_exception():
    rules = {NAME: [("m", Rule(b"com")), ("l", Rule(b"www.example.com", exception=True)), SUFFIX]}
    found = of_address(A, facts(claims=[claim()], states={A: "announced"}, rules=rules), ROUTED)
    assert found.address is not None
    assert [one.rule for one in found.address.claims] == ["example.com"]


def test_a_view_that_is_covered_is_routed_though_the_address_itself_is_not():
    views = [ViewFacts(ViewDecision(0, Audience(("192.0.2.1",)), None, None, NETWORK), None, "covered")]
    assert of_address(A, facts(), replace(NOTHING, views=views)).routed
    refused = [replace(views[0], state="left-out")]
    assert not of_address(A, facts(), replace(NOTHING, views=refused)).routed


def test_times_are_told_in_whole_milliseconds():
    known = facts(
        claims=[claim(seen=940.00049, first=400.00051, ttl_s=100.0)],
        states={A: "announced"},
        past=[past("ended", "expired")._replace(at=940.00051)],
        forgotten_until=1600.00049,
    )
    found = of_address(A, known, ROUTED)
    assert found.address is not None
    [held] = found.address.claims
    assert (held.seen_s_ago, held.first_s_ago, held.ends_in_s) == (60.0, 599.999, 40.0)
    assert (found.past[0].s_ago, found.forgotten_for_s) == (59.999, 600.0)


def test_a_rule_that_is_off_is_told_of_beside_one_that_counts():
    found = of_name(NAME, facts(rules={NAME: [SUFFIX, ("m", Rule(b"com"))]}, off={"m": "by hand"}))
    assert found.reasons == (
        "list l: on the list by the rule example.com",
        "list m: on the list by the rule com, but the list is switched off by hand",
        "no answer with an address was seen for it, as far as is remembered",
    )
