"""The pure ring: values in, values out; no clock, socket, thread, queue, file or log.

By the way of the data:

    the words           model (what the rings hand to each other), prefixmap, durations
    from the tap        framestream (bytes -> frames), dnstap.proto, ingest (a chunk -> sightings), screen and forms
                        (the fast no), answer and service (the exact reader), labels (names on the wire)
    lists               lists and names (lines -> rules), domains (rules -> a trie), compiled (the trie -> bytes)
    what is routed      guard (what never is), routes (claims and deadlines)
    towards ExaBGP      outbox (wanted against told), lanes and batch (a line's worth), exabgp (the grammar),
                        conversation (what is said when), flight and settling (what is not answered or not sent yet),
                        barrier (after a respawn), neighbors and duties (replays, End-of-RIB, flushes), notes (for the
                        log), exabgp_conf (the configuration that `up` renders)
    the state file      blocks (checksums), records (claims and what was told), stamps (ages), pending (what waits)
"""
