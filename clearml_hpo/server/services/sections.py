"""Hyperparameters and configuration: two levels of names, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal


def checked_sections(data: Mapping[str, Any], prefix: str = "") -> None:
    """Refuses hyperparams that are not ``{section: {name: {...}}}``, and configuration whose items are no objects."""
    for section, parameters in (data.get(f"{prefix}hyperparams") or {}).items():
        for name, parameter in parameters.items():
            if not isinstance(parameter, dict):
                raise _refused(f"{prefix}hyperparams.{section}.{name}", "dict", parameter)
            value = parameter.get("value")
            if value is not None and not isinstance(value, str):
                raise _refused(f"{prefix}hyperparams.{section}.{name}.value", "str", value)


def _refused(name: str, expected: str, value: Any) -> ApiRefusal:
    message = f"error for field '{name}': ('value is wrong, expected type \"{expected}\"', {value!r:.200})."
    return ApiRefusal(Refusal.VALIDATION, message)
