"""What is routed: claims on addresses, and what may become a route at all.

table       the claims: what is seen and what is over, and the way to all that follows
room        who may come in and who gives way: guard, caps, rate
elsewhere   claims of the state file and of peers
by_hand     what a person adds or forgets
forgotten   what nobody else may bring back after that
revision    what is held, in line with new lists and policies
held        what all of these change: claims, counts, and what is wanted of each address
claims      how claims lie there: rows of columns, found by name
deadlines   which of them end first
past        what ended or was refused last, and why
policies    what the configuration wants: attributes by list, guard, caps, static prefixes
guard       which addresses never become routes
allowance   new routes a second
refusals    what was refused or let go, counted and worth telling
remedies    the same in words, with what an operator can do about it
statics     static prefixes and the routes that they cover
preview     what a reload would change
"""
