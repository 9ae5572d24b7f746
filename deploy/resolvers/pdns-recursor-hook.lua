-- PowerDNS Recursor asks dnstap-bgp before a new answer leaves, so that the first connection already takes the right
-- way. It waits for many answers at once. Tested with 4.8 and 5.2.
--
-- Debian: put this file beside the others as /etc/powerdns/dnstap-bgp-hook.lua and write in recursor.conf
--
--     lua-dns-script=/etc/powerdns/dnstap-bgp-hook.lua
--
-- or, for Recursor 5, in recursor.yml
--
--     recursor:
--       lua_dns_script: /etc/powerdns/dnstap-bgp-hook.lua
--
-- Another script in use? Write `dofile('/etc/powerdns/dnstap-bgp-hook.lua')` at its end: its `postresolve` runs first.
--
-- On the side of dnstap-bgp:
--
--     [hold]
--     listen = "udp://127.0.0.1:6053"
--     group  = "pdns"                  # the group that the recursor runs in; it may read hold.token then
--
-- Cost. An answer from the packet cache: none. Another answer that has addresses: 30 us of CPU, most of it the way
-- into Lua, where its names are near no rule of a list, which dnstap-bgp's file of that tells (filter_file); 0.1 to
-- 0.2 ms where it is asked for and nothing has to be held; where a new route is made, its time (5 to 6 ms with BIRD,
-- 72 ms with FRR), while all other answers go on. 40 answers wait at once, the others leave as ever. At full tilt,
-- the recursor resolves 0.7 of the new names that it does without; where all are asked for, a third.
--
-- When dnstap-bgp is dead, answers leave as ever; it is looked for once a second. When it hangs or is killed, the
-- answers that wait, and those of the next 70 ms, leave after `network-timeout` of the recursor (1.5 s); after that
-- nobody waits for 5 s, then one answer again, and so on: it holds again within 5 s.
--
-- Mind:
-- - Only NOERROR answers that DNSSEC has not found bogus are asked for; RPZ's own are marked as rewritten.
-- - `packetcache-ttl` has to be below `ttl` of dnstap-bgp (24 h), which it is unless somebody changed one of them.
-- - The token of a dnstap-bgp that was restarted is found within a second, or 5 s after a time-out.
local hold = '127.0.0.1:6053'
local token_file = '/run/dnstap-bgp/hold.token'   -- dnstap-bgp makes it
local filter_file = '/run/dnstap-bgp/hold.filter'     -- which names are on no list; '': all are asked for
local identity = 'pdns-recursor'    -- in dnstap-bgp's status
local questions_a_s = 2000      -- of each thread; a flood of new names leaves unheld what is beyond

local FIRST_WAIT_S, MARGIN_S, LONGEST_WAIT_S = 0.1, 0.02, 0.5
local REST_S = 5        -- after a time-out
local ABSENT_S = 1      -- after a refusal: nobody listens
local WAITING_MAX = 40  -- at once; others leave as ever: the more sockets, the more of them share a port (see on_reply)
local RECORDS_MAX = 512
local RESPONSE_MAX_BYTES = 60000
local A, CNAME, AAAA, SVCB, HTTPS = 1, 5, 28, 64, 65
local ASKED = { [A] = true, [AAAA] = true, [SVCB] = true, [HTTPS] = true }
local HINTS = { { 4, 'ipv4hint' }, { 6, 'ipv6hint' } }     -- RFC 9460, 14.3.2; in the order of their numbers
local ANSWER_SECTION = 1

local destination = newCA(hold)
local token
local count = 0
local sent_at = {}          -- id -> when; as many as there are answers that wait
local asked_again = {}      -- id -> true, of these
local replied_at = 0
local waiting = 0           -- answers that wait
local tokens, tokens_at = 0, 0  -- questions that may be asked now: questions_a_s, and a quarter of that at once
local waiting_since         -- since when a question is without any reply; nil: none is
local wait_s = FIRST_WAIT_S
local has_timed_out = false
local rest_until = 0
local has_failed = false
local before = postresolve

-- A clock in seconds, with fractions where this is LuaJIT.
local now = os.time
local has_ffi, ffi = pcall(require, 'ffi')
if has_ffi then
    pcall(ffi.cdef, [[
        typedef struct { long seconds, nanoseconds; } dnstap_bgp_time;
        int clock_gettime(int, dnstap_bgp_time *) asm("clock_gettime");
    ]])
    local time = ffi.new('dnstap_bgp_time')
    now = function ()
        ffi.C.clock_gettime(1, time)    -- CLOCK_MONOTONIC
        return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
    end
