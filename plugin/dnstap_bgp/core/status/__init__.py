"""What the program says of itself: values that others gather, turned into answers.

status      everything at a glance, as one value
findings    one thing worth telling an operator
health      what follows from a status: whether it is ready (what is wrong is told by `core.doctor`)
pace        counters over time: rates for people and small plots
why         why an address or a name is routed, or isn't
"""
