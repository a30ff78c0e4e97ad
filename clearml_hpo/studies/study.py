"""``Study``: a study on the server, to look at and to steer from anywhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.cleanup import Done, KeepPlan, Others
from clearml_hpo.backend.cleanup import apply as keep
from clearml_hpo.backend.cleanup import plan as plan_to_keep
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.lease import Lease, driven_s, stopping_since
from clearml_hpo.backend.orders import NARROWED, End, How, Order, give, limits_of, pending, plain
from clearml_hpo.backend.removal import Removal, plan_removal, remove
from clearml_hpo.backend.study_records import StudyRecord, find_studies, read_again, read_study
from clearml_hpo.backend.trial_records import TrialReader, TrialRecords
from clearml_hpo.backend.trial_tasks import histories_of
from clearml_hpo.core.budget import Spent
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState, best_trial, pareto_front
from clearml_hpo.core.values import Value
from clearml_hpo.driving.session import use_server_of_session
from clearml_hpo.report import StudySummary, trials_with_curves
from clearml_hpo.scheduler.endings import ending_of
from clearml_hpo.studies.export import export, html_of
from clearml_hpo.studies.orders import chosen_to_end, end_now, extension, limits_with, point_to_try
from clearml_hpo.studies.rows import columns_of, data_frame, rows_of
from clearml_hpo.studies.spending import spent_of
from clearml_hpo.studies.steering import WITHOUT_VALUE, Retried, chosen_for_retry, end_study
from clearml_hpo.study_file import StudyFile, parse_study

if TYPE_CHECKING:
    import pandas

    from clearml_hpo.studies.defined import DefinedStudy, ObjectiveLike, TemplateLike


class Study:
    """A study that was run, runs, or waits on the ClearML server that is configured.

    ::

        from clearml_hpo import Study

        study = Study.load("credit-catboost")
        study.best.params
        study.trials_dataframe().sort_values("validation/logloss").head()

    It shows the study as it was read; :meth:`refresh` reads it anew. Trials are read when they are first asked for.

    Attributes:
        record: what its controller task says: status, project, who drives it, times.
    """

    def __init__(self, api: Api, record: StudyRecord) -> None:
        """Use :meth:`load` or :meth:`list`."""
        self._api = api
        self.record = record

    @classmethod
    def create(
        cls,
        name: str,
        template: TemplateLike,
        search_space: Mapping[str, Any] | str | Path,
        objective: ObjectiveLike,
        *,
        direction: Literal["minimize", "maximize"] | None = None,
        trials: int | None = None,
        **keys: Any,
    ) -> DefinedStudy:
        """Defines a study in Python, as a study file does; nothing runs yet.

        ::

            study = Study.create(
                "tune", "train.py", {"lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}},
                "validation/loss", direction="minimize", trials=20,
            )
            study.run(local=True, cpu=2)
            study.best.params

        Args:
            name: the study's name; the same name in the same project is the same study.
            template: a script's path, relative to the working directory; a task's id; or the keys of ``template:``.
            search_space: as in a study file, or the path of a file.
            objective: ``title/series`` of a scalar, with ``direction``; or as in a study file.
            trials: the budget of trials; the same as ``budget={"trials": ...}``.
            keys: all other keys of a study file: ``project``, ``sampler``, ``pruner``, ``budget``, ``execution``, ...

        Raises:
            InputError: a line for each fault, with its key, what was found and what is allowed.
        """
        from clearml_hpo.studies.defined import defined

        return defined(name, template, search_space, objective, direction=direction, trials=trials, **keys)

    @classmethod
    def load(cls, study: str, project: str | None = None) -> Study:
        """The study that ``study`` stands for.

        Args:
            study: its id, at least six characters that the id begins with, or its name.
            project: where the name is looked for; None is everywhere.

        Raises:
            InputError: there is none, or several ids begin so; the message names the nearest, or all of them.
            ServerError: no ClearML server answers.
        """
        api = _connected()
        return cls(api, read_study(api, study, project=project))

    @classmethod
    def list(cls, *, name: str | None = None, project: str | None = None, limit: int | None = None) -> Sequence[Study]:
        """Studies, newest first; only those of this name and project, and no more than ``limit``.

        Raises:
            InputError: there is no such project.
            ServerError: no ClearML server answers.
        """
        api = _connected()
        return [cls(api, record) for record in find_studies(api, name=name, project=project, limit=limit)]

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def study_id(self) -> str:
        """The id of its controller task."""
        return self.record.study_id

    @property
    def name(self) -> str:
        """Its name, which others may have too."""
        return self.record.name

    @property
    def url(self) -> str:
        """The page of its controller task."""
        return self.record.url

    @cached_property
    def file(self) -> StudyFile:
        """The study file, as its controller keeps it.

        Raises:
            InputError: it keeps none, or one that this version does not take.
        """
        if not self.record.study_yaml:
            raise InputError(f"study {self.study_id} keeps no study file; was it made by ClearML's own optimizer?")
        return parse_study(self.record.study_yaml, f"study {self.study_id}")

    @property
    def driven_s(self) -> float:
        """Seconds that controllers drove it, until its last sign of life."""
        return driven_s(self.record.properties, self.record.updated_at or 0.0)

    @property
    def goal(self) -> Goal:
        """The objectives, and the constraints on metrics."""
        return self.file.goal

    # --- its trials --------------------------------------------------------------------------------------------------

    @cached_property
    def _reader(self) -> TrialReader:
        return TrialReader(self._api, self.study_id, self.file.space, self.goal)

    @cached_property
    def _records(self) -> TrialRecords:
        self._reader.read_changed()
        return self._reader.records(stopping_since(self.record.properties))

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number, each with its latest attempt.

        Once the study has ended, what was taken back from a queue is stopped; a study that goes on runs it.
        """
        drafts = {trial.task_id for trial in self._records.drafts} if self.record.is_over else set()
        return tuple(
            replace(trial, state=TrialState.STOPPED, reason=self.record.reason)
            if trial.task_id in drafts
            else _as_ended(trial, self._records, self.goal)
            for trial in self._records.latest
        )

    @property
    def earlier_attempts(self) -> tuple[Trial, ...]:
        """Attempts that were followed by another one."""
        return self._records.earlier

    @property
    def counts(self) -> Mapping[TrialState, int]:
        """How many trials are in each state; states of none are left out."""
        found = Counter(trial.state for trial in self.trials)
        return {state: found[state] for state in TrialState if found[state]}

    @property
    def best(self) -> Trial | None:
        """The completed, feasible trial with the best value; with several objectives, in the first of them."""
        return best_trial(self.trials, self.goal)

    @property
    def pareto_front(self) -> Sequence[Trial]:
        """The completed, feasible trials that no other one beats in all objectives."""
        return pareto_front(self.trials, self.goal)

    def spent(self) -> Spent:
        """What it has used of its budgets, ``file.budget``, until its last sign of life."""
        return spent_of(self)

    @property
    def made_by_order(self) -> Mapping[str, int]:
        """The trials that try what users ordered, by the name of the order."""
        return self._records.orders

    def url_of(self, trial: Trial) -> str:
        """The page of a trial's task."""
        return self._api.task_url(self.record.project_id, trial.task_id)

    @property
    def columns(self) -> Sequence[str]:
        """The keys of :meth:`rows`, in their order; see :meth:`trials_dataframe`."""
        return columns_of(self.goal, [*self.file.space.distributions])

    def rows(self, trials: Iterable[Trial] | None = None, *, attempts: bool = False) -> Sequence[Mapping[str, Any]]:
        """A flat mapping for each of ``trials`` (default: all), and with ``attempts`` for their earlier attempts."""
        chosen = [*(self.trials if trials is None else trials)]
        if attempts:
            earlier = {trial.number: [t for t in self.earlier_attempts if t.number == trial.number] for trial in chosen}
            chosen = [attempt for trial in chosen for attempt in (*earlier[trial.number], trial)]
        return rows_of(chosen, self.goal, [*self.file.space.distributions], self.url_of)

    def trials_dataframe(self, *, attempts: bool = False) -> pandas.DataFrame:
        """The trials as a pandas data frame, one a row.

        Columns: number, attempt, state; the value by metric, such as ``validation/logloss``; is_feasible, if metrics
        have constraints; ``params.<section/name>``; iteration, queue, worker; queued_at, started_at, ended_at (UTC);
        duration_s; reason, task_id, url.

        Args:
            attempts: earlier attempts of trials that were run again, too.

        Raises:
            ImportError: pandas is not installed.
        """
        return data_frame(self.rows(attempts=attempts), self.columns)

    def export(self, target: str | Path) -> str:
        """All trials as text, which is returned.

        Args:
            target: ``json``, ``csv`` or ``yaml``; or a file of such an ending, which is written too. JSON and YAML
                have the study, its best trials and all attempts, CSV the rows of :meth:`trials_dataframe`.

        Raises:
            InputError: another ending, or a file that cannot be written.
        """
        return export(self, target)

    def summary(self) -> StudySummary:
        """The study to be summed up, with the curves of some trials: one call more."""
        trials, goal = self.trials, self.goal
        shown = trials_with_curves(trials, goal)
        return StudySummary(
            name=self.name,
            study_id=self.study_id,
            project=self.record.project,
            url=self.url,
            status=self.record.status,
            reason=self.record.reason,
            goal=goal,
            space=self.file.space,
            trials=trials,
            earlier=self.earlier_attempts,
            driven_s=self.driven_s,
            at=time.time() + self._api.server_ahead_s,
            url_of=self.url_of,
            histories=histories_of(self._api, goal, [trial.task_id for trial in shown]) if shown else {},
        )

    # --- steering ----------------------------------------------------------------------------------------------------

    def refresh(self) -> Study:
        """Reads the study anew, all of it; returns it."""
        self.__dict__.pop("_reader", None)
        return self.refresh_changed()

    def refresh_changed(self, *, record: bool = True) -> Study:
        """Reads what has changed, in two calls as a rule; returns the study.

        A trial that was deleted, or marked by hand, may be missed for a minute.

        Args:
            record: its controller task, too; else its trials alone.
        """
        before = self.record
        if record:
            self.record = read_again(self._api, before)
        is_same = self.record.study_yaml == before.study_yaml
        for name in ("_records", "trials") if is_same else ("file", "_reader", "_records", "trials"):
            self.__dict__.pop(name, None)
        return self

    def is_driven(self) -> bool:
        """Whether a controller drives it now, wherever it runs; asks the server."""
        return Lease(self._api, self.study_id).is_held()

    def stop(self, *, drain: bool = False) -> bool:
        """Ends the study; trials that wait do not start, those that run are aborted.

        A controller that drives the study is asked to end it, which takes it some 15 s; where there is none the study
        is ended at once. ``clearml-hpo resume`` goes on with it.

        Args:
            drain: leave trials that run alone until they have ended.

        Returns:
            Whether a controller was asked.
        """
        is_driven = self.is_driven()
        if is_driven:
            self._task.set_properties(stop="drain" if drain else "abort")
        else:
            end_study(self._api, self.refresh().record, self.trials, drain=drain)
        self.refresh()
        return is_driven

    def retry(self, numbers: Collection[int] = (), *, states: Collection[TrialState] = WITHOUT_VALUE) -> Retried:
        """Has trials that ended without a value run once more, as new attempts.

        A controller that drives the study does it; where there is none, they are run when the study is resumed.

        Args:
            numbers: which trials; none: all that are in one of ``states``.
            states: some of ``WITHOUT_VALUE``.

        Raises:
            InputError: there is no trial of some number, or it is in another state.
        """
        chosen = chosen_for_retry(self.refresh().trials, numbers, states)
        is_driven = self.is_driven()
        if is_driven and chosen:
            asked = [*filter(None, [self.record.properties.get("retry")]), *(str(t.number) for t in chosen)]
            self._task.set_properties(retry=",".join(asked))
        drafts = {trial.task_id for trial in self._records.drafts}  # they are run as they are
        for trial in () if is_driven else (trial for trial in chosen if trial.task_id not in drafts):
            ControllerTask(self._api, trial.task_id, self.record.project_id).set_properties(state="stopped")
        self.refresh()
        return Retried(chosen, is_driven)

    def enqueue(self, params: Mapping[str, Value]) -> bool:
        """Has a point tried before anything that the sampler proposes; it counts in the budget of trials.

        A controller that drives the study hears of it within some 15 s; where there is none, the point is tried when
        the study is resumed.

        Args:
            params: values by parameter, with or without the section; what is missing is the template's own.

        Returns:
            Whether a controller was asked.

        Raises:
            InputError: it is no point of the search space, was tried, or the budget is used up.
        """
        self.refresh()
        return self._order([point_to_try(self._api, self, params)])

    def end_trials(self, numbers: Collection[int], how: How = "prune") -> bool:
        """Ends trials that wait or run.

        A controller that drives the study does it within some 15 s; where there is none, it is done at once.

        Args:
            numbers: which trials.
            how: ``prune`` counts as pruned for the sampler; ``abort`` is as aborting the task in ClearML.

        Returns:
            Whether a controller was asked.

        Raises:
            InputError: there is no trial of some number, or it has ended.
        """
        chosen = chosen_to_end(self.refresh().trials, numbers, how)
        if self.is_driven():
            return self._order([End(trial.number, trial.task_id, how) for trial in chosen])
        end_now(self._api, chosen, how)
        self.refresh()
        return False

    def extend(self, **budget: Any) -> bool:
        """Gives the study a larger budget: ``study.extend(trials=100, time="2h")``.

        A controller that drives the study goes on with it within some 15 s; where there is none, ``clearml-hpo resume``
        does, also if the study was completed.

        Args:
            budget: of the keys of ``budget:`` in a study file ``trials``, ``time``, ``compute_time``, ``gpu_time``,
                ``iterations`` and ``no_improvement``; None is without limit.

        Returns:
            Whether a controller was asked.

        Raises:
            InputError: the budget is not sound, or smaller than it is.
        """
        self.refresh()
        return self._order([extension(self, budget)])

    def narrow(
        self,
        name: str,
        *,
        low: float | None = None,
        high: float | None = None,
        choices: Sequence[Value] | None = None,
    ) -> bool:
        """Has a parameter proposed within a part of its range from now on; without limits, within all of it again.

        Trials outside of that stay valid, and the sampler knows of them: it proposes until it meets the limits; if it
        keeps missing them, points within them are drawn at random. A controller hears of it within some 15 s, or when
        the study is resumed.

        Args:
            name: the parameter, with or without its section.
            low, high: of a number; values of its range.
            choices: of a categorical parameter; some of its own.

        Returns:
            Whether a controller was asked.

        Raises:
            InputError: there is no such parameter, the limits are not within its range, or no point is left.
        """
        limits = {key: each for key, each in (("low", low), ("high", high), ("choices", choices)) if each is not None}
        text = limits_with(self.refresh(), name, limits)
        self._task.set_properties(**{NARROWED: text})
        self.refresh()
        return self.is_driven()

    @property
    def narrowed(self) -> Mapping[str, Mapping[str, Any]]:
        """The limits that :meth:`narrow` has set, by parameter: ``{"General/lr": {"low": 0.01}}``."""
        try:
            return limits_of(self.record.properties)
        except ValueError:  # a user has edited it; the controller says so
            return {}

    @property
    def orders(self) -> Sequence[Mapping[str, Any]]:
        """Points, ends and budgets that were ordered and not done by the time it was read, the oldest first.

        ``do`` of each is ``try``, ``end`` or ``extend``; the other keys are what was ordered.
        """
        return [plain(order) for order in pending(self.record.properties).values() if order is not None]

    def keep_plan(self, top: int) -> KeepPlan:
        """What :meth:`keep_top` would keep and what goes; nothing is changed.

        Args:
            top: so many of the best trials keep everything, and so does the Pareto front.
        """
        return plan_to_keep(self._api, self.study_id, [*self.trials, *self.earlier_attempts], self.goal, top)

    def keep_top(self, plan: KeepPlan, others: Others = "archive", on_note: Callable[[str], None] = print) -> Done:
        """Archives the tasks of all but the best trials, or deletes their models and artifacts from storage.

        The trials stay in the study either way: it reads as before. What waits, runs or is published is not touched.

        Args:
            plan: from :meth:`keep_plan`.
            others: ``archive`` hides tasks and models, as ClearML's page does; ``delete`` frees storage.
            on_note: hears of what could not be deleted.

        Returns:
            What was done, as numbers and as a text (``str``).
        """
        return keep(self._api, plan, others, on_note)

    def removal(self) -> Removal:
        """What :meth:`remove` would remove of it; nothing is changed."""
        return plan_removal(self._api, self.study_id, self._records)

    def remove(self, removal: Removal, on_note: Callable[[str], None] = print) -> bool:
        """Deletes its tasks from the server, and their models and artifacts from storage.

        Args:
            removal: from :meth:`removal`.
            on_note: hears of what could not be deleted.

        Returns:
            Whether all is gone; if not, it can be tried again.
        """
        return remove(self._api, removal, on_note)

    def _order(self, orders: Iterable[Order]) -> bool:
        give(self._api, self.study_id, orders)
        self.refresh()
        return self.is_driven()

    @property
    def _task(self) -> ControllerTask:
        return ControllerTask(self._api, self.study_id, self.record.project_id)

    # --- shown -------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Study {self.name!r} {self.study_id}: {self.record.status}>"

    def _repr_html_(self) -> str:
        """For notebooks: where it stands, and its best trial."""
        return html_of(self)


def _connected() -> Api:
    """A connection to the server of this session: the configured one, else the embedded one, if there is one."""
    use_server_of_session()
    return Api()


def _as_ended(trial: Trial, records: TrialRecords, goal: Goal) -> Trial:
    """A trial whose end no controller has seen yet, as one would see it."""
    unseen = records.unseen.get(trial.task_id)
    ending = unseen and ending_of(trial, unseen, goal, None)
    return replace(trial, state=ending[0], reason=ending[1]) if ending else trial
