"""What the tables are written in: pydantic where a file is read, and stand-ins where only its values are used.

pydantic takes 20 MB, as much as 60,000 routes, and a plugin reads its file once in weeks. So a child reads it (see
`workers.process.config_reader`) and hands over the tables. The plugin needs their classes for what follows from the
values, not for the rules that were kept already: with `values_only` set before anything else here is imported, the
rules are dropped as they are written down, and a table holds what it was given.
"""

from typing import TYPE_CHECKING

from dnstap_bgp import config

if TYPE_CHECKING or not config.values_only:
    from pydantic import (
        AfterValidator,
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        PlainValidator,
        Strict,
        ValidationInfo,
        field_validator,
        model_validator,
    )
else:
    from dnstap_bgp.config.unruled import (
        AfterValidator,
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        PlainValidator,
        Strict,
        ValidationInfo,
        field_validator,
        model_validator,
    )

__all__ = [
    "AfterValidator",
    "BaseModel",
    "BeforeValidator",
    "ConfigDict",
    "Field",
    "PlainValidator",
    "Strict",
    "ValidationInfo",
    "field_validator",
    "model_validator",
]
