"""unbound asks dnstap-bgp before a new answer leaves, so that the first connection already takes the right way.

Tested with unbound 1.17 and 1.26, Python 3.11 and 3.13; needs Python 3.9 and nothing beside its standard library.

Debian: put this file into /etc/unbound/, install its module,

    apt-get install python3-unbound
    ln -s /usr/lib/python3/dist-packages/unboundmodule.py /etc/unbound/     # Debian 12: or unbound doesn't find it

and restart unbound with

    server:
        module-config: "python validator iterator"      # with RPZ: "python respip validator iterator"
        cache-max-ttl: 43200                            # below the `ttl` of dnstap-bgp (24 h), see below
    python:
        python-script: "/etc/unbound/unbound-hook.py"

On the side of dnstap-bgp:

    [hold]
    listen = "/run/dnstap-bgp/hold.sock"
    group  = "unbound"                  # the group that unbound runs in

unbound on another machine, or in a chroot that has no such socket (OPNsense): TCP, by HOLD below.

    [hold]
    listen        = "192.0.2.10:6054"
    allow         = ["192.0.2.53"]      # the resolver
    tls_cert      = "tls/server.pem"    # and tls_key, tls_client_ca: as for the tap, see unbound-tls.conf

Cost. An answer from the cache: none, this script doesn't run. A new answer: 4 us of CPU, as unbound calls Python for
it; 10 us where it has addresses, and its names are near no rule of a list, which dnstap-bgp's file of that tells
(FILTER); 0.1 to 0.2 ms where it is asked for and nothing has to be held; where a new route is made, its time (5 to 6 ms
with BIRD), in which this thread of unbound answers nobody else. It waits for a second at a stretch at most, and for
half of its time in the long run; answers beyond that are told, and leave unheld. So with a router that needs 70 ms
(FRR), or more than 100 new names of the lists a second, stand dnsdist in front (dnsdist-hook.lua), which waits for many
at once. At full tilt, unbound resolves 0.7 to 0.8 of the new names that it does without (with an empty script 0.8 as
well), and 0.2 of them where all are asked for.

When dnstap-bgp is dead, answers leave as ever. When it hangs, an answer waits for the bound that dnstap-bgp has told
(50 ms, unless [hold] give_up says otherwise) and 20 ms; after that nobody waits for 1 s in this thread, then one answer
again, then nobody for 2 s, and so on up to 10 s. As soon as it answers, everything is as before.

It also stands in for DNSTap where unbound has none: each new answer is told, those of refetches (prefetch,
serve-expired), for which no client waits, without waiting. What comes from the cache is not told, so `cache-max-ttl`
has to be below `ttl`: else a route can end while its answer is still in the cache.

Mind:
- Stand it first in module-config: it sees the answer as the client gets it. RPZ rules on names, local-zone and
  local-data answer before it runs.
- Only NOERROR answers that DNSSEC has not found bogus are told.
- OPNsense and pfSense: the manual has a section on them.
- Another Python script in use? unbound takes one: name that one as BEFORE below, and it runs as if it were alone, its
  answers coming here afterwards. What it raises while it is loaded is logged, and the resolver runs on without it.
- `unbound-control reload` drops the questions that are in flight, with this script as without; a held answer is in
  flight for longer. `fast_reload` of unbound 1.23 and later drops none.
- AppArmor: the profile of Debian and Ubuntu knows neither Python nor the socket; see deploy/apparmor.
- The settings can be given in unbound's environment instead, with DNSTAP_BGP_ in front: DNSTAP_BGP_HOLD, and so on.
"""

_NAMES_OF_UNBOUND = dict(globals())
"""What unbound gives a script: a script that was there before gets the same."""

# --- Settings. They are read when unbound starts or reloads. ---------------------------------------------------------

