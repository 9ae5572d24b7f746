"""Lists in the format geoip-dat: any bytes give what an independent reader finds in them, see list_kit."""

from collections.abc import Iterator

from tests.fuzz import list_kit

COVERS = {"dnstap_bgp.core.lists.formats.geodata": 0.57}


def one_input(data: bytes) -> None:
    list_kit.check("geoip-dat", data)


def seeds() -> Iterator[bytes]:
    return list_kit.seeds("geoip-dat")
