"""Towards ExaBGP: wanted against told, and what is said when.

outbox        what the host should hear: per prefix, the newest wish
told          what it has heard, as far as that is known
lanes, batch  a line's worth of it: fresh ahead of bulk, one family and attribute set a line
grammar       commands, answers and events as text
conversation  what is said next, and what an answer means
ahead         the line that will most likely be next
flight        lines that wait for their answer; settling: prefixes that wait for another line
barrier       after a respawn: which answers are ours
neighbors     who is up with which families; duties: replays, End-of-RIB, flushes
notes         what is worth a line in the log
conf          the ExaBGP configuration that `up` renders
"""
