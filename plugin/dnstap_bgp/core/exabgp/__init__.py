"""ExaBGP as the host of this process: from what is wanted to lines on its stdin, and back.

reconciler       wanted routes against the Adj-RIB-Out, prefix by prefix: the state machine
views            neighbors for which the same lists speak, a reconciler for each
budget           which of the wanted routes a neighbor with little room gets
adj_rib_out      announced prefixes, with what is stale or unsure of them
update_queue     waiting prefixes, grouped by what one line can say, and the shape of a line
api_session      the conversation: opening, resync after a respawn, ready; what is written next
in_flight        lines without an answer: resync, settling, the prepared line
neighbors        the state of each BGP session, and what neighbors are due: replay, End-of-RIB, flush
acknowledgments  answers of ExaBGP that held questions wait for
doubts           whose fault a refused line is: the prefixes', the neighbors', or nobody's
kept_routes      what a neighbor keeps that was another process's for a while: withdrawn once it is ours again
grammar          commands, answers and events as text
notes            what is worth a line in the log
config_file      the ExaBGP configuration that `up` renders
"""
