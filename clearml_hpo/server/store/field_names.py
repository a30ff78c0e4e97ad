"""What there is below the fields of documents: which dotted names a request may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.documents import Collection

ANY = None  # whatever a client has put there
Parts = Mapping[str, Any]


def _leaves(names: str) -> dict[str, Any]:
    return {name: {} for name in names.split()}


_MODELS_OF_A_TASK = _leaves("model name updated")
_ARTIFACT = {
    **_leaves("key type mode uri content_size hash timestamp"),
    "type_data": _leaves("preview content_type data_hash"),
    "display_data": ANY,
}
# Of each table the fields that have parts, and those that are no columns.
PARTS: dict[str, Parts] = {
    "tasks": {
        "execution": {
            **_leaves("queue model framework docker_cmd test_split"),
            **dict.fromkeys(("parameters", "model_desc", "model_labels", "dataviews"), ANY),
            "artifacts": _ARTIFACT,
        },
        "script": {
            **_leaves("binary repository tag branch version_num entry_point working_dir diff"),
            "requirements": ANY,
        },
        "output": _leaves("destination model result error view"),
        "models": {"input": _MODELS_OF_A_TASK, "output": _MODELS_OF_A_TASK},
        **dict.fromkeys(("hyperparams", "configuration", "runtime", "container", "last_metrics", "metric_stats"), ANY),
        "unique_metrics": {},
    },
    "models": {
        **dict.fromkeys(("design", "labels", "ui_cache", "metadata", "last_metrics"), ANY),
        "unique_metrics": {},
    },
    "projects": {"metadata": ANY, "path": {}},
    "queues": {"metadata": ANY, "entries": _leaves("task added")},
}


def unknown_part(collection: Collection, path: str) -> str | None:
    """The first step of a dotted name that leads nowhere, or None if all lead somewhere."""
    top, *rest = path.split(".")
    parts = PARTS.get(collection.table, {})
    if top not in parts and top not in collection.columns:
        return top
    below: Parts | None = parts.get(top, {})
    for step in rest:
        if below is ANY:
            return None
        if step not in below:
            return step
        below = below[step]
    return None


def check_part(collection: Collection, path: str) -> None:
    """Refuses a dotted name that leads nowhere."""
    unknown = unknown_part(collection, path)
    if unknown is not None:
        raise no_such_field(unknown)


def names_of_fields(field: str, value: Any) -> list[str]:
    """The names in ``field`` of a request, refused unless it is a list of texts."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field '{field}': a list of names of fields")
    return value


def no_such_field(name: str) -> ApiRefusal:
    """The refusal of a name that is no field."""
    return ApiRefusal(Refusal.NO_SUCH_FIELD, err=f'Cannot resolve field "{name:.200}"')
