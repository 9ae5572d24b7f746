"""What `resolver-conf` prints, in the real resolvers: forwarding, exceptions, AAAA, the canary."""

import subprocess
from collections.abc import Callable

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.integration.debian import debian_13, inside
from tests.integration.lab import Daemon, Lab, eventually
from tests.integration.speaker import command

pytestmark = [pytest.mark.netns, pytest.mark.real("dnsmasq", "ip")]

PORT, TUNNEL, USUAL = 5400, 5401, 5402
CONFIG = """
cache = "state"
runtime_dir = "run"
[dnstap]
listen = "{tap}"
[bgp]
next_hop = "192.0.2.1"
[[list]]
name = "video"
sources = "video.txt"
forward_to = "127.0.0.2:{tunnel}"
[[list]]
name = "plain"
sources = "plain.txt"
next_hop_ipv6 = "2001:db8::1"
"""


@pytest.fixture
def printed(lab: Lab) -> Callable[..., str]:
    """What the command prints, and the two servers: one beyond the tunnel, and the one for all else."""
    (lab.folder / "video.txt").write_text("video.example\n!web.video.example\n=exact.example\n")
    (lab.folder / "plain.txt").write_text("plain.example\n")
    path = lab.folder / "d.toml"
    path.write_text(CONFIG.format(tap=lab.folder / "tap.sock", tunnel=TUNNEL))
    names = ("www.video.example", "web.video.example", "plain.example", "other.example", "exact.example")
    for port, v4, v6 in ((TUNNEL, "11.1.0.1", "2600::1"), (USUAL, "11.2.0.2", "2600::2")):
        records = "".join(f"host-record={name},{v4},{v6}\n" for name in names)
        conf = lab.folder / f"dnsmasq-{port}.conf"
        conf.write_text(
            f"port={port}\nno-daemon\nno-resolv\nno-hosts\nuser=root\nbind-interfaces\n"
            f"listen-address=127.0.0.{2 if port == TUNNEL else 1}\n{records}"
        )
        lab.start(f"dnsmasq-{port}", ["dnsmasq", "-C", str(conf), "-k", "--pid-file="], lab.host)
    lab.host.run("ip", "link", "set", "lo", "up")

    def run(resolver: str, *more: str) -> str:
        return command("resolver-conf", resolver, "--config", str(path), *more)

    return run


def ask(lab: Lab, name: str, kind: str = "A") -> list[str]:
    """The addresses of an answer, `NXDOMAIN`, or nothing."""
    query = dns.message.make_query(name, kind)

    def answered() -> dns.message.Message | None:
        with lab.host.socket(2, 2) as sock:
            sock.settimeout(3)
            try:
                sock.connect(("127.0.0.1", PORT))
                sock.send(query.to_wire())
                found = dns.message.from_wire(sock.recv(4096))
            except OSError:
                return None
            return None if found.rcode() == dns.rcode.SERVFAIL else found

    found = eventually(answered, 20, f"an answer for {name}")
    assert found is not None
    if found.rcode() == dns.rcode.NXDOMAIN:
        return ["NXDOMAIN"]
    kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
    return [str(record) for rrset in found.answer if rrset.rdtype in kinds for record in rrset]


def check(lab: Lab, *, excepts: bool, withholds: bool, canary: str = "NXDOMAIN") -> None:
    assert ask(lab, "other.example") == ["11.2.0.2"]
    assert ask(lab, "www.video.example") == ["11.1.0.1"], "beyond the tunnel"
    assert ask(lab, "exact.example") == ["11.1.0.1"]
    assert ask(lab, "web.video.example") == ["11.2.0.2" if excepts else "11.1.0.1"]
    assert ask(lab, "www.video.example", "AAAA") == ([] if withholds else ["2600::1"])
    assert ask(lab, "web.video.example", "AAAA") == ["2600::2" if excepts else "2600::1"], "on no list, so not withheld"
    assert ask(lab, "plain.example", "AAAA") == ["2600::2"], "a list with an IPv6 way"
    assert ask(lab, "other.example", "AAAA") == ["2600::2"]
    assert ask(lab, "use-application-dns.net") == ([canary] if canary else [])


