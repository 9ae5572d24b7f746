"""Threads "bgp-reader" and "bgp-writer": ExaBGP's pipes.

bgp           both, and their status
margin_probe  a neighbor's margin, measured when somebody asks for it
reader        drains stdin from the first moment to the last
writer        reconciler -> lines -> stdout, windowed, in the thread of whoever has changed something
"""
