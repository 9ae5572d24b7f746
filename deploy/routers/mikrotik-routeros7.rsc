# MikroTik RouterOS 7. Not tested here: written from its documentation; names of properties changed between 7.x releases.
#
#   dnstap-bgp 192.0.2.10  --iBGP, AS 64512-->  this router 192.0.2.4; wg0 198.51.100.1 to the tunnel's far end, .2
#
# On the side of dnstap-bgp: next_hop = "198.51.100.2", communities = ["64512:53", "no-export"] and
# peers = ["192.0.2.4"] in [bgp].
#
# The host routes go into the main table: they are more specific than any other route to these addresses, so no routing
# table or mangle rule of their own is needed. A WireGuard peer needs 0.0.0.0/0 (and ::/0) as allowed-address.
#
# Before 7.20, the AS and router-id stand in the connection itself (as=64512 router-id=192.0.2.4), and `afi` is called
# `address-families`.

/routing/filter/rule
add chain=dnstap-in rule="if (bgp-communities includes 64512:53) { accept }"
add chain=dnstap-in rule="reject"
add chain=dnstap-out rule="reject"

/routing/bgp/instance
add name=dnstap as=64512 router-id=192.0.2.4

/routing/bgp/connection
add name=dnstap instance=dnstap local.role=ibgp local.address=192.0.2.4 remote.address=192.0.2.10 remote.as=64512 \
    afi=ip,ipv6 input.filter=dnstap-in output.filter-chain=dnstap-out hold-time=3m

# Is it there?   /routing/bgp/session/print      /ip/route/print where bgp
