"""The study as the sampler sees it: Optuna's ask and tell, by trial number.

It lives in memory and can be rebuilt at any time from the trial tasks, which are the durable record.
"""

from __future__ import annotations

import logging
import random
import threading
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from clearml_hpo.core.errors import StudyError
from clearml_hpo.core.goal import Direction
from clearml_hpo.core.values import Params, Value
from clearml_hpo.search.distributions import as_optuna
from clearml_hpo.search.gp_tpe import SECONDS
from clearml_hpo.search.narrowing import Narrowing
from clearml_hpo.search.replay import generation, keeps_notes, rungs
from clearml_hpo.search.samplers import VIOLATIONS
from clearml_hpo.search.space import Categorical, Distribution, Int, SearchSpace

Ended: TypeAlias = Literal["completed", "pruned", "paused", "failed"]

_STATES: Mapping[Ended, OptunaState] = {
    "completed": OptunaState.COMPLETE,
    "pruned": OptunaState.PRUNED,
    "paused": OptunaState.PRUNED,
    "failed": OptunaState.FAIL,
}
_FEW_POINTS = 10_000
_BROKEN_IN_A_ROW = 20


class OptunaStudy:
    """Proposes points of a search space and learns from their values.

    A number is asked for (or added) once and told once; between the two, intermediate values may be reported. Points
    may be asked for in one thread while another one reports and tells.

    Attributes:
        narrowing: what is proposed lies within it; set by whoever hears of it.
    """

    def __init__(
        self,
        space: SearchSpace,
        directions: Sequence[Direction],
        *,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        pruned_by: Direction | None = None,
        history: Iterable[FrozenTrial] = (),
        **create_options: Any,
    ) -> None:
        """Starts with the finished trials of ``history``; ``create_options`` go to ``optuna.create_study``.

        Args:
            directions: one per objective.
            pruned_by: the direction of what is reported, if that is a scalar of its own; None if it is the objective.
                With several objectives and None, nothing is pruned.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.pruner = pruner or optuna.pruners.NopPruner()
        self._table = _Table(directions, sampler, self.pruner, create_options)
        self.optuna_study = self._table.study
        self.optuna_study.add_trials(list(history))
        self._judging: _Table | None = None
        if pruned_by is not None:
            # Optuna refuses reports with several objectives, and its samplers take what was reported for the objective.
            self._judging = _Table([pruned_by], optuna.samplers.RandomSampler(), self.pruner, {})
        elif len(directions) == 1:
            self._judging = self._table
        self._lock = threading.Lock()
        self._trials: dict[int, int] = {}
        self._judged: dict[int, int] = {}
        self._paused: dict[int, int] = {}
        self._restored = 0
        self._random = random.Random(0)
        self.narrowing = Narrowing()

    @property
    def prunes(self) -> bool:
        """Whether intermediate values are of any use."""
        return self._judging is not None and not isinstance(self.pruner, optuna.pruners.NopPruner)

    @property
    def reports(self) -> Sequence[int]:
        """How often each completed trial has reported what the pruner looks at, of those that have at all."""
        if self._judging is None:
            return ()
        completed = self._judging.study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        return [len(trial.intermediate_values) for trial in completed if trial.intermediate_values]

    def prune_nothing(self) -> None:
        """From now on no trial is pruned."""
        self.pruner = optuna.pruners.NopPruner()
        for table in filter(None, (self._table, self._judging)):
            table.study.pruner = self.pruner

    @cached_property
    def points(self) -> float:
        """How many points the space has; infinity if a parameter is continuous.

        Of more than 10,000 those that constraints exclude are counted too.
        """
        size = self.space.size
        return size if size > _FEW_POINTS or not self.space.constraints else len(list(self.space.points(_FEW_POINTS)))

    # --- proposing ---------------------------------------------------------------------------------------------------

    def ask(self, number: int) -> dict[str, Value]:
        """The parameters, those that are active, for trial ``number``.

        Raises:
            StudyError: no point was found that keeps the constraints between parameters.
        """
        for _ in range(_BROKEN_IN_A_ROW):
            trial = self._table.ask()
            params = self.space.build(partial(_suggest, trial))
            trial_id = self._table.id_of(trial)
            if self.space.allows(params) and self.narrowing.allows(params):
                self._begin(number, trial_id)
                return params
            self._table.tell(trial_id, OptunaState.FAIL)
        found = self.ask_at_random(number, lambda _: True)
        if found is None:
            constraints = "; ".join(
                [*map(str, self.space.constraints), *([str(self.narrowing)] * bool(self.narrowing.ranges))]
            )
            raise StudyError(f"no point of the search space was found that keeps the constraints: {constraints}")
        return found

    def ask_at_random(self, number: int, is_new: Callable[[Params], bool]) -> dict[str, Value] | None:
        """A point that ``is_new``, drawn evenly, for trial ``number``; None if a long search finds none.

        For a sampler that keeps to points it knows: those of small spaces do.
        """
        narrowing = self.narrowing
        with self._lock:
            if self.space.size <= _FEW_POINTS:
                points = filter(narrowing.allows, self.space.points(_FEW_POINTS))
                new = [point for point in points if is_new(point)]
                params = self._random.choice(new) if new else None
            else:
                draws = (self.space.build(narrowing.at_random(self._random)) for _ in range(_FEW_POINTS))
                sound = (point for point in draws if self.space.allows(point) and narrowing.allows(point))
                params = next(filter(is_new, sound), None)
        if params is not None:
            self.add(number, params)
        return params

    def add(self, number: int, params: Params) -> bool:
        """Lets trial ``number`` run at ``params``, chosen by another part, or a user.

        Returns False, and the sampler will not learn from it, if that is no point of the space.
        """
        if not self._knows(number, params):
            return False
        self._begin(number, self._table.create(self._record(params, OptunaState.RUNNING)))
        return True

    def revise(self, number: int, params: Params) -> None:
        """Trial ``number``, which runs, has other parameters than it was given: it suggested them itself."""
        if not self._knows(number, params):
            return
        with self._lock:
            trial_id = self._trials.get(number)
        if trial_id is None:
            self.add(number, params)
            return
        reported = self._table.reported(trial_id)
        self._table.tell(trial_id, OptunaState.FAIL)
        revised = self._table.create(self._record(params, OptunaState.RUNNING, reported=reported))
        with self._lock:
            self._trials[number] = revised
            if self._judged.get(number) == trial_id and self._judging is self._table:
                self._judged[number] = revised

    # --- learning ----------------------------------------------------------------------------------------------------

    def report(self, number: int, step: int, value: float) -> bool:
        """Takes in an intermediate value; True if the trial should be pruned at this step."""
        with self._lock:
            trial_id = self._judged.get(number)
        if self._judging is None or trial_id is None or step < 0:
            return False
        return self._judging.report(trial_id, step, value)

    def complete(
        self, number: int, values: Sequence[float], violations: Sequence[float] = (), seconds: float | None = None
    ) -> None:
        """Trial ``number`` ended with finite ``values``, one per objective.

        Args:
            violations: those of the constraints on metrics, 0 or less where one is kept; the same number each time.
            seconds: how long it ran; None if that is not known.
        """
        self._tell(number, OptunaState.COMPLETE, values, violations, seconds)

    def prune(self, number: int) -> None:
        """Trial ``number`` was pruned; if the objective was reported, its last value is the trial's."""
        self._tell(number, OptunaState.PRUNED)

    def pause(self, number: int, length: int, value: float, violations: Sequence[float] = ()) -> None:
        """Trial ``number`` has trained for ``length``, and may go on: until then it is as one that was pruned there."""
        with self._lock:
            trial_id = self._trials.get(number)
        if trial_id is not None:
            self._table.note(trial_id, length, value)
            self._tell(number, OptunaState.PRUNED, (), violations)
            self._paused[number] = trial_id

    def resume(self, number: int, params: Params) -> None:
        """Trial ``number``, which was paused, goes on: what it was told as counts no more."""
        if (trial_id := self._paused.pop(number, None)) is not None:
            self._table.leave_out(trial_id)
        self.add(number, params)

    def fail(self, number: int) -> None:
        """Trial ``number`` ended without a value."""
        self._tell(number, OptunaState.FAIL)

    def restore(
        self,
        number: int,
        params: Params,
        state: Ended,
        values: Sequence[float] = (),
        violations: Sequence[float] = (),
        intermediate: Mapping[int, float] | None = None,
        seconds: float | None = None,
    ) -> bool:
        """Takes in trial ``number``, which has ended before, as if it had been added, reported and told here.

        Args:
            values: one per objective, of a completed trial.
            violations: as in :meth:`complete`.
            intermediate: what it reported, by step.
            seconds: as in :meth:`complete`.

        Returns False, and remembers nothing, if ``params`` is no point of the space.
        """
        if not self._knows(number, params):
            return False
        reported = {step: value for step, value in sorted((intermediate or {}).items()) if step >= 0}
        ended = _STATES[state]
        if self._judging is self._table:
            trial_id = self._restore_in(self._table, params, ended, values, violations, reported, seconds)
            if state == "paused":
                self._paused[number] = trial_id
        else:
            self._restore_in(self._table, params, ended, values, violations, {}, seconds)
            if self._judging is not None and reported:
                last = [reported[max(reported)]]
                told = last if state == "completed" else ()
                self._restore_in(self._judging, {}, ended, told, violations, reported)
        return True

    def _knows(self, number: int, params: Params) -> bool:
        if self.space.contains(params):
            return True
        logging.getLogger(__name__).info("trial %d lies outside the search space", number)
        return False

    def _restore_in(
        self,
        table: _Table,
        params: Params,
        state: OptunaState,
        values: Sequence[float],
        violations: Sequence[float],
        reported: Mapping[int, float],
        seconds: float | None = None,
    ) -> int:
        if reported and self.prunes and keeps_notes(self.pruner):
            record = self._record(params, OptunaState.RUNNING, seconds=seconds)
            return table.replay(record, reported, state, values, violations)
        if state is OptunaState.PRUNED and reported:
            values = [reported[max(reported)]]
        return table.create(self._record(params, state, values, violations, reported, seconds))

    def _record(
        self,
        params: Params,
        state: OptunaState,
        values: Sequence[float] = (),
        violations: Sequence[float] = (),
        reported: Mapping[int, float] | None = None,
        seconds: float | None = None,
    ) -> FrozenTrial:
        """A trial in Optuna's words."""
        drawn, axes = self.space.along_axes(params) if params else {}, self.space.axes
        # Optuna's samplers read the system attribute, and their constraints_func the user's.
        system_attrs: dict[str, Any] = {VIOLATIONS: list(violations)} if violations else {}
        if state is OptunaState.COMPLETE and params:
            system_attrs.update(generation(self.optuna_study.sampler, self._restored))
            self._restored += 1
        return create_trial(
            state=state,
            params=drawn,
            distributions={name: as_optuna(axes[name]) for name in drawn},
            values=list(values) or None,
            intermediate_values=dict(reported or {}),
            user_attrs={
                **({VIOLATIONS: list(violations)} if violations else {}),
                **({SECONDS: seconds} if seconds is not None else {}),
            },
            system_attrs=system_attrs,
        )

    def _begin(self, number: int, trial_id: int) -> None:
        judged = trial_id
        if self._judging is not None and self._judging is not self._table:
            judged = self._judging.create(create_trial(state=OptunaState.RUNNING))
        with self._lock:
            self._trials[number] = trial_id
            self._judged[number] = judged

    def _tell(
        self,
        number: int,
        state: OptunaState,
        values: Sequence[float] = (),
        violations: Sequence[float] = (),
        seconds: float | None = None,
    ) -> None:
        with self._lock:
            trial_id, judged = self._trials.pop(number, None), self._judged.pop(number, None)
        if trial_id is not None:
            if seconds is not None:
                self._table.took(trial_id, seconds)
            self._table.tell(trial_id, state, values, violations)
        if judged is not None and self._judging is not None and self._judging is not self._table:
            self._judging.tell_last_reported(judged, state, violations)


