"""unbound as OPNsense has it, with unbound-hook.py: no DNSTap, a chroot, and a Python script of its own before ours.

What is alike: the order of its generated unbound.conf (own files included before its `python:`), the chroot with
nothing but Python's standard library mounted in, the user, and how its script dnsbl_module.py uses unbound's interface.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.debian import lacking
from tests.integration.hooks import PYTHON_UNBOUND, SETTINGS, HookedUnbound
from tests.integration.lab import run
from tests.integration.race import DOMAIN, Race
from tests.integration.resolvers import AUTHORITY_PORT, ask
from tests.integration.shipped import DEPLOY, shipped, tls_folder

LIBRARY = f"/usr/lib/python3.{sys.version_info.minor}"

DNSBL = """
import json
import time
import unboundmodule
sys.path.insert(0, "/unbound-dnsbl/")
from lib import Query


def cache_reply(qinfo, qstate, rep, rcode, edns, opt_list_out, region, **kwargs):
    mod_env["context"].cached += 1
    return True


def init_standard(id, env):
    mod_env["context"] = Query(json.load(open("/data/dnsbl.json")))
    return register_inplace_cb_reply_cache(cache_reply, env, id)


def deinit(id):
    log_info("dnsbl: %d from the cache" % mod_env["context"].cached)
    return True


def inform_super(id, qstate, superqstate, qdata):
    return True


def operate(id, event, qstate, qdata):
    if event == MODULE_EVENT_NEW:
        qdata["start_time"] = time.time()
        how = mod_env["context"].names.get(qstate.qinfo.qname_str)
        if how == "nxdomain":
            qstate.return_rcode = 3
            qstate.ext_state[id] = MODULE_FINISHED
        elif how:
            msg = DNSMessage(qstate.qinfo.qname_str, RR_TYPE_A, RR_CLASS_IN, PKT_QR | PKT_RA | PKT_AA)
            msg.answer.append("%s 3600 IN A %s" % (qstate.qinfo.qname_str, how))
            qstate.ext_state[id] = MODULE_FINISHED if msg.set_return_msg(qstate) else MODULE_ERROR
        else:
            qstate.ext_state[id] = MODULE_WAIT_MODULE
        return True
    if event == MODULE_EVENT_MODDONE:
        qstate.ext_state[id] = MODULE_FINISHED if "start_time" in qdata else MODULE_ERROR
        return True
    if event == MODULE_EVENT_PASS:
        qstate.ext_state[id] = MODULE_WAIT_MODULE
        return True
    qstate.ext_state[id] = MODULE_ERROR
    return True
"""

LIB = """
class Query:
    def __init__(self, names):
        self.names, self.cached = names, 0
"""


class LikeOpnsense(HookedUnbound):
    """unbound in its chroot, with its generated configuration."""

    name = "opnsense"

    def __init__(self, race: Race, tls: Path, blocked: dict[str, str]) -> None:
        self._tls, self._blocked = tls, blocked
        super().__init__(race.track, race.hold)

    def _configure(self) -> None:
        self.root = self._folder / "var-unbound"
        for folder in ("etc", "data", "unbound-dnsbl", "dnstap-bgp", LIBRARY.removeprefix("/")):
            (self.root / folder).mkdir(parents=True)
        (self.root / "data/dnsbl.json").write_text(str(self._blocked).replace("'", '"'))
        (self.root / "unbound-dnsbl/dnsbl_module.py").write_text(DNSBL)
        (self.root / "unbound-dnsbl/lib.py").write_text(LIB)
        module = Path(PYTHON_UNBOUND, "unboundmodule.py")
        if not module.exists():
            lacking("missing: python3-unbound")
        run("cp", str(module), str(self.root))  # where Debian's looks; OPNsense's lies in the library
        self._ship_hook()
        (self.root / "etc/dnstap-bgp.conf").write_text((DEPLOY / "resolvers/opnsense-unbound.conf").read_text())
        self.config = self.root / "unbound.conf"
        self.config.write_text(self._text())
        run("chown", "-R", "unbound:unbound", str(self.root))
        for above in (self._folder, *self._folder.parents):
            if not (mode := above.stat().st_mode) & 1:  # pytest's folders are the tester's alone
                above.chmod(mode | 0o011)

    def _ship_hook(self) -> None:
        """Place the hook and its certificates where the manual says, with the settings that it says."""
        for name in ("ca.pem", "client.pem", "client.key"):
            run("cp", str(self._tls / name), str(self.root / "dnstap-bgp"))
        substitutions = {
            f"\n{name} = {SETTINGS[name]}\n": f"\n{name} = {value}\n" for name, value in SETTINGS_HERE.items()
        }
        shipped("resolvers/unbound-hook.py", self.root / "dnstap-bgp", substitutions)

    def _text(self) -> str:
        return f"""\
