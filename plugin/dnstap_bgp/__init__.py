"""dnstap-bgp: what DNS answers become routes in BGP.

A resolver mirrors its answers as DNSTap frames; names on a list of domains make their addresses /32 and /128 routes,
which ExaBGP announces. ExaBGP is the supervising daemon; this package is its `api` process.

Two rings, and imports that go one way (`tests/test_architecture.py` holds both):

    cli -> commands -> plugin -> running -> workers -> config -> core -> errors

    core/      decides: pure, values in, values out; no clock, socket, thread, file or log
    workers/   blocks: each module owns its thread and says so in its first line
    config/    TOML -> frozen, validated models; every default and limit with its reason
    running.py the composition root: builds the parts, starts, reloads, stops them in order
    plugin.py  the process: stdin and stdout, signals, the wait for a usable configuration
    commands/  what a person runs; short-lived, in the foreground

The way of the data:

     tap thread (no lock, no queue)
       sock.recv_into(connection's buffer)                       per chunk, up to 256 KiB
         framestream -> whole data frames, control replies
           ingest: one protobuf call for the chunk, each question's name against the memo of
             names known not to match                            -- no match: stop here (>= 90 % of frames)
             answer.parse(wire) -> chain of names + addresses
     ------------------------------------------------------------------- matches only, once per chunk
       keeper.observe(sightings)                                 one lock
         RouteTable -> changes (a refresh makes none), by the Policies of now: the lists in order, the guard (may
           this address ever be a route?), the caps, the static prefixes and what they cover
         Outbox.put(changes)
         turn: what may be said now, in the window -> store.append
     ------------------------------------------------------------------- the only hand-off
       store: the record, then (recorded before it is said) one line -> stdout
       bgp reader: stdin line -> ack | event | answer; takes a turn, too; never stops draining
       bgp writer: what must wait: a host that reads nothing, a disk that is late, deadlines, the log
       timer: keeper.expire, store.append(what moved), the log of what was refused
       store: the state file; nobody waits for a disk longer than 200 ms
       refresh: lists from URLs, only where there are any; a new copy has main read the lists again
       doors: waits for clients of the control socket and [http], and starts the loop with the first
       loop: asyncio, only where something needs it: HTTP to look and steer, the sync with peers, Redis
       main: signals, the doctor; HUP builds the new lists in a child, swaps one reference, revises what is held

State and who may touch it:

    a connection's receive buffer      the tap thread
    rule sets, Policies                main, by replacement; others hold a reference that never changes
    the resolvers' addresses           the tap thread adds; the guard looks
    RouteTable and Outbox              whoever holds the keeper's lock; others see copies
    stdout / stdin of the host         whoever holds the keeper's lock, never blocking / the bgp reader
    state file                         the store thread
    journal of the sync                the loop thread; the timer hands it what moved
    copies of URLs                     the refresh thread; main puts what was held back in use, under their lock

Level, not edge: the table states what it wants of a prefix (attributes, or none), the outbox compares that with what
the host was told and not untold. Flaps collapse, a repeat costs nothing, and the outbox is bounded by the prefixes.

Vocabulary: a *rule* is one line of a *list*; a *sighting* is one address in one answer with the name that matched; a
*claim* is a (list, name) that holds an address until its deadline; a *route* is an address with live claims; a
*change* is what is wanted of one prefix; a *neighbor* is a BGP peer of ExaBGP, a *peer* another instance of ours.

Time is CLOCK_BOOTTIME in seconds inside a process; ages and durations where it crosses a process or the disk.
"""

__version__ = "0.1.0"