class _Storage(optuna.storages.InMemoryStorage):
    """Optuna's, but for what is left out: a point that goes on would count twice, as what it was and as what it is.

    It is of one study. Lists of ended trials are kept until one more has ended: pruners ask for them at each report.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left_out: set[int] = set()
        self._lists: dict[tuple[OptunaState, ...], list[FrozenTrial]] = {}

    def leave_out(self, number: int) -> None:
        """No sampler is to see this trial."""
        with self._lock:
            self._lists.clear()
            self._left_out.add(number)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """As Optuna's."""
        with self._lock:
            self._lists.clear()
            return super().create_new_trial(study_id, template_trial)

    def delete_study(self, study_id: int) -> None:
        """As Optuna's."""
        with self._lock:
            self._lists.clear()
            super().delete_study(study_id)

    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's."""
        with self._lock:
            self._lists.clear()
            return super().set_trial_state_values(trial_id, state, values)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        """Those that count."""
        wanted = tuple(state for state in OptunaState if states is None or state in states)
        if deepcopy or not all(state.is_finished() for state in wanted):  # a running one changes
            return self._counting(super().get_all_trials(study_id, deepcopy, states))
        with self._lock:
            if wanted not in self._lists:
                self._lists[wanted] = self._counting(super().get_all_trials(study_id, deepcopy, states))
            return [*self._lists[wanted]]

    def _counting(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if trial.number not in self._left_out] if self._left_out else trials


