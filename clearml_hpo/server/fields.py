"""What a request may hold: one line per field, checked before a service sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal

_LARGEST = 2**63


@dataclass(frozen=True)
class Field:
    """A field of a request: its type, the type of its items or values, and whether it must be there."""

    types: type | tuple[type, ...]
    shown: str
    items: type | None = None
    required: bool = False

    def check(self, name: str, value: Any) -> None:
        """Refuses a value of another type."""
        allowed = self.types if isinstance(self.types, tuple) else (self.types,)
        wrong_flag = isinstance(value, bool) and bool not in allowed
        if wrong_flag or not isinstance(value, self.types):
            raise _wrong(name, self.shown, value)
        if isinstance(value, (int, float)) and not -_LARGEST <= value < _LARGEST:  # also refuses NaN
            raise _wrong(name, self.shown, value)
        if self.items is not None:
            items: Any = value.values() if isinstance(value, dict) else value
            for item in items:
                if not isinstance(item, self.items):
                    raise _wrong(name, self.items.__name__, item)


STR = Field(str, "str")
BOOL = Field(bool, "bool")
INT = Field(int, "int")
NUMBER = Field((int, float), "float")
LIST = Field(list, "list")
STRINGS = Field(list, "list", items=str)
OBJECTS = Field(list, "list", items=dict)
DICT = Field(dict, "dict")
SECTIONS = Field(dict, "dict", items=dict)
FLAG_OR_WORD = Field((bool, str), "bool")
ONE_OR_MORE = Field((str, list), "list")

Fields = Mapping[str, Field]


def required(field: Field) -> Field:
    """The same field, but it must be there."""
    return replace(field, required=True)


def check(fields: Fields, data: Mapping[str, Any]) -> None:
    """Refuses a request with a missing field or a wrong type; keys that are not known are ignored."""
    for name, field in fields.items():
        value = data.get(name)
        if value is not None:
            field.check(name, value)
        elif field.required:
            raise ApiRefusal(Refusal.VALIDATION, f"error for field '{name}'. field is required!")


def _wrong(name: str, shown: str, value: Any) -> ApiRefusal:
    text = repr(value)
    if len(text) > 200:
        text = f"{text[:200]}..."
    message = f"error for field '{name}': ('value is wrong, expected type \"{shown}\"', {text})."
    return ApiRefusal(Refusal.VALIDATION, message)
