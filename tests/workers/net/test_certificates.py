"""The TLS files of all tables: each that can't be used is told by its table and key."""

from pathlib import Path

import pytest

from dnstap_bgp.config import parse
from dnstap_bgp.workers.net.certificates import unusable_certificates

TABLES = {
    "dnstap": 'tls_cert = "cert.pem"\n',
    "hold": '[hold]\nlisten = "127.0.0.1:2"\ntls_cert = "cert.pem"\ntls_client_ca = "ca.pem"\n',
    "http": '[http]\ntls_cert = "cert.pem"\ntls_key = "cert.pem"\n',
    "syncer": '[syncer]\nlisten = "127.0.0.1:3"\ntls_cert = "cert.pem"\ntls_key = "cert.pem"\ntls_ca = "ca.pem"\n',
}


def unusable(folder: Path, *tables: str) -> list[tuple[str, str]]:
    more = "".join(TABLES[table] for table in tables)
    text = f'domains = "d.txt"\n[bgp]\nnext_hop = "192.0.2.9"\n[dnstap]\nlisten = "127.0.0.1:1"\n{more}'
    return list(unusable_certificates(parse(text.encode(), folder / "d.toml", with_secrets=False)))


@pytest.mark.parametrize("table", TABLES)
def test_a_file_that_is_missing_is_told(tmp_path: Path, table: str):
    missing = f"tls_cert {tmp_path}/cert.pem: No such file or directory"
    assert unusable(tmp_path, table) == [(table, missing)]


def test_all_tables_are_told_at_once(tmp_path: Path):
    assert [table for table, _ in unusable(tmp_path, *TABLES)] == list(TABLES)


def test_who_speaks_no_tls_needs_no_file(tmp_path: Path):
    assert unusable(tmp_path) == []
