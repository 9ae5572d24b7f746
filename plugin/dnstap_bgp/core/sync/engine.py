"""What a fleet keeps in its engine (Redis 7.0 or later, Valkey): a key for each claim, and a stream of what changed.

dnstap-bgp:claim:<address> <name>   "<seen> <ttl>", both in milliseconds, `seen` on the engine's own clock; it expires
                                    when the claim does
dnstap-bgp:changes                  a stream, capped: fields `n` (the node that told) and `c` (key and value)
dnstap-bgp:epoch                    made up by whoever comes first: with another one, the engine has lost everything

Lists are each instance's own: a key says that a name had an address, not who wants that. A key is only ever moved
forward: `STORE` compares and writes in one step, and never brings its expiry nearer.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync.clocks import Offset
from dnstap_bgp.core.sync.entries import NAME_MAX, clean_name, read_address
from dnstap_bgp.errors import PeerError

CLAIMS = b"dnstap-bgp:claim:"
CHANGES = b"dnstap-bgp:changes"
EPOCH = b"dnstap-bgp:epoch"

CHANGES_MAX = 200_000
"""Entries of the stream, about 100 bytes each: who was away for longer loads everything."""

ITEM_MAX = NAME_MAX + 128
"""Bytes of a key with its value: a name, an address and two numbers."""

TTL_MAX_S = 366 * 86_400.0
"""A lifetime beyond a year is no lifetime of ours."""

STORE = """
local told = {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for index, key in ipairs(KEYS) do
  if index > 1 then
    local value, ends = ARGV[2 * index - 1], tonumber(ARGV[2 * index])
    local seen = tonumber(string.match(value, '^%d+'))
    local held = redis.pcall('GET', key)
    local before = type(held) == 'string' and tonumber(string.match(held, '^%d+') or '') or -1
    if before > now then
      before = -1
    end
    if seen > before then
      if before >= 0 then
        ends = math.max(ends, redis.call('PEXPIRETIME', key))
      end
      redis.call('SET', key, value, 'PXAT', string.format('%d', ends))
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'n', ARGV[1], 'c', key .. ' ' .. value)
      told[#told + 1] = index
    end
  end
end
return #told
"""
"""KEYS: the stream, then the claims. ARGV: our node, the stream's length, then for each claim its value and when it
ends in milliseconds. Gives how many were news. What stands there and is no claim gives way (another type; a time
to come, for the engine's clock may have gone back): one bad key must not keep all others from being told."""


def arguments(claims: Iterable[Claim], offset: Offset, node: str) -> tuple[list[bytes], list[bytes]]:
    """What `STORE` is called with.

    Args:
        claims: Any number that the engine may take in one step.
        offset: The engine's clock against ours.
        node: Who we are.
    """
    keys, values = [CHANGES], [node.encode(), b"%d" % CHANGES_MAX]
    for claim in claims:
        seen_ms = max(0, int(offset.there(claim.seen) * 1000))  # rounded down: never later than it was
        ttl_ms = int(claim.ttl_s * 1000)
        keys.append(CLAIMS + f"{ip_address(claim.address)} ".encode() + claim.name)
        values += [b"%d %d" % (seen_ms, ttl_ms), b"%d" % (seen_ms + ttl_ms)]
    return keys, values


def read(key: bytes, value: bytes, offset: Offset) -> Claim:
    """A claim as it stands in the engine; its list is for our own rules to say.

    Raises:
        PeerError: It is none.
    """
    if not key.startswith(CLAIMS) or len(key) + len(value) > len(CLAIMS) + ITEM_MAX:
        raise PeerError("no key of a claim")
    address, _, name = key.removeprefix(CLAIMS).partition(b" ")
    seen_ms, _, ttl_ms = value.partition(b" ")
    if not (seen_ms.isdigit() and ttl_ms.isdigit() and len(value) < 64):
        raise PeerError("no value of a claim")
    seen = offset.here(int(seen_ms) / 1000)
    ttl_s = min(int(ttl_ms) / 1000, TTL_MAX_S)
    try:
        packed = read_address(address.decode("ascii"))
    except UnicodeDecodeError:
        raise PeerError("no address") from None
    return Claim(packed, "", clean_name(name), seen, seen, ttl_s)


def read_change(change: bytes, offset: Offset) -> Claim:
    """A claim as it stands in the stream: its key, a space, its value.

    Raises:
        PeerError: It is none.
    """
    parts = change.rsplit(b" ", 2)
    if len(parts) != 3:
        raise PeerError("no change")
    return read(parts[0], b" ".join(parts[1:]), offset)
