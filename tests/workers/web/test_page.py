"""The page in a real headless Chromium: what it shows of a real site, and that nothing from outside becomes markup."""

import re
import threading
from importlib import resources

import pytest

from dnstap_bgp.core.status.report import Finding, PeerStatus
from tests.workers.web import site_kit
from tests.workers.web.browser import browser
from tests.workers.web.site_kit import addresses

pytestmark = pytest.mark.real("chromium", "chromedriver")

HIT = "window.hit = 1"
MARKUP = (
    f"<img src=x onerror='{HIT}'>",
    f"<script>{HIT}</script>",
    f"\"><svg onload='{HIT}'>",
    "&lt;b&gt;<b>bold</b>",
    f"javascript:{HIT}",
)
V6 = bytes.fromhex("2600ffffffffffffffffffffffffffff")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def page(site, tab):
    """The site's page, open; it must not complain of anything."""
    tab.show(1280, 900)
    yield lambda fragment="": _open(tab, site, fragment)
    assert tab.console() == []
    tab.open("about:blank")


def _open(tab, site, fragment=""):
    tab.open("about:blank")
    tab.console()
    tab.open(f"http://127.0.0.1:{site.port}/{fragment}")
    tab.until("return document.getElementById('live').textContent === 'connected'")
    return tab


def rows(tab):
    return tab.run("return [...document.querySelectorAll('#routes tr')].map((row) => row.innerText)")


def test_the_policy_lets_nothing_else_run(site, page):
    policy = site.ask("/")[2].headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    tab = page()
    for script in (
        "document.body.insertAdjacentHTML('beforeend', '<i>')",
        "document.querySelector('main').innerHTML = '<i>'",
        "document.createElement('script').text = '1'",
    ):
        kind = tab.run("try { %s; return 'ran'; } catch (error) { return error.name; }" % script)  # noqa: UP031 - braces
        assert kind == "TypeError", script
    tab.run("try { document.body.setAttribute('onclick', 'window.hit = 1'); } catch {} document.body.click()")
    tab.run("const a = document.createElement('a'); a.href = arguments[0]; a.click()", f"javascript:{HIT}")
    assert tab.run("return fetch('http://127.0.0.2/').then(() => 'went out', (error) => error.name)") == "TypeError"
    assert tab.run("return window.hit") is None
    assert tab.console() != []  # it has complained of just these


def test_one_file_without_outside_resources():
    text = (resources.files("dnstap_bgp.workers.web") / "page.html").read_text()
    assert not re.search(
        r"\s(?:src|srcset|style|on\w+)\s*=\s*[\"']", re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    )
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|@import|url\(", text)


def test_100000_routes(site, page):
    site.see(addresses(100_000))
    tab = page()
    tab.until("return document.getElementById('routes-count').textContent === '100,000'")
    assert len(rows(tab)) == 200
    tab.run("document.getElementById('more').click()")
    tab.until("return document.querySelectorAll('#routes tr').length === 400")
    for text, found in (
        ("1.1.134.1", 71),
        ("n998.example", 100),
    ):  # .10 to .19, .100 to .159, and .1; a name has a hundred
        tab.run(
            "const q = document.getElementById('q'); q.value = arguments[0]; q.dispatchEvent(new Event('input'))", text
        )
        tab.until("return document.querySelectorAll('#routes tr').length === arguments[0]", found)
        assert all(text in row for row in rows(tab))
        assert tab.text("#routes-count") == f"{found} of 100,000"
    tab.run("document.querySelector('#routes tr').click()")
    tab.until("return document.querySelector('#why .reasons li')")
    assert "n998.example.com is on the list l by the rule example.com" in tab.text("#why-content")


def test_markup_stays_text(site, page):
    for number, markup in enumerate(MARKUP):
        site.see([bytes((1, 1, 1, number))], markup.encode() + b".example.com")
    site.server.inspector.findings = lambda: (
        Finding("warning", "odd", *MARKUP[:2]),
        Finding("error", "odd", *MARKUP[2:4]),
    )
    site.server.inspector.peers = lambda: (PeerStatus(MARKUP[0], MARKUP[1], MARKUP[2]),)
    tab = page()
    tab.until("return document.querySelectorAll('#routes tr').length === arguments[0]", len(MARKUP))
    tab.until(
        "return document.querySelectorAll('.finding').length === 2 && !document.getElementById('peers-card').hidden"
    )
    told = tab.text("#findings")
    assert [markup in told for markup in MARKUP] == [True, True, True, True, False]
    assert MARKUP[0] in tab.text("#peers")
    shown = "\n".join(rows(tab))
    for markup in MARKUP:
        for part in re.findall(r"\w{3,}", markup):
            assert part in shown
    site.tick()
    for number, markup in enumerate(MARKUP):
        site.see([bytes((1, 1, 2, number))], markup.encode() + b".example.com")
    site.tick()
    tab.until("return document.querySelectorAll('#events .what').length === arguments[0]", len(MARKUP))
    for number in range(len(MARKUP)):
        tab.run("location.hash = `why=1.1.1.${arguments[0]}`", number)
        tab.until("return document.getElementById('why-target').textContent === `1.1.1.${arguments[0]}`", number)
        tab.until("return document.querySelector('#why table .linkish')")
        tab.run("document.querySelector('#why table .linkish').click()")  # and its name
        tab.until("return document.getElementById('why-target').textContent.includes('example.com')")
        tab.until("return document.getElementById('why-content').childElementCount")
        tab.run("document.getElementById('why').close()")
    made = "main :is(img, b, script), dialog :is(img, b, script)"
    assert tab.run("return document.querySelectorAll(arguments[0]).length", made) == 0
    assert tab.run("return window.hit") is None
    assert not [line for line in tab.console() if "400 (Bad Request)" not in line]


def test_a_link_to_why(page, site):
    tab = page("#why=%3Cimg%20src%3Dx%3E")
    tab.until("return document.getElementById('why-routed').textContent !== '…'")
    assert tab.text("#why-target") == "<img src=x>"
    tab.run("document.getElementById('why-close').click()")
    tab.until("return location.hash === ''")
    site.see([b"\1\1\1\1"])
    tab.run("document.getElementById('q').value = 'www.example.com'; document.getElementById('search').requestSubmit()")
    tab.until("return document.getElementById('why-routed').textContent === 'routed'")
    tab.run("history.back()")
    tab.until("return !document.getElementById('why').open")
    tab.console()  # Chromium tells of the answer 400, too


def test_live_events(site, page):
    tab = page()
    site.see([b"\1\1\1\1"])
    site.tick()
    tab.until("return document.querySelector('#events').innerText.includes('1.1.1.1')")
    tab.run("document.getElementById('pause').click()")
    site.see([b"\1\1\1\2"])
    site.tick()
    tab.until("return document.getElementById('live').textContent === 'paused'")
    assert "1.1.1.2" not in tab.text("#events")
    tab.run("document.getElementById('pause').click()")
    tab.until("return document.querySelector('#events').innerText.includes('1.1.1.2')")


def test_a_flood_of_events_is_not_kept(site, page):
    tab = page()
    for start in range(0, 5_000, 500):
        site.see(addresses(500, 0x01000000 + start), b"m%d.example.com" % start)
        site.tick()
    tab.until("return document.querySelectorAll('#events li').length >= 100")
    assert tab.run("return document.querySelectorAll('#events li').length") <= 150


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1440])
def test_nothing_sticks_out(site, page, tab, width):
    site.see([V6, *addresses(20)], b".".join([b"x" * 63] * 3) + b".example.com")
    text = "w" * 120
    site.server.inspector.findings = lambda: (Finding("error", "odd", text, text),)
    site.server.inspector.peers = lambda: (PeerStatus(text, "down", text),)
    tab.show(width, 900, dark=width % 20 == 0, phone=width < 500)
    page()
    tab.until("return document.querySelectorAll('#routes tr').length > 5 && document.querySelector('.finding')")
    assert tab.run("return document.documentElement.scrollWidth") <= width
    tab.run("location.hash = 'why=2600:ffff:ffff:ffff:ffff:ffff:ffff:ffff'")
    tab.until("return document.querySelector('#why .reasons li')")
    assert tab.run("return document.documentElement.scrollWidth") <= width
    assert tab.run("return document.querySelector('#why').scrollWidth <= document.querySelector('#why').clientWidth")


