"""`[refresh]` as a frozen model."""

from typing import Annotated

from pydantic import Field, PlainValidator, Strict

from dnstap_bgp.config import addresses
from dnstap_bgp.config.settings import RefreshConfig
from dnstap_bgp.config.tables import FileTable


class RefreshTable(FileTable):
    """`[refresh]`: questions for names of lists with `refresh = true`, before a client asks.

    Attributes:
        resolver: The resolver whose tap or hook comes here, itself and not what stands in front of it: an address, with
            a port where it is not 53. What it answers makes routes by that tap alone.
        max_names: Names that are asked again: the lists' exact names first, then those that clients have asked for
            last. Each takes some 300 bytes here, and a question for each family whenever its TTL is over.
        queries_per_second: Questions a second at most. Where the names need more, they are asked later; the doctor
            tells.
    """

    resolver: Annotated[str, PlainValidator(addresses.dns_server)] = "127.0.0.1"
    max_names: Annotated[int, Strict(), Field(ge=1, le=10_000)] = 1_000
    queries_per_second: Annotated[float, Field(ge=0.1, le=1_000)] = 20.0

    def settings(self) -> RefreshConfig:
        """Return the same values as a plain frozen dataclass."""
        return RefreshConfig(**self._plain())
