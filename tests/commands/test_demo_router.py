"""The demo's router adds up the events of its ExaBGP."""

import json

from dnstap_bgp.commands.demo_router import Heard, RouterTable


def test_the_table_follows_the_events():
    def update(**parts):
        return json.dumps({"type": "update", "neighbor": {"message": {"update": parts}}})

    table = RouterTable()
    table.hear(json.dumps({"type": "state", "neighbor": {"state": "up"}}))
    table.hear(
        update(
            attribute={"community": [[65535, 65281], [64512, 53]]},
            announce={"ipv4 unicast": {"192.0.2.254": [{"nlri": "192.0.2.1/32"}, {"nlri": "192.0.2.2/32"}]}},
        )
    )
    table.hear(update(withdraw={"ipv4 unicast": [{"nlri": "192.0.2.1/32"}]}))
    assert table.up
    assert table.routes == {"192.0.2.2/32": Heard("192.0.2.2/32", "192.0.2.254", ("no-export", "64512:53"))}
    table.hear(json.dumps({"type": "state", "neighbor": {"state": "down"}}))
    assert not table.up
