"""What a request may hold: one line per field, checked and converted before a service sees it.

ClearML's server converts what it can (``"3"`` and ``1.5`` are whole numbers, anything is a flag), takes an empty list
or object for nothing, and wants at least one item in a list that must be there. This one does the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal

_LARGEST = 2**63


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return number if isinstance(number, (int, float)) and math.isfinite(number) else None


@dataclass(frozen=True)
class Field:
    """A field of a request.

    Attributes:
        read: converts a value, or returns None for one that cannot be.
        shown: ClearML's word for the type.
        items: the type of the items of a list or of the values of an object, or the fields of these.
        required: it must be there, and if it is a list it must have items.
        refusal: what a value of another type is refused with.
        least: the least and the most that a number may be.
    """

    read: Callable[[Any], Any]
    shown: str
    items: type | Mapping[str, Field] | None = None
    required: bool = False
    refusal: Refusal = Refusal.VALIDATION
    least: float = -_LARGEST
    most: float = _LARGEST - 1

    def convert(self, name: str, value: Any) -> Any:
        """The value as a service sees it; refuses one of another type."""
        found = self.read(value)
        if found is None:
            raise self._wrong(name, self.shown, value)
        if isinstance(found, (int, float)) and not self.least <= found <= self.most:
            raise ApiRefusal(
                Refusal.VALIDATION, f"error for field '{name}': '{found}' is not {self.least} to {self.most}."
            )
        if self.items is not None:
            for item in found.values() if isinstance(found, dict) else found:
                self._check_item(name, item)
        if self.required and found == []:
            raise ApiRefusal(
                Refusal.VALIDATION, f"error for field '{name}': value '[]' length is lower than allowed minimum '1'."
            )
        return found

    def _check_item(self, name: str, item: Any) -> None:
        kind = self.items if isinstance(self.items, type) else dict
        if not isinstance(item, kind):
            raise self._wrong(name, kind.__name__, item)
        if isinstance(self.items, Mapping) and isinstance(item, dict):
            check(self.items, item, where=f"{name}.")

    def _wrong(self, name: str, shown: str, value: Any) -> ApiRefusal:
        text = repr(value)
        if len(text) > 200:
            text = f"{text[:200]}..."
        message = f"error for field '{name}': ('value is wrong, expected type \"{shown}\"', {text})."
        return ApiRefusal(self.refusal, message)


def _a(kind: type) -> Callable[[Any], Any]:
    """Reads a list or an object; the other one, empty, is taken for an empty one."""
    return lambda value: value if isinstance(value, kind) else kind() if value in ([], {}) else None


def _words(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) and "" not in value else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value and "\0" not in value else None


STR = Field(_text, "str")
WORD = Field(_word, "str of one character or more")
BOOL = Field(bool, "bool")
INT = Field(_whole, "int")
# Statistics of workers take what is meant, and convert nothing.
EXACT_INT = Field(lambda value: value if type(value) is int else None, "int")
EXACT_BOOL = Field(lambda value: value if isinstance(value, bool) else None, "bool")
EXACT_STRINGS = Field(lambda value: value if isinstance(value, list) else None, "list", items=str)
NUMBER = Field(_number, "float")
LIST = Field(_a(list), "list")
STRINGS = Field(_a(list), "list", items=str)
WORDS = Field(_words, "list of texts that are not empty", items=str)
OBJECTS = Field(_a(list), "list", items=dict)
DICT = Field(lambda value: value if isinstance(value, dict) else None, "dict")
SECTIONS = Field(DICT.read, "dict", items=dict)
FLAG_OR_WORD = Field(lambda value: value if isinstance(value, str) else bool(value), "bool")

# As the fields of a document, whose values are checked when they are stored.
DOCUMENT_TEXT = Field(_text, "str", refusal=Refusal.DATA_VALIDATION)
DOCUMENT_TEXTS = Field(LIST.read, "list", items=str, refusal=Refusal.DATA_VALIDATION)
NEW_TEXTS = Field(EXACT_STRINGS.read, "list", items=str, refusal=Refusal.DATA_VALIDATION)
DOCUMENT_DICT = Field(_a(dict), "dict", refusal=Refusal.INVALID_VALUE)
DOCUMENT_PART = Field(DICT.read, "dict", refusal=Refusal.INVALID_VALUE)
DOCUMENT_SECTIONS = Field(_a(dict), "dict", items=dict, refusal=Refusal.INVALID_VALUE)
DOCUMENT_FLAG = Field(EXACT_BOOL.read, "bool", refusal=Refusal.DATA_VALIDATION)
REFERENCE = Field(_word, "id", refusal=Refusal.INVALID_VALUE)

Fields = Mapping[str, Field]


def required(field: Field) -> Field:
    """The same field, but it must be there."""
    return replace(field, required=True)


def within(field: Field, least: float, most: float = _LARGEST - 1) -> Field:
    """The same field of a number, from the least to the most that it may be."""
    return replace(field, least=least, most=most)


def one_of(*words: str) -> Field:
    """A text that is one of these words."""
    return Field(lambda value: value if value in words else None, f"one of {', '.join(words)}")


def items(fields: Fields) -> Field:
    """A list of objects with these fields."""
    return Field(LIST.read, "list", items=fields)


def check(fields: Fields, data: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """A request with its fields converted; refuses one that lacks a field or has a wrong type.

    Keys that are not known stay as they are: services ignore them. ``where`` is put before the names in messages.
    """
    checked = dict(data)
    for name, field in fields.items():
        value = data.get(name)
        if value is not None:
            checked[name] = field.convert(f"{where}{name}", value)
        elif field.required:
            raise ApiRefusal(Refusal.VALIDATION, f"error for field '{where}{name}'. field is required!")
    return checked
