"""What peers tell each other: pure.

entries    names and addresses from outside, made clean or refused
original   the Go program's JSON
delta      our own stream: frames of claims as ages
journal    what changed here, in order, for whoever follows
clocks     another machine's clock, by its bounds
backoff    when to try again
engine     keys, values and the script of Redis and Valkey
"""
