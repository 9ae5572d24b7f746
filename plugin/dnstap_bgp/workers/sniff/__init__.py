"""DNS answers off the wire, for resolvers without DNSTap: a process of its own (`dnstap-bgp sniff`), one thread.

capture    packets of an interface by AF_PACKET, behind a filter in the kernel
sniffer    the process: packets become frames, which go to a tap; its counters and complaints
"""