server:
chroot: {self.root}
username: unbound
directory: {self.root}
pidfile: ""
use-syslog: no
logfile: ""
interface: 127.0.0.1
port: {self.port}
num-threads: 2
so-reuseport: yes
module-config: "python iterator"
do-not-query-localhost: no
outgoing-interface: 127.0.0.1

# Custom includes
include: {self.root}/etc/*.conf

stub-zone:
    name: "example"
    stub-addr: 127.0.0.1@{AUTHORITY_PORT}

python:
python-script: unbound-dnsbl/dnsbl_module.py

remote-control:
    control-enable: no
"""

    def _command(self) -> list[str]:
        script = 'mount -r --bind "$0" "$1$0" && cd "$1" && exec unbound -d -p -c "$1/unbound.conf"'
        return ["sh", "-c", script, LIBRARY, str(self.root)]


SETTINGS_HERE = {  # as the manual says
    "HOLD": '"tls://127.0.0.1:6054"',
    "BEFORE": '"/unbound-dnsbl/dnsbl_module.py"',
    "TLS_CA, TLS_CERT, TLS_KEY": '"/dnstap-bgp/ca.pem", "/dnstap-bgp/client.pem", "/dnstap-bgp/client.key"',
    "TLS_NAME": '"tap.example.net"',
}


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return tls_folder(tmp_path / "tls")


@pytest.fixture
def race(tmp_path: Path, tls: Path) -> Iterator[Race]:
    files: dict[str, Any] = {
        "tls_cert": f"{tls}/server.pem",
        "tls_key": f"{tls}/server.key",
        "tls_client_ca": f"{tls}/ca.pem",
    }
    made = Race(tmp_path, listen=["127.0.0.1:6054"], **files)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.mark.long
@pytest.mark.netns
@pytest.mark.timeout(120)
@pytest.mark.real("named", "bird", "birdc", "unbound", "openssl", "mount")
def test_the_first_packet_takes_the_right_way_and_its_own_script_goes_on(race: Race, tls: Path):
    nowhere, elsewhere = race.track.fresh(4)[::2]
    names = [f"r{question.number}.{DOMAIN}" for question in (nowhere, elsewhere)]
    resolver = LikeOpnsense(race, tls, {f"{names[0]}.": "nxdomain", f"{names[1]}.": "0.0.0.0"})
    resolver.start()
    try:
        race.warm(resolver)
        assert ask(race.track, resolver.port, names[0]) == []
        assert ask(race.track, resolver.port, names[1]) == ["0.0.0.0"]
        found = race.track.one_by_one(resolver.port, race.track.fresh(20))
        new, cached = (ask(race.track, resolver.port, "plain.example") for _ in range(2))
    finally:
        resolver.stop()
    assert found.right == 20
    assert sorted(new) == sorted(cached)
    text = resolver.daemon.text()
    assert "error" not in text, text
    assert "dnsbl: 0 from" not in text
    assert "dnsbl: " in text
