"""Wire formats of the sync, and what makes entries of peers comparable with ours: pure.

delta            our own stream: frames of claims as ages
replication_log  frames of what changed here, in order, for whoever follows
go_json          the Go program's JSON
redis_schema     keys, values and scripts of Redis and Valkey
clock_offset     another machine's wall clock, by its bounds
"""
