"""Sync with peers: what they have seen comes in, what we have seen goes out; all of it in the thread "loop".

syncer        builds the rest from the configuration; what the main thread, the timer and the status know of it
hub           merging: the one place where what peers tell meets the table, and where what is new is told on
transport     the interface of a way to peers, and how the sync with each of them goes
http          transport over HTTP: the listener and a client for each peer
http_session  what the clients of all peers share
peer          a configured peer, and who follows our stream
client        follows a peer's stream, or has go_peer speak with it
go_peer       the Go program's protocol: pulls, and a push for each sighting
listener      answers our stream and the Go program's requests
access        who may ask, and how often
redis         transport over Redis or Valkey, for fleets
"""
