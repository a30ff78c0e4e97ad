"""What the SDK and the agent say a request holds: the JSON schemas of their request classes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

_PACKAGES = ("clearml.backend_api.services", "clearml_agent.backend_api.services")

Schema = Mapping[str, Any]


@cache
def request_schemas() -> dict[str, Schema]:
    """``{"service.action": schema}``, of each the newest version."""
    found: dict[str, tuple[list[int], Schema]] = {}
    for request in _classes():
        name, version = f"{request._service}.{request._action}", [int(n) for n in str(request._version).split(".")]
        if name not in found or version > found[name][0]:
            found[name] = (version, request._schema)
    return {name: schema for name, (_, schema) in found.items()}


def _classes() -> Iterator[Any]:
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if name.endswith("Request") and hasattr(each, "_action") and isinstance(each._schema, dict):
                    yield each
