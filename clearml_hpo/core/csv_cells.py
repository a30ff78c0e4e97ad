"""Cells of a CSV file, which users open in a spreadsheet."""

from __future__ import annotations

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A value for a cell: text that a spreadsheet would take for a formula is marked as text; numbers stay numbers.

    A carriage return becomes an end of line: Python's writer does not quote it, and readers begin a row there.
    """
    if not isinstance(value, str):
        return value
    mark = "'" if value.startswith(_FORMULA) and not _is_number(value) else ""
    return mark + value.replace("\r\n", "\n").replace("\r", "\n")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
