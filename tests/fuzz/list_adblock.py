"""Lists in the format adblock: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.adblock": 0.45}


def one_input(data: bytes) -> None:
    list_kit.check("adblock", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("adblock")