def test_light_and_dark(page, tab):
    colour = "return getComputedStyle(document.body).backgroundColor"
    page()
    tab.show(1280, 900, dark=True)
    dark = tab.run(colour)
    tab.show(1280, 900)
    light = tab.run(colour)
    assert light != dark
    tab.run("document.getElementById('theme').click()")
    assert tab.run(colour) == dark
    page()
    assert tab.run(colour) == dark  # it is remembered
    tab.run("document.getElementById('theme').click()")
    assert tab.run(colour) == light


def test_the_plugin_goes_away(tmp_path, tab):
    with site_kit.running(tmp_path) as site:
        tab.show(1280, 900)
        _open(tab, site)
        assert tab.run("return document.getElementById('away').hidden")
    tab.until("return !document.getElementById('away').hidden")
    assert "No answer from the plugin" in tab.text("#away")
    assert tab.text("#health") == "no answer"
    tab.open("about:blank")


def test_the_plugin_hangs(site, page):
    """Its sockets are still there, and nobody answers."""
    tab = page()
    loop = site.loop._loop
    stuck = threading.Event()
    loop.call_soon_threadsafe(stuck.wait)
    try:
        tab.until("return !document.getElementById('away').hidden")
    finally:
        stuck.set()
    tab.until("return document.getElementById('away').hidden")
    tab.console()  # requests that were given up


def test_internationalized_names_are_shown_with_their_a_labels(site, page):
    names = {
        b"xn--mnchen-3ya.example.com": "münchen.example.com (xn--mnchen-3ya.example.com)",
        b"xn--80akhbyknj4f.example.com": "испытание.example.com (xn--80akhbyknj4f.example.com)",
        b"xn--wgv71a119e.example.com": "日本語.example.com (xn--wgv71a119e.example.com)",
        b"xn--a.example.com": "xn--a.example.com",  # no punycode
        b"xn--ab-m1t.example.com": "xn--ab-m1t.example.com",  # a right-to-left override
        b"xn--99999999999.example.com": "xn--99999999999.example.com",
    }
    for address, name in zip(addresses(len(names)), names, strict=True):
        site.see([address], name)
    tab = page()
    tab.until(f"return document.querySelectorAll('#routes tr').length >= {len(names)}")
    found = tab.run("return [...document.querySelectorAll('#routes .names span')].map((one) => one.textContent)")
    assert set(names.values()) <= set(found)
    tab = page("#why=xn--mnchen-3ya.example.com")
    tab.until("return document.getElementById('why-target').textContent.startsWith('münchen')")
