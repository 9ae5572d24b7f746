"""The pure ring: values in, values out; no clock, socket, thread, queue, file or log.

model       the words: what the rings hand to each other; prefix_map, text and timing are their tools
tap/        bytes of a DNSTap connection -> sightings
dns/        messages and names
lists/      lines -> rules -> a trie
routes/     claims on addresses; the guard, the policies
exabgp/     wanted against told, and the conversation
state/      the state file's contents
status/     what the program says of itself: status, why, rates
sync/       what peers tell each other
doctor/     what is wrong and what to change
"""
