"""Lists in the format mihomo: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.mihomo": 0.96}


def one_input(data: bytes) -> None:
    list_kit.check("mihomo", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("mihomo")