HOLD = "/run/dnstap-bgp/hold.sock"
"""Where dnstap-bgp listens: a path, "tcp://host:port" or "tls://host:port"."""
FILTER = "/run/dnstap-bgp/hold.filter"
"""Where dnstap-bgp writes, for its group, which names are on no list; "": all are asked for."""
IDENTITY = "unbound"
"""The name of this resolver in dnstap-bgp's status: 1 to 64 letters, digits, dots, dashes, underscores."""
QUESTIONS_A_S = 2000
"""Of each thread: what is beyond, in a flood of new names, is told and not waited for."""
BEFORE = ""
"""The path of a script that was there before this one; "": none."""
TLS_CA, TLS_CERT, TLS_KEY = "", "", ""
"""tls:// only: the authority of dnstap-bgp's certificate, and our certificate and key; inside of a chroot, if any."""
TLS_NAME = ""
"""The name in dnstap-bgp's certificate; "": the host of HOLD."""

# ---------------------------------------------------------------------------------------------------------------------

import os
import select
import socket
import stat
import struct
import time
import zlib
from threading import get_ident

import unboundmodule as ub

try:
    import ctypes
except ImportError:  # in a chroot without libffi (OPNsense): a call costs twice as much
    ctypes = None

VERSION, REWRITTEN, TELL_ONLY = 1, 1, 2
QUESTION = struct.Struct("!BB8sB")
"""In front of the identity and the response: version, flags, id, length of the identity."""
REPLY = struct.Struct("!BB8sHI")
"""Version, verdict, id, the bound in ms, the generation of the lists."""
NOT_UNDERSTOOD = 8
"""The verdict of a dnstap-bgp that speaks another version."""
HEADER = struct.Struct("!HHHHHH")
DATA = struct.Struct("!I")

TYPES = frozenset((1, 28, 64, 65))
"""A, AAAA, SVCB, HTTPS: the questions whose answers have addresses."""
SENT_TYPES = TYPES | {5}
"""And CNAME: the records that are sent."""
CNAME = 5
CNAME_IN_NETWORK_ORDER = socket.htons(CNAME)
BOGUS = 1
"""sec_status_bogus of unbound's enum sec_status."""
RPZ_FLAG = 8
"""PACKED_RRSET_RPZ of unbound's rrsets: response policy made this."""
RESPONSE_MAX_BYTES = 60_000
"""So that the message stays below 65,535 bytes."""
RECORDS_MAX = 512
"""As many as dnstap-bgp reads of one answer."""

FILTER_HEADER = struct.Struct("!8sBBBxI8s")
"""Magic, version, flags, logarithm of the table's bytes, bytes of the crowded pairs, id."""
FILTER_MAGIC, FILTER_VERSION, HAS_SINGLE = b"DNSTAPHF", 1, 1
FILTER_LOGS, FILTER_PAIRS_MAX_BYTES = range(9, 27), 1_000_000
MARKS_BYTES = 64
LOOK_S = 0.25
"""Between two looks for another filter."""

MARGIN_S = 0.02
"""What we wait beyond the bound that dnstap-bgp tells: its own giving up comes first."""
FIRST_WAIT_S = 0.1
"""Before a reply has told the bound."""
LONGEST_WAIT_S = 0.5
"""Whatever is told: a resolver's client asks again after a second."""
CONNECT_S = 0.2
"""For TCP and TLS, in which this thread answers nobody."""
REST_S, LONGEST_REST_S = 1.0, 10.0
"""After a time-out nobody waits for so long; doubled at each further one."""
CREDIT_S, CREDIT_SHARE = 0.5, 0.5
"""A thread waits for this share of its time in the long run, and for 1 s at a stretch, as it gains while it waits;
beyond that it only tells. unbound drops what it could not answer for 1.9 s (`discard-timeout`)."""
RETRY_S, LONGEST_RETRY_S = 0.25, 10.0
"""Between two attempts to connect; doubled each time over TCP, where an attempt may take CONNECT_S."""


