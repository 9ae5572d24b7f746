"""Peers: what they have seen comes in, what we have seen goes out; all of it in the thread "loop".

syncer      builds the rest from the configuration; what the main thread, the timer and the status know of it
hub         merging: the one place where what peers tell meets the table, and where what is new is told on
carrier     what a carrier is: a way to peers
http        our own stream and the Go program's protocol, over HTTP
engine      Redis or Valkey, for fleets
"""
