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
-- Cost. An answer from the packet cache: none. Another answer that has addresses: 25 us of CPU, most of it for what
-- the recursor hands to Lua, where its names are near no rule of a list, which dnstap-bgp's file of that tells
-- (filter_file); 5 us where nobody is there to be asked; 0.1 to 0.2 ms where it is asked for and nothing has to be
-- held; where a new route is made, its time (5 to 6 ms with BIRD, 72 ms with FRR), while all other answers go on. 40
-- answers wait at once, the others leave as ever. At full tilt, the recursor resolves 0.7 of the new names that it does
-- without; where all are asked for, a third.
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
local LOST_S = 10       -- above the recursor's network-timeout: a question without any call back for so long is lost
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
local look_for_lost_at = 0
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
--
-- Names are hashed where they stand in the message, in one loop over their bytes: LuaJIT compiles that loop, and what
-- follows it up to a `pcall`. Neither strings nor garbage are made.
local FILTER_LOOK_S, FILTER_MIN_LOG, FILTER_MAX_LOG = 0.25, 9, 26
local FILTER_PAIRS_MAX_BYTES, FILTER_TARGETS_MAX, NAME_MAX_BYTES = 1000000, 16, 255
local CNAME_AND_CLASS = '\0\5\0\1'
local has_bits, bits = pcall(require, 'bit')
local has_calls, calls = pcall(require, 'ffi')
has_calls = has_bits and has_calls and calls.os == 'Linux'
local filter = { due = 0, header = nil, is_there = false, table = nil, marks = nil, shift = 0, has_single = false,
    crowded = {} }
local band, bnot, bxor, rshift, crc_table, small
if has_calls then
    pcall(calls.cdef, [[
        int dnstap_bgp_file_open(const char *, int) asm("open");
        long dnstap_bgp_file_seek(int, long, int) asm("lseek");
        intptr_t dnstap_bgp_file_read(int, void *, size_t) asm("read");
        int dnstap_bgp_file_close(int) asm("close");
        const uint8_t *dnstap_bgp_file_find(const uint8_t *, size_t, const char *, size_t) asm("memmem");
    ]])
    has_calls = pcall(function () return calls.C.dnstap_bgp_file_find end)
end
if has_calls then
    band, bnot, bxor, rshift = bits.band, bits.bnot, bits.bxor, bits.rshift
    crc_table, small = calls.new('int32_t[256]'), calls.new('uint8_t[256]')
    for number = 0, 255 do
        local crc = number
        for _ = 1, 8 do
            crc = bxor(rshift(crc, 1), band(crc, 1) == 1 and 0xEDB88320 or 0)
        end
        crc_table[number] = crc
        small[number] = number >= 65 and number <= 90 and number + 32 or number
    end
end

-- Of a name of a message: how many labels it has, and the CRC-32 of the last two and of the last; 0: it can't be read.
-- The loop has one way out, at its head: LuaJIT might take a `return` in it for all there is to compile.
local function hash_tail(message, at, size)
    local found, labels, pair, last = 0, 0, -1, -1
    local left, jumps, room = 0, FILTER_TARGETS_MAX, NAME_MAX_BYTES
    while at < size do
        local byte = message[at]
        if left > 0 then
            byte = small[byte]
            pair = bxor(rshift(pair, 8), crc_table[band(bxor(pair, byte), 255)])
            last = bxor(rshift(last, 8), crc_table[band(bxor(last, byte), 255)])
            left, at = left - 1, at + 1
        elseif byte == 0 then
            found, size = labels, 0
        elseif byte < 64 and room > byte + 1 then
            pair = bxor(rshift(last, 8), crc_table[band(bxor(last, byte), 255)])
            last = bxor(16777215, crc_table[255 - byte])
            labels, left, room, at = labels + 1, byte, room - byte - 1, at + 1
        elseif byte >= 192 and jumps > 0 and at + 1 < size then
            jumps, at = jumps - 1, (byte - 192) * 256 + message[at + 1]
        else
            size = 0
        end
    end
    return found, bnot(pair), bnot(last)
end

-- Whether the table has a hash; it may seem so where it doesn't.
local function is_marked(hash)
    return band(filter.table[rshift(hash, filter.shift)], filter.marks[band(hash, 63)]) == 0
end

