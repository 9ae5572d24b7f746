r"""Rules of the form TYPE,value, which Clash, mihomo and Surge share: one rule a line, in `payload:` or in a set.

    DOMAIN,www.example.com          just the name
    DOMAIN-SUFFIX,example.com       the name and all below it
    DOMAIN-KEYWORD,example          names that have it anywhere
    DOMAIN-REGEX,^a[0-9]+\.b\.com$  names that it matches; the only type whose value may have commas
    IP-CIDR,192.0.2.0/24,no-resolve a static prefix; IP-CIDR6 alike

What stands behind the value (`no-resolve`, a policy) is no matter. Rules of other things (processes, ports, countries,
clients, several conditions) can't be said of a name: they are skipped, and counted by their type.
"""

from collections.abc import Callable, Iterable

from dnstap_bgp.core.lists.formats.plain import prefix
from dnstap_bgp.core.lists.lines import Item, Skipped, expression, keyword, rule
from dnstap_bgp.core.lists.rules import RuleKind
from dnstap_bgp.errors import ListError

OTHER_TYPES = frozenset(
    {"DOMAIN-WILDCARD", "GEOSITE", "GEOIP", "IP-ASN", "IP-SUFFIX", "SRC-GEOIP", "SRC-IP-ASN", "SRC-IP-CIDR", "SRC-IP"}
    | {"SRC-IP-SUFFIX", "SRC-MAC", "DST-PORT", "SRC-PORT", "DEST-PORT", "IN-PORT", "IN-TYPE", "IN-USER", "IN-NAME"}
    | {"PROCESS-NAME", "PROCESS-NAME-REGEX", "PROCESS-NAME-WILDCARD", "PROCESS-PATH", "PROCESS-PATH-REGEX", "UID"}
    | {"PROCESS-PATH-WILDCARD", "NETWORK", "DSCP", "PROTOCOL", "RULE-SET", "DOMAIN-SET", "SUB-RULE", "AND", "OR", "NOT"}
    | {"MATCH", "FINAL", "USER-AGENT", "URL-REGEX", "SUBNET", "SCRIPT", "CELLULAR-RADIO", "DEVICE-NAME"}
    | {"HOSTNAME-TYPE", "IN-IP", "SRC-DEVICE", "CELLULAR-CARRIER"}
)
"""Types of mihomo and Surge that speak of other things than names and prefixes."""

LINE = (
    rb"(?:domain|ip|geoip|geosite|process|url|user-agent|rule-set|src|dst|dest|and|or|not)(?:-[a-z0-9-]{1,30})?"
    rb",\s*\S.*"
)
"""Lines in this form, in any case."""


def read(text: str) -> Iterable[Item]:
    """Read one rule.

    Raises:
        ListError: It is none, or its value is no prefix.
    """
    name, _, values = text.partition(",")
    kind = name.strip().upper()
    value = (values if kind == "DOMAIN-REGEX" else values.partition(",")[0]).strip()
    reader = _READERS.get(kind)
    if reader is not None:
        return (reader(value),)
    if kind in OTHER_TYPES:
        return (Skipped(kind, f"a rule of the type {kind}, which speaks of something else than a name"),)
    raise ListError("no rule of Clash, mihomo or Surge: its type is unknown")


_READERS: dict[str, Callable[[str], Item]] = {
    "DOMAIN": lambda value: rule(value, RuleKind.EXACT),
    "DOMAIN-SUFFIX": rule,
    "DOMAIN-KEYWORD": keyword,
    "DOMAIN-REGEX": expression,
    "IP-CIDR": lambda value: prefix(value, strict=False),
    "IP-CIDR6": lambda value: prefix(value, strict=False),
}
