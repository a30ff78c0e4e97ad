"""What a task has: on the server, or in ClearML's folder of an offline session."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import suppress
from typing import Any

from clearml_hpo.backend.hyperparameters import CONFIG_SECTION, USER_PROPERTIES, Nested
from clearml_hpo.backend.template import Template
from clearml_hpo.drafting.found import Findings, Found, kind_of
from clearml_hpo.drafting.metrics import of_names

_SECTIONS = (USER_PROPERTIES, f"{CONFIG_SECTION}OmegaConf")  # what Hydra has composed is in its own section, too
_OWN = ("_allow_omegaconf_edit_", "_ignore_remote_overrides_", "_allow_config_file_override_from_ui_", "overrides")
"""Entries that the SDK makes for itself."""
_OF_LIBRARIES: tuple[Set[str], ...] = (
    {"completion", "help", "interactive", "separator", "trace", "verbose"},  # Fire
    {
        "cfg",
        "config_dir",
        "config_name",
        "config_path",
        "experimental_rerun",
        "hydra_help",
        "info",
        "multirun",
        "resolve",
    }
    | {"run", "shell_completion", "help", "package"},  # Hydra
)
"""Options of libraries themselves, by which they are known."""
_KINDS = ("bool", "int", "float", "str", "list", "tuple")


def of_task(template: Template) -> Findings:
    """The hyperparameters and the scalars of a task."""
    return Findings(tuple(parameters(template.entries)), of_names(template.metrics))


def parameters(entries: Nested, arguments: Collection[str] = ()) -> Iterator[Found]:
    """Hyperparameters as ClearML keeps them, with the types that it notes.

    Args:
        arguments: of the script; if a command is among them, the parameters of other commands are left out.
    """
    for section, inner in entries.items():
        own = {*_OWN, *(name for names in _OF_LIBRARIES if inner.keys() >= names for name in names)}
        commands = {name for name, entry in inner.items() if _is_command(entry)}
        others = commands.difference(arguments) if commands.intersection(arguments) else set()
        for name, entry in inner.items():
            if section in _SECTIONS or name.partition("/")[0] in others:
                continue
            if name not in own and not _is_command(entry):
                yield _found(section, name, entry)


def _is_command(entry: Mapping[str, Any]) -> bool:
    """True for the name of a subcommand of click or Fire, which is no parameter."""
    return str(entry.get("type") or "").endswith(".Command")


def _found(section: str, name: str, entry: Mapping[str, Any]) -> Found:
    text, noted = str(entry.get("value") or ""), str(entry.get("type") or "").lower()
    kind = next((kind for kind in _KINDS if noted.startswith(kind)), "")
    kind = "list" if text.startswith(("[", "(")) and kind in ("int", "float", "tuple") else kind
    value = text if kind == "str" else _value(text)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    is_composed = section == "Hydra" or section.startswith(CONFIG_SECTION)
    return Found(f"{section}/{name}", kind_of(value) if is_composed else kind or kind_of(value), value)


def _value(text: str) -> Any:
    with suppress(ValueError, SyntaxError):
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text, text))
    with suppress(ValueError):
        return float(text)
    return text or None
