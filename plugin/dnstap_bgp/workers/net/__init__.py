"""Listeners, TLS, connection limits and wake-up, shared by tap, hold, web and sync.

listeners          listening sockets on unix and TCP: opened, tried again, given their mode and group
lazy_listeners     listeners that are served from their first client on
connection_limits  how many connections an HTTP listener has, and how long they may take for a request
http_server        the HTTP server under control socket, [http] and sync listener
tls                TLS contexts from the files of the configuration
wakeup             wakes a thread that waits in `select` or `poll`
"""
