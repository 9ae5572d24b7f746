"""`dnstap-bgp resolver-conf`: print what belongs into the resolver, made of the same configuration and lists.

That is its tap, the names of lists with `forward_to` sent there, AAAA withheld for lists whose routes have no IPv6 way,
and the name by which browsers ask whether they may use a DNS of their own. `resolver_writers.py` has a writer for each
resolver.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.options import config_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.commands.resolver_writers import WRITERS, SteeredList
from dnstap_bgp.config import Config, UnixAddress, addresses
from dnstap_bgp.config.policies import list_policies
from dnstap_bgp.core.lists.rules import RuleKind, RuleSet
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.files import plan
from dnstap_bgp.workers.lists.loader import compiled_dir
from dnstap_bgp.workers.lists.url_cache import UrlCache

DNS_PORT = 53


@click.command("resolver-conf")
@config_option
@click.argument("resolver", type=click.Choice(list(WRITERS)))
@click.option("--list", "only", metavar="LIST", multiple=True, help="Only of this list; repeatable.")
def command(config_path: Path, resolver: str, only: tuple[str, ...]) -> None:
    """Print what belongs into the resolver: tap, forwarding, names without IPv6, the DoH canary.

    A list with `forward_to` has its names asked there. It is printed anew when lists change: a timer or a cron job may
    write it to a file that the resolver includes, and reload that.

    \b
    Examples:
        dnstap-bgp resolver-conf unbound >/etc/unbound/unbound.conf.d/steered.conf
        dnstap-bgp resolver-conf dnsdist --list video
    """  # noqa: D301 - click wants a real \b
    config = configuration.load(config_path, with_secrets=False)
    lists = steered(config, only)
    tap = next((str(one.path) for one in config.dnstap.listen if isinstance(one, UnixAddress)), None)
    for line in WRITERS[resolver](tap, lists):
        say(line, as_is=True)


def steered(config: Config, only: Sequence[str] = ()) -> list[SteeredList]:
    """Read the lists for a resolver.

    Args:
        config: The configuration.
        only: Names of lists; none: all.

    Raises:
        CommandError: There is no such list.
    """
    known = [found.name for found in config.all_lists]
    for name in only:
        if name not in known:
            raise CommandError(f"there is no list {name!r}; there are: {', '.join(known)}")
    rules = build_lists(plan(config.list_sources(), UrlCache(compiled_dir(config)))).rules
    without = {policy.list for policy in list_policies(config) if policy.ipv6 is None}
    return [
        _steered(rules, found.name, found.forward_to, without_ipv6=found.name in without)
        for found in config.all_lists
        if (not only or found.name in only) and found.enabled
    ]


def _steered(rules: RuleSet, name: str, servers: Sequence[str], *, without_ipv6: bool) -> SteeredList:
    domains: dict[str, None] = {}
    excepted: dict[str, None] = {}
    inexact = 0
    for rule in rules.of_list(name):
        inexact += rule.kind is not RuleKind.SUFFIX
        text = rule.domain.decode("ascii")
        if _is_printable(text):
            (excepted if rule.exception else domains)[text] = None
    split = [addresses.split_port(one) for one in servers]
    return SteeredList(
        name,
        tuple(sorted(domains)),
        tuple(sorted(set(excepted) - set(domains))),
        tuple((host, port or DNS_PORT) for host, port in split),
        without_ipv6,
        inexact,
    )


def _is_printable(domain: str) -> bool:
    """Tell whether a name can stand in every resolver's configuration as it is: no quotes, escapes and the like."""
    return all(char.isalnum() or char in "-_." for char in domain)
