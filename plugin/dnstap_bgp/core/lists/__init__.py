"""Lists: lines -> rules -> a trie that says which lists a name is on.

source      what the configuration says of one list: files, URLs, limits
formats/    plain, hosts, adblock, dnsmasq, v2fly: lines -> rules
lines       the plain format, and what is wrong with a line
domains     rules -> the trie; the deciding rule of a name
compiled    the trie -> a file that the next start maps
plausible   whether a new version may replace the held one (shrink, growth)
inflate     compressed downloads, within bounds
"""
