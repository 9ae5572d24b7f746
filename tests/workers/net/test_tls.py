"""TLS contexts: what is wrong with a file is told by its key and path, and nobody without a certificate gets in."""

import ssl
import subprocess
from pathlib import Path

import pytest

from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.net.tls import client_context, server_context
from tests.workers.tap.certificates import Authority, Certificate

pytestmark = pytest.mark.real("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority):
    return authority.issue("ours")


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection over memory.

    Raises:
        ssl.SSLError: One of them refuses.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = server.wrap_bio(to_server, to_client, server_side=True), client.wrap_bio(to_client, to_server)
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
                end.read(1)
            except ssl.SSLWantReadError:
                pass
    assert all(end.version() is not None for end in ends)
    return ends


def test_members_of_a_fleet_need_no_names(authority, ours):
    ca = ("tls_ca", authority.cert)
    one, two = shake_hands(server_context(ours.cert, ours.key, ca), client_context(ours.cert, ours.key, ca))
    assert one.getpeercert()
    assert two.getpeercert()


def test_who_has_no_certificate_of_the_authority_is_refused_at_either_end(authority, ours, tmp_path):
    stranger = Authority(tmp_path)
    own = stranger.issue("stranger")
    ca, other = ("tls_ca", authority.cert), ("tls_ca", stranger.cert)
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(ours.cert, ours.key, ca), client_context(own.cert, own.key, ca))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server_context(ours.cert, ours.key, None), client_context(own.cert, own.key, other))


def test_without_an_authority_clients_need_no_certificate(authority, ours):
    context = ssl.create_default_context(cafile=authority.cert)
    context.check_hostname = False
    one, _ = shake_hands(server_context(ours.cert, ours.key, None), context)
    assert one.getpeercert() is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what is refused
def test_old_tls_is_refused(authority, ours):
    context = ssl.create_default_context(cafile=authority.cert)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(ours.cert, ours.key, None), context)


def test_the_key_may_be_in_the_certificate_s_file(ours, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(ours.cert.read_bytes() + ours.key.read_bytes())
    server_context(both, None, None)


def with_passphrase(ours: Certificate, bad: Path) -> None:
    subprocess.run(["openssl", "pkey", "-in", ours.key, "-aes256", "-passout", "pass:secret", "-out", bad], check=True)


@pytest.mark.parametrize("of", [server_context, client_context])
def test_errors_name_key_and_path(of, ours, authority, tmp_path):
    bad = tmp_path / "bad.pem"
    ca = ("tls_ca", authority.cert)
    with pytest.raises(ListenerError, match=f"^tls_cert {bad}: No such file"):
        of(bad, ours.key, ca)
    with pytest.raises(ListenerError, match=f"^tls_ca {bad}: No such file"):
        of(ours.cert, ours.key, ("tls_ca", bad))
    with_passphrase(ours, bad)
    with pytest.raises(ListenerError, match=f"^tls_key {bad}: the key has a passphrase"):
        of(ours.cert, bad, ca)
    bad.write_bytes(Authority(tmp_path / "x").key.read_bytes())
    with pytest.raises(ListenerError, match=f"^tls_key {bad}: the key is not that of"):
        of(ours.cert, bad, ca)
