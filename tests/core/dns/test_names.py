import pytest

from dnstap_bgp.core.dns import names
from dnstap_bgp.errors import BadNameError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.COM", b"example.com"),
        ("..example.com.", b"example.com"),
        ("com", b"com"),
        ("münchen.de", b"xn--mnchen-3ya.de"),
        ("MÜNCHEN.DE", b"xn--mnchen-3ya.de"),
        ("XN--MNCHEN-3YA.de", b"xn--mnchen-3ya.de"),
        ("mu\u0308nchen.de", b"xn--mnchen-3ya.de"),  # u with a combining mark
        ("faß.de", b"xn--fa-hia.de"),  # UTS 46 without transitional processing
        ("\uff25xample\u3002com", b"example.com"),  # full-width letter and dot
        ("пример.испытание", b"xn--e1afmkfd.xn--80akhbyknj4f"),
        ("日本語\u3002\uff2a\uff30", b"xn--wgv71a119e.jp"),
        ("i❤.ws", b"xn--i-7iq.ws"),  # valid in UTS 46, not in IDNA 2008
        ("_dmarc.münchen.de", b"_dmarc.xn--mnchen-3ya.de"),
        ("r3---sn-x.googlevideo.com", b"r3---sn-x.googlevideo.com"),
        ("-a-.b_", b"-a-.b_"),
        ("1.com", b"1.com"),
        ("1.2.3.4.in-addr.arpa", b"1.2.3.4.in-addr.arpa"),
        ("a" * 63 + ".de", b"a" * 63 + b".de"),
        (".".join(["a" * 49] * 5) + ".bcd", b".".join([b"a" * 49] * 5) + b".bcd"),  # 253 bytes
    ],
)
def test_names(text: str, name: bytes):
    assert names.from_text(text) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty label"),
        (".", "empty label"),
        ("a..b", "empty label"),
        ("a" * 64 + ".de", "64 bytes"),
        (".".join(["a" * 49] * 5) + ".bcde", "254 bytes"),
        ("ü" * 60 + ".de", "Label too long"),
        ("192.0.2.1", "address"),
        ("\uff11.\uff12.\uff13.\uff14", "address"),
        ("a b.de", "' '"),
        ("a/b", "'/'"),
        ("a\\.b", "part of a name"),
        ("a\x00b", "part of a name"),
        ("ü b.de", "' '"),
        ("a\u202eb.com", "UTS 46"),  # a direction mark
        ("\u0308a.com", "UTS 46"),  # begins with a combining mark
        ("ü" * 1100, "UTS 46"),
    ],
)
def test_no_names(text: str, reason: str):
    with pytest.raises(BadNameError, match=reason):
        names.from_text(text)
