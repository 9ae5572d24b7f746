"""The process itself.

instance      pidfile, the brake on crash loops
runtime       the runtime folder and the mail in it
clocks        the process clock
thread        how a worker's thread is made
loop          thread "loop": the one asyncio loop, where anything needs it
bounded_log   log lines that input can provoke
"""
