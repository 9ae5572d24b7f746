"""Feeds the doctor (`core.doctor`), and passes on what it says; no thread.

doctor    looks now and then, remembers since when, logs what is new
reach     who can reach our unix sockets, as this system's files tell
"""
