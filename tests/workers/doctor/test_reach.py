"""Access to unix sockets, as the file system has it."""

import os
import pwd
import stat
from pathlib import Path

from dnstap_bgp.core.doctor.sniffers import SnifferReport
from dnstap_bgp.workers.doctor import reach
from tests.ports import free_port
from tests.workers.doctor.scene import write


def test_each_folder_on_the_way_and_the_socket(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir(mode=0o751)
    folder.chmod(0o751)
    (tmp_path / "link").symlink_to(folder)
    (folder / "x").touch(mode=0o640)
    found = reach.steps(tmp_path / "link" / "x")
    assert [step.path for step in found][-2:] == [str(folder), str(folder / "x")], "where links lead"
    assert found[0].path == "/"
    assert stat.S_IMODE(found[-2].mode) == 0o751
    assert (found[-1].uid, found[-1].gid) == (os.getuid(), os.getgid())


def test_accounts_that_there_are():
    me = pwd.getpwuid(os.getuid()).pw_name
    (found,) = reach.accounts([me, "no-such-user"])
    assert (found.name, found.uid) == (me, os.getuid())
    assert pwd.getpwnam(me).pw_gid in found.groups


def test_a_socket_that_is_not_there_says_nothing(tmp_path):
    config = write(tmp_path)
    assert reach.look(config.dnstap.listen).paths == ()
    (tmp_path / "tap.sock").symlink_to(tmp_path / "tap.sock")
    assert reach.look(config.dnstap.listen).paths == ()


def test_tcp_has_no_path(tmp_path):
    config = write(tmp_path, listen=f"127.0.0.1:{free_port()}")
    assert reach.look(config.dnstap.listen).paths == ()


def test_the_longest_time_in_the_cache_of_unbound(tmp_path):
    main, more = tmp_path / "unbound.conf", tmp_path / "unbound.conf.d"
    assert reach.cache_ttl_max_s([main, more]) == reach.CACHE_TTL_MAX_S
    main.write_text("server:\n  # cache-max-ttl: 5\n  cache-max-ttl: 7200\n")
    assert reach.cache_ttl_max_s([main, more]) == 7200.0
    more.mkdir()
    (more / "a.conf").write_text("server:\n\tcache-max-ttl: 600 # short\n")
    (more / "b.txt").write_text("cache-max-ttl: 1\n")
    os.mkfifo(more / "c.conf")
    assert reach.cache_ttl_max_s([main, more]) == 600.0


def test_the_queue_of_datagrams_is_read():
    found = reach.datagram_queue()
    assert found is None or found > 0


def test_counters_of_captures_and_what_is_none(tmp_path: Path):
    numbers = '"questions": 30, "answers": 20, "empty": 5, "unasked": 1, "lost_packets": 1, "lost_frames": 2'
    (tmp_path / "sniff-eth0.json").write_text(f'{{"at": 90.0, "interface": "eth0\\u001b", {numbers}}}')
    for number, text in enumerate(
        ("", "[]", "[" * 5000, '{"at": 1}', f'{{"at": NaN, "interface": 1, {numbers[:-1]}"x"}}')
    ):
        (tmp_path / f"sniff-{number}.json").write_text(text)
    os.mkfifo(tmp_path / "sniff-fifo.json")
    assert reach.sniffers(tmp_path, 100.0) == (SnifferReport("eth0", 10.0, 30, 25, 1, 1, 2),)
