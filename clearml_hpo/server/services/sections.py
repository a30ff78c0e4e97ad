"""The parts of a task that the server itself looks into, checked on the way in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal

_SCRIPT = frozenset(
    ("binary", "repository", "tag", "branch", "version_num", "entry_point", "working_dir", "requirements", "diff")
)
_MODELS = frozenset(("input", "output"))


def checked_sections(data: Mapping[str, Any], prefix: str = "", *, is_new: bool = False) -> None:
    """Refuses parts of another shape.

    Hyperparams are ``{section: {name: {"section", "name", "value": text, ...}}}``, configuration ``{name: {"name",
    "value": text, ...}}``; execution may hold ``artifacts: [{...}]``; models ``{"input" and "output": [{"model": id,
    ...}]}``. What an item must hold is checked of a new task only, as on ClearML's server.
    """
    hyperparams, configuration = data.get(f"{prefix}hyperparams") or {}, data.get(f"{prefix}configuration") or {}
    for place, parameter in _parameters(f"{prefix}hyperparams", hyperparams):
        _check_item(place, parameter, ("section", "name") if is_new else ())
    for name, item in configuration.items():
        _check_item(f"{prefix}configuration.{name}", item, ("name",) if is_new else ())

    _check_names("script", data.get("script"), _SCRIPT)
    _check_texts("script", data.get("script"), but=("requirements",))
    _check_texts("container", data.get(f"{prefix}container"))
    _check_objects("execution.artifacts", (data.get("execution") or {}).get("artifacts", []))
    _check_labels((data.get("execution") or {}).get("model_labels") or {})
    _check_models(data.get("models") or {})


def _parameters(name: str, sections: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, parameters in sections.items():
        for parameter, item in parameters.items():
            yield f"{name}.{section}.{parameter}", item


def _check_item(place: str, item: Any, names: tuple[str, ...]) -> None:
    if not isinstance(item, dict):
        raise _refused(place, "dict", item)
    for name in names:
        if not isinstance(item.get(name), str):
            raise ApiRefusal(Refusal.DATA_VALIDATION, **{f"{place}.{name}": "Field is required"})
    value = item.get("value")
    if value is not None and not isinstance(value, str):
        raise _refused(f"{place}.value", "str", value)


def _check_labels(labels: Mapping[str, Any]) -> None:
    for label, number in labels.items():
        if number is not None and not isinstance(number, int):
            raise _refused(f"execution.model_labels.{label}", "int", number)


def _check_models(sides: Mapping[str, Any]) -> None:
    _check_names("models", sides, _MODELS)
    for side, models in sides.items():
        _check_objects(f"models.{side}", models)
        for item in models:
            if not isinstance(item.get("model"), str):
                raise _refused(f"models.{side}.model", "str", item.get("model"))


def _check_names(place: str, part: Any, allowed: frozenset[str]) -> None:
    for name in part or {}:
        if name not in allowed:
            raise ApiRefusal(Refusal.VALIDATION, f"{place} has no field {name!r:.100}")


def _check_texts(place: str, part: Any, but: tuple[str, ...] = ()) -> None:
    for name, value in (part or {}).items():
        if name not in but and value is not None and isinstance(value, (int, float)):
            raise _refused(f"{place}.{name}", "str", value)


def _check_objects(name: str, items: Any) -> None:
    if not isinstance(items, list):
        raise _refused(name, "list", items)
    for item in items:
        if not isinstance(item, dict):
            raise _refused(name, "dict", item)


def _refused(name: str, expected: str, value: Any) -> ApiRefusal:
    message = f"('value is wrong, expected type \"{expected}\"', {value!r:.200})"
    return ApiRefusal(Refusal.DATA_VALIDATION, **{name: message})
