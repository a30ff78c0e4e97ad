"""ClearML's configuration objects: texts that a task keeps by name, ``{name: {name, type, value}}``.

A parameter called ``config:<object>/<key>`` is a value inside of one: ``config:Model/layers.0.units`` is the number of
units of the first layer in the object ``Model``. What ``task.connect_configuration`` made of a dictionary is HOCON;
what it made of a file is the file, of which JSON and YAML can be changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

import yaml

from clearml_hpo.backend.hyperparameters import CONFIG_SECTION, HYDRA, Nested
from clearml_hpo.core import yaml_documents
from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.core.values import Params, as_text

_COMPOSED = "OmegaConf"  # the object in which the SDK keeps what Hydra has composed

Configuration: TypeAlias = Mapping[str, Mapping[str, Any]]

_INCLUDE = re.compile(r"""\binclude\s*(?:"|'|(?:required|file|url|package)\s*\()""")


def with_configuration(configuration: Configuration, params: Params) -> dict[str, dict[str, Any]]:
    """A copy of ``configuration`` in which the ``config:<object>/<key>`` of ``params`` have new values.

    Other parameters are passed over. Comments and the order of keys in a YAML text are not kept.

    Raises:
        InputError: no such object or key, or a text that is neither JSON, YAML nor HOCON.
    """
    changed: dict[str, dict[str, Any]] = {name: dict(entry) for name, entry in configuration.items()}
    for name, values in _by_object(params).items():
        if name not in configuration:
            known = f"; it has: {', '.join(configuration) or 'none'}"
            raise InputError(
                f"the template has no configuration object {name!r}{nearest(name, configuration) or known}"
            )
        data, is_yaml = _read(name, configuration[name])
        data = deepcopy(data)
        for key, value in values.items():
            _set(data, key, value, name)
        changed[name]["value"] = (
            yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if is_yaml else json.dumps(data, indent=2)
        )
    return changed


def entries_of(hyperparams: Mapping[str, Mapping[str, Mapping[str, Any]]], configuration: Configuration) -> Nested:
    """A task's hyperparameters, and what its configuration objects hold in sections ``config:<object>``.

    What Hydra has composed is in the section ``Hydra``, too, beside the overrides that the SDK notes there.
    """
    own = {s: {n: dict(e) for n, e in entries.items()} for s, entries in hyperparams.items()}
    held = configuration_entries(configuration)
    if composed := held.get(f"{CONFIG_SECTION}{_COMPOSED}"):
        own[HYDRA] = {**{n: {**e, "section": HYDRA} for n, e in composed.items()}, **own.get(HYDRA, {})}
    return {**own, **held}


def is_held(name: str) -> bool:
    """Whether a task that ran as its script says may have this parameter in a configuration object alone."""
    return name.startswith((CONFIG_SECTION, f"{HYDRA}/"))


def configuration_entries(configuration: Configuration) -> Nested:
    """What configuration objects hold, as if it were hyperparameters: by section ``config:<object>`` and key.

    Objects that cannot be read hold nothing.
    """
    entries: Nested = {}
    for name, entry in configuration.items():
        try:
            data, _ = _read(name, entry)
        except InputError:
            continue
        section = f"{CONFIG_SECTION}{name}"
        entries[section] = {
            key: {"section": section, "name": key, "value": as_text(value), "type": _type_name(value)}
            for key, value in _leaves(data, "")
        }
    return entries


def _by_object(params: Params) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for full_name, value in params.items():
        if full_name.startswith(CONFIG_SECTION):
            name, _, key = full_name.removeprefix(CONFIG_SECTION).partition("/")
            found.setdefault(name, {})[key] = value
    return found


def _read(name: str, entry: Mapping[str, Any]) -> tuple[Any, bool]:
    """What the text of an object holds, and whether it is YAML that is no JSON."""
    text = str(entry.get("value") or "")
    try:
        data, is_yaml = json.loads(text), False
    except (ValueError, RecursionError):
        is_yaml = entry.get("type") != "dictionary"
        try:
            data = yaml_documents.load(text) if is_yaml else _read_hocon(text)
        except Exception as error:  # pyparsing's, of HOCON, have no base of their own in every release
            raise InputError(f"the configuration object {name!r} cannot be read: {error}") from None
    if _is_deeper(data, yaml_documents.DEEPEST):
        raise InputError(f"the configuration object {name!r} has more than {yaml_documents.DEEPEST} levels")
    if not isinstance(data, (dict, list)):
        raise InputError(f"the configuration object {name!r} holds no keys and values")
    return data, is_yaml


def _read_hocon(text: str) -> Any:
    """What HOCON holds; one that includes another text would have this machine's files or network read."""
    if _INCLUDE.search(text):
        raise ValueError("it includes another text")
    from clearml.utilities.config import text_to_config_dict  # loads all of the SDK

    return text_to_config_dict(text)


def _is_deeper(data: Any, levels: int) -> bool:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _set(data: Any, key: str, value: object, name: str) -> None:
    """Sets ``a.b.0.c``; a key that has dots itself is found too."""
    inner, rest = data, key
    while rest:
        holder, (step, rest) = inner, _step(inner, rest)
        inner = None if step is None else holder[step]
    if step is None or isinstance(inner, (dict, list)):
        known = [leaf for leaf, _ in _leaves(data, "")]
        raise InputError(f"the configuration object {name!r} has no {key!r}{nearest(key, known)}")
    holder[step] = value


def _step(data: Any, key: str) -> tuple[str | int | None, str]:
    """The key or index of ``data`` that ``key`` begins with, and what is left of it; None if there is none."""
    parts = key.split(".")
    if isinstance(data, list):
        index, rest = parts[0], ".".join(parts[1:])
        return (int(index), rest) if index.isdecimal() and int(index) < len(data) else (None, "")
    for size in range(len(parts), 0, -1):
        step = ".".join(parts[:size])
        if isinstance(data, dict) and step in data:
            return step, ".".join(parts[size:])
    return None, ""


def _leaves(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in inner:
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, (dict, list)):
            yield from _leaves(value, name)
        else:
            yield name, value


def _type_name(value: object) -> str:
    return "" if value is None else type(value).__name__