def say(text):
    """Write a line into unbound's log."""
    ub.log_err("dnstap-bgp: " + text)


class Lost(Exception):  # noqa: N818 - it is no error of anybody's
    """The connection is gone, or there is none."""


class Link:
    """One thread's connection to dnstap-bgp.

    States: connected; lost, until `_retry_at`; connected and resting, until `_rest_until`, because a reply was late.
    While it rests, answers are told and not waited for.
    """

    def __init__(self, settings):
        self._settings = settings
        self._is_stream = settings.host is not None
        self._socket = None
        self._poll = None
        self._received = b""
        self._count = int.from_bytes(os.urandom(4), "big") << 32  # so that no earlier thread's replies fit
        self._wait_s = FIRST_WAIT_S
        self._rest_s = self._rest_until = 0.0
        self._credit_s, self._credit_at = CREDIT_S, 0.0
        self._tokens = 0.0
        self._trouble = ""
        self._retry_s = self._retry_at = 0.0

    def is_ready(self):
        """Whether it makes sense to build a message; connects where it is time to."""
        if self._socket is not None:
            return True
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._connect()
        except (OSError, ValueError) as error:
            self._lose(error)
            return False
        return True

    def tell(self, flags, response):
        """Send an answer; nobody waits."""
        try:
            self._send(flags | TELL_ONLY, bytes(8), response)
        except (OSError, Lost) as error:
            self._lose(error)

    def ask(self, flags, response):
        """Send an answer and wait until it may leave, but no longer than the bound."""
        self._count += 1
        mark = self._count.to_bytes(8, "big")
        try:
            if self._is_resting() or not self._has_credit():
                self._send(flags | TELL_ONLY, bytes(8), response)
            elif self._send(flags, mark, response):
                self._await(mark)
        except (OSError, Lost) as error:
            self._lose(error)

    def close(self):
        """End it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self):
        settings = self._settings
        if not self._is_stream:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                made.settimeout(0)
                made.connect(settings.path)  # at once, or refused, or "again" where its queue is full
            except BaseException:
                made.close()
                raise
        else:
            made = socket.create_connection((settings.host, settings.port), CONNECT_S)
            try:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if settings.tls is not None:
                    made = settings.tls.wrap_socket(made, server_hostname=settings.tls_name)
                made.settimeout(0)
            except BaseException:
                made.close()
                raise
        self._socket, self._received = made, b""
        settings.filter.look_again()
        self._poll = select.poll()
        self._poll.register(made, select.POLLIN)
        self._rest_until = 0.0

    def _lose(self, error):
        """Close it, and connect again later; over TCP ever later until a reply comes, as an attempt may take long."""
        self.close()
        if not isinstance(error, Lost) and str(error) != self._trouble:
            self._trouble = str(error)
            say(f"can't ask at {self._settings.path}: {error} (told once; tried again)")
        self._retry_s = min(max(RETRY_S, self._retry_s * 2), LONGEST_RETRY_S) if self._is_stream else RETRY_S
        self._retry_at = time.monotonic() + self._retry_s

    def _send(self, flags, mark, response):
        """Send one message, and never wait; False: there is no room for it, so that it is dropped."""
        identity = self._settings.identity
        message = QUESTION.pack(VERSION, flags, mark, len(identity)) + identity + response
        if self._is_stream:
            message = len(message).to_bytes(2, "big") + message
        try:
            sent = self._socket.send(message)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if not _is_again(error):
                raise
            sent = 0
        if not sent:
            self._rest()  # it doesn't read
            return False
        if sent < len(message):
            raise Lost  # half of a message on a stream: the rest can't be waited for
        return True

    def _await(self, mark):
        """Wait for the reply with this id; what answers an earlier question is passed over."""
        began = now = time.monotonic()
        deadline = began + self._wait_s
        is_here = False
        while not is_here:
            for reply in self._receive():
                self._note(reply)
                is_here = is_here or reply[2:10] == mark
            # a millisecond more: poll() counts whole ones
            if not is_here and (now >= deadline or not self._poll.poll(int((deadline - now) * 1000) + 1)):
                self._rest()
                break
            now = time.monotonic()
        self._credit_s -= now - began

    def _receive(self):
        """Read what is there; an empty list: nothing. Raises Lost where the other end is gone."""
        replies = []
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return replies
        except OSError as error:
            if _is_again(error):
                return replies
            raise
        if not data:
            raise Lost
        if not self._is_stream:
            return [data]
        data = self._received + data
        while len(data) >= 2:
            end = 2 + int.from_bytes(data[:2], "big")
            if len(data) < end:
                break
            replies.append(data[2:end])
            data = data[end:]
        self._received = data
        return replies

    def _note(self, reply):
        """Take over the bound that a reply carries; whatever it replies to, dnstap-bgp lives."""
        if len(reply) != REPLY.size or reply[0] != VERSION:
            raise Lost  # no dnstap-bgp of ours
        _, verdict, _, bound_ms, _ = REPLY.unpack(reply)
        self._rest_s = self._rest_until = self._retry_s = 0.0
        self._trouble = ""
        if verdict == NOT_UNDERSTOOD:
            self._rest_s = LONGEST_REST_S
            self._rest()
        elif bound_ms:
            self._wait_s = min(bound_ms / 1000 + MARGIN_S, LONGEST_WAIT_S)

    def _rest(self):
        self._rest_s = min(max(REST_S, self._rest_s * 2), LONGEST_REST_S)
        self._rest_until = time.monotonic() + self._rest_s

    def _has_credit(self):
        """Whether this thread has neither waited nor asked too much of late."""
        now = time.monotonic()
        passed_s, self._credit_at = now - self._credit_at, now
        self._credit_s = min(CREDIT_S, self._credit_s + passed_s * CREDIT_SHARE)
        pace = self._settings.questions_a_s
        self._tokens = min(pace / 4, self._tokens + passed_s * pace)
        if self._credit_s <= 0 or self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _is_resting(self):
        """Whether nobody is to wait now; a reply, however late, says that dnstap-bgp lives, and ends the rest."""
        if not self._rest_until:
            return False
        for reply in self._receive():
            self._note(reply)
        return time.monotonic() < self._rest_until


def _is_again(error):
    """Whether this is TLS's own word for "not now" (SSLWantReadError, SSLWantWriteError)."""
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


