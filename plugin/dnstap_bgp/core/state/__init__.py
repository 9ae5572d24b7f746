"""The state file's contents.

blocks    frames with checksums, so that damage costs a block
records   claims, and what the host was told, as msgpack
stamps    ages across restarts and reboots
pending   what waits to be written
"""
