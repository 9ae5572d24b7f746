"""Lists in the format unbound: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.unbound": 0.89}


def one_input(data: bytes) -> None:
    list_kit.check("unbound", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("unbound")
