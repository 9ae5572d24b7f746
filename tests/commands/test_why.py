"""`dnstap-bgp why`: why is this routed, and why isn't that?"""

import pytest

from tests.commands.asking_kit import Asked


def test_why_is_this_address_routed(asked: Asked):
    text = asked.text("why", "203.0.113.8")
    for words in (
        "203.0.113.8 is routed",
        "v.video.example is on the list video by the rule video.example",
        "ExaBGP was told, and has acknowledged it",
        "announced with: next-hop 192.0.2.254, communities 65001:100",
        "first seen",
        "ends in",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("198.51.100.99", "never seen"),
        ("10.1.2.3", "10.1.2.3 for lab.example.com (list default) was refused"),
        ("10.1.2.3", 'allow = ["10.0.0.0/8"]'),
        ("127.0.0.1", "it is refused by the guard"),
        ("other.example", "no list has a rule for it"),
        ("private.video.example", "list video: stopped by the exception !private.video.example"),
        ("never.example.com", "no answer with an address was seen for it"),
        ("www.example.com", "203.0.113.7 was seen"),
    ],
)
def test_why_is_it_so(asked: Asked, target: str, words: str):
    assert words in asked.text("why", target)


def test_neither_address_nor_name(asked: Asked):
    done = asked.run("why", "no/name")
    assert done.returncode == 1
    assert "neither an address nor a name" in done.stderr


def test_when_did_it_expire(asked: Asked):
    assert "for 1 s" in asked.text("add", "198.51.100.1", "--list", "video", "--ttl", "1s")
    words = "198.51.100.1 for by hand (list video) ended"
    asked.until(lambda: words in asked.text("why", "198.51.100.1"), "the end of one second")
