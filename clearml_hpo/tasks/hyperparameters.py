"""ClearML's hyperparameters: ``{section: {name: {section, name, value, type}}}``, all values text.

Here they are flat, ``{"section/name": text}``. User properties are the section ``properties``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from clearml_hpo.search_space import Params, as_text

Nested: TypeAlias = dict[str, dict[str, dict[str, Any]]]

USER_PROPERTIES = "properties"


def flatten(nested: Mapping[str, Mapping[str, Mapping[str, Any]]], field: str = "value") -> dict[str, str]:
    """``{"section/name": text}`` without the user properties; ``field`` may be ``type`` instead."""
    return {
        f"{section}/{name}": str(entry.get(field) or "")
        for section, entries in nested.items()
        if section != USER_PROPERTIES
        for name, entry in entries.items()
    }


def user_properties(nested: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """The user properties as text."""
    return {name: str(entry.get("value") or "") for name, entry in nested.get(USER_PROPERTIES, {}).items()}


def with_values(nested: Mapping[str, Mapping[str, Mapping[str, Any]]], params: Params) -> Nested:
    """A copy of ``nested`` in which ``params`` (``section/name``) have new values; types stay as they are."""
    copy: Nested = {section: {n: dict(e) for n, e in entries.items()} for section, entries in nested.items()}
    for full_name, value in params.items():
        section, _, name = full_name.partition("/")
        entry = copy.setdefault(section, {}).setdefault(name, {"section": section, "name": name})
        entry["value"] = as_text(value)
    return copy


def with_user_properties(
    nested: Mapping[str, Mapping[str, Mapping[str, Any]]], properties: Mapping[str, Any]
) -> Nested:
    """A copy of ``nested`` whose user properties are ``properties`` and no others."""
    copy: Nested = {s: {n: dict(e) for n, e in es.items()} for s, es in nested.items() if s != USER_PROPERTIES}
    copy[USER_PROPERTIES] = {
        name: {"section": USER_PROPERTIES, "name": name, "value": str(value)} for name, value in properties.items()
    }
    return copy
