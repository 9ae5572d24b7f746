"""The blocking ring: each module owns its threads and says so in its first line.

thread "tap"          tap; listeners, senders and tap_status are its parts
thread "bgp-reader"   bgp_reader; drains stdin from the first moment to the last
thread "bgp-writer"   bgp_writer; `bgp` is both and their status
thread "timer"        timer
thread "store"        store; intake (the callers' side), journal (the thread's), statefile, restore
a child process       compiler, started by lists; sources reads the files
no thread             keeper (the one lock), instance (pidfile, brake), runtime (the folder), clocks, bounded_log,
thread (how one is made)
"""
