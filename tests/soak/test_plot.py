"""Plot of a soak: an SVG that a browser can read, with a picture for each series."""

from xml.etree import ElementTree as ET

from tests.soak.plot import svg


def test_each_series_has_its_line_and_each_event_its_mark():
    series = {"one plugin memory": [(0.0, 60.0), (2.0, 61.0), (4.0, 60.5)], "a <b> & c": [(0.0, 0.0)]}
    events = [(1.0, "flap"), (3.0, "kill_plugin")]
    root = ET.fromstring(svg(series, events, {"one plugin memory": "mean 60 MiB"}))  # noqa: S314 - our own
    lines = root.findall("{*}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 1]
    assert len(root.findall("{*}line")) == len(events) * len(series)
    texts = [text.text for text in root.findall("{*}text")]
    assert {"one plugin memory", "a <b> & c", "mean 60 MiB"} <= set(texts)


def test_nothing_sampled_is_an_empty_picture():
    assert ET.fromstring(svg({}, [], {})).tag.endswith("svg")  # noqa: S314 - our own
