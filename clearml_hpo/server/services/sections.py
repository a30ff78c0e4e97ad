"""The parts of a task that the server itself looks into, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal


def checked_sections(data: Mapping[str, Any], prefix: str = "") -> None:
    """Refuses parts of another shape.

    Hyperparams are ``{section: {name: {"value": text, ...}}}``; execution may hold ``artifacts: [{...}]``; models
    ``{"input" and "output": [{"model": id, ...}]}``.
    """
    for section, parameters in (data.get(f"{prefix}hyperparams") or {}).items():
        for name, parameter in parameters.items():
            if not isinstance(parameter, dict):
                raise _refused(f"{prefix}hyperparams.{section}.{name}", "dict", parameter)
            value = parameter.get("value")
            if value is not None and not isinstance(value, str):
                raise _refused(f"{prefix}hyperparams.{section}.{name}.value", "str", value)

    artifacts = (data.get("execution") or {}).get("artifacts", [])
    _check_objects("execution.artifacts", artifacts)
    for side, models in (data.get("models") or {}).items():
        _check_objects(f"models.{side}", models)
        for item in models:
            if not isinstance(item.get("model"), str):
                raise _refused(f"models.{side}.model", "str", item.get("model"))


def _check_objects(name: str, items: Any) -> None:
    if not isinstance(items, list):
        raise _refused(name, "list", items)
    for item in items:
        if not isinstance(item, dict):
            raise _refused(name, "dict", item)


def _refused(name: str, expected: str, value: Any) -> ApiRefusal:
    message = f"error for field '{name}': ('value is wrong, expected type \"{expected}\"', {value!r:.200})."
    return ApiRefusal(Refusal.VALIDATION, message)
