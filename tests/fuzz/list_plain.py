"""Lists in the format plain: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.plain": 0.92}


def one_input(data: bytes) -> None:
    list_kit.check("plain", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("plain")
