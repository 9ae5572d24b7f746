"""DNS: messages and names.

answer   a response -> the names of its chain and the addresses, exactly
svcb     HTTPS and SVCB records -> their address hints
labels   names on the wire, and the budget of work that reading them is charged to
names    names as people write them (IDN, dots, case)
"""
