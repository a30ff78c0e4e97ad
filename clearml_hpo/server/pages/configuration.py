"""What a task is to run with: hyperparameters and configuration objects."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.pages.columns import USER_PROPERTIES
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

FIELDS = ("hyperparams", "configuration")


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """Sections of hyperparameters, and configuration objects."""
    sections = {name: list(items.values()) for name, items in task["hyperparams"].items()}
    return {
        "properties": sections.pop(USER_PROPERTIES, []),
        "sections": sections,
        "objects": objects(task),
    }


def objects(task: Document) -> list[Document]:
    """The configuration objects of a task: name, type, text."""
    return [
        {"name": name, "type": str(each.get("type") or ""), "value": str(each.get("value") or "")}
        for name, each in task["configuration"].items()
        if isinstance(each, dict)
    ]
