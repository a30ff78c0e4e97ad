"""Optuna storages, such as SQLite and PostgreSQL: a copy of a study for other readers, and studies to start from.

Nothing is ever recovered from a storage: the trial tasks are the record.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.core.goal import Direction, Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import DEFAULT_SECTION, Params, full_name
from clearml_hpo.search.distributions import as_optuna
from clearml_hpo.search.samplers import VIOLATIONS
from clearml_hpo.search.space import SearchSpace

_STUDY_ID = "clearml_study"
_TASK = "clearml_task"
_STATES = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.PAUSED: OptunaState.PRUNED,
}


@dataclass(frozen=True)
class Known:
    """A point whose values are known; ``violations`` are those of the constraints on metrics."""

    params: Params
    values: Sequence[float]
    violations: Sequence[float] = ()


class Mirror:
    """A study in an Optuna storage that follows one of ours; Optuna's dashboard and its other tools can read it.

    Attributes:
        name: what the study is called there: as ours, or with our id if another study has that name.
    """

    def __init__(self, url: str, name: str, study_id: str, goal: Goal, space: SearchSpace) -> None:
        """Opens the storage, and finds or makes the study.

        Raises:
            InputError: the storage cannot be opened.
        """
        storage = _open(url)
        directions = [objective.direction for objective in goal.objectives]
        self.name = name
        study = _find_or_create(storage, name, directions)
        if not _is_ours(study, study_id) or study.directions != _directions(directions):
            self.name = f"{name}-{study_id[:8]}"
            study = _find_or_create(storage, self.name, directions)
        study.set_user_attr(_STUDY_ID, study_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([objective.metric for objective in goal.objectives])
        self._study = study
        self._space = space
        self._known = {(t.user_attrs.get(_TASK), t.state) for t in study.get_trials(deepcopy=False)}

    def follow(
        self, trials: Iterable[Trial], earlier: Iterable[Trial] = (), *, is_over: bool = False, most: int = 100
    ) -> bool:
        """Adds what has ended since the last time, and points of the space; whether nothing is left to be added.

        A storage keeps an ended trial as it is. So a paused one is added once it no longer goes on.

        Args:
            trials: the latest attempt of each, each time.
            earlier: the attempts before those.
            is_over: whether the study has ended, so that no paused trial goes on.
            most: how many are added at once: each may take some hundredths of a second.

        Raises:
            StorageTrouble: the storage does not answer, or does not take a trial; the next call makes up for it.
        """
        attempts = [attempt for attempt in earlier if attempt.state is not TrialState.PAUSED]
        attempts += [trial for trial in trials if is_over or trial.state is not TrialState.PAUSED]
        added = 0
        for trial in attempts:
            state = _STATES.get(trial.state, OptunaState.FAIL)
            if trial.state.is_live or (trial.task_id, state) in self._known:
                continue
            if self._space.contains(trial.params):
                if added == most:
                    return False
                self._add(trial, state)
                added += 1
            self._known.add((trial.task_id, state))
        return True

    def _add(self, trial: Trial, state: OptunaState) -> None:
        try:
            self._study.add_trial(_frozen(trial, state, self._space))
        except Exception as error:  # of its own or of a database's driver, or: the space has changed since
            raise StorageTrouble(str(error).partition("\n")[0]) from error


def in_memory(trials: Iterable[Trial], goal: Goal, space: SearchSpace) -> optuna.Study:
    """A study of Optuna's with these trials, for its plots and tables; ``General/lr`` is ``lr`` there."""
    study = optuna.create_study(directions=[objective.direction for objective in goal.objectives])
    for trial in trials:
        if not trial.state.is_live and space.contains(trial.params):
            study.add_trial(_frozen(trial, _STATES.get(trial.state, OptunaState.FAIL), space, f"{DEFAULT_SECTION}/"))
    return study


def _frozen(trial: Trial, state: OptunaState, space: SearchSpace, without: str = "") -> FrozenTrial:
    """A trial that has ended in Optuna's words; ``without`` is taken off the names of its parameters."""
    drawn, axes = space.along_axes(trial.params), space.axes
    violations = {VIOLATIONS: list(trial.violations)} if trial.violations else {}
    known = {_TASK: trial.task_id, "trial": trial.number, "attempt": trial.attempt}
    record = create_trial(
        state=state,
        params={axis.removeprefix(without): value for axis, value in drawn.items()},
        distributions={axis.removeprefix(without): as_optuna(axes[axis]) for axis in drawn},
        values=list(trial.final_values) if trial.final_values is not None else None,
        user_attrs={**known, **violations},
        system_attrs=violations,  # where Optuna's own tools look for them
    )
    record.datetime_start = _moment(trial.started_at or trial.queued_at) or record.datetime_start
    record.datetime_complete = _moment(trial.ended_at) or record.datetime_complete
    return record


