"""Jobs of the child that compiles: jobs and notes, as JSON between two processes of one version."""

import json
from pathlib import Path

from dnstap_bgp.core.lists.source import ListSource, UrlPrefixes
from dnstap_bgp.workers.lists import compile_child, compile_job
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.compile_job import Before, about, job, reports_about
from dnstap_bgp.workers.lists.file_reports import reports_to_json
from dnstap_bgp.workers.lists.files import SourceFile, plan


def test_a_job_is_read_as_it_was_written():
    file = SourceFile("https://x/", "/copy", "https://x/", url="https://x/", url_prefixes=UrlPrefixes(True, 9))
    written = json.loads(job({"l": (file,), "none": ()}, Before("/compiled", (("l", "https://x/"),))))
    assert [[compile_child._source_file(values) for values in found] for _, found in written["files"]] == [[file], []]
    assert written["before"] == ["/compiled", [["l", "https://x/"]], None, False, []]


def test_the_note_of_a_compiled_file_tells_how_it_was_read(tmp_path: Path, monkeypatch):
    (tmp_path / "l").write_text("foo.com\nbad line\n")
    reports = build_lists(plan([ListSource("l", (str(tmp_path / "l"),))], None)).reports
    assert reports_about(about(reports)) == (tuple(reports), True)
    assert reports_about(reports_to_json(reports)) == (tuple(reports), False), "as 0.1.0 wrote it"
    note = about(reports)
    monkeypatch.setattr(compile_job, "READING", compile_job.READING + 1)
    assert reports_about(note) == (tuple(reports), False)
