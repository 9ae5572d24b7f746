"""Thread "tap": sockets -> sightings.

tap        the thread, its listeners, its loop
senders    the connections: admitted, received from, answered, closed
tls_wire   TLS on a connection's socket; imported only where the configuration asks for it
"""
