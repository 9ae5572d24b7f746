"""What the program says of itself: values that others gather, turned into answers.

status      everything at a glance, as one value
findings    what is worth telling an operator
health      whether it is ready, as a status tells
pace        counters over time: rates for people and small plots
why         why an address or a name is routed, or isn't
"""
