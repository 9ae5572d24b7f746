"""HTTP to look at the instance and steer it: control socket and [http].

server       what `app` starts, stops and configures: the listening sockets, served with their first client
http_app     routes and handlers of both, in the thread "loop"
middleware   what every request passes: Host header, other sites' pages, security headers, errors as JSON
inspector    answers about the parts at work: status, why
routes_api   /v1/routes, in steps
control_api  what only the control socket takes
events       /v1/events; feed: from the parts to who watches
metrics      /metrics
page         /, from page.html
"""
