"""Lists in the format sing-box: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.sing_box": 0.90}


def one_input(data: bytes) -> None:
    list_kit.check("sing-box", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("sing-box")
