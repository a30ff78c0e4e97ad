"""``--set key.key=value``: a value of the study file, replaced before it is checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.values import full_name, resolve_name
from clearml_hpo.study_file.base import name_alone
from clearml_hpo.study_file.source_lines import KeyPath, SourceLine, SourceLines, parse_yaml
from clearml_hpo.study_file.space import PARAMETER_KEYS, POINTS


def apply_override(data: dict[Any, Any], lines: SourceLines, override: str) -> None:
    """Sets ``key.key=value`` (the value in YAML) in ``data``; raises InputError."""
    key, equals, text = override.partition("=")
    where = SourceLine(f"--set {override}")
    if not equals or "" in key.split("."):
        raise InputError(f"{where}: expected key=value, such as budget.trials=5")
    path = _path(key, data)
    value, value_marks = parse_yaml(text, lambda _: where, path)
    _below(data, path[:-1], where)[path[-1]] = value
    for known in [known for known in lines if known[: len(path)] == path]:
        del lines[known]
    for depth in range(1, len(path)):
        lines.setdefault(path[:depth], where)
    lines.update({path: where, **value_marks})


def _below(data: dict[Any, Any], parents: KeyPath, where: SourceLine) -> dict[Any, Any]:
    """The mapping that these keys lead to, made where it is missing."""
    target = data
    for parent in parents:
        child = target.get(parent)
        if target is data and parent in ("sampler", "pruner"):
            child = name_alone(child)
        if not isinstance(child, (dict, type(None))):
            raise InputError(f"{where}: {parent} holds a value, not keys")
        target[parent] = dict(child or {})  # a copy: YAML may have put it in a second place too, by an alias
        target = target[parent]
    return target


def _path(key: str, data: dict[Any, Any]) -> KeyPath:
    """The keys that lead to a value. A parameter may be named without its section, and its name may have dots."""
    head, *rest = key.split(".")
    if head != "search_space" or not rest:
        return (head, *rest)
    given = data.get(head)
    space = [each for each in given if each != POINTS] if isinstance(given, dict) else []
    *names, last = rest
    name, short = full_name(".".join(rest)), ".".join(names)
    owner = resolve_name(short, space) or full_name(short)
    if owner in space and name not in space:
        return (head, owner, last)
    if names and last in PARAMETER_KEYS and not (name in space and owner not in space):
        return (head, owner, last)
    return (head, name)


def overrides_of_slots(
    *,
    gpus: Sequence[int | str] | None = None,
    per_gpu: int | None = None,
    cpu: int | None = None,
    threads: int | None = None,
    executor: str = "local",
) -> list[str]:
    """Overrides of a study file that run its trials on this machine; none if nothing is given.

    ``executor`` is the one that has these slots.
    """
    slots = {"per_gpu": per_gpu, "cpu": cpu, "threads": threads}
    given = [f"execution.local.{key}={number}" for key, number in slots.items() if number is not None]
    if gpus is not None:
        given.append(f"execution.local.gpus={json.dumps([*gpus])}")
    return [f"execution.executor={executor}", "execution.pilots=null", *given] if given else []


def overrides_of_dask(address: str | None, cluster: str | None) -> list[str]:
    """Overrides of a study file that run its trials on a Dask cluster; none if nothing is given."""
    if address is None and cluster is None:
        return []
    where = {"address": address, "scheduler_file": None, "cluster": cluster}
    # What the file says of another cluster does not count; how large one of its own is does.
    where |= {"scale": None, "adapt": None} if cluster is None else {}
    keys = [f"execution.dask.{key}={json.dumps(value)}" for key, value in where.items()]
    return ["execution.executor=dask", "execution.pilots=null", *keys]
