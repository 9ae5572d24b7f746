-- Knot Resolver 5 asks dnstap-bgp before a new answer leaves, so that the first connection already takes the right way.
-- Tested with 5.6 and 5.7.
--
-- Debian: put this file beside the others as /etc/knot-resolver/dnstap-bgp-hook.lua, and write at the end of kresd.conf
--
--     dofile('/etc/knot-resolver/dnstap-bgp-hook.lua')
--
-- On the side of dnstap-bgp:
--
--     [hold]
--     listen = "/run/dnstap-bgp/hold.sock"
--     group  = "knot-resolver"         # the group that kresd runs in
--
-- Cost. An answer from the cache: none. A new answer that has addresses: 2 us of CPU where its names are near no
-- rule of a list, which dnstap-bgp's file of that tells (filter_file); 0.2 ms where it is asked for and nothing has
-- to be held; where a new route is made, its time (5 to 6 ms with BIRD), in which this kresd answers nobody else. It
-- waits for a second at a stretch at most, and for half of its time in the long run; answers beyond that are told,
-- and leave unheld. So with a router that needs 70 ms (FRR), or more than 100 new names of the lists a second, stand
-- dnsdist in front (dnsdist-hook.lua), which waits for many at once. At full tilt, kresd resolves as many
-- new names as without; where all are asked for, a sixth to two thirds.
--
-- When dnstap-bgp is dead, answers leave as ever. When it hangs, an answer waits for the bound that dnstap-bgp has told
-- (50 ms, unless [hold] give_up says otherwise) and 20 ms; after that nobody waits for 1 s in this process, then one
-- answer again, then nobody for 2 s, and so on up to 10 s. As soon as it answers, everything is as before.
--
-- Mind:
-- - Each instance (kresd@1, kresd@2) has a connection of its own.
-- - An answer too long for UDP is asked for only if the client's UDP answer had some of its records: what it then gets
--   over TCP comes from the cache.
-- - Knot Resolver 6 is not tested here.
local hold = '/run/dnstap-bgp/hold.sock'
local filter_file = '/run/dnstap-bgp/hold.filter'   -- which names are on no list; '': all are asked for
local identity = 'knot-resolver'    -- in dnstap-bgp's status
local questions_a_s = 2000          -- of each process; a flood of new names leaves unheld what is beyond

local ffi = require('ffi')
local bit = require('bit')

local FIRST_WAIT_S, MARGIN_S, LONGEST_WAIT_S = 0.1, 0.02, 0.5
local REST_S, LONGEST_REST_S = 1, 10
local CREDIT_S, CREDIT_SHARE = 0.5, 0.5     -- it waits for this share of its time, and for 1 s at a stretch
local RETRY_S = 0.25
local RESPONSE_MAX_BYTES = 60000
local TYPES = { [1] = true, [28] = true, [64] = true, [65] = true }     -- A, AAAA, SVCB, HTTPS
local AF_UNIX, SOCK_SEQPACKET, SOCK_NONBLOCK, SOCK_CLOEXEC = 1, 5, 2048, 524288
local MSG_DONTWAIT, MSG_NOSIGNAL, POLLIN, EAGAIN, CLOCK_MONOTONIC = 0x40, 0x4000, 1, 11, 1

ffi.cdef [[
    typedef struct { long seconds, nanoseconds; } dnstap_bgp_time;
    typedef struct { uint16_t family; char path[108]; } dnstap_bgp_address;
    typedef struct { int fd; short events, revents; } dnstap_bgp_poll;
    int dnstap_bgp_clock(int, dnstap_bgp_time *) asm("clock_gettime");
    int dnstap_bgp_socket(int, int, int) asm("socket");
    int dnstap_bgp_connect(int, const dnstap_bgp_address *, unsigned) asm("connect");
    intptr_t dnstap_bgp_send(int, const void *, size_t, int) asm("send");
    intptr_t dnstap_bgp_recv(int, void *, size_t, int) asm("recv");
    int dnstap_bgp_wait(dnstap_bgp_poll *, unsigned long, int) asm("poll");
    int dnstap_bgp_close(int) asm("close");
]]
local C = ffi.C
local time, waited, received = ffi.new('dnstap_bgp_time'), ffi.new('dnstap_bgp_poll[1]'), ffi.new('uint8_t[64]')

local fd = -1
local retry_at, rest_until, rest_s = 0, 0, 0
local wait_s = FIRST_WAIT_S
local credit_s, credit_at = CREDIT_S, 0
local tokens, tokens_at = 0, 0      -- questions that may be asked now: questions_a_s, and a quarter of that at once
local count = 0
local has_failed = false

