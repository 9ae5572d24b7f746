"""How many files a DNS answer, a list line and a peer's entry pass through: a reader has to open no more than these."""

import time
from contextlib import ExitStack, closing
from pathlib import Path

from tests.integration.tap_sender import TapSender, sightings
from tests.ports import free_port
from tests.walks import TracedPlugin

ROUNDS = 12
STATE = ("core/state/", "workers/state/", "workers/process/clocks.py")
EXABGP = ("core/exabgp/", "workers/exabgp/")


def see(plugin: TracedPlugin, at: TracedPlugin) -> list[tuple[float, float]]:
    """Show new names to one plugin, one after the other, until `at` announces their addresses."""
    windows = []
    with TapSender(plugin.tap) as sender:
        for number in range(ROUNDS):
            address = f"11.0.0.{number}"
            at.host.watch(f"{address}/32")
            since = time.monotonic()
            sender.send(sightings(f"www{number}.example", [address]))
            windows.append((since, at.host.seen_at()))
    return windows


def test_a_frame_passes_through_few_files_to_stdout_and_to_the_state_file(tmp_path: Path):
    with TracedPlugin(tmp_path / "one") as plugin:
        windows = see(plugin, plugin)
    files = plugin.visited(windows)
    files -= {"workers/exabgp/reader.py", "workers/exabgp/bgp.py"}  # the host's answer, if back before the look
    to_disk = {name for name in files if name.startswith(STATE)}
    assert len(files) > 15, "the trace is broken"
    assert len(files - to_disk) <= 30, sorted(files - to_disk)
    assert 3 < len(to_disk) <= 12, sorted(to_disk)


def test_a_line_of_a_list_passes_through_few_files(tmp_path: Path):
    """The child that reads and compiles it; the plugin's own loader and manager put the result in force."""
    with TracedPlugin(tmp_path / "one") as plugin:
        pass
    visited = {name for name in plugin.visited_in_children() if "/lists/" in name}
    # every other format is asked once whether the file is its own; the judge, the copy and the tail table see a whole
    others = {name for name in visited if "/formats/" in name and not name.endswith(("__init__.py", "plain.py"))}
    whole = {"core/lists/plausibility.py", "core/lists/tail_table.py", "workers/lists/source_copies.py"}
    # and so do what puts patterns beside all rules, their costs, and the word on what a source is
    whole |= {"core/lists/pattern_rules.py", "workers/lists/pattern_costs.py", "core/lists/source.py"}
    whole |= {"core/digest.py", "workers/lists/compile_job.py", "workers/lists/file_reports.py"}
    files = visited - others - whole
    assert 3 < len(files) <= 8, sorted(files)


def test_a_peer_s_entry_passes_through_few_files(tmp_path: Path):
    with closing(TracedPeers(tmp_path)) as peers:
        windows = see(peers.one, peers.other)
    files = {name for name in peers.other.visited(windows, "loop") if not name.startswith(STATE + EXABGP)}
    files -= {"core/sync/replication_log.py", "workers/sync/transport.py"}  # told on and counted, once it is a route
    assert any("/sync/" in name for name in files), "the trace is broken"
    assert len(files) <= 15, sorted(files)


class TracedPeers:
    """Two plugins, the second of which follows the first."""

    def __init__(self, folder: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        with ExitStack() as both:
            one, other = {"listen": address, "insecure": True}, {"peers": [address], "insecure": True}
            self.one = both.enter_context(TracedPlugin(folder / "one", syncer=one))
            self.other = both.enter_context(TracedPlugin(folder / "other", syncer=other))
            self.close = both.pop_all().close
