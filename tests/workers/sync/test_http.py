"""The HTTP transport: listener and clients come up as soon as what they need is there."""

import socket
from contextlib import closing

from dnstap_bgp.workers.sync import http
from tests.integration.lab import eventually, stays
from tests.ports import free_port
from tests.workers.sync.instance import Instance, config, running


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_an_address_that_is_taken_is_tried_again_and_told_once(monkeypatch, caplog):
    monkeypatch.setattr(http, "RETRY_S", 0.05)
    port, other = free_port(), free_port()
    instance, friend = Instance(config(port, other)), Instance(config(other, port))
    with closing(socket.create_server(("127.0.0.1", port))) as taken, running(instance, friend):
        eventually(lambda: "can't listen on syncer.listen" in caplog.text, 5, "it is told")
        eventually(lambda: instance.peer().state == "following", 5, "and the client needs no listener")
        stays(lambda: caplog.text.count("can't listen") == 1, 0.5)
        taken.close()
        eventually(lambda: is_open(port), 5, "it listens")
    assert "tried again every 0 s" in caplog.text


def test_certificates_that_can_not_be_read_are_tried_again_and_told_once(monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(http, "RETRY_S", 0.05)
    port = free_port()
    missing = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem", "tls_ca": tmp_path / "ca.pem"}
    with running(Instance(config(port, **missing))):
        eventually(lambda: "syncer.tls_cert" in caplog.text, 5, "it is told")
        stays(lambda: caplog.text.count("syncer.tls_cert") == 1, 0.5)
        assert not is_open(port), "nobody is let in before"
