"""`[syncer]`: what an existing file has, and what is new."""

from pathlib import Path

import pytest

from dnstap_bgp.config.addresses import TcpAddress
from dnstap_bgp.config.loading import parse
from dnstap_bgp.config.tables import SyncerConfig
from dnstap_bgp.errors import ConfigError


def syncer(text: str) -> SyncerConfig:
    content = f"domains = 'x'\n[dnstap]\nlisten = '/x'\n[bgp]\nnext_hop = '192.0.2.1'\n[syncer]\n{text}"
    found = parse(content.encode(), Path("/etc/d/d.toml")).syncer
    assert found is not None
    return found


def test_an_existing_file():
    found = syncer("listen = '0.0.0.0:8080'\nsyncInterval = '5m'\npeers = ['192.168.0.2:8080', 'other.example:8080']")
    assert found.listen == TcpAddress("0.0.0.0", 8080)
    assert found.sync_interval_s == 300
    assert found.peers == (TcpAddress("192.168.0.2", 8080), TcpAddress("other.example", 8080))
    assert found.is_active
    assert found.compatible
    assert not found.insecure
    assert not found.is_authenticated


def test_what_does_nothing():
    assert not syncer("sync_interval = '0'").is_active
    assert not SyncerConfig().is_active


def test_a_token_and_certificates():
    assert syncer("token = '0123456789abcdef'").is_authenticated
    assert "0123456789abcdef" not in repr(syncer("token = '0123456789abcdef'"))
    found = syncer("tls_cert = 'a.pem'\ntls_key = 'a.key'\ntls_ca = 'ca.pem'")
    assert found.is_authenticated
    assert found.tls_ca == Path("/etc/d/ca.pem")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("token = 'short'", "syncer.token: is no token"),
        ("token = 'with a space in it, and long'", "syncer.token: is no token"),
        ("tls_cert = 'a.pem'\ntls_key = 'a.key'", "tls_cert, tls_key and tls_ca go together"),
        ("peers = ['x']", "syncer.peers"),
        ("insecure = 'yes'", "syncer.insecure: must be true or false"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(text, told):
    with pytest.raises(ConfigError) as caught:
        syncer(text)
    assert told in str(caught.value)
    assert "with a space" not in str(caught.value)
