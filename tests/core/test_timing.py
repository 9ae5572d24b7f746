import pytest

from dnstap_bgp.core.timing import Backoff, EventLimiter, LeftOut, TokenBucket, backoff_s, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400),
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("0", 0),
        ("0s", 0),
        (".5s", 0.5),
        ("1.s", 1),
        ("7d", 604800),
        ("1h0.5m250ms", 3630.25),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("10ns", 1e-8),
    ],
)
def test_goes_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "24",
        "h",
        "-1h",
        "+1h",
        "1 h",
        "1h ",
        "1h\n",
        "1e3s",
        "1y",
        "1H",
        ".s",
        "1..5s",
        "\u0661s",
        "1h30",
        "s" * 9,
        "0" * 40 + "s",
    ],
)
def test_refuses_what_is_none(text):
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_a_back_off_grows_to_its_limit_and_begins_again():
    backoff = Backoff(1, 5)
    assert [backoff.next(0) for _ in range(4)] == [1, 2, 4, 5]
    backoff.reset()
    assert backoff.next(0.999) == pytest.approx(0.5, abs=0.01)


def test_a_back_off_without_chance():
    backoff = Backoff(0.25, 1)
    assert [backoff.next() for _ in range(4)] == [0.25, 0.5, 1, 1]


def test_a_back_off_is_a_delay_after_any_number_of_tries():
    """A peer that is away for years: 2 to the power of its tries is beyond any float."""
    assert [backoff_s(tries, 0.5, 60.0) for tries in (0, 1, 5, 7, 100_000)] == [0.5, 1.0, 16.0, 60.0, 60.0]
    backoff = Backoff(1, 3600)
    assert [backoff.next() for _ in range(2000)][-1] == backoff.delay_s == 3600
    assert Backoff(0.25, 60).next(0.5) == 0.1875, "shortened by a quarter"


def taken(bucket: TokenBucket, rate: float, now: float, tries: int) -> int:
    return sum(bucket.take(rate, now) for _ in range(tries))


def test_a_second_holds_its_rate():
    bucket = TokenBucket()
    assert [taken(bucket, 5.0, 100.0 + second / 2, 100) for second in range(5)] == [5, 2, 3, 2, 3]
    assert taken(bucket, 5.0, 1e6, 100) == 5


def test_a_bucket_never_holds_more_than_a_second_of_its_rate():
    bucket = TokenBucket()
    assert taken(bucket, 3.0, 0.0, 1) == 1
    assert taken(bucket, 3.0, 1.0, 100) == 3
    assert taken(bucket, 9.0, 1.5, 100) == 4, "half a second of the new rate"


def test_less_than_one_a_second():
    bucket = TokenBucket()
    assert [bucket.take(0.25, float(second)) for second in range(9)] == [True] + [False] * 3 + [True] + [False] * 3 + [
        True
    ]


def test_each_kind_of_event_has_its_burst_and_tells_what_was_left_out():
    limiter = EventLimiter(2, 60.0)
    assert [limiter.admit("a", 100.0) for _ in range(5)] == [LeftOut(0, 0.0)] * 2 + [None] * 3
    assert limiter.admit("b", 100.0) == LeftOut(0, 0.0)
    assert limiter.admit("a", 159.0) is None
    assert limiter.admit("a", 160.0) == LeftOut(4, 60.0)
    assert limiter.admit("a", 220.0) == LeftOut(0, 60.0)


def test_a_window_begins_with_the_first_event_of_its_kind():
    limiter = EventLimiter(1, 60.0)
    assert limiter.admit("a", 1000.0) == LeftOut(0, 0.0)
    assert limiter.admit("a", 1059.9) is None
    assert limiter.admit("a", 1070.0) == LeftOut(1, 70.0)
    assert limiter.admit("a", 1129.0) is None, "which began at 1070"
    assert limiter.admit("b", 1129.0) == LeftOut(0, 0.0)
    assert limiter.admit("b", 1300.0) == LeftOut(0, 171.0), "fewer than the burst are none left out"


def test_known_kinds_are_remembered_beside_as_many_as_may_be():
    limiter = EventLimiter(1, 60.0, kinds_max=3)
    for kind in "abc":
        assert limiter.admit(kind, 0.0)
    assert [limiter.admit(kind, 1.0) for kind in "abc"] == [None] * 3, "none of them is one too many"
    assert limiter.admit("d", 1.0)
    assert limiter.admit("a", 1.0), "all were forgotten"


def test_events_of_made_up_kinds_take_bounded_memory():
    limiter = EventLimiter(1, 60.0, kinds_max=3)
    for kind in range(10):
        assert limiter.admit(kind, 0.0)
        assert len(limiter._windows) <= 3
    assert limiter.admit(9, 1.0) is None
