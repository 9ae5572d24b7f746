"""The blocking ring: each module owns its threads and says so in its first line.

tap/       thread "tap": DNSTap connections
routes/    the keeper (the one lock) and thread "timer"
exabgp/    threads "bgp-reader" and "bgp-writer"
hold/      thread "hold": resolvers' hooks, whose answers wait for their routes; runs where it is configured
state/     thread "store": the state file
lists/     a child process that compiles; in thread "loop": URLs; thread "lists-disk"
sync/      in thread "loop": what peers have seen, and what they are told
refresh/   in thread "loop": questions to the tapped resolver for names whose TTL is over
sniff/     DNS answers off the wire, in a process of its own: its main thread, and thread "tap", which sends
doctor/    what is wrong and what to change; no thread
net/       listeners (thread "listeners"), the HTTP server, TLS, connection limits: for tap, web and sync
web/       control socket and HTTP, in thread "loop"
process/   thread "loop": asyncio; pidfile, runtime folder, clocks, how threads are made
"""
