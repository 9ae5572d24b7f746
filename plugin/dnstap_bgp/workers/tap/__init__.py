"""Thread "tap": sockets -> sightings.

tap         the thread
listeners   sockets that senders connect to
senders     the connections
tls         what encrypts some of them; imported only where the configuration asks for it
status      what is known of them, for others
"""
