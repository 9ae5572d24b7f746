"""Process-wide parts: pidfile, runtime folder, mailbox, clocks, threads, loop and log.

instance      pidfile, the brake on crash loops
config_reader the configuration, read by a child: pydantic stays out of this process
runtime       the runtime folder: names, owners and modes of what lies in it
mailbox       errands from outside for the main thread, as files or from the control socket
clocks        the process clock
thread        how a worker's thread is made
loop          thread "loop": the one asyncio loop, where anything needs it
logs          what the log looks like, and its level
"""
