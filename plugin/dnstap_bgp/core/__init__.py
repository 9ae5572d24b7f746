"""The pure ring: values in, values out; no clock, socket, thread, queue, file or log.

model        the words: what the rings hand to each other
validation   whatever comes from a file, a peer or a person is checked here
prefix_map   maps from prefixes; text, timing, digest and aggregation are tools of all
tap/         bytes of a DNSTap connection -> sightings
sniff/       packets off the wire -> DNSTap frames
hold/        questions of resolvers' hooks, which hold an answer until its route is there
dns/         messages and names
lists/       lines -> rules -> a trie
routes/      claims on addresses; the guard, the policies; why an address is routed
exabgp/      wanted against announced, and the conversation
refresh/     names that are asked again before their claims end
state/       the state file's contents
status/      what the program says of itself: status, rates
sync/        what peers tell each other
doctor/      what is wrong and what to change
"""
