"""What becomes of each source in a load, by what it had."""

from collections.abc import Sequence

import pytest

from dnstap_bgp.core.lists.source import Force, ListSource
from dnstap_bgp.workers.lists.file_reports import FileReport
from dnstap_bgp.workers.lists.files import SourceFile
from dnstap_bgp.workers.lists.judgement import Judgement


def of(source: str, rules: int, *, name: str = "l", error: str | None = None, digest: str = "") -> FileReport:
    return FileReport(name, source, source, file=source, rules=rules, error=error, digest=digest or f"{source}{rules}")


def judged(
    before: Sequence[FileReport], now: Sequence[FileReport], *sources: str, force: Force = False
) -> tuple[Judgement, bool]:
    judgement = Judgement(before, [ListSource("l", sources)], force)
    return judgement, judgement.take(now)


def test_what_grows_or_shrinks_a_little_comes_into_force():
    judgement, settled = judged([of("a", 100)], [of("a", 99), of("b", 0)], "a", "b")
    assert (settled, judgement.kept, judgement.held, judgement.failed) == (True, {}, {}, {})


@pytest.mark.parametrize(("force", "held"), [(False, True), (True, False), (frozenset({"l"}), False)])
@pytest.mark.parametrize("listed", [("a", "b"), ("b", "a")])
def test_a_loss_is_held_back_unless_it_is_asked_for(force: Force, held: bool, listed: tuple[str, str]):
    judgement, settled = judged([of("a", 100), of("b", 1)], [of("a", 3), of("b", 2)], *listed, force=force)
    assert settled != held
    assert list(judgement.kept) == ([("l", "a")] if held else [])
    if held:
        assert "`dnstap-bgp reload --force` or `--force l` takes it" in judgement.held["l", "a"]
    assert [one.rules for one in judgement.reports if one.source == "a"] == [3], "its new content is what is shown"


def test_another_list_s_name_forces_nothing():
    judgement, _ = judged([of("a", 100)], [of("a", 3)], "a", force=frozenset({"m"}))
    assert list(judgement.held) == [("l", "a")]


@pytest.mark.parametrize("force", [False, True])
def test_what_can_t_be_read_keeps_what_it_had(force: bool):
    gone = of("a", 0, error="No such file")
    judgement, settled = judged([of("a", 100)], [gone], "a", force=force)
    assert not settled
    assert judgement.failed == {("l", "a"): "list l: a: No such file; its last content stays in force"}
    assert judgement.failed_anew == []
    judgement, settled = judged([of("b", 100)], [gone, of("b", 100)], "a", "b", force=force)
    assert settled
    assert judgement.failed_anew == ["list l: a: No such file; so far it gives nothing"]
    judgement, settled = judged([gone], [gone], "a", force=force)
    assert (settled, judgement.failed_anew) == (True, []), "it failed before, so that it is nothing new"


def test_a_second_read_is_of_the_copies():
    judgement, _ = judged([of("a", 100), of("b", 1)], [of("a", 3), of("b", 2)], "a", "b")
    places = judgement.places("l", (SourceFile("a", "/new/a", "a"), SourceFile("b", "/b", "b")))
    assert [(place.source, place.path) for place in places] == [("a", "a"), ("b", "/b")]
    assert judgement.take([of("a", 100), of("b", 2)])
    assert [(one.source, one.rules) for one in judgement.reports] == [("a", 3), ("b", 2)]
    assert judgement.unkept == []
    judgement.take([of("a", 0, error="damaged"), of("b", 2)])
    assert judgement.unkept == ["a: damaged"]


def test_a_file_that_gets_worse_between_two_reads_is_judged_too():
    judgement, _ = judged([of("a", 100), of("b", 90)], [of("a", 3), of("b", 91)], "a", "b")
    assert not judgement.take([of("a", 100), of("b", 1)])
    assert set(judgement.held) == {("l", "a"), ("l", "b")}


def test_a_url_without_a_copy_is_awaited():
    url = "https://x/l"
    pending = FileReport("l", url, url, url=url, pending=True)
    judgement, settled = judged([of(url, 7)], [pending], url)
    assert not settled
    assert judgement.awaited == {
        ("l", url): "list l: https://x/l is still to be fetched; until then its last 7 rules stay"
    }


def test_nothing_else_changed():
    a, b = of("a", 100), of("b", 1)
    judgement, _ = judged([a, b], [of("a", 3), b], "a", "b")
    assert judgement.is_all_as_before([of("a", 3), b])
    assert not judgement.is_all_as_before([of("a", 3), of("b", 2)])
    assert not judgement.is_all_as_before([of("a", 3)])
