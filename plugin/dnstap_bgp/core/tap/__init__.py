"""From the tap: bytes of a connection -> sightings.

framestream        bytes -> whole data frames, control replies (one connection's state)
dnstap.proto       the few fields that are read; dnstap_pb2 is generated from it
ingest             a chunk of frames -> sightings, with the counters
prefilter          the fast no: names that are on no list, kept in a memo
tail_proofs        that no rule speaks for a name, for all new names of a chunk at once; pattern_proofs: no pattern
answer_templates   the usual beginnings of answers, for the fast yes
trust              whose frames count: identities, rewritten answers, the resolvers' own addresses
"""
