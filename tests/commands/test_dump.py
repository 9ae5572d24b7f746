import json
from dataclasses import replace

import pytest

from dnstap_bgp.commands import dump
from dnstap_bgp.core.model import Audience, RibRecord, ViewPrefix
from dnstap_bgp.errors import CommandError
from tests.workers.state.store_kit import ONE, TWO, Life, address, claim


@pytest.fixture
def path(tmp_path):
    """A file with: 1 told and claimed, 2 told only, 3 claimed only and ended."""
    path = tmp_path / "state.msgpack"
    life = Life(path)
    assert life.announce(1, attributes=TWO)
    assert life.announce(4)
    life.held.announced |= {address(2): ONE}
    ended = claim(3, seen_ago_s=90_000.0)
    life.held.adopt([ended])
    assert life.store.append(claims=[ended], records=[(address(2), ONE)]).wait(10)
    assert life.store.save().wait(10)
    assert life.withdraw(4)
    life.end()
    return path


def test_json_lines_tell_every_prefix_in_order(path):
    lines = [json.loads(line) for line in dump.json_lines(dump.read(path))]
    assert [line["prefix"] for line in lines] == ["11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4"]
    assert lines[0]["told"] == {"next_hop": "10.0.0.2", "communities": ["65001:200"], "local_preference": 200}
    (found,) = lines[0]["claims"]
    assert (found["list"], found["name"], found["ttl_s"]) == ("ads", "host1.example.com", 86_400.0)
    assert 86_300 < found["ends_in_s"] <= 86_400
    assert found["first_s_ago"] - found["seen_s_ago"] == pytest.approx(60)
    assert found["seen"].endswith("+00:00")
    assert lines[1] == {
        "prefix": "11.0.0.2",
        "told": {"next_hop": "10.0.0.1", "communities": ["65001:100"]},
        "claims": [],
    }
    assert lines[2]["claims"][0]["ends_in_s"] < -3000
    assert lines[3]["told"] is None


def test_the_table_has_a_line_for_each(path):
    header, *rows = dump.table(dump.read(path))
    assert header.split() == ["ADDRESS", "LIST", "NAME", "SEEN", "ENDS", "IN", "TOLD"]
    assert [row.split()[0] for row in rows] == ["11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4"]
    assert rows[0].endswith("10.0.0.2 communities=65001:200 local_preference=200")
    assert rows[2].split()[1:] == ["ads", "host3.example.com", "1d01h", "ago", "-1h00m", "-"]


def test_the_summary_counts(path):
    (line,) = dump.summary(dump.read(path))
    assert line.startswith("3 claims, 1 of them past their deadline; 2 prefixes told; last written ")


def test_a_damaged_file_is_read_as_far_as_it_goes(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    found = dump.read(path)
    assert found.damaged
    assert len(list(dump.json_lines(found))) == 4
    assert list(dump.summary(found))[1].endswith("the file ends within a block")
    assert path.read_bytes() == whole[:-1]


@pytest.mark.parametrize(
    ("data", "words"), [(None, "does not exist"), (b"", "empty"), (b"example.com\n", "a text file")]
)
def test_what_is_no_state_file_is_said(tmp_path, data, words):
    path = tmp_path / "other"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CommandError, match=words):
        dump.read(path)


def test_a_folder_is_said(tmp_path):
    with pytest.raises(CommandError, match="no regular file"):
        dump.read(tmp_path)


def test_what_differs_between_neighbors_is_told_for_each(tmp_path):
    path = tmp_path / "state.msgpack"
    life = Life(path)
    one, others = Audience(("192.0.2.9",)), Audience(("192.0.2.9",), is_except=True)
    assert life.announce(4)
    records: list[RibRecord] = [
        (address(1), ONE),
        (ViewPrefix(address(1), one), TWO),
        (address(2), ONE),
        (ViewPrefix(address(2), one), None),
        (ViewPrefix(address(2), others), None),
        (ViewPrefix(address(3), one), ONE),
        (ViewPrefix(address(3), others), ONE),
        (ViewPrefix(address(4), one), ONE),
        (address(4), None),
        (address(5), replace(ONE, neighbors=("192.0.2.9",))),
        (ViewPrefix(address(5), Audience(("192.0.2.8",))), ONE),
    ]
    assert life.store.append(records=records).wait(10)
    life.end()
    found = dump.read(path)
    rows = {line["prefix"]: line for line in map(json.loads, dump.json_lines(found))}
    views = rows["11.0.0.1"]["views"]
    assert [(view["neighbors"], view["except_these"], view["told"]["next_hop"]) for view in views] == [
        (["192.0.2.9"], True, "10.0.0.1"),
        (["192.0.2.9"], False, "10.0.0.2"),
    ]
    assert (rows["11.0.0.3"]["told"]["next_hop"], "views" in rows["11.0.0.3"]) == ("10.0.0.1", False)
    assert [set(view["neighbors"]) for view in rows["11.0.0.5"]["views"]] == [{"192.0.2.8", "192.0.2.9"}]
    assert {prefix for prefix, row in rows.items() if row["told"]} == {"11.0.0.1", "11.0.0.3", "11.0.0.5"}
    row = next(row for row in dump.table(found) if row.startswith("11.0.0.1 "))
    assert "10.0.0.1 communities=65001:100 to everyone except 192.0.2.9; 10.0.0.2 " in row
    assert row.endswith(" local_preference=200 to 192.0.2.9")
    assert "; 3 prefixes told;" in next(dump.summary(found))
