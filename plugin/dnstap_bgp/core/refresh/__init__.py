"""Active refresh: names of some lists are asked again before a client meets an address that has no route yet.

asked_names  names that answers were seen for, and which of these answers are of our own questions
schedule     when each name is asked next, and which names are asked for at all
pace         how many questions leave, and what a silent resolver or a blind tap changes
"""
