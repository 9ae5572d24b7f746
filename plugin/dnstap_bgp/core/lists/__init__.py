"""Domain lists: lines become rules, and rules a trie that tells the lists of a name.

source        a list as the configuration has it: files, URLs, limits
formats/      plain, hosts, adblock, dnsmasq, v2fly: the meaning of a line, and the detection of a file's format
lines         the reader that all formats share, and the `Format` that each of them is
rules         rules -> the trie; the deciding rule of a name
compiled      the trie -> a file that the next start maps
plausibility  whether a new version may replace the one in force (shrink, growth)
inflate       compressed downloads, within bounds
"""
