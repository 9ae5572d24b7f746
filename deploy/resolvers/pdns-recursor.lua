-- PowerDNS Recursor 4, over a unix socket, or over TCP with '192.0.2.10:6000'. Tested with 4.8. For Recursor 5, whose
-- settings are YAML, there is pdns-recursor.yml; all that stands here holds there, too.
--
-- It taps only what it asks other servers and what they say (RESOLVER_RESPONSE), not what it answers its clients:
--
-- - An answer from its cache is never seen. So `ttl` must be longer than the TTL of any record, which 24 h is.
-- - Each link of a CNAME chain is a message of its own. A listed name in front of a chain (www.example.com, an alias of
--   something.cdn.example) is missed: list the names at the chains' ends, too.
--
-- With dnsdist in front of it (dnsdist.conf), nothing is missed: prefer that.
--
-- Debian: put this file beside the others as /etc/powerdns/dnstap-bgp.lua and write in recursor.conf
--
--     lua-config-file=/etc/powerdns/dnstap-bgp.lua
--
-- On the side of dnstap-bgp:
--
--     [dnstap]
--     listen   = "/run/dnstap-bgp/tap.sock"
--     group    = "pdns"                # the group that the recursor runs in
--     messages = ["resolver_response"]
--
-- From the answer to the frame: half of them within 1.6 s at 2.5 questions a second and 0.6 s at 75, all within 2.0 s.
--
-- Mind:
-- - After a restart of dnstap-bgp, the recursor comes back within 5 s.
dnstapFrameStreamServer('/run/dnstap-bgp/tap.sock', {
    logQueries = false,
    logResponses = true,
    bufferHint = 1024,
    queueNotifyThreshold = 1,
    flushTimeout = 1,
})
