"""What is routed: claims on addresses, and what may become a route at all.

table       the claims, their deadlines, what follows for each prefix
claims      how they are held: by address, by name, by deadline
policies    what the configuration wants: attributes by list, guard, caps, static prefixes
guard       which addresses never become routes
allowance   new routes a second
refusals    what was refused or let go, counted and worth telling
statics     static prefixes and the routes that they cover
preview     what a reload would change
"""