class StorageTrouble(Exception):
    """A storage does not answer, or does not take a trial."""


def known_of(url: str, name: str, space: SearchSpace, goal: Goal) -> Iterator[Known]:
    """The completed trials of a study in a storage that are points of ``space``; names may lack their section.

    Raises:
        InputError: there is no such storage, and none is made; it has no such study, or that has other directions.
    """
    storage = _open_existing(url)
    names = optuna.get_all_study_names(storage)
    if name not in names:
        there = nearest(name, names) or f"; there are: {', '.join(names) or 'none'}"
        raise InputError(f"warm_start.study: no study {name!r} in {_hidden(url)}{there}")
    study = optuna.load_study(study_name=name, storage=storage)
    wanted = _directions([objective.direction for objective in goal.objectives])
    if study.directions != wanted:
        found = ", ".join(direction.name.lower() for direction in study.directions)
        raise InputError(f"warm_start.study: {name!r} in {_hidden(url)} has other directions than this study: {found}")
    for trial in study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,)):
        params = _params(trial.params, space)
        if space.contains(params):
            yield Known(params, tuple(trial.values), tuple(trial.user_attrs.get(VIOLATIONS, ())))


def _moment(epoch: float | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch)


def check_storage(url: str) -> None:
    """Raises InputError if the storage cannot be opened."""
    _open(url)


def check_reachable(url: str) -> None:
    """Raises InputError if the storage cannot be reached; makes nothing, neither tables nor a file."""
    with _refusing(url):
        from sqlalchemy import create_engine

        engine = create_engine(_with_driver(url))
        folder = Path(engine.url.database or ".").parent
        if engine.dialect.name != "sqlite" or Path(engine.url.database or "").exists():
            engine.connect().close()
        elif not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")


def _params(given: Mapping[str, object], space: SearchSpace) -> Params:
    """By our names, of our axes: a combination is kept as its text."""
    by_axis: dict[str, Any] = {n if n in space.axes else full_name(n): value for n, value in given.items()}
    try:
        return space.build(lambda axis, _: by_axis[axis])
    except (KeyError, StopIteration):
        return {}


def _open(url: str) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _refusing(url), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.storages.RDBStorage(_with_driver(url))


def _open_existing(url: str) -> optuna.storages.RDBStorage:
    """Opens a storage to read it; makes neither a file nor tables."""
    with _refusing(url):
        from sqlalchemy import create_engine, inspect

        engine = create_engine(_with_driver(url))
        file = engine.url.database or ""
        # SQLite itself reads what begins with "file:".
        if engine.dialect.name == "sqlite" and not file.startswith("file:") and not Path(file).is_file():
            raise InputError(f"warm_start.storage: no such file: {Path(file).absolute()}")
        if not inspect(engine).has_table("studies"):
            raise InputError(f"warm_start.storage: {_hidden(url)} is no Optuna storage: it has no table of studies")
        engine.dispose()
    return _open(url)


def _with_driver(url: str) -> str:
    """Which driver a bare address means depends on the release of SQLAlchemy."""
    return re.sub("^postgresql://", "postgresql+psycopg://", url)


@contextmanager
def _refusing(url: str) -> Iterator[None]:
    """Turns what goes wrong into one line."""
    from sqlalchemy.exc import SQLAlchemyError  # only studies with a storage load it

    try:
        yield
    except (SQLAlchemyError, ValueError, ImportError, RuntimeError) as error:
        hint = "; for PostgreSQL: pip install 'clearml-hpo[postgresql]'" if isinstance(error, ImportError) else ""
        hint = hint if "://" in url else f"; a file is written as sqlite:///{_hidden(url)}"
        raise InputError(f"{_hidden(url)} cannot be opened: {str(error).partition(chr(10))[0]}{hint}") from None


def _hidden(url: str) -> str:
    """A storage's address without its password."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _find_or_create(storage: optuna.storages.RDBStorage, name: str, directions: Sequence[Direction]) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=storage, directions=list(directions), load_if_exists=True)


def _is_ours(study: optuna.Study, study_id: str) -> bool:
    """Whether it follows the study of this id, or nothing yet."""
    attrs = study.user_attrs
    return attrs.get(_STUDY_ID) == study_id or not (attrs or study.get_trials(deepcopy=False))


def _directions(names: Sequence[Direction]) -> list[optuna.study.StudyDirection]:
    return [optuna.study.StudyDirection[name.upper()] for name in names]