end

local function bytes(number, size)
    local text = {}
    for place = size, 1, -1 do
        text[place] = string.char(number % 256)
        number = math.floor(number / 256)
    end
    return table.concat(text)
end

math.randomseed(os.time())
local epoch = bytes(math.random(0, 2 ^ 31 - 1), 4)

local function name_bytes(name)
    local text = {}
    for _, label in ipairs(name:getRawLabels()) do
        text[#text + 1] = string.char(#label) .. label
    end
    text[#text + 1] = '\0'
    return table.concat(text)
end

-- The filter of names, alike in all hooks in Lua: most names that are on no list, as dnstap-bgp has written them down.
-- It rules out a name by its last two labels, or three where many rules stand below two: no rule's domain ends so. An
-- answer whose question and CNAME targets are ruled out needs no asking. Without a file that can be read, or without
-- LuaJIT, nothing is ruled out.
local FILTER_LOOK_S, FILTER_MIN_LOG, FILTER_MAX_LOG = 0.25, 9, 26
local FILTER_PAIRS_MAX_BYTES, FILTER_TARGETS_MAX, NAME_MAX_BYTES = 1000000, 16, 255
local has_bits, bits = pcall(require, 'bit')
local has_calls, calls = pcall(require, 'ffi')
has_calls = has_calls and calls.os == 'Linux'
if has_calls then
    pcall(calls.cdef, [[
        int dnstap_bgp_file_open(const char *, int) asm("open");
        long dnstap_bgp_file_seek(int, long, int) asm("lseek");
        intptr_t dnstap_bgp_file_read(int, void *, size_t) asm("read");
        int dnstap_bgp_file_close(int) asm("close");
    ]])
end
local filter = { due = 0, header = nil, table = nil, marks = {}, shift = 0, has_single = false, crowded = {} }
local crc_table = {}
for number = 0, has_bits and 255 or -1 do
    local crc = number
    for _ = 1, 8 do
        crc = bits.bxor(bits.rshift(crc, 1), bits.band(crc, 1) == 1 and 0xEDB88320 or 0)
    end
    crc_table[number] = crc
end

-- Whether the table has these bytes, whose letters count as small ones; it may seem so where it doesn't.
local function is_marked(text, first, last)
    local crc = -1
    for at = first, last do
        local byte = text:byte(at)
        if byte >= 65 and byte <= 90 then
            byte = byte + 32
        end
        crc = bits.bxor(bits.rshift(crc, 8), crc_table[bits.band(bits.bxor(crc, byte), 255)])
    end
    local found = bits.bnot(crc)
    local byte = filter.table:byte(bits.rshift(found, filter.shift) + 1)
    return bits.band(byte, filter.marks[bits.band(found, 63)]) == 0
end

-- Whether the last labels of a name prove that no rule speaks for it; the name as on the wire, without compression.
local function is_ruled_out(text, first)
    local third, second, last, stop = first, first, first, first    -- where the last three labels begin
    local length = text:byte(first)
    while length ~= 0 do
        if length == nil or length > 63 then
            return false
        end
        third, second, last, stop = second, last, stop, stop + length + 1
        length = text:byte(stop)
    end
    if last == first then
        return false        -- the root, or a single label
    end
    if is_marked(text, second, stop - 1) and (second == first
            or not filter.crowded[text:sub(second, stop - 1):lower()] or is_marked(text, third, stop - 1)) then
        return false
    end
    return not (filter.has_single and is_marked(text, last, stop - 1))
end

-- Open a file to read it; nil: there is none, or it is empty. A pipe in its place would have `io.open` wait for somebody
-- at its other end, and the resolver with it; only files with an end are read.
local function open_file(path)
    if not has_calls then
        return io.open(path, 'rb')
    end
    local fd = calls.C.dnstap_bgp_file_open(path, 526336)   -- O_NONBLOCK, O_CLOEXEC
    if fd < 0 then
        return nil
    end
    local file = {}
    function file:close()
        calls.C.dnstap_bgp_file_close(fd)
    end
    function file:read(size)
        local room = calls.new('char[?]', size)
        local found = tonumber(calls.C.dnstap_bgp_file_read(fd, room, size))
        return found > 0 and calls.string(room, found) or nil
    end
    if calls.C.dnstap_bgp_file_seek(fd, 0, 2) <= 0 then     -- SEEK_END
        file:close()
        return nil
    end
    calls.C.dnstap_bgp_file_seek(fd, 0, 0)
    return file
end

-- Take over the file, if it is another one than before.
local function look_for_filter(now_s)
    if now_s < filter.due then
        return
    end
    filter.due = now_s + FILTER_LOOK_S
    local file = has_bits and open_file(filter_file)
    local header = file and file:read(24) or nil
    if header ~= filter.header then
        filter.header, filter.table, filter.crowded = header, nil, {}
        if header and #header == 24 and header:sub(1, 9) == 'DNSTAPHF\1'
                and header:byte(11) >= FILTER_MIN_LOG and header:byte(11) <= FILTER_MAX_LOG then
            local first, second, third, fourth = header:byte(13, 16)
            local size = ((first * 256 + second) * 256 + third) * 256 + fourth
            local pairs_of_labels = size > 0 and size <= FILTER_PAIRS_MAX_BYTES and file:read(size) or ''
            local at = 1
            while at < #pairs_of_labels do
                local stop = at + pairs_of_labels:byte(at)
                filter.crowded[pairs_of_labels:sub(at + 1, stop)] = true
                at = stop + 1
            end
            local marks, found = file:read(64) or '', file:read(2 ^ header:byte(11) + 1)
            if #pairs_of_labels == size and #marks == 64 and found and #found == 2 ^ header:byte(11) then
                for number = 0, 63 do
                    filter.marks[number] = marks:byte(number + 1)
                end
                filter.shift, filter.has_single = 32 - header:byte(11), header:byte(10) % 2 == 1
                filter.table = found
            end
        end
    end
    if file then
        file:close()
    end
end
-- End of the filter.

local function read_token()
    local file = open_file(token_file)
    local text = file and file:read(32)
    if file then
        file:close()
    end
    if not text or not text:match('^%x+$') or #text ~= 32 then
        return nil
    end
    return (text:gsub('%x%x', function (pair) return string.char(tonumber(pair, 16)) end))
end

-- Whether no name that an answer leads along is on a list.
local function is_unlisted(dq, now_s)
    look_for_filter(now_s)
    if filter.table == nil or not is_ruled_out(name_bytes(dq.qname), 1) then
        return false
    end
    for _, record in pairs(dq:getRecords()) do
        if record.type == CNAME and not is_ruled_out(name_bytes(newDN(record:getContent())), 1) then
            return false
        end
    end
    return true
end

-- The data of an HTTPS or SVCB record, with its addresses only: "1 . alpn=h2 ipv4hint=192.0.2.1,192.0.2.2".
local function hint_bytes(content)
    local priority, target, parameters = content:match('^(%d+) (%S+)(.*)$')
    if not priority then
        return nil
    end
    local data = bytes(tonumber(priority), 2) .. name_bytes(newDN(target))
    for _, hint in ipairs(HINTS) do
        local number, key = hint[1], hint[2]
        local list = parameters:match(' ' .. key .. '="?([%x:.,]+)')
        if list then
            local addresses = {}
            for address in list:gmatch('[^,]+') do
                addresses[#addresses + 1] = newCA(address):getRaw()
            end
            local value = table.concat(addresses)
            data = data .. bytes(number, 2) .. bytes(#value, 2) .. value
        end
    end
    return data
end

local function data_bytes(record)
    if record.type == A or record.type == AAAA then
        return record:getCA():getRaw()
    elseif record.type == CNAME then
        return name_bytes(newDN(record:getContent()))
    elseif record.type == HTTPS or record.type == SVCB then
        return hint_bytes(record:getContent())
    end
    return nil
end

-- The answer as a DNS message: header, question, and the records that say addresses or lead to them; nil: it has none.
local function response_bytes(dq)
    local text, size, found = {}, 0, 0
    for _, record in pairs(dq:getRecords()) do
        local data = record.place == ANSWER_SECTION and data_bytes(record)
        if data then
            local written = name_bytes(record.name) .. bytes(record.type, 2) .. '\0\1'
                .. bytes(math.min(record.ttl, 2 ^ 31 - 1), 4) .. bytes(#data, 2) .. data
            found, size = found + 1, size + #written
            if found > RECORDS_MAX or size > RESPONSE_MAX_BYTES then
                return nil
            end
            text[#text + 1] = written
        end
    end
    if found == 0 then
        return nil
    end
    return '\0\0\129\128\0\1' .. bytes(found, 2) .. '\0\0\0\0' .. name_bytes(dq.qname) .. bytes(dq.qtype, 2) .. '\0\1'
        .. table.concat(text)
end

local bogus = {}
for name, number in pairs(pdns.validationstates or {}) do
    if name:match('^Bogus') then
        bogus[number] = true
    end
end

local function is_rewritten(dq)
    local is_there, kind = pcall(function () return dq.appliedPolicy.policyKind end)
    return is_there and kind ~= pdns.policykinds.NoAction
end

-- Whether an answer may wait now. After a time-out nobody does for REST_S, and then one at a time until a reply comes.
local function may_wait(at)
    if at < rest_until then
        return false
    end
    if waiting_since ~= nil then
        if has_timed_out then
            return false
        end
        if at - waiting_since > wait_s then     -- the recursor itself notices much later
            has_timed_out, rest_until = true, at + REST_S
            return false
        end
    end
    return true
end

-- Have the recursor send the question; true: it will, and calls back.
local function hook(dq, is_changed)
    if not ASKED[dq.qtype] or dq.rcode ~= 0 or bogus[dq.validationState] then
        return false
    end
    local at = now()
    if not may_wait(at) then
        return false
    end
    if is_unlisted(dq, at) then
        return false
    end
    tokens = math.min(questions_a_s / 4, tokens + (at - tokens_at) * questions_a_s)
    tokens_at = at
    if tokens < 1 or waiting >= WAITING_MAX then
        return false
    end
    tokens = tokens - 1
    token = token or read_token()
    if not token then
        rest_until = at + ABSENT_S
        return false
    end
    local response = response_bytes(dq)
    if not response then
        return false
    end
    count = (count + 1) % 2 ^ 32
    local id = epoch .. bytes(count, 4)
    local flags = (is_changed or is_rewritten(dq)) and 1 or 0
    sent_at[id] = at
    waiting = waiting + 1
    waiting_since = waiting_since or at
    dq.udpQuery = token .. string.char(1, flags) .. id .. string.char(#identity) .. identity .. response
    dq.udpQueryDest = destination
    dq.udpCallback = is_changed and 'dnstap_bgp_changed' or 'dnstap_bgp_unchanged'
    dq.followupFunction = 'udpQueryResponse'
    return true
end

-- What came for this question: a reply, a reply to another question, or "" (nobody listens, or the time is over).
--
-- The recursor binds its sockets with SO_REUSEADDR: of 30 that are open at once, two have the same port in one of 60
-- cases, and swap their replies. So what gets another's reply asks again (returned: true), once; and a time-out counts
-- only if dnstap-bgp has replied to nobody meanwhile.
local function on_reply(dq)
    local id, reply, at = dq.udpQuery:sub(19, 26), dq.udpAnswer, now()
    local asked_at = sent_at[id] or at
    if #reply == 16 and reply:byte(1) == 1 then
        local bound_ms = reply:byte(11) * 256 + reply:byte(12)
        if bound_ms > 0 then
            wait_s = math.min(bound_ms / 1000 + MARGIN_S, LONGEST_WAIT_S)
        end
        waiting_since, has_timed_out, rest_until, replied_at = nil, false, 0, at
        if reply:byte(2) == 8 then      -- it speaks another version
            rest_until = at + REST_S
        elseif reply:sub(3, 10) ~= id and sent_at[id] and not asked_again[id] then
            asked_again[id] = true
            return true
        end
    elseif at - asked_at <= wait_s then
        waiting_since, token, rest_until = nil, nil, at + ABSENT_S
    elseif replied_at < asked_at then
        -- or it passes over another dnstap-bgp's token
        waiting_since, token, has_timed_out, rest_until = nil, nil, true, at + REST_S
    end
    if sent_at[id] then
        waiting = waiting - 1
    end
    sent_at[id], asked_again[id] = nil, nil
    return false
end

local function tell_once(why)
    if not has_failed then
        has_failed = true
        pdnslog('dnstap-bgp: ' .. tostring(why) .. ' (told once)', pdns.loglevels.Error)
    end
end

-- The recursor calls these by their names. What is returned is whether the answer was changed: true would have it pass
-- on an answer that DNSSEC did not look at, so it is true only where the script before has changed it.
function dnstap_bgp_unchanged(dq)
    local is_well, is_asking_again = pcall(on_reply, dq)
    if not is_well then
        tell_once(is_asking_again)
    elseif is_asking_again then
        return true     -- followupFunction still stands
    end
    dq.followupFunction = ''
    return false
end

function dnstap_bgp_changed(dq)
    dnstap_bgp_unchanged(dq)
    return true
end

function postresolve(dq)
    local is_changed = before ~= nil and before(dq) or false
    if is_changed and dq.followupFunction ~= '' then
        return true     -- the script before has the recursor do something itself
    end
    local is_well, is_asked = pcall(hook, dq, is_changed)
    if not is_well then
        tell_once(is_asked)
        dq.followupFunction = ''
        return is_changed
    end
    return is_changed or is_asked
end