def start(lab: Lab, name: str, argv: list[str], *, of_13: bool = False) -> Daemon:
    return lab.start(name, inside(debian_13(), lab.folder, argv) if of_13 else argv, lab.host)


releases = pytest.mark.parametrize(
    "of_13", [pytest.param(False, id="here"), pytest.param(True, id="Debian 13", marks=pytest.mark.long)]
)


@releases
@pytest.mark.real("unbound")
def test_unbound(lab: Lab, printed: Callable[..., str], of_13: bool):
    text = printed("unbound")
    assert "can't except web.video.example" in text
    (lab.folder / "steered.conf").write_text(text)
    conf = lab.folder / "unbound.conf"
    conf.write_text(
        f'server:\n interface: 127.0.0.1\n port: {PORT}\n chroot: ""\n username: ""\n directory: "{lab.folder}"\n'
        f' pidfile: ""\n use-syslog: no\n do-not-query-localhost: no\n module-config: "iterator"\n'
        f'stub-zone:\n name: "example"\n stub-addr: 127.0.0.1@{USUAL}\n stub-first: no\n'
        f'remote-control:\n control-enable: no\ninclude: "{lab.folder}/steered.conf"\n'
    )
    start(lab, "unbound", ["unbound", "-d", "-p", "-c", str(conf)], of_13=of_13)
    check(lab, excepts=False, withholds=False)


@pytest.mark.real("named")
def test_bind(lab: Lab, printed: Callable[..., str]):
    empty = lab.folder / "db.empty"
    empty.write_text("$TTL 300\n@ SOA localhost. root.localhost. 1 3600 600 86400 300\n@ NS localhost.\n")
    (lab.folder / "steered.conf").write_text(printed("bind").replace("/etc/bind/db.empty", str(empty)))
    conf = lab.folder / "named.conf"
    conf.write_text(
        f'options {{ directory "{lab.folder}"; pid-file none; listen-on port {PORT} {{ 127.0.0.1; }};'
        f" listen-on-v6 {{ none; }};"
        f" dnssec-validation no; recursion yes; allow-query {{ any; }}; forward only;"
        f" forwarders {{ 127.0.0.1 port {USUAL}; }}; }};\ncontrols {{ }};\n"
        f'include "{lab.folder}/steered.conf";\n'
    )
    start(lab, "named", ["named", "-g", "-c", str(conf)])
    # an exception is asked for as the root says, which is nowhere in here: so what is seen is that it goes elsewhere
    assert ask(lab, "other.example") == ["11.2.0.2"]
    assert ask(lab, "www.video.example") == ["11.1.0.1"]
    assert ask(lab, "www.video.example", "AAAA") == ["2600::1"], "BIND can't withhold it, and says so"
    assert ask(lab, "plain.example", "AAAA") == ["2600::2"]
    assert ask(lab, "use-application-dns.net") == []
    assert "BIND can't withhold AAAA" in (lab.folder / "steered.conf").read_text()
    assert 'zone "web.video.example" { type forward; forwarders { }; };' in (lab.folder / "steered.conf").read_text()


@releases
@pytest.mark.real("kresd")
def test_knot(lab: Lab, printed: Callable[..., str], of_13: bool):
    (lab.folder / "steered.conf").write_text(printed("knot"))
    (lab.folder / "cache").mkdir()
    conf = lab.folder / "kresd.conf"
    conf.write_text(
        f"net.listen('127.0.0.1', {PORT}, {{ kind = 'dns' }})\nnet.ipv6 = false\n"
        f"cache.open(10 * MB, 'lmdb://{lab.folder}/cache')\ntrust_anchors.remove('.')\n"
        f"dofile('{lab.folder}/steered.conf')\n"
        f"policy.add(policy.suffix(policy.STUB('127.0.0.1@{USUAL}'), policy.todnames({{'example.'}})))\n"
    )
    start(lab, "kresd", ["kresd", "-n", "-c", str(conf), str(lab.folder)], of_13=of_13)
    check(lab, excepts=True, withholds=True)


