"""Web server: imported with the first client, configured anew, gone at the end."""

import errno
import socket
import subprocess
import sys

from tests.commands.running import environment
from tests.integration.lab import eventually
from tests.ports import free_port
from tests.workers.web import site_kit
from tests.workers.web.site_kit import Site

A = b"\1\1\1\1"


def test_nobody_pays_before_somebody_asks():
    """asyncio and aiohttp come with the first client; the parts themselves must not import them."""
    script = "import sys, dnstap_bgp.workers.web.server as _; print({'asyncio', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_new_doors_after_a_reload(site: Site, tmp_path):
    assert site.get("/healthz") == "ok\n"
    before, site.port = site.port, free_port()
    site.server.configure(site.write(tmp_path, "", ""))
    assert site.get("/healthz") == "ok\n"
    assert site.get("/healthz", control=True) == "ok\n"

    def is_shut() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", before)) == errno.ECONNREFUSED

    eventually(is_shut, 10, "the door of before is shut")


def test_a_door_that_has_no_certificate_is_told_as_closed(site: Site, tmp_path):
    files = 'tls_cert = "no.pem"\ntls_key = "no.pem"'
    site.server.configure(site.write(tmp_path, "", files))
    [problem] = [one.problem for one in site.server.inspector.status().web.listeners if one.problem is not None]
    assert "no.pem" in problem
    assert "nothing listens until a reload can read it" in problem


def test_no_part_of_it_outlives_the_end(tmp_path):
    with site_kit.running(tmp_path) as site:
        site.get("/healthz", control=True)
        path = site.config.control_socket
    assert not path.exists()
