"""Executors of other packages, by the name that a study file gives them.

A package declares one in its metadata::

    [project.entry-points."clearml_hpo.executors"]
    hosts = "hosts_executor:HOSTS"

where ``HOSTS`` is an :class:`ExecutorKind`. Then ``execution: {executor: hosts, options: {...}}`` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from clearml_hpo.core.errors import Fault, InputError, nearest

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api
    from clearml_hpo.executors import Executor

GROUP = "clearml_hpo.executors"
BUILT_IN = ("queue", "local", "dask")
_NAME, _OPTIONS = ("execution", "executor"), ("execution", "options")


class NoOptions(BaseModel):
    """The options of an executor that has none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class ExecutorRequest:
    """What an executor is made from.

    Attributes:
        api: the connection of the controller's thread.
        study_id: id of the controller task.
        project_id: of the trials.
        template_ids: the template tasks.
        queues: ids of the queues that the study file names, by name; empty if the kind has an ``own_queue``.
        options: the checked ``execution.options``, an instance of the kind's model.
        on_note: prints a line for the user.
    """

    api: Api
    study_id: str
    project_id: str
    template_ids: tuple[str, ...]
    queues: Mapping[str, str]
    options: Any
    on_note: Callable[[str], None]


@dataclass(frozen=True)
class ExecutorKind:
    """A way to run trials.

    Attributes:
        make: makes the executor of one study, whose trials it then runs until ``close``.
        options: checks ``execution.options``; let it forbid keys that it does not know.
        own_queue: the one name that the executor's ``workers`` lists, if all trials go to a queue of its own; then
            queues and placement rules of the study file do not count. Empty: trials go to the file's queues.
    """

    make: Callable[[ExecutorRequest], Executor]
    options: type[BaseModel] = NoOptions
    own_queue: str = ""


def find_kind(name: str) -> ExecutorKind:
    """The kind that an installed package declares as ``name``.

    Raises:
        InputError: no package declares it, or the package cannot be imported.
    """
    declared = _declared()
    if name not in declared:
        known = [*BUILT_IN, *declared]
        raise InputError(
            f"no executor is called {name!r}{nearest(name, known)} (there are: {', '.join(known)}; "
            f"an installed package adds one by the entry-point group {GROUP})"
        )
    try:
        kind = declared[name].load()
    except Exception as error:  # of another package
        raise InputError(f"executor {name!r} cannot be imported from {declared[name].value}: {error!r}") from None
    if not isinstance(kind, ExecutorKind):
        raise InputError(f"executor {name!r}: {declared[name].value} is no ExecutorKind, but {kind!r}")
    return kind


@cache
def _declared() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def own_queue_of(name: str) -> str:
    """The kind's ``own_queue``; empty also if its package is missing here, as where a study is only viewed."""
    try:
        return "" if name in BUILT_IN else find_kind(name).own_queue
    except InputError:
        return ""


def checked_options(name: str, given: Mapping[str, Any]) -> tuple[Any, list[Fault]]:
    """The options as the kind's model has them, and what is wrong with name or options."""
    if name in BUILT_IN:
        return None, [Fault(_OPTIONS, f"executor {name!r} takes none")] if given else []
    try:
        return find_kind(name).options.model_validate(dict(given)), []
    except InputError as error:
        return None, [Fault(_NAME, str(error))]
    except ValidationError as error:
        return None, [
            Fault((*_OPTIONS, *each["loc"]), f"{each['msg']}; found {each['input']!r}") for each in error.errors()
        ]
