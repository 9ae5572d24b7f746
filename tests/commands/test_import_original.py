"""`dnstap-bgp import`: the files that it writes, and those that it leaves alone."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dnstap_bgp import config as configuration
from dnstap_bgp.cli import main
from dnstap_bgp.commands import import_original, import_routes
from dnstap_bgp.errors import CommandError
from tests.commands.import_kit import ORIGINAL, Files


def test_the_namespace_comes_along(files: Files):
    files.defaults.write_text(f"# of the package\nCONFIG={files.old}\nNAMESPACE='dtap'\n")
    files.run("--no-routes")
    text = files.drop_in.read_text()
    assert "\nNetworkNamespacePath=/run/netns/dtap\n" in text
    assert "\nPrivateTmp=no\n" in text, "the resolver's socket is in /tmp"


def test_nothing_of_roots_is_given_away_through_a_link(tmp_path: Path):
    """The attack: the plugin's user, whose folder it is, puts a link in the place of the file that is given to it."""
    secret, link = tmp_path / "secret", tmp_path / "state"
    secret.write_text("root's alone")
    secret.chmod(0o640)
    link.symlink_to(secret)
    with pytest.raises(CommandError, match="is a symbolic link by now"):
        import_original._give_to_account(link, 0o600)
    assert secret.stat().st_mode & 0o777 == 0o640
    import_original._give_to_account(secret, 0o600)
    assert secret.stat().st_mode & 0o777 == 0o600


def test_dry_run_writes_nothing(files: Files):
    output = files.run("--no-routes", "--dry-run").output
    assert "Would write" in output
    assert not files.to.exists()
    assert not files.drop_in.exists()


def test_what_is_there_is_not_replaced_unasked(files: Files):
    files.to.parent.mkdir()
    files.to.write_text("# mine\n")
    assert str(files.to) in files.run("--no-routes", status=1).output
    assert files.to.read_text() == "# mine\n"
    assert not files.drop_in.exists()
    files.run("--no-routes", "--force")
    assert "# mine" not in files.to.read_text()


def test_a_file_that_cannot_be_used_is_told_with_all_its_problems(files: Files):
    files.old.write_text(ORIGINAL.replace("65000", "-1").replace("24h", "1 day"))
    output = files.run("--no-routes", status=1).output
    assert "bgp.as" in output
    assert "ttl" in output
    assert not files.to.exists()


def test_a_socket_that_the_old_program_leaves_behind_is_out_of_the_way(files: Files):
    """It was root's, and /tmp lets nobody else remove it."""
    files.run("--no-routes")
    assert "\nExecStartPre=+/bin/rm -f /tmp/dnstap.sock\n" in files.drop_in.read_text()


def test_it_says_what_stands_in_the_way_of_a_service_that_is_not_root(files: Files, tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o755)
    (tmp_path / "domains.txt").touch(mode=0o600)
    text = ORIGINAL.replace("/var/lib/dnstap-bgp/domains.txt", f"{tmp_path}/domains.txt")
    text = text.replace("/tmp/dnstap.sock", f"{tmp_path}/closed/dnstap.sock")  # noqa: S108 - the original's default
    files.old.write_text(text)
    files.drop_in = tmp_path / "dnstap-bgp.service.d" / "import.conf"
    (tmp_path / "dnstap-bgp.service").touch()
    output = files.run("--no-routes").output
    assert f"unit: {tmp_path}/dnstap-bgp.service hides" in output
    assert f"may not make {tmp_path}/closed/dnstap.sock" in output
    assert f"must be able to read {tmp_path}/domains.txt" in output


def test_the_packaged_configuration_is_replaced_where_it_is_untouched(files: Files, monkeypatch: pytest.MonkeyPatch):
    packaged = Path(__file__).parents[2] / "deploy" / "packaging" / "dnstap-bgp.toml"
    monkeypatch.setattr("dnstap_bgp.commands.import_original.PACKAGED", packaged)
    files.to.parent.mkdir()
    files.to.write_text(packaged.read_text() + "# mine\n")
    files.run("--no-routes", status=1)
    files.to.write_text(packaged.read_text())
    files.run("--no-routes")
    assert configuration.load(files.to).bgp.as_number == 65000


NO_SYNCER = 'domains = "/x"\n[dnstap]\nlisten = "/tmp/dnstap.sock"\n[bgp]\nas = 65000\nrouterID = "192.0.2.1"\n'


def test_without_a_syncer_it_says_how_what_was_learnt_comes_along_all_the_same(files: Files):
    files.old.write_text(NO_SYNCER)
    output = files.run().output
    lines = [line.strip() for line in output.splitlines()]
    at = lines.index("[syncer]")
    listen = lines[at + 1]
    files.old.write_text(NO_SYNCER + "\n".join(["", *lines[at : at + 2]]) + "\n")
    assert import_routes.endpoint_of(configuration.load(files.old)) == "127.0.0.1:8080"
    assert listen.startswith("listen = ")
    assert "its own cache keeps it meanwhile" in output


def test_no_namespace_is_named_where_there_is_none(files: Files):
    files.old.write_text(NO_SYNCER)
    output = files.run("--no-routes").output
    assert f"Wrote {files.drop_in}\n" in output
    assert "None" not in output


@pytest.mark.parametrize(("systemd", "unit"), [(True, True), (True, False), (False, True)])
def test_a_drop_in_is_for_a_unit_of_ours_under_systemd(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, systemd: bool, unit: bool
):
    for name, there in (("SYSTEMD", systemd), ("UNITS", unit)):
        path = tmp_path / name
        if there:
            path.mkdir()
        monkeypatch.setattr(import_original, name, path if name == "SYSTEMD" else (path,))
    monkeypatch.setattr(import_original, "DROP_IN", files.drop_in)
    files.old.write_text(NO_SYNCER)
    command = ["import", f"--defaults={files.defaults}", f"--to={files.to}", f"--cache={files.cache}", "--no-routes"]
    output = CliRunner().invoke(main, command).output
    assert files.drop_in.exists() == (systemd and unit), output
    assert ("no drop-in is written" in output) == (not files.drop_in.exists())
    assert files.to.exists()
