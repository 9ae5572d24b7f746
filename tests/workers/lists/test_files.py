"""List files: from what the configuration says to files."""

import errno
import os
import resource
from pathlib import Path

import pytest

from dnstap_bgp.core.lists.source import ListSource
from dnstap_bgp.errors import ListError
from dnstap_bgp.workers.lists import files as listfiles
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.files import plan
from dnstap_bgp.workers.lists.loader import ListLoader
from dnstap_bgp.workers.lists.url_cache import UrlCache
from tests.core.lists.formats import encoders
from tests.workers.lists.build_kit import build, rules, write


def test_a_glob_is_its_files_in_order(tmp_path: Path):
    write(tmp_path, **{"b.txt": "b.com\n", "a.txt": "a.com\n", "c.list": "c.com\n"})
    (tmp_path / "d.txt").mkdir()
    built = build(tmp_path / "*.txt")
    assert [Path(report.path).name for report in built.reports] == ["a.txt", "b.txt"]
    assert rules(built, "a.com", "b.com", "c.com") == [True, True, False]


def test_a_glob_of_nothing_is_an_error(tmp_path: Path, monkeypatch):
    (report,) = build(tmp_path / "*.txt").reports
    assert (report.path, report.error) == (str(tmp_path / "*.txt"), "it names 0 files, 1 to 1000 are allowed")
    monkeypatch.setattr(listfiles, "GLOB_MAX", 1)
    write(tmp_path, **{"b.txt": "b.com\n", "a.txt": "a.com\n"})
    assert "it names 2 files" in str(build(tmp_path / "*.txt").reports[0].error)


def test_a_folder_that_may_be_listed_and_not_looked_into_ends_nobody(tmp_path: Path, monkeypatch):
    write(tmp_path, **{"a.txt": "a.com\n"})
    stat = os.stat

    def closed(path, *arguments, **options):
        if str(path).endswith("a.txt"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", closed)
    (place,) = plan([ListSource("l", (str(tmp_path / "*.txt"),))], None)["l"]
    assert place.path == str(tmp_path / "a.txt"), "to read it tells what is wrong"


def test_a_cache_that_can_not_be_looked_into_has_no_copies(tmp_path: Path):
    """As one that belongs to another user, or whose name is too long for the disk."""
    lists = [ListSource("l", ("https://lists.example/a",))]
    for cache in (UrlCache(tmp_path / ("x" * 300)), UrlCache(tmp_path / ("x" * 300)).with_held()):
        assert [place.pending for place in plan(lists, cache)["l"]] == [True]


def test_a_file_with_a_glob_for_a_name(tmp_path: Path):
    write(tmp_path, **{"a[1].txt": "a.com\n"})
    assert rules(build(tmp_path / "a[1].txt"), "a.com") == [True]


def test_a_new_file_of_a_glob_is_loaded(tmp_path: Path):
    write(tmp_path / "l", **{"a.txt": "a.com\n"})
    source = ListSource("l", (str(tmp_path / "l" / "*"),))
    loader = ListLoader(tmp_path / "compiled")
    assert loader.load([source]).how == "compiled"
    write(tmp_path / "l", **{"b.txt": "b.com\n"})
    assert ListLoader(tmp_path / "compiled").load([source]).rules.lists(b"b.com") == ("l",)


def test_another_format_is_another_list(tmp_path: Path):
    write(tmp_path, l="||a.com^\n||b.com^\nc.com\n")
    loader = ListLoader(tmp_path / "compiled")
    for form, expected in (("auto", 3), ("adblock", 3), ("plain", 1)):
        loaded = loader.load([ListSource("l", (str(tmp_path / "l"),), form)], force=True)
        assert (loaded.how, len(loaded.rules)) == ("compiled", expected)


def test_a_glob_may_have_a_selector_and_a_file_with_that_very_name_is_itself(tmp_path: Path):
    content = encoders.geosite({"A": [("domain", "a.com", [])]})
    (tmp_path / "x.dat").write_bytes(content)
    (tmp_path / "y.dat").write_bytes(content)
    (tmp_path / "z.dat#a").write_text("z.com\n")
    lists = [ListSource("l", (f"{tmp_path}/?.dat#a", f"{tmp_path}/z.dat#a"))]
    built = build_lists(plan(lists, None))
    assert [report.path for report in built.reports] == [f"{tmp_path}/{name}.dat#a" for name in "xyz"]
    assert built.rules.lists(b"a.com") == built.rules.lists(b"z.com") == ("l",)


STRANGER = 4711


def linked(path: Path, target: Path) -> Path:
    """Make a link of another user's."""
    path.symlink_to(target)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_another_user_shows_nothing_that_he_may_not_read(tmp_path: Path):
    """The attack: a line that is none is shown to whoever reads the status."""
    write(tmp_path, **{"secret.txt": "hunter 2\n", "own.txt": "b.com\n"})
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    write(folder, **{"x.txt": "hunter 2\n"})
    tmp_path.joinpath("secret.txt").chmod(0o600)
    tmp_path.joinpath("own.txt").chmod(0o600)
    os.chown(tmp_path / "own.txt", STRANGER, STRANGER)
    stolen = [linked(tmp_path / "a", Path("secret.txt")), linked(tmp_path / "b", folder / "x.txt")]
    stolen.append(linked(tmp_path / "c", folder) / "x.txt")
    for path in stolen:
        (report,) = build(path).reports
        assert (
            report.error == "a link of the user 4711 leads to a file that not everybody may read: name the file itself"
        )
        assert "hunter" not in str(report)
    with listfiles.opened(linked(tmp_path / "d", Path("/etc/passwd"))):
        pass
    assert rules(build(linked(tmp_path / "e", tmp_path / "own.txt")), "b.com") == [True]
    (tmp_path / "f").symlink_to("secret.txt")
    assert build(tmp_path / "f").reports[0].error is None


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_is_no_file_leaves_no_descriptor_open(tmp_path: Path, is_folder: bool):
    path = tmp_path / "x"
    path.mkdir() if is_folder else os.mkfifo(path)
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(ListError, match="Is a directory" if is_folder else "not a file"):
            listfiles.digest_of(path)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_links_that_go_round_end(tmp_path: Path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert build(tmp_path / "a").reports[0].error == os.strerror(errno.ELOOP)


def test_a_link_that_leads_through_many_folders_takes_no_descriptors_from_others(tmp_path: Path):
    """The attack: whoever may write a list leads to it through more folders than descriptors are left."""
    (tmp_path / "x").mkdir()
    write(tmp_path, few="a.com\n")
    (tmp_path / "far").symlink_to("x/../" * 100 + "few")
    (tmp_path / "farther").symlink_to("x/../" * 800 + "few")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    ten_are_left = [number for number in range(len(taken) + 10) if number not in taken][9]
    resource.setrlimit(resource.RLIMIT_NOFILE, (ten_are_left + 1, limits[1]))
    try:
        with listfiles.opened(tmp_path / "far") as file:
            assert file.read() == b"a.com\n"
        with pytest.raises(ListError, match=os.strerror(errno.ELOOP)):
            listfiles.digest_of(tmp_path / "farther")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
