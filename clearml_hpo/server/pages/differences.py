"""In what tasks differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from clearml_hpo.server.pages import configuration
from clearml_hpo.server.pages.columns import USER_PROPERTIES
from clearml_hpo.server.store.documents import Document

_LONGEST = 5000  # lines; a comparison of longer texts would keep the reader waiting


@dataclass(frozen=True)
class Row:
    """One parameter, or one configuration object, and what it is in each task; None: it has none."""

    section: str
    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether not all tasks have the same."""
        return len(set(self.values)) > 1

    def stands_out(self, value: str | None) -> bool:
        """Whether a value is not the one that most tasks have; where all have their own, each stands out."""
        most = max(map(self.values.count, self.values))
        return self.differs and (most == 1 or self.values.count(value) < most)


def parameters(tasks: Sequence[Document]) -> list[Row]:
    """The hyperparameters of some tasks, user properties at the end."""
    names = dict.fromkeys(
        (section, name) for task in tasks for section in task["hyperparams"] for name in task["hyperparams"][section]
    )
    ordered = sorted(names, key=lambda each: (each[0] == USER_PROPERTIES, each))
    return [Row(*each, tuple(_value(task, *each) for task in tasks)) for each in ordered]


def _value(task: Document, section: str, name: str) -> str | None:
    value = task["hyperparams"].get(section, {}).get(name)
    return None if value is None else str(value.get("value") or "")


def objects(tasks: Sequence[Document]) -> list[tuple[Row, list[str]]]:
    """The configuration objects of some tasks, and how each differs from the first task's, line by line."""
    texts = [{each["name"]: each["value"] for each in configuration.objects(task)} for task in tasks]
    names = dict.fromkeys(name for each in texts for name in each)
    rows = [Row("configuration", name, tuple(each.get(name) for each in texts)) for name in names]
    return [(row, [_against(row.values[0], value) for value in row.values]) for row in rows]


def _against(first: str | None, other: str | None) -> str:
    if first == other:
        return ""
    one, two = (first or "").splitlines(), (other or "").splitlines()
    if len(one) + len(two) > _LONGEST:
        return "the texts differ; they are too long to be compared line by line"
    return "\n".join(list(difflib.unified_diff(one, two, lineterm="", n=2))[2:])
