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
-- Cost. An answer from the cache: none. A new answer that has addresses: 3 us of CPU where its names are near no
-- rule of a list, which dnstap-bgp's file of that tells (filter_file); 0.1 ms where it is asked for and nothing has
-- to be held; where a new route is made, its time (5 to 6 ms with BIRD), in which this kresd answers nobody else. It
-- waits for a second at a stretch at most, and for half of its time in the long run; answers beyond that are told,
-- and leave unheld. So with a router that needs 70 ms (FRR), or more than 100 new names of the lists a second, stand
-- dnsdist in front (dnsdist-hook.lua), which waits for many at once. At full tilt, kresd resolves 0.8 of the new
-- names that it does without; where all are asked for, a sixth to two thirds.
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

-- A name of a message, without compression; nil: it can't be read.
local function read_name(message, at)
    local labels, jumps, size = {}, 0, 1
    while true do
        local length = message:byte(at)
        if length == 0 then
            labels[#labels + 1] = '\0'
            return table.concat(labels)
        elseif length == nil or length > 63 and length < 192 then
            return nil
        elseif length >= 192 then
            local low = message:byte(at + 1)
            jumps = jumps + 1
            if low == nil or jumps > FILTER_TARGETS_MAX then
                return nil
            end
            at = (length - 192) * 256 + low + 1
        else
            size = size + length + 1
            if size > NAME_MAX_BYTES then
                return nil
            end
            labels[#labels + 1] = message:sub(at, at + length)
            at = at + length + 1
        end
    end
end

-- Whether no name that an answer leads along is on a list: the question, and whatever may be the target of a CNAME
-- record (type 5, class 1; what is found of these bytes anywhere else is looked at in vain).
local function is_unlisted(message, now_s)
    look_for_filter(now_s)
    if filter.table == nil or not is_ruled_out(message, 13) then
        return false
    end
    local found, count = message:find('\0\5\0\1', 13, true), 0
    while found do
        local target = count < FILTER_TARGETS_MAX and read_name(message, found + 10)
        if not target or not is_ruled_out(target, 1) then
            return false
        end
        found, count = message:find('\0\5\0\1', found + 1, true), count + 1
    end
    return true
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

local function hook(req)
    local answer, query = req.answer, req:resolved()
    if answer == nil or query == nil or not TYPES[answer:qtype()] or answer:rcode() ~= 0 or answer:ancount() == 0 then
        return
    end
    if query.flags.CACHED or query.flags.DNSSEC_BOGUS or tonumber(answer.size) > RESPONSE_MAX_BYTES then
        return
    end
    local at = now()
    if fd < 0 and not connect(at) then
        return
    end
    local response = ffi.string(answer.wire, answer.size)
    if is_unlisted(response, at) then
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
        .. response
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
