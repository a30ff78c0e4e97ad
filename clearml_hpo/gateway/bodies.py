"""Bodies of requests: JSON within bounds.

All that a client sends is foreign text: it may be no JSON, nested without end, or text that no database stores.
"""

from __future__ import annotations

import json
from typing import Any

from clearml_hpo.core.errors import InputError

MOST_BYTES = 2**20
"""Largest body, in bytes."""
_MOST_LEVELS = 32
_MOST_KEYS = 200


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; NaN and Infinity are numbers, as in Python's own JSON.

    Raises:
        InputError: it is no JSON object, too large, too deep, has too many keys, or holds text that cannot be stored.
    """
    if len(body) > MOST_BYTES:
        raise InputError(f"the body has {len(body)} bytes; at most {MOST_BYTES} are allowed")
    try:
        data = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _reason(error)
        raise InputError(f"the body is no JSON: {reason}") from None
    if not isinstance(data, dict):
        raise InputError(f"the body: expected a JSON object, found {type(data).__name__}")
    if len(data) > _MOST_KEYS:
        raise InputError(f"the body has {len(data)} keys; at most {_MOST_KEYS} are allowed")
    _check_depth_and_texts(data)
    return data


def _reason(error: ValueError) -> str:
    """What is wrong, without the body's own text."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "a number has too many digits"


def _check_depth_and_texts(data: object) -> None:
    """Level by level, so that no depth of the body is one of the stack."""
    level: list[object] = [data]
    for _ in range(_MOST_LEVELS):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and not is_storable(each):
                raise InputError("the body: a text has a NUL or half of a surrogate pair, which cannot be stored")
        if not below:
            return
        level = below
    raise InputError(f"the body has more than {_MOST_LEVELS} levels")


def is_storable(text: str) -> bool:
    """True if every database can hold the text: no NUL character, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
