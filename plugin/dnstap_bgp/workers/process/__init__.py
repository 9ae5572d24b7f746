"""The process itself.

instance      pidfile, the brake on crash loops
config_reader the configuration, read by a child: pydantic stays out of this process
runtime       the runtime folder and the mail in it
clocks        the process clock
thread        how a worker's thread is made
loop          thread "loop": the one asyncio loop, where anything needs it
logs          what the log looks like, and its level
bounded_log   log lines that input can provoke
"""