-- The labels of a name that `hash_tail` could read, in small letters, each with its length before it.
local function read_labels(message, at)
    local labels = {}
    while message[at] ~= 0 do
        local length = message[at]
        if length < 64 then
            labels[#labels + 1] = calls.string(message + at, length + 1):lower()
            at = at + length + 1
        else
            at = (length - 192) * 256 + message[at + 1]
        end
    end
    return labels
end

-- Whether three labels rule out a name whose last two don't.
local function is_ruled_out_by_three(message, at)
    local labels = read_labels(message, at)
    local pair = labels[#labels - 1] .. labels[#labels]
    if #labels == 2 or not filter.crowded[pair] then
        return false
    end
    local three, crc = labels[#labels - 2] .. pair, -1
    for place = 1, #three do
        crc = bxor(rshift(crc, 8), crc_table[band(bxor(crc, three:byte(place)), 255)])
    end
    return not is_marked(bnot(crc))
end

-- Whether the last labels of a name prove that no rule speaks for it; the name of a message of so many bytes.
local function is_ruled_out(message, at, size)
    local labels, pair, last = hash_tail(message, at, size)
    if labels < 2 or is_marked(pair) and not is_ruled_out_by_three(message, at) then
        return false        -- labels: the root, a single one, or what can't be read
    end
    return not (filter.has_single and is_marked(last))
end

-- Open a file to read it; nil: there is none, or it is empty. A pipe in its place would have `io.open` wait for whoever
-- is at its other end, and the resolver with it; only files with an end are read.
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
    function file:fill(room, size)
        return tonumber(calls.C.dnstap_bgp_file_read(fd, room, size)) == size
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
local function read_filter()
    local file = has_calls and open_file(filter_file)
    local header = file and file:read(24) or nil
    if header ~= filter.header then
        filter.header, filter.is_there, filter.crowded = header, false, {}
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
            local table_bytes = 2 ^ header:byte(11)
            local marks, found = calls.new('uint8_t[64]'), calls.new('uint8_t[?]', table_bytes)
            if #pairs_of_labels == size and file:fill(marks, 64) and file:fill(found, table_bytes)
                    and file:read(1) == nil then
                filter.shift, filter.has_single = 32 - header:byte(11), header:byte(10) % 2 == 1
                filter.marks, filter.table, filter.is_there = marks, found, true
            end
        end
    end
    if file then
        file:close()
    end
end

local function look_for_filter(now_s)
    if now_s >= filter.due then
        filter.due = now_s + FILTER_LOOK_S
        pcall(read_filter)      -- whatever is wrong with it: then it is not there, and all are asked for
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

-- Write a name into `name_room` as on the wire; its size. As one string it comes out of the recursor in half the time
-- that its labels take; what is escaped there, which in names of hosts nothing is, has to be taken by these.
local name_room = has_calls and calls.new('uint8_t[?]', NAME_MAX_BYTES + 1)
local function spell(name)
    local text = name:toStringNoDot()
    if #text + 2 > NAME_MAX_BYTES or text:find('\\', 1, true) then
        text = name_bytes(name)
        calls.copy(name_room, text, #text)
        return #text
    end
    calls.copy(name_room + 1, text)     -- and a zero behind
    local length = 0
    for at = #text, 1, -1 do
        if name_room[at] == 46 then     -- a dot
            name_room[at], length = length, 0
        else
            length = length + 1
        end
    end
    name_room[0] = length
    return #text + 2
end

local function is_name_ruled_out(name)
    return is_ruled_out(name_room, 0, spell(name))
end

-- Whether no name that an answer leads along is on a list.
local function is_unlisted(dq, now_s)
    look_for_filter(now_s)
    if not filter.is_there or not is_name_ruled_out(dq.qname) then
        return false
    end
    local records = dq:getRecords()
    if records[2] == nil then
        return true     -- an address of the name itself, or a CNAME without any behind it
    end
    for _, record in pairs(records) do
        if record.type == CNAME and not is_name_ruled_out(newDN(record:getContent())) then
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

-- Forget the questions of which the recursor won't tell. Where it gets no socket to ask with (too many open files, a
-- firewall's rule), it drops the answer, and calls nobody back.
local function forget_lost(at)
    if at < look_for_lost_at then
        return
    end
    look_for_lost_at = at + ABSENT_S
    for id, asked_at in pairs(sent_at) do
        if at - asked_at > LOST_S then
            sent_at[id], asked_again[id], waiting = nil, nil, waiting - 1
        end
    end
    if waiting == 0 then
        waiting_since = nil
    end
end

-- Whether an answer may wait now. After a time-out nobody does for REST_S, and then one at a time until a reply comes.
local function may_wait(at)
    if at < rest_until then
        return false
    end
    if waiting_since ~= nil then
        if has_timed_out then
            forget_lost(at)
            return waiting_since == nil
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
    -- What costs least comes first: each look at something of `dq` is a call of the recursor's, and makes an object.
    local at = now()
    if not may_wait(at) then
        return false
    end
    token = token or read_token()
    if not token then
        rest_until = at + ABSENT_S
        return false
    end
    if not ASKED[dq.qtype] or is_unlisted(dq, at) or dq.rcode ~= 0 or bogus[dq.validationState] then
        return false
    end
    tokens = math.min(questions_a_s / 4, tokens + (at - tokens_at) * questions_a_s)
    tokens_at = at
    if waiting >= WAITING_MAX then
        forget_lost(at)
    end
    if tokens < 1 or waiting >= WAITING_MAX then
        return false
    end
    tokens = tokens - 1
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
