"""The one lock, and what acts on the table.

keeper          RouteTable and Outbox under their lock; no thread
timer           thread "timer": expiry, what moved to the store, memory given back
watch           the log of what was refused
rails           what the guard must know: our own addresses, neighbors, resolvers; own_addresses looks them up
foresight       what a reload would change, for `diff`
"""
