"""What the tests of the route table share: addresses, lists, and ways to make a table."""

import ipaddress

from dnstap_bgp.core.model import Attributes, Policy
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.policy import Caps, Policies
from dnstap_bgp.core.routes.table import RouteTable


def packed(text):
    return ipaddress.ip_address(text).packed


A = packed("198.51.100.1")
B = packed("198.51.100.2")
SIX = packed("2001:db8::1")
FOUR_ATTRIBUTES = Attributes(next_hop=packed("192.0.2.1"))
SIX_ATTRIBUTES = Attributes(next_hop=packed("2001:db8::ffff"))
POLICY = Policy(list="default", ipv4=FOUR_ATTRIBUTES, ipv6=SIX_ATTRIBUTES, ttl_s=100.0)
SECOND = Policy(list="second", ipv4=Attributes(next_hop=packed("192.0.2.2")), ipv6=None, ttl_s=50.0)


def sighting(address, name=b"a.example", list_name="default", dns_ttl_s=300):
    return (address, list_name, name, dns_ttl_s)


def host(number):
    return bytes((198, 51, number >> 8, number & 255))


def capped(*policies, **caps):
    return RouteTable(Policies(policies or [POLICY], Guard(), Caps(**caps)))


def entries(table):
    """How many entries lie in all buckets, spent ones included."""
    return sum(len(of_list.wheel) + len(of_list.by_hand) for of_list in table.claims.by_list.values())


def revise_all(table, lists, now=0.0, **more):
    return [change for shard in range(SHARDS) for change in table.revise(shard, lists, now, **more)]
