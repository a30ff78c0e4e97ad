"""What a task left behind: artifacts and models."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.clock import from_milliseconds, stored
from clearml_hpo.server.pages import cells, uploads
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

FIELDS = ("execution", "models")
_LONGEST_PREVIEW = 100_000


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """Artifacts and models, each with where it is."""
    items = task["execution"].get("artifacts", [])
    return {
        "artifacts": [_artifact(visit, item) for item in items],
        "models": [_model(visit, side, item) for side in ("input", "output") for item in task["models"].get(side, [])],
    }


def _artifact(visit: Visit, item: Document) -> Document:
    about = item.get("type_data") if isinstance(item.get("type_data"), dict) else {}
    assert isinstance(about, dict)
    return {
        "name": str(item.get("key")),
        "type": str(item.get("type") or ""),
        "mode": str(item.get("mode") or ""),
        "size": cells.size(item.get("content_size")),
        "when": cells.moment(_when(item.get("timestamp"))),
        "preview": str(about.get("preview") or "")[:_LONGEST_PREVIEW],
        "hash": str(item.get("hash") or ""),
        **_where(visit, str(item.get("uri") or "")),
    }


def _model(visit: Visit, side: str, item: Document) -> Document:
    found, _ = visit.store.models.search(
        {"id": [item["model"]]}, ["id", "name", "uri", "framework", "ready", "task", "created"]
    )
    model = found[0] if found else {}
    return {
        "side": side,
        "role": str(item.get("name") or ""),
        "id": item["model"],
        "name": model.get("name", "not there any more"),
        "framework": model.get("framework", ""),
        "published": bool(model.get("ready")),
        "task": model.get("task"),
        **_where(visit, str(model.get("uri") or "")),
    }


def _where(visit: Visit, uri: str) -> Document:
    return {"uri": uri, "link": uploads.here(visit, uri) or uploads.elsewhere(uri)}


def _when(timestamp: Any) -> str | None:
    """The SDK writes seconds; some of it milliseconds."""
    if not isinstance(timestamp, (int, float)) or not 0 < timestamp < 4e12:
        return None
    return stored(from_milliseconds(timestamp if timestamp > 4e10 else timestamp * 1000))