class _Table:
    """A study of Optuna's, and the storage that holds its trials, which are named by their ids there."""

    def __init__(
        self,
        directions: Sequence[Direction],
        sampler: optuna.samplers.BaseSampler | None,
        pruner: optuna.pruners.BasePruner,
        create_options: Mapping[str, Any],
    ) -> None:
        given = create_options.get("storage")
        self._storage = _Storage() if given is None else optuna.storages.get_storage(given)
        options = {**create_options, "storage": self._storage}
        if create_options.get("storage") is None:
            options.setdefault("study_name", "study")  # Hyperband draws from the name: the same in each process
        with _without_warnings():
            self.study = optuna.create_study(directions=list(directions), sampler=sampler, pruner=pruner, **options)
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)

    def ask(self) -> optuna.Trial:
        with _without_warnings():
            return self.study.ask()

    def id_of(self, trial: optuna.Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)

    def create(self, trial: FrozenTrial) -> int:
        # Not enqueue_trial and ask: another thread's ask could take it.
        return self._storage.create_new_trial(self._study_id, template_trial=trial)

    def reported(self, trial_id: int) -> Mapping[int, float]:
        return self._storage.get_trial(trial_id).intermediate_values

    def note(self, trial_id: int, step: int, value: float) -> None:
        self._storage.set_trial_intermediate_value(trial_id, step, float(value))

    def leave_out(self, trial_id: int) -> None:
        if isinstance(self._storage, _Storage):
            self._storage.leave_out(self._storage.get_trial_number_from_id(trial_id))

    def report(self, trial_id: int, step: int, value: float) -> bool:
        self.note(trial_id, step, value)
        return self.study.pruner.prune(self.study, self._storage.get_trial(trial_id))

    def replay(
        self,
        trial: FrozenTrial,
        reported: Mapping[int, float],
        state: OptunaState,
        values: Sequence[float],
        violations: Sequence[float],
    ) -> int:
        """Has the pruner look at ``trial`` as it ran; returns its id."""
        trial_id = self.create(trial)
        number = self._storage.get_trial_number_from_id(trial_id)
        notes = rungs(self.study.pruner, self.study, number, reported, was_pruned=state is OptunaState.PRUNED)
        for step, value in reported.items():
            if notes is None:
                self.report(trial_id, step, value)
            else:
                self._storage.set_trial_intermediate_value(trial_id, step, value)
        for key, value in (notes or {}).items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        self.tell(trial_id, state, values, violations)
        return trial_id

    def took(self, trial_id: int, seconds: float) -> None:
        """Notes how long a trial ran."""
        self._storage.set_trial_user_attr(trial_id, SECONDS, seconds)

    def tell(
        self, trial_id: int, state: OptunaState, values: Sequence[float] = (), violations: Sequence[float] = ()
    ) -> None:
        if violations:
            self._storage.set_trial_user_attr(trial_id, VIOLATIONS, list(violations))
            self._storage.set_trial_system_attr(trial_id, VIOLATIONS, list(violations))
        try:
            number = self._storage.get_trial_number_from_id(trial_id)
            self.study.tell(number, list(values) or None, state=state)
        except RuntimeError as error:
            # A sampler that has seen every point calls Study.stop, which Optuna refuses outside of its own loop. The
            # value has been stored by then, and the loop finds the end itself: all that comes are points it knows.
            if "Study.stop" not in str(error):
                raise

    def tell_last_reported(self, trial_id: int, state: OptunaState, violations: Sequence[float]) -> None:
        """Of a completed trial the value is what it reported last; one that reported nothing has failed."""
        trial = self._storage.get_trial(trial_id)
        if state is not OptunaState.COMPLETE:
            self.tell(trial_id, state)
        elif trial.last_step is None:
            self.tell(trial_id, OptunaState.FAIL)
        else:
            self.tell(trial_id, state, [trial.intermediate_values[trial.last_step]], violations)


def _suggest(trial: optuna.Trial, name: str, distribution: Distribution) -> Value:
    with _without_warnings():
        if isinstance(distribution, Categorical):
            return trial.suggest_categorical(name, distribution.choices)
        if isinstance(distribution, Int):
            return trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
