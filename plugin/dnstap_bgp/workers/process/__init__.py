"""The process itself.

instance      pidfile, the brake on crash loops
runtime       the runtime folder and the mail in it
clocks        the process clock
thread        how a worker's thread is made
bounded_log   log lines that input can provoke
"""
