"""A stand-in for the Go program's package, and the network namespace that its unit ran it in.

The same name, paths, unit and configuration keys as the real one; the program answers `/fetch`, and as the real one it
is root, and leaves its DNSTap socket behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.machine import Machine, Router
from tests.integration.lab import run

ADDRESSES = ("11.9.0.1", "11.9.0.2", "11.9.0.3")

PROGRAM = f"""\
#!/usr/bin/python3
import datetime, http.server, json, os, signal, socket

tap = socket.socket(socket.AF_UNIX)
tap.bind("/tmp/dnstap.sock")
seen = datetime.datetime.now(datetime.timezone.utc).isoformat()
held = [{{"IP": address, "Domain": "www.foo.bar", "TS": seen}} for address in {ADDRESSES}]


class Syncer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(held).encode())


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.HTTPServer(("0.0.0.0", 8080), Syncer).serve_forever()
"""

FILES = {
    "usr/bin/dnstap-bgp": PROGRAM,
    "usr/lib/systemd/system/dnstap-bgp.service": """\
[Service]
EnvironmentFile=/etc/default/dnstap-bgp
ExecStart=/sbin/ip netns exec ${NAMESPACE} /usr/bin/dnstap-bgp -config ${CONFIG}
[Install]
WantedBy=multi-user.target
""",
    "etc/default/dnstap-bgp": "CONFIG=/etc/dnstap-bgp/dnstap-bgp.conf\nNAMESPACE=dtap\nOPTIONS=-a b\n",
    "etc/dnstap-bgp/dnstap-bgp.conf": """\
domains = "/var/cache/domains.txt"
cache = "/var/cache/dnstap-bgp.db"
[dnstap]
listen = "/tmp/dnstap.sock"
perm = "0666"
[bgp]
as = 64513
routerID = "10.99.0.1"
sourceIP = "10.99.0.1"
peers = ["10.99.0.2"]
[syncer]
listen = "0.0.0.0:8080"
""",
    "DEBIAN/conffiles": "/etc/default/dnstap-bgp\n/etc/dnstap-bgp/dnstap-bgp.conf\n",
    "DEBIAN/control": """\
Package: dnstap-bgp
Version: 0.0.1
Architecture: all
Maintainer: A test <root@localhost>
Description: stand-in
""",
}


def package(folder: Path) -> Path:
    """Build its .deb."""
    for name, text in FILES.items():
        path = folder / "original" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name == "usr/bin/dnstap-bgp" else 0o644)
    built = folder / "original.deb"
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(folder / "original"), str(built))
    return built


@contextmanager
def namespace(machine: Machine, router: Router) -> Iterator[None]:
    """Have the link to the machine's router in a namespace `dtap`, and all else that the program needs in its place."""
    router.expect(64513)  # the router's own: the Go program knows no other
    machine.sh(
        "ip netns add dtap && ip link set to-r netns dtap && ip -n dtap link set lo up &&"
        " ip -n dtap address add 10.99.0.1/24 dev to-r && ip -n dtap link set to-r up &&"
        " echo foo.bar >/var/cache/domains.txt"
    )
    try:
        yield
    finally:
        machine.sh(
            "systemctl stop dnstap-bgp; ip -n dtap link set to-r netns 1; ip netns delete dtap;"
            " ip address add 10.99.0.1/24 dev to-r; ip link set to-r up;"
            " rm -rf /etc/systemd/system/dnstap-bgp.service.d /tmp/dnstap.sock; systemctl daemon-reload",
            status=None,
        )
        router.expect(64512)
