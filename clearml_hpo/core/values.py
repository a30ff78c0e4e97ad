"""Names and values of hyperparameters as ClearML keeps them: ``section/name``, and text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Value: TypeAlias = int | float | str | bool | None
Params: TypeAlias = Mapping[str, Value]

DEFAULT_SECTION = "General"
MODEL = f"{DEFAULT_SECTION}/model"
"""The parameter that says of which template a trial is a clone, where a study has several."""

_HYDRA = "Hydra/"
_HYDRA_WORDS = ("null", "true", "false", "nan", "inf")
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")


def resolve_name(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that a user means by ``name``, which may lack the section; None if none or several fit."""
    known = list(names)
    for candidate in (name, full_name(name)):
        if candidate in known:
            return candidate
    for short in (str.partition, str.rpartition):  # without the section; the last part alone
        found = [full for full in known if short(full, "/")[2] == name]
        if len(found) == 1:
            return found[0]
    return None


def full_name(name: str) -> str:
    """``learning_rate`` → ``General/learning_rate``; a name that has a section keeps it."""
    return name if "/" in name else f"{DEFAULT_SECTION}/{name}"


def name_in_model(model: str, name: str) -> str:
    """``General/depth`` or ``depth`` of the template ``xgboost`` → ``xgboost/depth``."""
    return name if name.startswith(f"{model}/") else f"{model}/{name.removeprefix(f'{DEFAULT_SECTION}/')}"


def as_text(value: Value) -> str:
    """How ClearML's SDK writes a hyperparameter: its ``str``, and nothing for None."""
    return "" if value is None else str(value)


def text_of(name: str, value: Value) -> str:
    """The text of a hyperparameter; in the section Hydra, which reads the types from it, as Hydra writes it."""
    if not name.startswith(_HYDRA):
        return as_text(value)
    if value is None:
        return "null"
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _HYDRA_WORDS):
        return str(value)
    # Backslashes count as such only before a quote, the closing one included.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), value)
    return f"'{escaped}'"


def plain_text(name: str, text: str) -> str:
    """The text that :func:`as_text` gives for what :func:`text_of` wrote, or Hydra itself."""
    if not name.startswith(_HYDRA):
        return text
    if text.lower() in ("true", "false"):
        return text.capitalize()
    if text == "null":
        return ""
    if len(text) < 2 or not text[0] == text[-1] == "'":
        return text
    return re.sub(r"(\\*)('|$)", lambda found: found[1][: len(found[1]) // 2] + found[2], text[1:-1])


def is_same(one: object, other: object) -> bool:
    """Equal, and of one type: 1 is neither True nor 1.0."""
    return type(one) is type(other) and one == other


def is_among(value: object, values: Iterable[object]) -> bool:
    """Whether one of ``values`` is the same as ``value``."""
    return any(is_same(value, other) for other in values)
