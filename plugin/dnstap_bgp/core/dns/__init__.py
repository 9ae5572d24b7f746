"""DNS: messages and names.

answer    a response -> the names of its chain and the addresses, exactly
service   HTTPS and SVCB records -> their address hints
labels    names on the wire
names     names as people write them (IDN, dots, case)
"""
