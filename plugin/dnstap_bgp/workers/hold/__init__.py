"""Thread "hold": resolvers' hooks ask, and hold an answer until its route is there.

service      the thread and its loop; questions -> keeper -> replies
endpoints    its listeners, and the connections of hooks
carriers     what connections share; sequenced packets
datagrams    unix datagrams with credentials, UDP with a token
filter_file  which names hooks need not ask for, as a file that they read
tls_carrier  TLS with client certificates; imported only where the configuration asks for it
"""