@releases
@pytest.mark.real("dnsdist")
def test_dnsdist(lab: Lab, printed: Callable[..., str], of_13: bool):
    (lab.folder / "steered.conf").write_text(printed("dnsdist"))
    conf = lab.folder / "dnsdist.conf"
    conf.write_text(
        f"setLocal('127.0.0.1:{PORT}')\nsetSecurityPollSuffix('')\n"
        f"newServer({{address = '127.0.0.1:{USUAL}', healthCheckMode = 'up'}})\ndofile('{lab.folder}/steered.conf')\n"
    )
    start(lab, "dnsdist", ["dnsdist", "--supervised", "--disable-syslog", "-C", str(conf)], of_13=of_13)
    check(lab, excepts=True, withholds=True)


@releases
@pytest.mark.real("pdns_recursor")
def test_pdns(lab: Lab, printed: Callable[..., str], of_13: bool):
    zones, script = lab.folder / "steered.zones", lab.folder / "steered.lua"
    text = printed("pdns")
    zones.write_text(text)
    [command] = [line.partition("`:  ")[2] for line in text.splitlines() if " sed " in line]
    words = ["sh", "-c", command.replace("FILE", str(zones)).replace("SCRIPT", str(script))]
    subprocess.run(words, check=True)
    if of_13:
        (lab.folder / "recursor.yml").write_text(
            f'incoming: {{ listen: ["127.0.0.1:{PORT}"] }}\ndnssec: {{ validation: "off" }}\n'
            f"logging: {{ disable_syslog: true }}\nrecursor:\n  socket_dir: {lab.folder}\n  daemon: false\n"
            f'  threads: 1\n  security_poll_suffix: ""\n  hint_file: ""\n  lua_dns_script: {script}\n'
            f'  forward_zones: [ {{ zone: example, forwarders: ["127.0.0.1:{USUAL}"] }} ]\n'
            f"  forward_zones_file: {zones}\n"
        )
    else:
        (lab.folder / "recursor.conf").write_text(
            f"local-address=127.0.0.1:{PORT}\nsocket-dir={lab.folder}\ndaemon=no\ndisable-syslog=yes\n"
            f"security-poll-suffix=\ndnssec=off\nthreads=1\nhint-file=\nlua-dns-script={script}\n"
            f"forward-zones=example=127.0.0.1:{USUAL}\nforward-zones-file={zones}\n"
        )
    start(lab, "pdns", ["pdns_recursor", f"--config-dir={lab.folder}"], of_13=of_13)
    check(lab, excepts=False, withholds=True)


def test_dnsmasq(lab: Lab, printed: Callable[..., str]):
    (lab.folder / "steered.conf").write_text(printed("dnsmasq"))
    conf = lab.folder / "dnsmasq.conf"
    conf.write_text(
        f"port={PORT}\nno-daemon\nno-resolv\nno-hosts\nuser=root\nbind-interfaces\nlisten-address=127.0.0.1\n"
        f"server=127.0.0.1#{USUAL}\nconf-file={lab.folder}/steered.conf\n"
    )
    start(lab, "dnsmasq", ["dnsmasq", "-C", str(conf), "-k", "--pid-file="])
    check(lab, excepts=True, withholds=False)


def test_one_list_and_none(lab: Lab, printed: Callable[..., str]):
    assert "video" not in printed("dnsmasq", "--list", "plain")
    assert "there is no list 'nope'; there are: video, plain" in command(
        "resolver-conf", "dnsmasq", "--config", str(lab.folder / "d.toml"), "--list", "nope", status=1
    )
