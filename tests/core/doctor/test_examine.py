"""All findings together."""

from dataclasses import replace

from dnstap_bgp.core.doctor.evidence import Evidence
from tests.core.doctor.cases import LIST, NEIGHBOR, found, host


def test_the_worst_comes_first_and_there_is_an_end():
    down = {f"192.0.2.{number}": 100.0 for number in range(200)}
    neighbors = tuple(replace(NEIGHBOR, address=address) for address in down)
    many = found(Evidence(down_s=down), exabgp=host(neighbors=neighbors), dry_run=True, lists=(replace(LIST, rules=0),))
    assert len(many) == 64
    assert many[0].kind == "no-rules"
