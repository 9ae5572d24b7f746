"""Domain lists: lines become rules, and rules a trie that tells the lists of a name.

source         a list as the configuration has it: files, URLs, limits
formats/       the meaning of a line or a document, a module each, and the detection of a file's format
lines          the reader that all formats share, and the `Format` that each of them is
rules          rules -> the trie; the deciding rule of a name
patterns       keywords and regular expressions of all lists in one automaton; pattern_rules: rule sets that have any
tail_table     the proof, from a name's last labels, that no rule can speak for it
compiled       the trie -> a file that the next start maps
plausibility   whether a new version may replace the one in force (shrink, growth)
inflate        compressed downloads, within bounds
managed        lists that people edit by command or on the page
switches       lists that people switch on or off, for good or for a time
"""
