"""State file's contents, without a file.

blocks      frames with checksums, so that damage costs a block
records     claims and announcements, as msgpack
timestamps  ages across restarts and reboots
pending     records that wait to be written
"""
