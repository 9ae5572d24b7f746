"""Data frames of DNSTap, as samples have them."""

import struct

from dnstap_bgp.core.tap.dnstap_pb2 import Frame


def frames(*types, wire=b"dns"):
    """Data frames of messages of these types."""
    sample = b""
    for number in types:
        frame = Frame(type=1)
        frame.message.type = number
        if wire:
            frame.message.response_message = wire
        payload = frame.SerializeToString()
        sample += struct.pack("!I", len(payload)) + payload
    return sample
