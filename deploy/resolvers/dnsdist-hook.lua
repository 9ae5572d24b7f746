-- dnsdist asks dnstap-bgp before a new answer leaves, so that the first connection already takes the right way. It
-- waits for many answers at once: the way to be recommended, in front of BIND, dnsmasq, or any other resolver.
-- Needs dnsdist 1.8 or later (Debian 12 has 1.7: there it says so in the log and does nothing). Tested with 1.9.
--
-- Debian: put this file beside the others as /etc/dnsdist/dnstap-bgp-hook.lua, write at the very end of dnsdist.conf
--
--     dofile('/etc/dnsdist/dnstap-bgp-hook.lua')
--
-- and restart it. On the side of dnstap-bgp:
--
--     [hold]
--     listen       = "dgram:/run/dnstap-bgp/hold-dgram.sock"
--     reply_folder = "/run/dnstap-bgp/replies"    # dnstap-bgp makes it, for the group
--     group        = "_dnsdist"                   # that dnsdist runs in: `usermod -aG _dnsdist dnstap-bgp`
--
-- Cost. An answer from dnsdist's cache: none. Another answer that has addresses: 1 us of CPU where its names are
-- near no rule of a list, which dnstap-bgp's file of that tells (filter_file); some 0.1 ms where it is asked for and
-- nothing has to be held; where a new route is made, its time (5 to 6 ms with BIRD, 72 ms with FRR), while all other
-- answers go on. 2,000 answers a second are asked for, and the others leave as ever.
--
-- When dnstap-bgp is dead, answers leave as ever, and dnsdist finds it again by itself. When it hangs, the answers of
-- one bound (50 ms, unless [hold] give_up says otherwise, and 20 ms) wait for it; after that nobody waits for 1 s, then
-- one answer again, then nobody for 2 s, and so on up to 10 s. As soon as it answers, everything is as before.
--
-- Mind:
-- - Stand it last: a rule for answers that comes behind it doesn't see those that wait. So dnsdist.conf (the tap) comes
--   before it.
-- - It sees no answers from dnsdist's own cache. Their routes are there as long as `ttl` of dnstap-bgp is longer than
--   the cache keeps them (newPacketCache's maxTTL is 24 h, so say 12 h), or the tap tells of cache hits.
-- - A queue of datagrams holds `net.unix.max_dgram_qlen` of them (10 in a fresh network namespace, 512 on most hosts):
--   when it is full, answers wait here for their turn, within the same bound.
local hold = '/run/dnstap-bgp/hold-dgram.sock'
local reply_folder = '/run/dnstap-bgp/replies'
local filter_file = '/run/dnstap-bgp/hold.filter'    -- which names are on no list; '': all are asked for
local identity = 'dnsdist'      -- in dnstap-bgp's status, and the name of the socket in reply_folder
local async_id = 6053           -- of this hook among those that suspend answers
local questions_a_s = 2000      -- a flood of new names leaves unheld what is beyond, and costs no more than this

if newNetworkEndpoint == nil or newNetworkListener == nil then
    errlog('dnstap-bgp: dnsdist 1.8 or later can wait for an answer, this one can not: no answer is held')
    return
end

local FIRST_WAIT_MS, MARGIN_MS, LONGEST_WAIT_MS = 100, 20, 500
local REST_S, LONGEST_REST_S = 1, 10
local RETRY_S, LONGEST_RETRY_S = 0.25, 5    -- between two looks for a dnstap-bgp that is not there; each is logged
local ROOM_TRIES, ROOM_US = 10, 200         -- for room in the queue; nobody else is answered meanwhile
local BACKLOG_MAX = 1000        -- messages that wait for room that has not come by then
local CONNECTIONS_MAX = 32      -- that are open until Lua collects what is left of them
local RESPONSE_MAX_BYTES = 60000

-- What lives longer than one call. The listener has to be reachable from a global: Lua would collect it otherwise, and
-- replies would cease after a while.
dnstap_bgp_hook = {
    listener = nil,             -- receives the replies
    endpoint = nil,             -- sends the questions
    connections = 0,            -- so many were made
    retry_at = 0, retry_s = 0,  -- not before this does it look for dnstap-bgp again, and then not for so long
    pending = {},               -- query id -> the id that was sent; as many as there are query ids, at most
    count = 0,
    backlog = {}, first = 1, last = 0,
    wait_ms = FIRST_WAIT_MS,
    gate = nil,                 -- see set_gate
    waiting_since = nil,        -- since when a question is without any reply; nil: none is
    rest_s = 0,                 -- above 0: a reply was late, and none has come since
    rest_until = 0,
}
local state = dnstap_bgp_hook

-- A clock in seconds, with fractions where this is LuaJIT.
local has_ffi, ffi = pcall(require, 'ffi')
local now = os.time
if has_ffi then
    pcall(ffi.cdef, [[
        typedef struct { long seconds, nanoseconds; } dnstap_bgp_time;
        int clock_gettime(int, dnstap_bgp_time *) asm("clock_gettime");
        int dnstap_bgp_chmod(const char *, unsigned) asm("chmod");
        int dnstap_bgp_access(const char *, int) asm("access");
        int dnstap_bgp_sleep(unsigned) asm("usleep");
        double *dnstap_bgp_room(size_t, size_t) asm("calloc");
    ]])
    local time = ffi.new('dnstap_bgp_time')
    now = function ()
        ffi.C.clock_gettime(1, time)    -- CLOCK_MONOTONIC
        return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
    end
end

-- What each thread runs for each new answer, in a Lua of its own.
local filter_code = [==[
local filter_file, gate_address = @file, @gate

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

local function ask_for_all()
    return true
end

local has_clock, clock, message_of, size_of = pcall(function ()
    -- dnsdist declares what it gives as `void *`, which would have to be cast each time
    calls.cdef [[
        typedef struct { long seconds, nanoseconds; } dnstap_bgp_time;
        int dnstap_bgp_clock(int, dnstap_bgp_time *) asm("clock_gettime");
        const uint8_t *dnstap_bgp_message(const void *) asm("dnsdist_ffi_dnsquestion_get_header");
    ]]
    return calls.C.dnstap_bgp_clock, calls.C.dnstap_bgp_message, calls.C.dnsdist_ffi_dnsquestion_get_len
end)
if not has_clock then
    return ask_for_all
end
local time = calls.new('dnstap_bgp_time')
local gate = calls.cast('const double *', gate_address)

local function now()
    clock(1, time)      -- CLOCK_MONOTONIC
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

-- Whether an answer is asked for. The two calls of dnsdist can't be compiled, as what they get is no object of Lua's.
return function (response)
    local now_s = now()
    if now_s < gate[0] then
        return false        -- nobody is there to be asked, which costs no more than this
    end
    return not is_unlisted(message_of(response), size_of(response), now_s)
end
]==]

-- Until when each thread passes over all answers: nobody listens, or the breaker is open. They have its address, so it
-- is no object of this Lua's, and outlives it.
if has_ffi then
    state.gate = ffi.C.dnstap_bgp_room(1, 8)
end

local function set_gate()
    if state.gate ~= nil then
        state.gate[0] = math.max(state.rest_until, state.endpoint == nil and state.retry_at or 0)
    end
end

local function bytes(number, count)
    local text = {}
    for place = count, 1, -1 do
        text[place] = string.char(number % 256)
        number = math.floor(number / 256)
    end
    return table.concat(text)
end

math.randomseed(os.time())
local epoch = bytes(math.random(0, 2 ^ 31 - 1), 4)  -- replies to a dnsdist that was here before fit nothing
local tail = string.char(#identity) .. identity

local function send_backlog()
    while state.first <= state.last do
        if not state.endpoint:send(state.backlog[state.first]) then
            return
        end
        state.backlog[state.first] = nil
        state.first = state.first + 1
    end
end

local function on_reply(_, reply, _)
    if #reply ~= 16 or reply:byte(1) ~= 1 then
        return
    end
    local verdict, id = reply:byte(2), reply:sub(3, 10)
    local bound_ms = reply:byte(11) * 256 + reply:byte(12)
    if bound_ms > 0 then
        state.wait_ms = math.min(bound_ms + MARGIN_MS, LONGEST_WAIT_MS)
    end
    state.waiting_since, state.rest_s, state.rest_until = nil, 0, 0
    if verdict == 8 then    -- it speaks another version
        state.rest_s, state.rest_until = LONGEST_REST_S, now() + LONGEST_REST_S
    end
    set_gate()
    local query_id = id:byte(7) * 256 + id:byte(8)
    if state.pending[query_id] == id then
        state.pending[query_id] = nil
        getAsynchronousObject(async_id, query_id):resume()
    end
    send_backlog()
end

-- Whether nothing is at a path. A socket can't be opened; a pipe in its place can, and who does it waits.
local function is_missing(path)
    if has_ffi then
        return ffi.C.dnstap_bgp_access(path, 0) ~= 0 and ffi.errno() == 2   -- F_OK, ENOENT
    end
    local _, _, why = io.open(path)
    return why == 2
end

-- Listen for the replies; again where somebody has removed the socket.
local function listen(path)
    if state.listener ~= nil then
        if not is_missing(path) then
            return true
        end
    end
    local listener = newNetworkListener()
    listener:addUnixListeningEndpoint(path, 0, function (...) pcall(on_reply, ...) end)
    listener:start()
    if has_ffi then
        ffi.C.dnstap_bgp_chmod(path, 432)   -- 0660: dnstap-bgp, who is in our group, must be let in
    end
    state.listener = listener
    return true
end

local function connect(at)
    state.endpoint = nil
    if at < state.retry_at then
        return false
    end
    state.retry_s = math.min(math.max(RETRY_S, state.retry_s * 2), LONGEST_RETRY_S)
    state.retry_at = at + state.retry_s
    local is_listening, why = pcall(listen, reply_folder .. '/' .. identity)
    if not is_listening then
        if not state.has_told then
            state.has_told = true
            errlog('dnstap-bgp: no replies at ' .. reply_folder .. ': ' .. tostring(why) .. ' (told once)')
        end
        return false
    end
    -- newNetworkEndpoint: nil, or an error, where nobody listens
    local is_made, endpoint = pcall(newNetworkEndpoint, hold)
    if is_made and endpoint ~= nil and endpoint:isValid() then
        state.endpoint, state.retry_s = endpoint, 0
        state.waiting_since = nil
        state.connections = state.connections + 1
        if state.connections % CONNECTIONS_MAX == 0 then
            collectgarbage()    -- nothing else closes those before, and a full queue makes hundreds within seconds
        end
        return true
    end
    return false
end

-- Whether this answer may wait. The breaker: closed (rest_s 0); open until rest_until; then half open, for one question
-- at a time, until a reply comes (closed) or its time is over (open for twice as long).
local function may_wait(at)
    if at < state.rest_until then
        return false
    end
    if state.waiting_since ~= nil then
        if at - state.waiting_since > state.wait_ms / 1000 then
            state.rest_s = math.min(math.max(REST_S, state.rest_s * 2), LONGEST_REST_S)
            state.rest_until = at + state.rest_s
            state.waiting_since = nil
            state.retry_at = 0
            state.endpoint = nil    -- and look again whether both sockets are those in the folders
            state.first, state.last, state.backlog = 1, 0, {}
            return false
        end
        return state.rest_s == 0
    end
    return true
end

local function send(message, at)
    if state.first > state.last and state.endpoint:send(message) then
        return true
    end
    -- Full or gone? A new connection tells: nobody can connect to what is gone.
    state.retry_at = 0
    if not connect(at) then
        return false
    end
    -- Full. It is read at some 10,000 a second; nothing would tell of room before the next answer or reply.
    for _ = 1, has_ffi and ROOM_TRIES or 1 do
        send_backlog()
        if state.first > state.last and state.endpoint:send(message) then
            return true
        end
        if has_ffi then
            ffi.C.dnstap_bgp_sleep(ROOM_US)
        end
    end
    if state.last - state.first + 1 >= BACKLOG_MAX then
        return false
    end
    state.last = state.last + 1
    state.backlog[state.last] = message
    return true
end

local function hook(response)
    local at = now()
    if (state.endpoint == nil and not connect(at)) or not may_wait(at) or response.qclass ~= 1 then
        return false
    end
    local content = response:getContent()
    if #content > RESPONSE_MAX_BYTES or #content < 12 or content:byte(7) + content:byte(8) == 0 then
        return false    -- ANCOUNT is 0
    end
    state.count = (state.count + 1) % 2 ^ 32
    local query_id = state.count % 65536
    local id = epoch .. bytes(state.count, 4)
    if not send('\1\0' .. id .. tail .. content, at) then
        return false
    end
    -- The reply can't overtake this: it is read under the lock that this function runs under.
    state.pending[query_id] = id
    state.waiting_since = state.waiting_since or at
    return response:suspend(async_id, query_id, state.wait_ms)
end

-- What can be told without this script, so that it doesn't run for it: it runs for one answer at a time. First what
-- dnsdist itself knows: types without addresses, errors, empty answers; then the filter, in a Lua of each thread's own,
-- without a lock; last the pace, whose rule counts what it sees.
local has_addresses = OrRule({ QTypeRule(1), QTypeRule(28), QTypeRule(64), QTypeRule(65) })     -- A, AAAA, SVCB, HTTPS
local has_records = RecordsCountRule(1, 1, 65535)   -- in the answer section
local is_near_a_rule = AllRule()
if has_ffi and LuaFFIPerThreadRule ~= nil then
    local given = {
        file = string.format('%q', filter_file),
        gate = string.format('%.0f', tonumber(ffi.cast('intptr_t', state.gate))),
    }
    is_near_a_rule = LuaFFIPerThreadRule((filter_code:gsub('@(%l+)', given)))
end
local pace = MaxQPSRule(questions_a_s, questions_a_s / 4)
local is_asked = AndRule({ has_addresses, RCodeRule(0), has_records, is_near_a_rule, pace })

local has_failed = false
addResponseAction(is_asked, LuaResponseAction(function (response)
    local is_well, is_waiting = pcall(hook, response)
    set_gate()
    if not is_well and not has_failed then
        has_failed = true
        errlog('dnstap-bgp: ' .. tostring(is_waiting) .. ' (told once)')
    end
    if is_well and is_waiting then
        return DNSResponseAction.Allow, ''  -- no rule may look at an answer that waits
    end
    return DNSResponseAction.None, ''
end))
