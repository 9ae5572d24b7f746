"""Routes at work: the one lock around table and reconciler, and the threads and logs beside it.

keeper         RouteTable and Reconciler under their lock; restore, reload and the difference that a reload would make
timer          thread "timer": expiry, records to the store, memory given back
guard_inputs   inputs of the guard: our own addresses, neighbors, peers, resolvers
refusal_log    log of refusals and evictions, at a bounded rate
"""
