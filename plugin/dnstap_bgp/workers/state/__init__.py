"""Thread "store": the state file.

store       the front and its status
intake      the callers' side: nobody waits for a disk longer than 200 ms
journal     the thread's side: append, sync, compact
statefile   the file: lock, create, replace
restore     the start: read what an earlier process wrote
"""