class Filter:
    """The names that are on no list, most of them, as dnstap-bgp has written it down; one for all threads.

    It rules out a name by its last two labels, or three where many rules stand below two: no rule's domain ends so.
    Without a file that can be read, it rules out nothing.
    """

    def __init__(self, path):
        self._path = path
        self._due = 0.0
        # The header of the file, and what _read_filter gave of the rest. Replaced together: of two threads that look at
        # once, one may have the file from before, and its table with the other's header would be taken for the new one.
        self._known = b"", None

    def rules_out(self, name, answer, count):
        """Whether no name that an answer leads along is on a list: of so many sets of records, for this name."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + LOOK_S
            self._look()
        table = self._known[1]
        if table is None or not _is_ruled_out(name, table):
            return False
        if count == 1:
            return True  # addresses of the name itself, or a CNAME without any behind it
        rrsets = answer.rrsets
        for index in range(count):
            rrset = rrsets[index]
            if rrset.rk.type == CNAME_IN_NETWORK_ORDER:
                data = rrset.entry.data
                for number in range(data.count):
                    if not _is_ruled_out(data.rr_data[number][2:], table):  # behind its length
                        return False
        return True

    def look_again(self):
        """Look for another filter at the next question: dnstap-bgp may be another one."""
        self._due = 0.0

    def _look(self):
        """Take over the file, if it is another one than before."""
        try:
            with open(self._path, "rb", opener=_without_waiting) as file:
                header = file.read(FILTER_HEADER.size)
                if header != self._known[0]:
                    self._known = b"", None
                    self._known = header, _read_filter(header, file)
        except (OSError, ValueError, struct.error):
            self._known = b"", None


def _without_waiting(path, flags):
    """Open a file, or raise OSError where a pipe or a device is in its place: who reads these may wait for ever."""
    file = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(path)
    return file


def _read_filter(header, file):
    """Read what stands behind the header; raises ValueError or struct.error where it is no filter of ours.

    Returns:
        The table, its marks, how many bits of a hash don't tell a byte of the table, whether a single label may be a
        rule's domain, and the crowded pairs.
    """
    magic, version, flags, log, pairs_bytes, _ = FILTER_HEADER.unpack(header)
    if (
        (magic, version) != (FILTER_MAGIC, FILTER_VERSION)
        or log not in FILTER_LOGS
        or pairs_bytes > FILTER_PAIRS_MAX_BYTES
    ):
        raise ValueError(version)
    pairs, bits = file.read(pairs_bytes), file.read(MARKS_BYTES + (1 << log) + 1)
    marks, table = bits[:MARKS_BYTES], bits[MARKS_BYTES:]
    if len(pairs) != pairs_bytes or len(table) != 1 << log:
        raise ValueError(len(table))
    crowded, at = set(), 0
    while at < pairs_bytes:
        end = at + 1 + pairs[at]
        crowded.add(pairs[at + 1 : end])
        at = end
    return table, marks, 32 - log, bool(flags & HAS_SINGLE), frozenset(crowded)


def _is_ruled_out(name, filter_table):
    """Whether the last labels of a whole name prove that no rule speaks for it."""
    table, marks, shift, has_single, crowded = filter_table
    labels = bytes(name).lower()
    third = second = last = at = 0  # where the last three labels begin
    while labels[at]:
        third, second, last = second, last, at
        at += labels[at] + 1
    if not last:
        return False  # the root, or a single label
    pair = labels[second:at]
    found = zlib.crc32(pair)
    if not table[found >> shift] & marks[found & 63]:
        if pair not in crowded or not second:
            return False
        found = zlib.crc32(labels[third:at])
        if not table[found >> shift] & marks[found & 63]:
            return False
    if has_single:
        found = zlib.crc32(labels[last:at])
        return bool(table[found >> shift] & marks[found & 63])
    return True


class Settings:
    """The settings at the top, or of the environment, as they are used."""

    def __init__(self):
        def setting(name):
            return os.environ.get("DNSTAP_BGP_" + name, globals()[name])

        self.identity = setting("IDENTITY").encode("ascii")[:64] or b"unbound"
        self.before = setting("BEFORE")
        self.filter = Filter(setting("FILTER"))
        self.questions_a_s = int(setting("QUESTIONS_A_S"))
        self.path = setting("HOLD")
        self.host = self.port = self.tls = None
        scheme, _, where = self.path.partition("://")
        if where:
            host, _, port = where.rpartition(":")
            self.host, self.port = host.strip("[]"), int(port)
            self.tls_name = setting("TLS_NAME") or self.host
            if scheme == "tls":
                self.tls = self._context(setting("TLS_CA"), setting("TLS_CERT"), setting("TLS_KEY"))
            elif scheme != "tcp":
                raise ValueError(f"HOLD: {self.path}: a path, tcp://host:port or tls://host:port is right")

    @staticmethod
    def _context(authority, certificate, key):
        import ssl  # noqa: PLC0415 - 5 MB, only where it is used

        context = ssl.create_default_context(cafile=authority or None)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13's: it wants extensions that others do without
        if certificate:
            context.load_cert_chain(certificate, key or None)
        return context


class Hook:
    """What runs at each new answer. Nothing in here raises."""

    def __init__(self):
        self._settings = None
        self._links = {}
        self._pins = {}
        self._has_failed = False
        try:
            self._settings = Settings()
        except Exception as error:  # noqa: BLE001 - a resolver that doesn't start is worse
            say(f"{error}: no answer is held")

    def before(self):
        """The path of the script that was there before us."""
        return self._settings.before if self._settings else os.environ.get("DNSTAP_BGP_BEFORE", BEFORE)

    def on_answer(self, qstate, *, is_rewritten=False):
        """Ask or tell, if the answer can have addresses."""
        if self._settings is None:
            return
        try:
            self._on_answer(qstate, is_rewritten)
        except Exception as error:  # noqa: BLE001 - whatever it is: the answer leaves
            if not self._has_failed:
                self._has_failed = True
                say(f"{type(error).__name__}: {error} (told once)")

    def _on_answer(self, qstate, is_rewritten):
        link = self._links.get(get_ident())
        if link is None:
            link = self._new_link()
        if not link.is_ready():  # first, so that nothing is looked at where nobody listens
            return
        question = qstate.qinfo  # each such look makes an object, which is most of what this costs
        if question.qtype not in TYPES:
            return
        message = qstate.return_msg
        answer = None if message is None else message.rep
        count = 0 if answer is None else answer.an_numrrsets
        if not count or self._settings.filter.rules_out(question.qname, answer, count):
            return
        if question.qclass != 1 or qstate.return_rcode or answer.flags & 15 or answer.security == BOGUS:
            return
        response, is_policy = _response(question, answer)
        if response:
            flags = REWRITTEN if is_policy or is_rewritten else 0
            if qstate.mesh_info.reply_list is None:  # a refetch: whoever asked has got the old answer already
                link.tell(flags, response)
            else:
                link.ask(flags, response)

    def _new_link(self):
        """A connection for this thread.

        PyGILState_Ensure, once: unbound has made a Python state for this thread and destroys it when the call ends,
        unless somebody holds it; with it a call costs half. `threading.local` would end with it, so the key is the
        thread's number.
        """
        ident = get_ident()
        if ctypes is not None:
            self._pins[ident] = ctypes.pythonapi.PyGILState_Ensure()
        link = self._links[ident] = Link(self._settings)
        return link

    def close(self):
        """End all connections."""
        for link in self._links.values():
            link.close()


def _response(question, answer):
    """Write the answer as a DNS message: header, question, and the records that say addresses or lead to them.

    Returns:
        The message, empty where it has no such record, and whether a response policy made one of them.
    """
    records, count, is_policy, size = [], 0, False, 0
    rrsets = answer.rrsets
    for index in range(answer.an_numrrsets):
        rrset = rrsets[index]
        key = rrset.rk
        rdtype = socket.ntohs(key.type)
        if rdtype not in SENT_TYPES:
            continue
        if key.flags & RPZ_FLAG:
            is_policy = True
        data = rrset.entry.data
        values = data.rr_data  # each with its length in front, as it is sent
        # type and class are kept in network order, so they are written as they are
        head = key.dname + struct.pack("=HH", key.type, key.rrset_class) + DATA.pack(min(data.ttl, 0x7FFFFFFF))
        for number in range(data.count):  # the signatures stand behind
            record = head + values[number]
            size += len(record)
            count += 1
            if size > RESPONSE_MAX_BYTES or count > RECORDS_MAX:
                return b"", is_policy
            records.append(record)
    if not records:
        return b"", is_policy
    header = HEADER.pack(0, 0x8180, 1, count, 0, 0)
    asked = question.qname + struct.pack("!HH", question.qtype, question.qclass)
    return b"".join((header, asked, *records)), is_policy


class Earlier:
    """The script that was there before, run as unbound would; it shares no name with this one."""

    def __init__(self, path):
        self._has_failed = False
        self.names = {**_NAMES_OF_UNBOUND, "__file__": path}
        with open(path, "rb") as file:  # noqa: PTH123 - a stranger's Python is spared an import
            exec(compile(file.read(), path, "exec"), self.names)  # noqa: S102 - the operator's own script
        for name in ("operate", "deinit", "inform_super"):
            if not callable(self.names.get(name)):
                raise ValueError(f"{path}: has no function {name}")  # noqa: TRY004 - as unbound would say

    def init(self, number, env):
        """Call whichever of the two functions it has, `init_standard` first as unbound does."""
        if "init_standard" in self.names:
            self.names["init_standard"](number, env)
        else:
            self.names["init"](number, env.cfg)

    def call(self, name, *arguments):
        """Call one of its functions; raises nothing, and returns None where it raised."""
        try:
            return self.names[name](*arguments)
        except Exception as error:  # noqa: BLE001 - unbound would answer SERVFAIL, and log it each time
            if not self._has_failed:
                self._has_failed = True
                say(f"{name} of the script before: {type(error).__name__}: {error} (told once)")
            return None


def _load_earlier(hook):
    path = hook.before()
    if not path:
        return None
    try:
        return Earlier(path)
    except BaseException as error:  # noqa: BLE001 - SystemExit, too: the resolver starts
        say(f"{path}: {type(error).__name__}: {error}: the resolver runs without it")
        return None


def _state_setter():
    """Give what sets a query's state: the very function of unbound's module, in half the time of `ext_state[n]`."""
    module = getattr(ub, "_unboundmodule", None)
    return getattr(module, "_ext_state_set", None) or _set_state


def _set_state(qstate, number, state):
    qstate.ext_state[number] = state


# unbound looks these four up when it starts.


def init_standard(number, env):
    """Load the script that was there before; called by unbound once."""
    global _earlier  # noqa: PLW0603 - unbound knows functions, and no objects
    if _earlier is not None:
        try:
            _earlier.init(number, env)
        except BaseException as error:  # noqa: BLE001 - as above
            say(f"init of the script before: {type(error).__name__}: {error}: the resolver runs without it")
            _earlier = None
    return True


def deinit(number):
    """Close the connections."""
    if _earlier is not None:
        _earlier.call("deinit", number)
    _hook.close()
    return True


def inform_super(number, qstate, superqstate, qdata):
    """A sub-query has ended: nothing for us."""
    if _earlier is not None:
        return bool(_earlier.call("inform_super", number, qstate, superqstate, qdata))
    return True


def operate(number, event, qstate, qdata):
    """Handle one event of a query that the cache could not answer."""
    if _earlier is not None:
        return _operate_after(number, event, qstate, qdata)
    if event == ub.MODULE_EVENT_MODDONE:
        _hook.on_answer(qstate)
        _set(qstate, number, ub.MODULE_FINISHED)
    elif event == ub.MODULE_EVENT_NEW or event == ub.MODULE_EVENT_PASS:  # noqa: PLR1714 - no tuple each time
        _set(qstate, number, ub.MODULE_WAIT_MODULE)
    else:
        _set(qstate, number, ub.MODULE_ERROR)
    return True


def _operate_after(number, event, qstate, qdata):
    """The same behind the earlier script: it decides, and what it lets pass or changes is asked for."""
    is_done = event == ub.MODULE_EVENT_MODDONE
    before = _identity(qstate) if is_done else None
    if not _earlier.call("operate", number, event, qstate, qdata):
        qstate.ext_state[number] = ub.MODULE_ERROR
    elif is_done and qstate.ext_state[number] == ub.MODULE_FINISHED:
        _hook.on_answer(qstate, is_rewritten=_identity(qstate) != before)
    return True


def _identity(qstate):
    """The answer's place in memory: another one is another answer."""
    message = qstate.return_msg
    return None if message is None or message.rep is None else int(message.rep.this)


_set = _state_setter()
_hook = Hook()
_earlier = _load_earlier(_hook)
