"""Thread "tap": sockets -> sightings.

tap         the thread
listeners   sockets that senders connect to
senders     the connections
status      what is known of them, for others
"""
