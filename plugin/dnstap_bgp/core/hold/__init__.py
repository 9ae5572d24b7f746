"""Questions of resolvers' hooks, which hold an answer until its route is there: pure, no clock, no socket.

message          questions and replies as bytes, verdicts
hook_answers     question -> sightings, by the rules of now and whose answers count
margins          how long each neighbor takes from ExaBGP's acknowledgment to its table, and the bound of a wait
name_filter      which names a hook need not ask for, as the bytes of a file
reckoning        what a question has to wait for: prefixes, views, neighbors
held_questions   questions that wait: until the route is installed, or given up, or displaced
statistics       verdicts and waits by hook
"""
