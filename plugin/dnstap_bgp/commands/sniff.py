"""`dnstap-bgp sniff`: feed the tap from DNS answers on the wire, for resolvers without DNSTap."""

import ctypes
import ipaddress
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from dnstap_bgp import __version__
from dnstap_bgp import config as configuration
from dnstap_bgp.commands import privileges, replay_sender
from dnstap_bgp.commands.options import CONFIG, FILE
from dnstap_bgp.config import TcpAddress, UnixAddress, addresses
from dnstap_bgp.core.sniff.answers import AnswerReader
from dnstap_bgp.errors import CommandError, ConfigError
from dnstap_bgp.workers.process import logs
from dnstap_bgp.workers.sniff.capture import PacketCapture
from dnstap_bgp.workers.sniff.sniffer import Sniffer, TapThread

_CAPABILITY_VERSION = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38


@click.command("sniff")
@click.option("--interface", required=True, metavar="NAME", help="The interface that is listened to, or `any`.")
@click.option("--server", "servers", required=True, multiple=True, metavar="ADDRESS", help="A resolver; repeatable.")
@click.option("--mirror", is_flag=True, help="Questions and answers come in by one interface, as at a mirror port.")
@click.option("--to", metavar="TAP", help="The tap: a unix socket, HOST:PORT.  [default: the configuration's first]")
@click.option(
    "--identity", default=socket.gethostname, metavar="TEXT", help="The frames' identity.  [default: this host]"
)
@click.option("--tls-ca", type=FILE, metavar="FILE", help="Speak TLS; who signs the tap's certificate.")
@click.option("--tls-cert", type=FILE, metavar="FILE", help="Our certificate, where the tap asks for one.")
@click.option("--tls-key", type=FILE, metavar="FILE", help="Its key.  [default: in --tls-cert]")
@click.option("--user", metavar="NAME", help="Become this user once the capture is open; as root only.")
@click.option("--config", "config_path", type=FILE, metavar="FILE", help=f"The configuration.  [default: {CONFIG}]")
def command(
    *,
    interface: str,
    servers: tuple[str, ...],
    mirror: bool,
    to: str | None,
    identity: str,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    user: str | None,
    config_path: Path | None,
) -> None:
    """Feed the tap from DNS answers on the wire, for resolvers without DNSTap.

    An answer counts if this host sends it from a server's address that is its own (over IPv6 where its question came
    in). Of a server elsewhere it counts if it comes in where its question left within 5 s before: so on a router name
    the interface towards the server, or `any`. At a port that mirrors a switch, --mirror believes what comes in after
    its question. It needs CAP_NET_RAW to open the capture, and gives that up then, as root all that root may: --user
    names one that may write to the tap's socket. The unit dnstap-bgp-sniff.service runs it.

    \b
    Examples:
        dnstap-bgp sniff --interface any --server 192.0.2.53 --user dnstap-bgp
        dnstap-bgp sniff --interface br0 --server 192.0.2.53 --server 2001:db8::53 --to 198.51.100.7:6000 \\
            --tls-ca ca.pem --tls-cert sniff.pem
    """  # noqa: D301 - click wants a real \b
    logs.begin()
    packed = frozenset(map(_address, servers))
    found = _configuration(config_path, is_needed=to is None)
    target = to if to is not None else _first_tap(found)
    tls = _tls(tls_ca, tls_cert, tls_key)
    if tls is not None:
        _tls_address(target)  # now, not in the thread that connects: that would try for ever
    connect = partial(_connected, target, tls)
    account = privileges.find_user(user)
    with PacketCapture(interface) as capture:
        if account is not None:
            privileges.become(account)
        drop_capabilities()
        version = f"dnstap-bgp {__version__} sniff".encode()
        reader = AnswerReader(packed, identity.encode()[:255], version, is_mirror=mirror)
        sniffer = Sniffer(capture, reader, TapThread(connect, target), interface, _status_file(found, interface))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sniffer.stop())
        sniffer.run()


def _address(text: str) -> bytes:
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise CommandError(f"--server {text}: is no address") from None


def _configuration(path: Path | None, *, is_needed: bool) -> "configuration.Config | None":
    """Load the configuration, which tells the tap and where the counters go; on another machine there is none."""
    if path is None and not is_needed and not CONFIG.exists():
        return None
    try:
        return configuration.load(path or CONFIG, with_secrets=False)
    except ConfigError as error:
        if path is None and not is_needed:
            return None
        raise CommandError(f"no tap is named by --to, and {error}") from None if path is None else error


def _first_tap(found: "configuration.Config | None") -> str:
    assert found is not None
    tap = next((one for one in found.dnstap.listen if isinstance(one, UnixAddress)), found.dnstap.listen[0])
    return str(tap.path) if isinstance(tap, UnixAddress) else str(tap)


def _status_file(found: "configuration.Config | None", interface: str) -> Path | None:
    """Name the file of counters, which the doctor looks at: in the instance's runtime folder."""
    if found is None or not found.runtime_dir.is_dir():
        return None
    return found.runtime_dir / f"sniff-{''.join(filter(str.isalnum, interface))}.json"


def _tls(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if ca is None:
        if cert is not None or key is not None:
            raise CommandError("--tls-cert and --tls-key are of no use without --tls-ca")
        return None
    option = f"--tls-ca {ca}"
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            option = f"--tls-cert {cert}" if key is None else f"--tls-cert {cert} or --tls-key {key}"
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"{option} can't be used: {error}") from error
    return context


@contextmanager
def _connected(target: str, tls: ssl.SSLContext | None) -> Iterator[replay_sender.Sender]:
    """Connect to the tap, with the handshake."""
    with _connect(target, tls) as sock:
        sender = replay_sender.Sender(sock, target)
        sender.open()
        yield sender


def _connect(target: str, tls: ssl.SSLContext | None) -> socket.socket:
    if tls is None:
        return replay_sender.connect(target)
    address = _tls_address(target)
    sock = socket.create_connection((address.host, address.port), timeout=replay_sender.HANDSHAKE_TIMEOUT_S)
    try:
        return tls.wrap_socket(sock, server_hostname=address.host)
    except BaseException:
        sock.close()
        raise


def _tls_address(target: str) -> TcpAddress:
    """Read the address of a tap that speaks TLS.

    Raises:
        CommandError: It is none.
    """
    try:
        address = addresses.listen_address(target, Path.cwd())
    except ValueError as error:
        raise CommandError(f"--to {target}: {error}") from None
    if not isinstance(address, TcpAddress):
        raise CommandError(f"--to {target}: TLS goes over TCP")
    return address


def drop_capabilities() -> None:
    """Give up every capability of this process for good (capabilities(7)).

    Raises:
        CommandError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0 or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise CommandError(f"capabilities can't be given up: {os.strerror(ctypes.get_errno())}")
