"""Stand-ins for pydantic's names: tables that hold values which were validated elsewhere; see `schema`.

They do what the tables' own methods and `pickle` ask of a model, and no more.
"""

from collections.abc import Callable
from typing import Any, Self, TypeVar

T = TypeVar("T")


class BaseModel:
    """A table as it was handed over. What has no value of its own has the default of its class."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the values as pydantic's models pickle them."""
        self.__dict__.update(state["__dict__"])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @classmethod
    def model_construct(cls, **values: object) -> Self:
        """Make a table of values that are right."""
        made = cls()
        made.__dict__.update(values)
        return made

    def model_copy(self, *, update: dict[str, object]) -> Self:
        """Make another one with some other values."""
        return self.model_construct(**self.__dict__ | update)


def Field(default: object = None, **_: object) -> Any:  # noqa: N802, ANN401 - pydantic's name and type
    """Give the default alone; in an annotation it is nothing."""
    return default


def _rule(*_: object, **__: object) -> None:
    """A rule that was kept already."""


AfterValidator = BeforeValidator = PlainValidator = Strict = _rule
ConfigDict = dict
ValidationInfo = object


def field_validator(*_: object, **__: object) -> Callable[[T], T]:
    """Leave the method as it is: nobody calls it."""
    return lambda method: method


model_validator = field_validator
