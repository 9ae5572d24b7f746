"""Datagrams: replies to whoever has asked and to nobody else, whatever a local user tries."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from dnstap_bgp.errors import ListenerError
from dnstap_bgp.workers.hold import datagrams
from dnstap_bgp.workers.hold.datagrams import AdmittedUsers, ensure_folder, ensure_token
from tests.commands.running import environment
from tests.integration.hook_asker import INSTALLED, NOT_OURS, NOT_UNDERSTOOD, answer, question, read_reply
from tests.ports import free_port
from tests.workers.hold.hold_kit import DEADLINE_S, stage, wait_until

NOBODY = 65534
GROUP, OTHER_GROUP = 12345, 12346  # of nobody, and without a name
UNLISTED = answer("www.test", ["11.0.0.1"])


@pytest.fixture
def folder():
    """One that other users can pass through, which pytest's own is not."""
    made = Path(tempfile.mkdtemp(prefix="hold"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def scene(folder):
    hold = 'listen = ["hold.sock", "dgram:d.sock"]\nreply_folder = "hooks"\nperm = "0666"'
    with stage(folder, hold) as made:
        wait_until(lambda: [one.problem for one in made.status.listeners] == [None, None])
        yield made


@contextmanager
def bound(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(30)
        yield sock


def tell(folder, sock=None, *, hook="dnsdist", wire=UNLISTED):
    data = question(wire, hook=hook)
    if sock is not None:
        sock.sendto(data, str(folder / "d.sock"))
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unnamed:
            unnamed.sendto(data, str(folder / "d.sock"))
    return data[2:10]


def refused(scene, reason, times=1):
    wait_until(lambda: scene.status.refused.get(reason, 0) == times, f"refused: {reason}")


def test_a_bound_sender_is_answered_at_its_socket(scene, folder):
    with bound(folder / "hooks" / "mine") as sock:
        number = tell(folder, sock)
        reply = read_reply(sock.recv(100))
        assert (reply.verdict, reply.id) == (NOT_OURS, number)
        tell(folder, sock, wire=answer("www.example", ["11.0.0.1"]))
        assert read_reply(sock.recv(100)).verdict == INSTALLED
    assert scene.status.refused == {}


def test_an_unnamed_sender_is_answered_at_the_socket_of_its_hook(scene, folder):
    with bound(folder / "hooks" / "dnsdist") as sock:
        number = tell(folder)
        assert read_reply(sock.recv(100)).id == number
    assert scene.status.refused == {}


def test_a_message_that_is_no_question_is_told_so_to_a_named_sender_alone(scene, folder):
    with bound(folder / "hooks" / "mine") as sock:
        sock.sendto(bytes(20), str(folder / "d.sock"))
        assert read_reply(sock.recv(100)).verdict == NOT_UNDERSTOOD
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unnamed:
        unnamed.sendto(bytes(20), str(folder / "d.sock"))
    refused(scene, "reply path")


@pytest.mark.parametrize("name", ["../elsewhere", "deeper/mine", "../hooks/mine"])
def test_no_reply_leaves_the_folder(scene, folder, name):
    (folder / "hooks" / "deeper").mkdir()
    with bound(folder / "hooks" / name) as sock:
        tell(folder, sock)
        refused(scene, "reply path")
        sock.settimeout(0)
        with pytest.raises(BlockingIOError):
            sock.recv(100)


def test_an_abstract_sender_gets_no_reply(scene, folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(b"\0" + bytes(str(folder / "hooks" / "mine"), "ascii"))
        tell(folder, sock)
        refused(scene, "reply path")


@pytest.mark.parametrize("hook", [".", ".."])
def test_a_hook_is_named_as_no_folder_is(scene, folder, hook):
    tell(folder, hook=hook)
    refused(scene, "reply path")


def test_no_reply_follows_a_link(scene, folder):
    with bound(folder / "victim") as victim:
        (folder / "hooks" / "dnsdist").symlink_to(folder / "victim")
        tell(folder)
        wait_until(lambda: [one.dropped for one in scene.status.hooks] == [1])
        victim.settimeout(0)
        with pytest.raises(BlockingIOError):
            victim.recv(100)


def test_what_is_no_socket_gets_no_reply(scene, folder):
    (folder / "hooks" / "dnsdist").write_text("")
    tell(folder)
    refused(scene, "reply path")
    (folder / "hooks" / "gone").mkdir()
    tell(folder, hook="gone")
    refused(scene, "reply path", 2)


def test_a_burst_is_answered_beyond_the_queue_of_replies(scene, folder, monkeypatch):
    """As the answers of one moment are, where `max_dgram_qlen` is 10: the hook reads one, and another finds room."""
    monkeypatch.setattr(datagrams, "UNSENT_S", 60.0)  # however slow this machine is
    limit = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    wanted = 3 * limit + 5
    with bound(folder / "hooks" / "dnsdist") as slow:
        asked = {tell(folder) for _ in range(wanted)}
        wait_until(lambda: any(one.asked == wanted for one in scene.status.hooks))
        assert {read_reply(slow.recv(100)).id for _ in range(wanted)} == asked
    assert scene.status.refused.get("reply queue", 0) == 0


def test_a_full_reply_queue_is_counted_and_harms_nobody(scene, folder):
    with bound(folder / "hooks" / "dnsdist") as deaf, scene.hook() as hook:
        for _ in range(3_000):
            tell(folder)
            if scene.status.refused.get("reply queue"):
                break
        wait_until(lambda: scene.status.refused.get("reply queue"))
        assert hook.ask("www.example", ["11.0.0.1"]).verdict == INSTALLED
        deaf.recv(100)


def test_a_socket_that_is_gone_gets_nothing(scene, folder):
    with bound(folder / "hooks" / "dnsdist"):
        pass
    tell(folder)
    wait_until(lambda: [one.dropped for one in scene.status.hooks] == [1])


def tell_as(user, group, folder, name=""):
    """Tell as another user: a child, which is done before anything else can happen in it."""
    data = question(UNLISTED, hook="dnsdist")
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status == 0
        return
    status = 1
    try:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if name:
            sock.bind(name)
        sock.sendto(data, str(folder / "d.sock"))
        status = 0
    finally:
        os._exit(status)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other users can be played by root alone")


@as_root
def test_a_user_outside_of_the_group_is_not_heard(scene, folder):
    with bound(folder / "hooks" / "dnsdist") as sock:
        tell_as(NOBODY, NOBODY, folder)
        refused(scene, "sender")
        sock.settimeout(0)
        with pytest.raises(BlockingIOError):
            sock.recv(100)


@as_root
def test_a_member_of_the_group_can_not_have_another_user_s_socket_written_to(scene, folder):
    with bound(folder / "hooks" / "dnsdist") as sock:
        tell_as(NOBODY, os.getegid(), folder)
        refused(scene, "reply path")
        sock.settimeout(0)
        with pytest.raises(BlockingIOError):
            sock.recv(100)


@as_root
def test_a_member_of_the_group_is_answered_at_its_own_socket(scene, folder):
    (folder / "hooks").chmod(0o777)
    tell_as(NOBODY, os.getegid(), folder, str(folder / "hooks" / "mine"))
    wait_until(lambda: [one.asked for one in scene.status.hooks] == [1])
    assert scene.status.refused == {}


def test_members_of_the_group_count():
    senders = AdmittedUsers(-1)
    assert senders.gid == os.getegid()
    assert senders.count(os.geteuid(), 12345)
    assert senders.count(0, 12345)
    assert senders.count(54321, os.getegid())
    assert not senders.count(54321, 12345)


def test_a_member_that_was_added_later_counts_soon(monkeypatch):
    now, members = [100.0], [frozenset[int]()]
    monkeypatch.setattr(datagrams, "process_clock", lambda: now[0])
    monkeypatch.setattr(datagrams, "_members", lambda _: members[0])
    senders = AdmittedUsers(12345)
    members[0] = frozenset({54321})
    assert not senders.count(54321, 54321)
    now[0] += datagrams.LOOK_AGAIN_S
    senders.count(54321, 54321)
    wait_until(lambda: senders.count(54321, 54321), "the member counts")
    members[0] = frozenset()
    assert senders.count(54321, 54321), "nothing is looked up for a member"
    now[0] += datagrams.LOOK_AGAIN_S
    assert not senders.count(1, 1)
    wait_until(lambda: not senders.count(54321, 54321), "nobody counts who was removed")


def test_a_flood_of_strangers_costs_one_lookup(monkeypatch):
    lookups, goes_on = [], threading.Event()
    monkeypatch.setattr(datagrams, "LOOK_AGAIN_S", 0.0)
    senders = AdmittedUsers(-1)

    def hang(gid):
        lookups.append(gid)
        goes_on.wait(DEADLINE_S)
        return frozenset()

    monkeypatch.setattr(datagrams, "_members", hang)
    assert not any(senders.count(54321, 12345) for _ in range(1_000))
    wait_until(lambda: lookups)
    assert len(lookups) == 1
    goes_on.set()


# -- UDP


@pytest.fixture
def udp(folder):
    port = free_port()
    with stage(folder, f'listen = "udp://127.0.0.1:{port}"') as made:
        wait_until(lambda: [one.problem for one in made.status.listeners] == [None])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(30)
            sock.connect(("127.0.0.1", port))
            yield made, sock


def test_the_token_opens_the_way_over_udp(udp, folder):
    scene, sock = udp
    path = folder / "hold.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    token = bytes.fromhex(path.read_text())
    for wrong in (b"", bytes(16), token[:15], token[:15] + bytes([token[15] ^ 1]), token[::-1]):
        sock.send(wrong + question(UNLISTED))
    refused(scene, "token", 5)
    data = question(answer("www.example", ["11.0.0.1"]))
    sock.send(token + data)
    reply = read_reply(sock.recv(100))
    assert (reply.verdict, reply.id) == (INSTALLED, data[2:10])
    sock.send(token + bytes(20))
    assert read_reply(sock.recv(100)).verdict == NOT_UNDERSTOOD


def test_a_flood_with_a_wrong_token_leaves_others_their_answers(udp, folder):
    scene, sock = udp
    token = bytes.fromhex((folder / "hold.token").read_text())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.connect(sock.getpeername())
        for number in range(20):
            for _ in range(100):
                flood.send(bytes(16) + question(UNLISTED))
            wait_until(lambda number=number: scene.status.refused.get("token", 0) > number)
            sock.send(token + question(UNLISTED))
            assert read_reply(sock.recv(100)).verdict == NOT_OURS


def test_a_token_is_made_once_and_read_after_that(folder):
    path = folder / "token"
    token = ensure_token(path, -1)
    assert len(token) == 16
    assert ensure_token(path, -1) == token
    assert ensure_token(folder / "other", -1) != token


DIES = """
import resource, signal, sys
from pathlib import Path
from dnstap_bgp.workers.hold.datagrams import ensure_token
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # the first byte that is written ends the process
ensure_token(Path(sys.argv[1]), -1)
"""


def test_who_dies_while_the_token_is_written_leaves_none(folder):
    path = folder / "token"
    done = subprocess.run([sys.executable, "-c", DIES, str(path)], env=environment(), check=False)
    assert done.returncode == -signal.SIGXFSZ
    assert ensure_token(path, -1) == bytes.fromhex(path.read_text())


@pytest.mark.parametrize("content", ["", "short", "zz" * 16, "00" * 17, "00" * 3000, "é" * 32])
def test_a_file_that_holds_no_token_is_told(folder, content):
    path = folder / "token"
    path.write_text(content)
    with pytest.raises(ListenerError, match="32 hexadecimal digits"):
        ensure_token(path, -1)


def test_a_token_that_can_not_be_had_is_told(folder):
    with pytest.raises(ListenerError, match="can't be made"):
        ensure_token(folder / "nowhere" / "token", -1)
    (folder / "link").symlink_to(folder / "elsewhere")
    with pytest.raises(ListenerError, match="can't be read"):
        ensure_token(folder / "link", -1)
    os.mkfifo(folder / "pipe")
    with pytest.raises(ListenerError, match="no regular file"):
        ensure_token(folder / "pipe", -1)


def test_the_folder_of_replies_is_made_for_the_group(folder):
    ensure_folder(folder / "hooks", -1)
    assert stat.S_IMODE((folder / "hooks").stat().st_mode) == 0o770
    (folder / "hooks").chmod(0o711)
    ensure_folder(folder / "hooks", -1)
    assert stat.S_IMODE((folder / "hooks").stat().st_mode) == 0o711, "one that is there stays as it is"
    (folder / "file").write_text("")
    with pytest.raises(ListenerError, match="is no folder"):
        ensure_folder(folder / "file", -1)
    with pytest.raises(ListenerError, match="can't be made"):
        ensure_folder(folder / "nowhere" / "hooks", -1)


@contextmanager
def as_nobody(folder, group):
    """Be a user to whom the folder belongs, and who is in one group more."""
    os.chown(folder, NOBODY, NOBODY)
    before = os.getgroups()
    os.setgroups([group])
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setgroups(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("ensure", [ensure_folder, ensure_token])
def test_what_was_made_for_another_group_is_given_to_the_configured_one(folder, ensure):
    """Also where the first try came before our user was in it: what is left of that would be taken as it is."""
    made = folder / "made"
    with as_nobody(folder, group=OTHER_GROUP):
        with pytest.raises(ListenerError, match=f"usermod -aG {GROUP} nobody, and restart"):
            ensure(made, GROUP)
        assert made.exists() is (ensure is ensure_folder), "our own group is to read no token"
        ensure(made, OTHER_GROUP)
        assert made.stat().st_gid == OTHER_GROUP
    with as_nobody(folder, group=GROUP):
        ensure(made, GROUP)
        assert made.stat().st_gid == GROUP
        assert stat.S_IMODE(made.stat().st_mode) == (0o770 if ensure is ensure_folder else 0o640)
    ensure(made, OTHER_GROUP)
    assert made.stat().st_gid == GROUP, "another user's stays as it is"


def test_what_lies_on_a_read_only_mount_is_taken_as_it_is(folder):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"missing: the right to mount ({mounted.stderr.decode().strip()})")
    try:
        ensure_folder(folder / "hooks", -1)
        token = ensure_token(folder / "token", -1)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        for gid in (-1, GROUP):
            ensure_folder(folder / "hooks", gid)
            assert ensure_token(folder / "token", gid) == token
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
