"""The page at `/`: one file without outside resources, in the thread "loop".

Its policy lets run just the script and the style that are in it, by their hashes, lets it ask only us, and takes from
the script every way to make markup of text (Trusted Types): what is in a DNS name stays text.
"""

import base64
import hashlib
import re
from importlib import resources

from aiohttp import web

_FILE = resources.files(__package__) / "page.html"


def _load() -> tuple[str, str]:
    """Read the page, and make its Content-Security-Policy."""
    text = _FILE.read_text(encoding="utf-8")
    hashes = {
        tag: " ".join(_source(found) for found in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL))
        for tag in ("script", "style")
    }
    policy = (
        "default-src 'none'",
        f"script-src {hashes['script']}",
        f"style-src {hashes['style']}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return text, "; ".join(policy)


def _source(content: str) -> str:
    """Give the name by which a policy calls this script or style (Content Security Policy Level 3, 2.3.1)."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


PAGE, POLICY = _load()


async def page(_: web.Request) -> web.Response:
    """Give the page."""
    return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": POLICY})
