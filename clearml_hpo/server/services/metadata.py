"""Metadata of models and queues: requests have a list, the store has it by key."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.fields import STR, items, required
from clearml_hpo.server.store.documents import Document

METADATA = items({"key": required(STR), "type": required(STR), "value": STR})


def by_key(given: Any) -> Document:
    """``[{"key", "type", "value"}]`` as ``{key: {...}}``; what is kept already is left as it is."""
    items = given.values() if isinstance(given, dict) else given if isinstance(given, list) else []
    return {str(item.get("key")): item for item in items if isinstance(item, dict)}
