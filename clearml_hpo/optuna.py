"""Optuna's names, with trials that are ClearML tasks: change ``import optuna`` to ``from clearml_hpo import optuna``.

``create_study`` and its ``optimize`` are this package's; all else is Optuna's own. Trials run in warm workers of this
machine, ``n_jobs`` at once, on the ClearML server that is configured, else on the embedded one. ``create_study`` takes
keys of a study file too: ``project="credit"``; ``execution={"queue": "gpu"}`` has agents run the trials.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna as _optuna

if TYPE_CHECKING:
    from clearml_hpo.functions.optimize import Direction
    from clearml_hpo.studies.defined import DefinedStudy

__all__ = ["Study", "create_study"]

_NOT_OURS = ("add_trial", "add_trials", "ask", "set_system_attr", "set_user_attr", "stop", "tell")


class Study:
    """A study with the methods and attributes of ``optuna.Study``.

    Attributes:
        clearml: the study on the ClearML server, a :class:`clearml_hpo.Study`; None before :meth:`optimize`.
    """

    def __init__(
        self, study_name: str | None, directions: Sequence[Direction], sampler: Any, pruner: Any, keys: dict[str, Any]
    ) -> None:
        """See :func:`create_study`."""
        self.clearml: DefinedStudy | None = None
        self._name = study_name
        self._directions = directions
        self._parts = {"sampler": sampler, "pruner": pruner}
        self._keys = keys
        self._first: list[dict[str, Any]] = []
        _optuna.logging.set_verbosity(_optuna.logging.WARNING)
        self._seen = _optuna.create_study(directions=list(directions))

    def optimize(
        self,
        func: Callable[[_optuna.Trial], Any],
        n_trials: int | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        catch: Any = (),
        callbacks: Any = None,
        gc_after_trial: bool = False,
        show_progress_bar: bool = False,
    ) -> None:
        """Runs trials until the budget is used up; progress is always shown.

        A trial that fails does not end the study (``catch``), except the first one. Called again, it runs ``n_trials``
        more.

        Raises:
            InputError: ``callbacks`` are given, which cannot be called for trials elsewhere.
            StudyError: the study failed.
        """
        from clearml_hpo.core.errors import InputError
        from clearml_hpo.functions.optimize import study_of
        from clearml_hpo.search.mirror import in_memory

        if callbacks:
            raise InputError("optimize: callbacks are not called; read the study when it has ended")
        before = len(self.clearml.trials) if self.clearml is not None else 0
        self.clearml = study_of(
            func,
            name=self._name,
            directions=self._directions,
            n_trials=None if n_trials is None else before + n_trials,
            timeout=timeout,
            enqueue=self._first,
            **self._keys,
        )
        at_once = (os.cpu_count() or 1) if n_jobs < 0 else n_jobs
        cpu = None if "execution" in self._keys else at_once
        self.clearml.run(cpu=cpu, new=self._name is None and not before, **self._parts)
        self._seen = in_memory(self.clearml.trials, self.clearml.goal, self.clearml.file.space)

    def enqueue_trial(self, params: Mapping[str, Any], user_attrs: Any = None, skip_if_exists: bool = False) -> None:
        """Has these parameters tried after the first trial; a point that was tried is not run again."""
        self._first.append(dict(params))

    def __getattr__(self, name: str) -> Any:
        """What a study of Optuna has: ``best_params``, ``best_value``, ``trials``, ``trials_dataframe``, ..."""
        if name in _NOT_OURS:
            raise AttributeError(f"{name}: a study whose trials are ClearML tasks has none; see its attribute clearml")
        return getattr(self._seen, name)


def create_study(
    *,
    study_name: str | None = None,
    direction: Direction | None = None,
    directions: Sequence[Direction] | None = None,
    sampler: Any = None,
    pruner: Any = None,
    storage: Any = None,
    load_if_exists: bool = False,
    **keys: Any,
) -> Study:
    """A study; with a ``study_name`` it goes on where an earlier one of this name ended.

    Args:
        sampler, pruner: objects of Optuna; None: those that ``auto`` picks.
        storage: the URL of an Optuna storage, which gets a copy: the ClearML server keeps the study.
        load_if_exists: has no effect: a study of this name goes on.
        keys: keys of a study file, such as ``project`` and ``execution``.
    """
    if storage is not None:
        keys["storage"] = storage
    return Study(study_name, directions or (direction or "minimize",), sampler, pruner, keys)


def __getattr__(name: str) -> Any:
    return getattr(_optuna, name)
