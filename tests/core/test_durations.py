import pytest

from dnstap_bgp.core.durations import parse_duration


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
