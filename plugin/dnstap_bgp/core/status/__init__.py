"""Status of the program: values that the workers gather, for people and machines.

report   the whole status as one value, findings, and what is missing until all is ready
rates    counters over time: rates for people and small plots
"""
