"""How the instance is seen and steered from outside.

services    the seam: what `running` starts, stops and tells; thread "doors"
doors       the listening sockets: opened at once, served with the first client
view        what can be asked of the parts at work: status, why, routes
feed        live events for whoever watches
apps        what is asked where: the control socket's and HTTP's handlers, in the thread "loop"
gate        hostile clients: limits of connections and time, the Host header, headers of answers
listing     /v1/routes, in steps
steering    what only the control socket takes
metrics     /metrics
page        /, from page.html
"""
