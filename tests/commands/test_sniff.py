"""The arguments of `sniff`: what is wrong is named before anything is opened."""

import ssl
from pathlib import Path

import pytest

from tests.commands.running import cli

CA = ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
"""Any file of certificates: that of the system."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--interface", "any", "--server", "nope", "--to", "/x"], "--server nope: is no address"),
        (
            ["--interface", "any", "--server", "192.0.2.1", "--to", "/x", "--tls-cert", "c"],
            "of no use without --tls-ca",
        ),
        (["--interface", "any", "--server", "192.0.2.1", "--to", "/x", "--tls-ca", "/nope"], "--tls-ca /nope can't be"),
        (
            [*("--interface", "any", "--server", "192.0.2.1", "--to", "x:6000"), "--tls-ca", CA, "--tls-cert", "/nope"],
            "--tls-cert /nope can't be",
        ),
        (["--interface", "any", "--server", "192.0.2.1", "--config", "/nope.toml"], "/nope.toml"),
        (["--interface", "any", "--server", "192.0.2.1", "--to", "x:99999", "--tls-ca", CA], "99999 is no port"),
        (["--interface", "any", "--server", "192.0.2.1", "--to", "/x", "--tls-ca", CA], "TLS goes over TCP"),
        (["--interface", "nope", "--server", "192.0.2.1", "--to", "/x"], "interface nope"),
        (["--interface", "any", "--server", "192.0.2.1", "--to", "/x", "--user", "nobody-at-all"], "nobody-at-all"),
    ],
)
def test_what_is_wrong_is_told(words: list[str], said: str):
    done = cli("sniff", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_is_asked_for(tmp_path: Path):
    done = cli("sniff", "--interface", "any", "--to", str(tmp_path / "tap"))
    assert done.returncode == 2
    assert "--server" in done.stderr
