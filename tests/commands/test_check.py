import pytest

from dnstap_bgp.commands import check

CONFIG = """
domains = ["a.txt", "b.txt"]
cache = "state"
[dnstap]
listen = "tap.sock"
[bgp]
as = 65001
router_id = "192.0.2.1"
peers = ["192.0.2.2"]
source_ip = "192.0.2.3"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d.toml").write_text(CONFIG)
    (tmp_path / "a.txt").write_text("example.com\n!www.example.com\n# comment\n")
    (tmp_path / "b.txt").write_text("example.org\n")
    return tmp_path


def report(folder):
    return check.run(folder / "d.toml")


def errors(folder):
    return [str(problem).removeprefix(f"{folder}/") for problem in report(folder).errors]


def change(folder, old, new):
    assert old in CONFIG
    (folder / "d.toml").write_text(CONFIG.replace(old, new))


GUARD = "guard: addresses of private, documentation and other special-purpose space never become routes"


def test_all_is_good(folder):
    found = report(folder)
    assert found.exit_status == 0
    assert found.lines() == [
        f"{folder}/d.toml: good",
        "list default: 3 rules",
        f"{GUARD}; [guard] allow = [...] opens it",
    ]


def test_static_prefixes_that_the_guard_keeps(folder):
    (folder / "b.txt").write_text("192.168.1.0/24\n10.7.0.0/16\n12.0.0.0/8\n" + "10.0.0.1\n")
    change(folder, "[dnstap]", "guard.allow = '10.7.0.0/16'\n[dnstap]")
    found = report(folder)
    assert found.exit_status == 0
    assert found.warnings == tuple(
        f"list default: {prefix} is not announced:"
        f' refused by the guard (private {block}); [guard] allow = ["{block}"] opens it'
        for prefix, block in (("10.0.0.1", "10.0.0.0/8"), ("192.168.1.0/24", "192.168.0.0/16"))
    )
    assert found.summary[1:] == (
        "list default: 2 rules, 4 static prefixes",
        f"{GUARD}, but for 10.7.0.0/16 ([guard])",
    )
    (folder / "b.txt").write_text("".join(f"10.1.{n}.0/24\n" for n in range(30)))
    *_, last = report(folder).warnings
    assert last == "30 static prefixes are not announced in all (`check -v` tells each)"
    assert len(check.run(folder / "d.toml", verbose=True).warnings) == 30


def test_every_error_of_file_and_lists_at_once(folder):
    change(folder, "as = 65001", "as = 0\nmod = 5")
    (folder / "a.txt").write_text("example.com\nbad..name\n\nan other\n")
    (folder / "b.txt").unlink()
    found = errors(folder)
    assert [error.partition(": ")[0] for error in found] == ["d.toml", "d.toml", "a.txt:2", "a.txt:4", "b.txt"]
    assert "bgp.mod" in found[0]
    assert "`med`" in found[0]
    assert "bgp.as" in found[1]
    assert report(folder).exit_status == 1
    assert all(line.startswith("error: ") for line in report(folder).lines())


def test_a_bad_list_key_leaves_the_lists_alone(folder):
    change(folder, '["a.txt", "b.txt"]', "5")
    assert len(errors(folder)) == 1


def test_no_file(tmp_path):
    found = report(tmp_path)
    assert len(found.errors) == 1
    assert "No such file" in str(found.errors[0])


def test_lists_without_a_rule(folder):
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("# nothing\n")
    (found,) = errors(folder)
    assert found.endswith("there is no rule in any list")


def test_a_file_in_another_format_is_one_mistake(folder):
    (folder / "a.txt").write_text("bad..name\n" * 3000)
    found = errors(folder)
    assert len(found) == check.LINES_TOLD + 1
    assert found[-1] == "a.txt: 2000 more lines like these"


def test_what_only_up_needs(folder):
    change(
        folder,
        'router_id = "192.0.2.1"\npeers = ["192.0.2.2"]\nsource_ip = "192.0.2.3"',
        'next_hop_ipv6 = "fd00::1"\npeers = ["192.0.2.2"]',
    )
    assert errors(folder) == ["d.toml: bgp.router_id: is missing: an IPv4 address that names us to the neighbors"]


def test_a_file_for_an_exabgp_of_ones_own(folder):
    change(folder, 'as = 65001\nrouter_id = "192.0.2.1"\npeers = ["192.0.2.2"]', 'next_hop = "192.0.2.1"')
    found = report(folder)
    assert found.exit_status == 0
    (warning,) = found.warnings
    assert "`dnstap-bgp up`" in warning


def test_what_mostly_should_be_there(folder):
    (folder / "b.txt").write_text("# later\n")
    text = CONFIG.replace('source_ip = "192.0.2.3"\n', "").replace('cache = "state"', 'cache = "no/folder/state"')
    text = text.replace('"tap.sock"', '"nowhere/tap.sock"') + '[guard]\nallow = ["0.0.0.0/0"]\n'
    (folder / "d.toml").write_text(text)
    found = report(folder)
    assert found.exit_status == 0
    for words in (
        "guard.allow 0.0.0.0/0: everything is in it",
        f"cache: there is no folder {folder}/no/folder",
        f"dnstap.listen {folder}/nowhere/tap.sock: there is no folder {folder}/nowhere",
        "bgp.source_ip is missing",
        f"{folder}/b.txt: there is no rule in it",
    ):
        assert sum(warning.startswith(words) for warning in found.warnings) == 1, (words, found.warnings)
    change(folder, 'cache = "state"\n', "")
    assert report(folder).warnings[0].startswith("cache is missing")


@pytest.mark.parametrize("allow", ["0.0.0.0/0", "::/0"])
def test_what_lets_everybody_in(folder, allow: str):
    change(folder, 'listen = "tap.sock"', f'listen = ":6000"\nallow = ["{allow}"]')
    assert f"dnstap.allow {allow}: everything is in it, so that whoever reaches" in report(folder).warnings[0]


def test_a_name_that_has_no_address_now(folder):
    change(folder, '["192.0.2.2"]', '["no-such-router.invalid"]')
    found = report(folder)
    assert found.exit_status == 0
    (warning,) = found.warnings
    assert "no-such-router.invalid" in warning


def test_warnings_of_the_configuration(folder):
    change(folder, '"tap.sock"', '":6000"')
    found = report(folder)
    assert found.exit_status == 0
    assert found.lines()[0].startswith("warning: dnstap.listen 0.0.0.0:6000")


def test_users_and_groups(folder):
    change(
        folder, 'listen = "tap.sock"', 'listen = "tap.sock"\ngroup = "no-such-group"\n[process]\nuser = "no-such-user"'
    )
    assert errors(folder) == [
        "d.toml: process.user: there is no 'no-such-user' on this system",
        "d.toml: dnstap.group: there is no 'no-such-group' on this system",
    ]
    change(folder, 'listen = "tap.sock"', 'listen = "tap.sock"\ngroup = 65534\n[process]\nuser = "root"')
    assert errors(folder) == []


def test_files_of_tls_of_hooks(folder):
    with (folder / "d.toml").open("a") as file:
        file.write('\n[hold]\nlisten = "127.0.0.1:6054"\ntls_cert = "cert.pem"\ntls_client_ca = "ca.pem"\n')
    assert errors(folder) == [f"d.toml: hold: tls_cert {folder}/cert.pem: No such file or directory"]


def test_files_of_tls_of_the_fleet(folder):
    (folder / "cert.pem").write_text("no certificate\n")
    with (folder / "d.toml").open("a") as file:
        file.write('\n[syncer]\nlisten = "127.0.0.1:1"\npeers = ["127.0.0.1:2"]\n')
        file.writelines(f'{key} = "cert.pem"\n' for key in ("tls_cert", "tls_key", "tls_ca"))
    assert errors(folder) == [f"d.toml: syncer: tls_cert {folder}/cert.pem: holds no certificate in PEM form"]


def test_files_of_tls(folder):
    change(folder, 'listen = "tap.sock"', 'listen = "127.0.0.1:6000"\ntls_cert = "cert.pem"')
    assert errors(folder) == [f"d.toml: dnstap: tls_cert {folder}/cert.pem: No such file or directory"]
