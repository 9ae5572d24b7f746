"""From the tap: bytes of a connection -> sightings.

framestream   bytes -> whole frames, control replies (one connection's state)
dnstap.proto  the few fields that are read; dnstap_pb2 is generated from it
ingest        a chunk of frames -> sightings, with the counters
screen        the fast no: names that are on no list, kept in a memo
forms         the shapes of DNS messages that the screen knows
trust         whose frames count: identities, rewritten answers
"""
