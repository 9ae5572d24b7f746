"""What is routed: claims on addresses, and what may become a route at all.

table       the claims, their deadlines, what follows for each prefix
claims      how they are held: rows of columns, found by address and by name
deadlines   which of them end first
policies    what the configuration wants: attributes by list, guard, caps, static prefixes
guard       which addresses never become routes
allowance   new routes a second
refusals    what was refused or let go, counted and worth telling
remedies    the same in words, with what an operator can do about it
statics     static prefixes and the routes that they cover
preview     what a reload would change
"""
