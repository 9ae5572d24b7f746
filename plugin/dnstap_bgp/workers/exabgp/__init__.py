"""Threads "bgp-reader" and "bgp-writer": ExaBGP's pipes.

bgp      both, and their status
reader   drains stdin from the first moment to the last
writer   outbox -> lines -> stdout, windowed, in the thread of whoever has changed something
"""
