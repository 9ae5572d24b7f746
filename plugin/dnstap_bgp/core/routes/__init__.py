"""Routes: claims on addresses, and which of them may become a route.

table          RouteTable: observe, expire, adopt, merge, add, forget, revise -> changes
admission      guard, caps and rate applied to what is new; which claim gives way
forgotten      what was forgotten by hand, and is not to come back for now
newcomers      what comes while the state file is read, and comes behind what was held
claim_store    live claims with their indexes, counts and deadlines (a timing wheel for each list)
claim_columns  claims as rows of columns, and the index by name
history        claims that ended and sightings that were refused, and why
policy         attributes by list, guard, caps, static prefixes and what they cover
guard          which addresses never become routes
explain        why an address or a name is routed, or is not
refusal_texts  why something is refused, and what opens it, as people read it
reload_diff    rules and routes that a reload would change
"""
