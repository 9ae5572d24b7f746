"""State file at work: thread "store".

store        recall and adopt, append, save, status; the thread's loop
write_queue  records that wait, and tickets; nobody waits for a disk longer than 200 ms
wal          write-ahead log: append, sync, replace by a snapshot
statefile    the file: lock, create, replace
restore      the start: read what an earlier process wrote
"""
