"""A study that is defined in Python: the keys of a study file as arguments."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.study_records import read_study
from clearml_hpo.controller.opening import Opened, Opening
from clearml_hpo.controller.rehearsal import rehearse
from clearml_hpo.core.errors import InputError, StudyError
from clearml_hpo.core.goal import Goal
from clearml_hpo.driving.interrupts import stop_on_signals
from clearml_hpo.driving.session import use_server_of_session
from clearml_hpo.driving.study import Place, open_and_run
from clearml_hpo.machine import settings
from clearml_hpo.studies.study import Study
from clearml_hpo.study_file import StudyFile
from clearml_hpo.study_file.load import check_data
from clearml_hpo.study_file.overrides import overrides_of_slots
from clearml_hpo.study_file.source_lines import SourceLine
from clearml_hpo.views.display import View, view_for
from clearml_hpo.views.notebook import NotebookView, is_notebook

TemplateLike: TypeAlias = str | Path | Mapping[str, Any]
ObjectiveLike: TypeAlias = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]

_TASK_ID = re.compile(r"[0-9a-f]{32}")


class DefinedStudy(Study):
    """See :meth:`Study.create`. It is on the server once it was run; before that, only :attr:`file` is known."""

    def __init__(self, data: dict[str, Any]) -> None:
        """``data`` is what a study file would hold, paths relative to the working directory."""
        self._data = data
        self._queue_names: dict[str, str] = {}
        self._defined = _checked(data)

    def __getattr__(self, name: str) -> Any:
        if name in ("record", "_api"):  # set by run()
            raise InputError(f"study {self._defined.spec.study!r} was not run yet: call its run()")
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    @cached_property
    def file(self) -> StudyFile:
        """The study file, as its controller keeps it; before the first run, as it was defined."""
        return super().file if "record" in self.__dict__ else self._defined

    def run(
        self,
        *,
        local: bool = False,
        cpu: int | None = None,
        gpus: Sequence[int | str] | None = None,
        per_gpu: int | None = None,
        threads: int | None = None,
        new: bool = False,
        take_over: bool = False,
        sampler: Any = None,
        pruner: Any = None,
    ) -> DefinedStudy:
        """Drives the study until it ends, and shows it; returns it.

        It goes on if a study of this name is in the project. Interrupting it (Ctrl-C, a notebook's stop) ends its
        trials and raises KeyboardInterrupt; run it again to go on.

        Args:
            local: use the embedded server and warm workers of this machine, also if another server is configured.
            cpu: run trials here, this many at once, on cores.
            gpus: run trials here, on these GPUs.
            per_gpu: trials that share a GPU.
            threads: threads of each trial on cores.
            new: start another study of this name, also if one exists.
            take_over: displace a controller that drives it elsewhere.
            sampler, pruner: objects of Optuna's, in place of those that the study names; ``clearml-hpo resume`` does
                not know them.

        Raises:
            InputError: the template lacks a parameter or the metric; or the study exists with another space.
            StudyError: it failed; the message has the reason.
        """
        file = _checked(self._data, overrides_of_slots(gpus=gpus, per_gpu=per_gpu, cpu=cpu, threads=threads))
        rehearse(file)
        server = use_server_of_session(local=local, may_start=True)
        with ExitStack() as stack:
            stopped = stack.enter_context(stop_on_signals())
            place = Place(stack, print, settings.load(), server, None)
            _, outcome = open_and_run(
                _finder(file, new), place, stopped, _view, take_over=take_over, sampler=sampler, pruner=pruner
            )
        self._api = Api()
        self.record = read_study(self._api, str(outcome.result["study_id"]))
        for name in ("file", "_records", "trials"):
            self.__dict__.pop(name, None)
        if outcome.status == "failed":
            raise StudyError(outcome.reason)
        if stopped.is_set():
            raise KeyboardInterrupt
        return self

    def __repr__(self) -> str:
        if "record" in self.__dict__:
            return super().__repr__()
        return f"<Study {self._defined.spec.study!r}: not run yet>"

    def _repr_html_(self) -> str:
        return super()._repr_html_() if "record" in self.__dict__ else f"<code>{self!r}</code>".replace("<S", "&lt;S")


def defined(
    name: str,
    template: TemplateLike,
    search_space: Mapping[str, Any] | str | Path,
    objective: ObjectiveLike,
    *,
    direction: str | None = None,
    trials: int | None = None,
    **keys: Any,
) -> DefinedStudy:
    """See :meth:`Study.create`."""
    budget = dict(keys.pop("budget", None) or {})
    if trials is not None:
        budget["trials"] = trials
    data = {
        "study": name,
        "template": _template(template),
        "search_space": str(search_space) if isinstance(search_space, Path) else search_space,
        "objective": {"metric": objective} if isinstance(objective, str) else objective,
        "budget": budget,
        **keys,
    }
    if direction is not None:
        if not isinstance(objective, str):
            raise InputError("Study.create: direction: only beside objective='title/series'; give it in the objective")
        data["objective"]["direction"] = direction
    return DefinedStudy(copy.deepcopy(data))


def _template(given: TemplateLike) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    return {"task": str(given)} if _TASK_ID.fullmatch(str(given)) else {"script": str(given)}


def _checked(data: Mapping[str, Any], overrides: Sequence[str] = ()) -> StudyFile:
    try:
        plain = json.loads(json.dumps(data, default=_plain))
    except ValueError as error:
        raise InputError(f"Study.create: {error}") from None
    return check_data(plain, {(): SourceLine("Study.create")}, Path(), overrides)


def _plain(value: Any) -> Any:
    """A path as text; a number of numpy's as Python's."""
    return value.item() if hasattr(value, "item") else str(value)


def _finder(file: StudyFile, new: bool) -> Callable[[Opening], Opened]:
    return lambda opening: opening.from_file(file, new=new)


def _view(study: str, goal: Goal) -> View:
    return NotebookView(study, goal) if is_notebook() else view_for(Console(), study, goal)
