"""Transfer of a running Go program's entries into our state file: `GET /fetch` of its syncer, in its namespace."""

import http.client
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from dnstap_bgp.commands.privileges import enter_namespace
from dnstap_bgp.config import Config, TcpAddress
from dnstap_bgp.config.addresses import join_port
from dnstap_bgp.config.settings import DEFAULT_LIST
from dnstap_bgp.core.model import Attributes, Claim, RibKey, RibRecord, is_of_views
from dnstap_bgp.core.sync import go_json
from dnstap_bgp.errors import CommandError, ForeignFileError, PeerError, StateFileError
from dnstap_bgp.workers.process.clocks import system_clock
from dnstap_bgp.workers.state.store import Store

BODY_MAX = 256 << 20
"""1,000,000 entries of 100 to 200 bytes each."""

TIMEOUT_S = 60.0
"""The Go program encodes its whole cache before the first byte."""

WRITE_S = 60.0
AT_ONCE = 1000
PIECE = 1 << 16


def endpoint_of(config: Config) -> str | None:
    """Endpoint `host:port` at which a program with this configuration answers on its own machine; None: nowhere."""
    if config.syncer is None or config.syncer.listen is None:
        return None
    listen: TcpAddress = config.syncer.listen
    host = str(listen.host)
    if listen.ip is not None and listen.ip.is_unspecified:
        host = "127.0.0.1" if listen.ip.version == 4 else "::1"
    return join_port(host, listen.port)


def fetch(endpoint: str, namespace: str | None) -> list[go_json.Entry]:
    """Ask a running Go program for all that it holds.

    Args:
        endpoint: `host:port`.
        namespace: The network namespace that it runs in; None: ours.

    Raises:
        CommandError: It does not answer, or not with entries.
    """

    def ask() -> list[go_json.Entry]:
        if namespace is not None:
            enter_namespace(namespace)
        return _get(endpoint)

    # A namespace is entered by the thread alone that asks for it, and that one ends here. Whatever it raises is raised
    # here as well: who is told "0 entries" stops the old program, and its routes are gone.
    with ThreadPoolExecutor(1, "fetch") as executor:
        try:
            return executor.submit(ask).result()
        except (OSError, UnicodeError, http.client.HTTPException, CommandError, PeerError) as error:
            raise CommandError(f"{endpoint} can't be asked: {error}") from None


def keep(entries: list[go_json.Entry], config: Config) -> int:
    """Write entries into the state file, beside what is there.

    Returns:
        How many: those with an address and a name, seen within the TTL. What no list names is left out at the start.

    Raises:
        CommandError: The file can't be written, or a running plugin has it.
    """
    assert config.cache is not None
    config.cache.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    store = Store(config.cache, on_crash=lambda: None)  # its ticket is not served then
    at_once = threading.Event()
    at_once.set()
    if not store.lock(at_once):
        raise CommandError(f"{config.cache} is in use: stop dnstap-bgp first")
    held: list[Claim] = []
    told: dict[RibKey, Attributes | None] = {}

    def recall(records: Iterable[RibRecord]) -> None:
        for key, attributes in records:  # in order, as where they overlap the last one counts
            told.pop(key, None)
            told[key] = attributes

    try:
        store.recall(recall)
        store.adopt(held.extend)
        store.end_restore()
    except (ForeignFileError, StateFileError) as error:
        raise CommandError(str(error)) from None
    if not is_of_views(told):
        told = {key: attributes for key, attributes in told.items() if attributes is not None}
    claims = list(_claims(entries, config))
    held += claims
    parts = [(held[at : at + AT_ONCE], list[RibRecord]()) for at in range(0, len(held), AT_ONCE)]
    store.start(lambda: iter([*parts, ([], list(told.items()))]))  # the snapshot has what was there as well
    written = store.save().wait(WRITE_S)
    store.shutdown()
    if not (store.join(WRITE_S) and written):
        raise CommandError(f"{config.cache} can't be written: {store.status.error or 'the disk is too slow'}")
    return len(claims)


def _claims(entries: Iterable[go_json.Entry], config: Config) -> Iterator[Claim]:
    """Turn entries into claims that are still alive; their lists are found by the rules when they are restored."""
    now = system_clock()()
    for address, name, wall_s in entries:
        age_s = max(0.0, now.wall_s - wall_s)
        ttl_s = config.ttl
        if isinstance(ttl_s, float) and age_s < ttl_s:
            seen = now.boottime_s - age_s
            yield Claim(address, DEFAULT_LIST, name, seen, seen, ttl_s)


def _get(endpoint: str) -> list[go_json.Entry]:
    """Fetch all entries, read as they come."""
    with closing(http.client.HTTPConnection(endpoint, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", "/fetch")
        with connection.getresponse() as answer:
            if answer.status != http.client.OK:
                raise CommandError(f"it answers /fetch with {answer.status} {answer.reason}")
            return list(_entries(answer))


def _entries(answer: http.client.HTTPResponse) -> Iterator[go_json.Entry]:
    reader = go_json.EntryReader()
    left = BODY_MAX
    while piece := answer.read(min(PIECE, left)):
        left -= len(piece)
        yield from reader.feed(piece)
        if left == 0:
            raise CommandError(f"its answer has more than {BODY_MAX >> 20} MB")
    reader.end()
