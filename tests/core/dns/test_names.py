import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("a" + "\ufffd\x03" * 500, "UTS 46"),
    ],
)
def test_no_names(text: str, reason: str):
    with pytest.raises(BadNameError, match=reason) as told:
        names.from_text(text)
    assert len(str(told.value)) < 250
    assert str(told.value).isprintable()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("xn--mnchen-3ya.de", "münchen.de"),
        ("www.xn--mnchen-3ya.de", "www.münchen.de"),
        ("xn--e1afmkfd.xn--80akhbyknj4f", "пример.испытание"),
        ("xn--wgv71a119e.jp", "日本語.jp"),
        ("xn--i-7iq.ws", "i❤.ws"),
        ("example.com", None),
        ("xn--example-.com", None),
        ("xn--a.com", None),
        ("xn--", None),
        ("xn---.de", None),
        ("xn--99999999999999999999.de", None),
        ("xn--mnchen-3yA.de", None),
        ("xn--fsq.xn--" + "a" * 300, None),
        ("xn--ab-m1t.de", None),  # a right-to-left override
        ("xn--a-0hc.de", None),
        (r"xn--mnchen-3ya.a\046b", None),
    ],
)
def test_unicode_for_people(name, shown):
    assert names.to_unicode(name) == shown


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_unicode_for_people_is_the_same_name_and_can_be_seen(label):
    try:
        name = b"xn--" + label.encode("punycode") + b".example"
        text = name.decode("ascii").lower()
    except UnicodeError:
        return
    shown = names.to_unicode(text)
    if shown is not None:
        assert shown.isprintable()
        assert names.from_text(shown).decode() == text


def test_a_name_as_long_as_may_be_is_shown_in_unicode():
    name = ".".join(["a" * 49] * 4 + ["b" * 35, "xn--mnchen-3ya"])
    assert (len(name), names.to_unicode(name)) == (250, name.replace("xn--mnchen-3ya", "münchen"))
    longest = "ccc" + name
    assert (len(longest), names.to_unicode(longest)) == (253, longest.replace("xn--mnchen-3ya", "münchen"))
    assert names.to_unicode("c" + longest) is None


def test_what_the_library_says_is_cut():
    with pytest.raises(BadNameError, match=r"UTS 46\): .{160}\.\.\.$"):
        names.from_text("\u0308" + "\ufffd\x03" * 500)
