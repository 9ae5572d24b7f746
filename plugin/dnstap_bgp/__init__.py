"""dnstap-bgp: what DNS answers become routes in BGP.

A resolver mirrors its answers as DNSTap frames; names on a list of domains make their addresses /32 and /128 routes,
which ExaBGP announces. ExaBGP is the supervising daemon; this package is its `api` process.

Two rings, and imports that go one way (`tests/test_architecture.py` holds both):

    cli -> commands -> plugin -> app -> workers -> config -> core -> errors

    core/      decides: pure, values in, values out; no clock, socket, thread, file or log
    workers/   blocks: each module owns its thread and says so in its first line
    config/    TOML -> plain frozen settings; every default and limit with its reason
    app.py     the composition root: builds the parts, starts, reloads, stops them in order
    plugin.py  the process: stdin and stdout, signals, the wait for a usable configuration, the brake on crash loops
    commands/  what a person runs, one file a command; short-lived, in the foreground

The way of the data:

     tap thread (no lock, no queue)
       sock.recv_into(connection's buffer)                       per chunk, up to 64 KiB
         framestream -> whole data frames, control replies
           ingest: one protobuf call for the chunk, each question's name against the memo of
             names known not to match                            -- no match: stop here (>= 90 % of frames)
             answer.parse(wire) -> chain of names + addresses
     ------------------------------------------------------------------- matches only, once per chunk
       keeper.observe(sightings)                                 one lock
         RouteTable -> changes (a refresh makes none), by the Policies of now: the lists in order, the guard (may
           this address ever be a route?), the caps, the static prefixes and what they cover
         Reconciler.put(changes)
         turn: what may be said now, in the window -> store.append
     ------------------------------------------------------------------- the only hand-off
       store: the record, then (recorded before it is said) one line -> stdout
       bgp reader: stdin line -> ack | event | answer; takes a turn, too; never stops draining
       bgp writer: what must wait: a host that reads nothing, a disk that is late, deadlines, the log
       hold: a hook's question -> the same sightings; replied to when ExaBGP has acknowledged the routes and the slowest
        neighbor's margin is past, or at the bound; only where `[hold]` is configured
       timer: keeper.expire, store.append(what moved), the log of what was refused
       store: the state file; nobody waits for a disk longer than 200 ms
       lists-disk: what lists from URLs have to do with the disk; a new copy has main read the lists again
       listeners: waits for clients of the control socket and [http], and starts the loop with the first
       loop: asyncio, only where something needs it: HTTP to look and steer, lists from URLs, the sync with peers,
        Redis, the active refresh, which asks the resolver again for names whose TTL is over
       main: signals, errands of the control socket, the doctor; a reload builds the new lists in a child, swaps one
        reference, revises what is held

At a start the tap opens first; then what was announced is read from the state file, so that the reconcilers know it;
then ExaBGP is spoken to, while claims come back. Until all are back nothing that is announced is withdrawn or changed.

State and who may touch it:

    a connection's receive buffer      the tap thread
    rule sets, Policies                main, by replacement; others hold a reference that never changes
    the resolvers' addresses           the tap thread adds; the guard looks
    hooks' questions                   the hold thread; acknowledgments of awaited prefixes come to it in a deque
    RouteTable and Reconciler          whoever holds the keeper's lock; others see copies
    stdout / stdin of the host         whoever holds the keeper's lock, never blocking / the bgp reader
    state file                         the store thread
    replication log of the sync        the loop thread; the timer hands it what moved
    copies of URLs                     the thread lists-disk; main puts what was held back in use, under their lock

Level, not edge: the table states what it wants of a prefix (attributes, or none), the reconciler compares that with the
Adj-RIB-Out. Flaps collapse, a repeat costs nothing, and the reconciler is bounded by the prefixes.

Vocabulary: a *rule* is one line of a *list*; a *sighting* is one address in one answer with the name that matched; a
*claim* is a (list, name) that holds an address until its deadline; a *route* is an address with live claims; a
*change* is what is wanted of one prefix; a *neighbor* is a BGP peer of ExaBGP, a *peer* another instance of ours.

Time is CLOCK_BOOTTIME in seconds inside a process; ages and durations where it crosses a process or the disk.
"""

__version__ = "0.2.0"
