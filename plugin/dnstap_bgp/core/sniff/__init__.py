"""DNS answers off the wire, for resolvers without DNSTap: packets in, DNSTap frames out.

packets    the network packets of an interface: UDP datagrams with their fragments, TCP segments
tcp        answers within TCP connections, as far as they are needed
answers    which answers count: asked for before, or sent by a server of this host; each once
"""
