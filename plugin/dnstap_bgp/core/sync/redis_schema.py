"""Keys, values and scripts of a fleet in Redis or Valkey, 7.0 or later: a key for each claim, a stream of what changed.

dnstap-bgp:claim:<address> <name>   "<seen> <ttl>", both in milliseconds, `seen` on the server's own clock; it expires
                                    when the claim does
dnstap-bgp:changes                  a stream, capped: fields `n` (the node that told) and `c` (key and value)
dnstap-bgp:epoch                    made up by whoever comes first: with another one, the server has lost everything

Lists are each instance's own: a key says that a name had an address, not who wants that. A key is only ever moved
forward: `STORE` compares and writes in one step, and never brings its expiry nearer.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from dnstap_bgp.core.model import Claim
from dnstap_bgp.core.sync.clock_offset import Offset
from dnstap_bgp.core.validation import PRESENTATION_MAX, is_instant, peer_entry
from dnstap_bgp.errors import PeerError

CLAIMS = b"dnstap-bgp:claim:"
CHANGES = b"dnstap-bgp:changes"
EPOCH = b"dnstap-bgp:epoch"

CHANGES_MAX = 200_000
"""Entries of the stream, about 100 bytes each: who was away for longer loads everything."""

KEY_MAX = len(CLAIMS) + 46 + PRESENTATION_MAX
"""Bytes of a key: the longest text of an address, a blank, the longest name."""

VALUE_MAX = 64
"""Bytes of a value: two numbers of milliseconds."""

REDIS_TTL_MAX_S = 366 * 86_400.0
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
to come, for the server's clock may have gone back): one bad key must not keep all others from being told."""

LOAD = """
local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local answer, odd = {found[1], 0}, 0
for _, key in ipairs(found[2]) do
  local length = redis.pcall('STRLEN', key)
  if #key <= tonumber(ARGV[4]) and type(length) == 'number' and length <= tonumber(ARGV[5]) then
    local value = redis.call('GET', key)
    if value then
      answer[#answer + 1] = key
      answer[#answer + 1] = value
    end
  else
    odd = odd + 1
  end
end
answer[2] = odd
return answer
"""
"""ARGV: the cursor, the pattern of keys, about how many to look at, the longest key, the longest value. Gives the next
cursor, how many keys were too long or of another kind, then keys and their values. Lengths are judged where the values
lie: whoever can write there could have us fetch 512 MB a key otherwise."""

POSITION = """
local found = redis.pcall('XINFO', 'STREAM', KEYS[1])
local known = {}
if found.err then
  return {'0-0', 0, 0}
end
for index = 1, #found, 2 do
  known[found[index]] = found[index + 1]
end
return {known['last-generated-id'], known['entries-added'], known['length']}
"""
"""KEYS: the stream. Gives its last id, how many entries it ever had, and how many it has; zeros while nobody has told
anything. XINFO itself answers with the first and the last entry, too, whatever their length."""


def load_arguments(cursor: bytes, count: int) -> list[bytes]:
    """Write the arguments of `LOAD`.

    Args:
        cursor: `0` at first, then what the call before gave; `0` again: that was all.
        count: About how many keys to look at.
    """
    return [cursor, CLAIMS + b"*", b"%d" % count, b"%d" % KEY_MAX, b"%d" % VALUE_MAX]


def arguments(claims: Iterable[Claim], offset: Offset, node: str) -> tuple[list[bytes], list[bytes]]:
    """Write keys and arguments of `STORE`.

    Args:
        claims: Any number that the server may take in one step.
        offset: The server's clock against ours.
        node: Of this process.
    """
    keys, values = [CHANGES], [node.encode(), b"%d" % CHANGES_MAX]
    for claim in claims:
        seen_ms = max(0, int(offset.there(claim.seen) * 1000))  # rounded down: never later than it was
        ttl_ms = int(claim.ttl_s * 1000)
        keys.append(CLAIMS + f"{ip_address(claim.address)} ".encode() + claim.name)
        values += [b"%d %d" % (seen_ms, ttl_ms), b"%d" % (seen_ms + ttl_ms)]
    return keys, values


def read(key: bytes, value: bytes, offset: Offset) -> Claim:
    """Read a claim as it stands at the server; its list is for our own rules to say.

    Raises:
        PeerError: It is none.
    """
    if not key.startswith(CLAIMS) or len(key) > KEY_MAX or len(value) > VALUE_MAX:
        raise PeerError("no key of a claim")
    address, _, name = key.removeprefix(CLAIMS).partition(b" ")
    seen_ms, _, ttl_ms = value.partition(b" ")
    if not (seen_ms.isdigit() and ttl_ms.isdigit() and is_instant(int(seen_ms) / 1000)):
        raise PeerError("no value of a claim")
    seen = offset.here(int(seen_ms) / 1000)
    ttl_s = min(int(ttl_ms) / 1000, REDIS_TTL_MAX_S)
    packed, clean = peer_entry(address.decode("ascii", "replace"), name)
    return Claim(packed, "", clean, seen, seen, ttl_s)


def read_change(change: bytes, offset: Offset) -> Claim:
    """Read a claim as it stands in the stream: its key, a space, its value.

    Raises:
        PeerError: It is none.
    """
    parts = change.rsplit(b" ", 2)
    if len(parts) != 3:
        raise PeerError("no change")
    return read(parts[0], b" ".join(parts[1:]), offset)