local function now()
    C.dnstap_bgp_clock(CLOCK_MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local function bytes(number, size)
    local text = {}
    for place = size, 1, -1 do
        text[place] = string.char(number % 256)
        number = math.floor(number / 256)
    end
    return table.concat(text)
end

local epoch = bytes(math.floor(now() * 1e6) % 2 ^ 32, 4)    -- replies to an earlier process fit nothing

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

-- Whether no name that an answer leads along is on a list: the question, and whatever may be the target of a CNAME
-- record (type 5, class 1; what is found of these bytes anywhere else is looked at in vain).
local function is_unlisted(message, size, now_s)
    look_for_filter(now_s)
    if not filter.is_there or not is_ruled_out(message, 12, size) then
        return false
    end
    local at, count = 12, 0
    while true do
        local found = calls.C.dnstap_bgp_file_find(message + at, size - at, CNAME_AND_CLASS, 4)
        if found == nil then
            return true
        end
        at, count = tonumber(found - message), count + 1
        if count > FILTER_TARGETS_MAX or not is_ruled_out(message, at + 10, size) then
            return false
        end
        at = at + 1
    end
end
-- End of the filter.

local function lose(at)
    if fd >= 0 then
        C.dnstap_bgp_close(fd)
        fd = -1
    end
    retry_at = at + RETRY_S
end

local function connect(at)
    if at < retry_at then
        return false
    end
    fd = C.dnstap_bgp_socket(AF_UNIX, bit.bor(SOCK_SEQPACKET, SOCK_NONBLOCK, SOCK_CLOEXEC), 0)
    local address = ffi.new('dnstap_bgp_address', AF_UNIX)
    ffi.copy(address.path, hold)
    -- at once, or refused, or "again" where its queue is full
    if fd < 0 or C.dnstap_bgp_connect(fd, address, ffi.sizeof(address)) ~= 0 then
        lose(at)
        return false
    end
    rest_s, rest_until = 0, 0
    return true
end

local function rest(at)
    rest_s = math.min(math.max(REST_S, rest_s * 2), LONGEST_REST_S)
    rest_until = at + rest_s
end

-- The next reply's id, if one is there; "": it is gone; nil: nothing is there.
local function receive()
    local size = C.dnstap_bgp_recv(fd, received, 64, MSG_DONTWAIT)
    if size < 0 and ffi.errno() == EAGAIN then
        return nil
    end
    if size ~= 16 or received[0] ~= 1 then
        return ''
    end
    local bound_ms = received[10] * 256 + received[11]
    if bound_ms > 0 then
        wait_s = math.min(bound_ms / 1000 + MARGIN_S, LONGEST_WAIT_S)
    end
    if received[1] == 8 then    -- it speaks another version
        return ''
    end
    return ffi.string(received + 2, 8)
end

-- Whether nobody is to wait; a reply, however late, says that dnstap-bgp lives, and ends the rest.
local function is_resting(at)
    if rest_until == 0 then
        return false
    end
    local id = receive()
    if id == '' then
        lose(at)
        return true
    end
    if id then
        rest_s, rest_until = 0, 0
        return false
    end
    return at < rest_until
end

-- Whether it has not waited too much of late.
local function has_credit(at)
    credit_s = math.min(CREDIT_S, credit_s + (at - credit_at) * CREDIT_SHARE)
    credit_at = at
    return credit_s > 0
end

local function await(id, deadline)
    waited[0].fd, waited[0].events = fd, POLLIN
    while true do
        local at = now()
        local reply = receive()
        if reply == id then
            rest_s, rest_until = 0, 0
            return
        elseif reply == '' then
            return lose(at)
        elseif reply == nil then
            -- a millisecond more: poll() counts whole ones
            if at >= deadline or C.dnstap_bgp_wait(waited, 1, math.floor((deadline - at) * 1000) + 1) == 0 then
                return rest(at)
            end
        end
    end
end

-- Whether all of an answer comes from the cache. A new name may be an alias of one that is there already: then the query
-- that was resolved last is from the cache, and the one before it is not.
local function is_from_cache(req)
    local resolved = req.rplan.resolved
    for place = tonumber(resolved.len) - 1, 0, -1 do
        if not resolved.at[place].flags.CACHED then
            return false
        end
    end
    return true
end

local function hook(req)
    local answer, query = req.answer, req:resolved()
    if answer == nil or query == nil or not TYPES[answer:qtype()] or answer:rcode() ~= 0 or answer:ancount() == 0 then
        return
    end
    if is_from_cache(req) or query.flags.DNSSEC_BOGUS or tonumber(answer.size) > RESPONSE_MAX_BYTES then
        return
    end
    local at = now()
    if fd < 0 and not connect(at) then
        return
    end
    if is_unlisted(answer.wire, tonumber(answer.size), at) then
        return
    end
    tokens = math.min(questions_a_s / 4, tokens + (at - tokens_at) * questions_a_s)
    tokens_at = at
    if tokens < 1 then
        return
    end
    tokens = tokens - 1
    -- kresd's own questions (prefetching) have no client that waits
    local is_telling = is_resting(at) or req.qsource.addr == nil or not has_credit(at)
    if fd < 0 then
        return
    end
    count = (count + 1) % 2 ^ 32
    local id = epoch .. bytes(count, 4)
    local message = string.char(1, is_telling and 2 or 0) .. id .. string.char(#identity) .. identity
        .. ffi.string(answer.wire, answer.size)
    local sent = C.dnstap_bgp_send(fd, message, #message, bit.bor(MSG_DONTWAIT, MSG_NOSIGNAL))
    if sent < 0 then
        if ffi.errno() == EAGAIN then
            rest(at)
        else
            lose(at)
        end
    elseif not is_telling then
        await(id, at + wait_s)
        credit_s = credit_s - (now() - at)
    end
end

package.loaded['kres_modules.dnstap_bgp_hook'] = {
    layer = {
        finish = function (state, req)
            local is_well, why = pcall(hook, req)
            if not is_well and not has_failed then
                has_failed = true
                log_error(ffi.C.LOG_GRP_MODULE, 'dnstap-bgp: ' .. tostring(why) .. ' (told once)')
            end
            return state
        end,
    },
}
modules.load('dnstap_bgp_hook')
