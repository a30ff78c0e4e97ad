"""What was found in a script or a task."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from clearml_hpo.core.values import Value


@dataclass(frozen=True)
class Found:
    """A hyperparameter.

    Attributes:
        name: ClearML's, ``section/name``.
        kind: ``int``, ``float``, ``bool``, ``str``, ``list``; empty if it is not known.
        default: the script's own value; None if there is none, or it is not known.
        choices: the only values that it takes, if the script says so.
        low, high: bounds that the script gives it.
        flag: the option of the command line, such as ``--data``; empty for a positional argument.
        is_required: True if the script ends without it.
        is_positional: True if it is given without an option.
    """

    name: str
    kind: str = ""
    default: Any = None
    choices: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    flag: str = ""
    is_required: bool = False
    is_positional: bool = False

    @property
    def bare(self) -> str:
        """The last part of its name: ``opt.lr`` of the section Hydra is ``lr``."""
        return self.name.rpartition("/")[2].rpartition(".")[2]

    @property
    def words(self) -> str:
        """The last part of its name in small letters: ``batchSize`` is ``batch_size``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.bare).replace("-", "_").lower()


@dataclass(frozen=True)
class Metric:
    """A scalar that a script reports, ``title/series``.

    Attributes:
        direction: ``minimize`` or ``maximize``, by its name; empty if that says nothing.
        is_guess: True if the script may report it under another name.
    """

    name: str
    direction: str = ""
    is_guess: bool = False


@dataclass(frozen=True)
class Findings:
    """All that was found.

    Attributes:
        gaps: hyperparameters that could not be read, a line each.
        unnamed: reports whose names are known only when the script runs, a line each.
        before: what must change in the script before a study can run, a line each.
        project: the ClearML project that the script names.
        libraries: the top-level names of what it imports.
        repeated: options that the script connects once more, in another section, which counts.
    """

    parameters: tuple[Found, ...] = ()
    metrics: tuple[Metric, ...] = ()
    gaps: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    project: str = ""
    libraries: frozenset[str] = field(default_factory=frozenset)
    repeated: Set[str] = field(default_factory=frozenset)


def kind_of(value: Any) -> str:
    """``int``, ``float``, ``bool``, ``str``, ``list``; empty for None and for what has no text of its own."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (list, tuple)):
        return "list"
    return next((kind.__name__ for kind in (int, float, str) if isinstance(value, kind)), "")


def flat(nested: dict[Any, Any], separator: str, prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` → ``{"a/b": 1}``."""
    found: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            found.update(flat(value, separator, f"{prefix}{key}{separator}"))
        else:
            found[f"{prefix}{key}"] = value
    return found
