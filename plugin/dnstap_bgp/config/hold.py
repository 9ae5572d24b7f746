"""`[hold]` as a frozen model, and the rules that its keys have with others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PlainValidator, Strict, ValidationInfo, model_validator

from dnstap_bgp.config import addresses, values
from dnstap_bgp.config.addresses import HoldAddress, IPNetwork, UnixAddress
from dnstap_bgp.config.settings import Config, HoldConfig
from dnstap_bgp.config.tables import Distinct, FilePath, FileTable, Many, Margin, Once, Some, folder_of


def _hold_address(value: object, info: ValidationInfo) -> HoldAddress:
    """A unix socket's path (sequenced packets), `dgram:` and a path, `udp://127.0.0.1:port`, or `host:port` (TLS)."""
    found = addresses.hold_address(value, folder_of(info))
    if isinstance(found, addresses.TcpAddress):
        # What is no good has been told already, and is missing from `data`.
        lacking = [key for key in ("tls_cert", "tls_client_ca") if info.data.get(key, found) is None]
        if lacking:
            msg = f"{found} needs {' and '.join(lacking)}: over TCP, hooks show certificates"
            raise ValueError(msg)
    if isinstance(found, UnixAddress) and found.kind == "dgram" and info.data.get("reply_folder", found) is None:
        msg = f"{found} needs reply_folder, where the hooks' own sockets are"
        raise ValueError(msg)
    return found


def _margins(value: object) -> tuple[tuple[str, float], ...]:
    """A table of addresses and durations: `{ "192.0.2.1" = "70ms" }`."""
    return addresses.table_by_address(value, '{ "192.0.2.1" = "70ms" }', values.margin)


class HoldTable(FileTable):
    """`[hold]`: resolvers' hooks, which ask here and hold an answer until its route is there.

    Attributes:
        tls_cert: The PEM file of this machine's certificate, its chain behind it, for `host:port`.
        tls_key: The PEM file of the certificate's key, without a passphrase. Without it the key is in `tls_cert`.
        tls_client_ca: The PEM file of the authorities that sign the hooks' certificates: nobody else is let in.
        reply_folder: The folder of the hooks' own sockets, for `dgram:`. No reply goes anywhere else, nor through a
            link. Made where it is missing, for `group`.
        listen: The sockets that hooks ask at. A path is best; `dgram:` is for dnsdist, `udp://` for PowerDNS Recursor,
            `host:port` for resolvers on other machines.
        perm: The mode of the unix sockets. By 0660 a resolver gets in through the group, and nobody else makes routes.
        group: The group of the unix sockets, of `reply_folder` and of the token's file. Without it, the plugin's own.
        allow: The prefixes that may connect over TCP; looked at before any TLS. Empty: everybody.
        connections_max: Hooks at a time. A resolver has one for each of its threads.
        token_file: The file with the token of questions over UDP, 32 hexadecimal digits. Made where it is missing.
            Without this key `hold.token` in `runtime_dir`.
        margin_s: The time from ExaBGP's acknowledgment until a route stands in a router's own table. BIRD takes 3 ms,
            FRR 70 ms. `dnstap-bgp margin` measures it; of several routers the slowest counts.
        margins: The same for neighbors by their addresses, before `margin` of `[bgp] peers`.
        give_up_s: The longest that an answer is held; then it leaves, route or not. Without it 50 ms, or 40 ms more
            than the largest margin, at most 200 ms. It can't be below a margin.
    """

    # Before `listen`, which depends on them.
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    tls_client_ca: FilePath | None = None
    reply_folder: FilePath | None = None
    listen: Annotated[tuple[Annotated[HoldAddress, PlainValidator(_hold_address)], ...], Many, Some, Distinct]
    perm: Annotated[int, PlainValidator(values.file_mode)] = 0o660
    group: Annotated[str, PlainValidator(values.account)] | None = None
    allow: Annotated[tuple[Annotated[IPNetwork, PlainValidator(addresses.network)], ...], Many, Once] = ()
    connections_max: Annotated[int, Strict(), Field(ge=1, le=1024)] = 128
    token_file: FilePath | None = None
    margin_s: Margin = Field(default=0.003, alias="margin")
    margins: Annotated[tuple[tuple[str, float], ...], PlainValidator(_margins)] = ()
    give_up_s: Annotated[float, PlainValidator(values.hold_bound)] | None = Field(default=None, alias="give_up")

    @model_validator(mode="after")
    def _of_use(self) -> Self:
        if self.tls_cert is None and (self.tls_key or self.tls_client_ca):
            msg = "tls_key and tls_client_ca are of no use without tls_cert"
            raise ValueError(msg)
        paths: list[Path] = [found.path for found in self.listen if isinstance(found, UnixAddress)]
        values.distinct(paths)  # once as packets and once as datagrams
        return self

    def settings(self) -> HoldConfig:
        """Return the same values as a plain frozen dataclass."""
        return HoldConfig(**self._plain())


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Say, as (key, sentence), where the bound of a wait is below a neighbor's margin."""
    hold = config.hold
    if hold is None or hold.give_up_s is None:
        return
    margins = [("hold.margin", hold.margin_s)]
    margins += [(f'hold.margins."{address}"', margin_s) for address, margin_s in hold.margins]
    named = {address for address, _ in hold.margins}
    margins += [
        (f"bgp.peers[{index}].margin", one.margin_s)
        for index, one in enumerate(config.bgp.neighbors)
        if one.margin_s is not None and one.address not in named
    ]
    for key, margin_s in margins:
        if margin_s > hold.give_up_s:
            below = f"{hold.give_up_s * 1000:g}ms is below {key} ({margin_s * 1000:g}ms)"
            yield "hold.give_up", f"{below}: no answer would ever wait for its route"
