"""Lists in the format v2fly: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.v2fly": 0.86}


def one_input(data: bytes) -> None:
    list_kit.check("v2fly", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("v2fly")
