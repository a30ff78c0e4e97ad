"""A study, from start or from where it was left, to its result."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.template import faults_of_objectives, metrics_of
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.controller.advice import end_of_console
from clearml_hpo.controller.closing import Closing, Ended, Outcome
from clearml_hpo.controller.console import StudyConsole
from clearml_hpo.controller.driver import Driver, DriverHooks, InitialTrials, trial_tasks
from clearml_hpo.controller.first_points import good_points, said_of, untried_points, without_baselines
from clearml_hpo.controller.first_runs import FirstRuns
from clearml_hpo.controller.opening import Opened, ids_of
from clearml_hpo.controller.policy import policy_of
from clearml_hpo.controller.repeats import Repeats
from clearml_hpo.controller.reports import Curves, StudyReports
from clearml_hpo.controller.suggestions import Suggestions
from clearml_hpo.core.bell import Bell
from clearml_hpo.core.budget import Budget
from clearml_hpo.core.errors import ApiError, ClearmlHpoError, HeldError, InputError, StudyError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params
from clearml_hpo.executors import Executor
from clearml_hpo.scheduler import FindRoom, Room, Scheduler
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.mirror import Known
from clearml_hpo.search.pruners import DEFAULT, NONE, build_pruner, choose_by_reports, choose_pruner
from clearml_hpo.search.samplers import build_sampler, choose_sampler
from clearml_hpo.search.space import OpenSpace
from clearml_hpo.views.display import View

__all__ = ["Outcome", "StudyRun"]


class StudyRun:
    """Takes one opened study to its end: first runs, the driver, the closing.

    Attributes:
        is_concluding: whether all trials have ended, and only reports are left to be made.
        scheduler: the trials, once the study is driven.
    """

    def __init__(
        self,
        opened: Opened,
        api: Api,
        view: View,
        stopped: threading.Event,
        *,
        aborts: Callable[[], bool] = lambda: True,
        room: FindRoom = Room,
        bell: Bell | None = None,
        stopped_as: Callable[[], str] = lambda: "interrupted",
        sampler: Any = None,
        pruner: Any = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            stopped: ends the run early.
            aborts: whether trials that run then are aborted, or left to a successor.
            sampler, pruner: objects of Optuna's, in place of those that the study file names.
            bell: has a step of the loop follow soon.
            stopped_as: why it was stopped, for users.
            room: how much there is for trials, where the study is one among others.
        """
        self._opened = opened
        self._file = opened.file
        self._api = api
        self._stopped = stopped
        self._aborts = aborts
        self._policy = replace(policy_of(opened.file), room=room)
        self._console = StudyConsole(opened, view)
        self._closing = Closing(opened, api, self._console, stopped, stopped_as)
        self._reporting = {*opened.reporting}
        self._fault: ClearmlHpoError | None = None
        self._curves: Curves = {}
        self._bell = bell
        self._sampler = sampler
        self._pruner = pruner
        self._is_pruner_settled = pruner is not None or opened.file.spec.pruner.name != DEFAULT
        self.is_concluding = False
        self.scheduler: Scheduler | None = None

    def run(self) -> Outcome:
        """Runs it.

        Raises:
            InputError: the template lacks a parameter or the metric; nothing goes on running.
            StudyError: the first run of a new template failed.
            HeldError: another controller has taken over; the trials go on under it.
        """
        lease, executor = self._opened.lease, self._opened.executor
        if lease is None or executor is None:
            return self._closing.finished_earlier()
        self._console.note(f"study {self._file.spec.study}: {self._opened.controller.url}")
        try:
            ended = self._run_trials(lease, executor)
        except KeyboardInterrupt:
            raise  # the user is in a hurry: no more calls
        except HeldError:
            executor.close()
            with suppress(ApiError):  # then whoever has taken over waits until the lease has run out
                lease.leave()
            raise
        except BaseException as error:
            self._console.add(f"failed: {error}")
            reason, is_ours = str(error).partition("\n")[0] or type(error).__name__, True
            with suppress(ClearmlHpoError):
                is_ours = self._closing.finish("failed", reason)
            if is_ours:
                self._console.ended("failed", reason)
            raise
        return self._closing.close(ended, self._curves, summarises=not self._leaves)

    @property
    def _leaves(self) -> bool:
        """Whether the study is left to a successor, who will report on all of it."""
        return self._stopped.is_set() and not self._aborts()

    def _run_trials(self, lease: Lease, executor: Executor) -> Ended:
        opened, console = self._opened, self._console
        if opened.records is not None:
            console.progress(opened.records.latest, {}, opened.records.earlier)

        # New templates: their scripts' own hyperparameters.
        first_runs = FirstRuns(opened, lease, executor, self._api, self._policy, console, self._stopped, self._aborts)
        ended = first_runs.run()
        if ended is not None:
            return ended

        # The loop.
        controller = opened.controller
        tasks = trial_tasks(
            self._api,
            first_runs.templates,
            self._file.goal,
            self._file.space,
            parent_id=controller.task_id,
            project_id=controller.project_id,
            fidelity=self._file.fidelity,
        )
        reports = StudyReports(opened, self._api, tasks, console, self._stopped)
        driver = self._driver(lease, executor, tasks, first_runs, reports)
        self.scheduler = driver.scheduler
        driver.run(self._file.spec.execution.poll_interval)

        # The last reports, and what the trials amount to.
        self.is_concluding = True
        if not self._leaves:
            reports.complete(driver.scheduler)
        self._curves = reports.curves
        if self._fault is not None:
            raise self._fault
        return self._closing.conclude(driver, tasks)

    def _driver(
        self, lease: Lease, executor: Executor, tasks: TrialTasks, first_runs: FirstRuns, reports: StudyReports
    ) -> Driver:
        file, records, console = self._file, self._opened.records, self._console

        learner = self._learner()
        repeats = self._repeats(learner)

        def on_trial(trial: Trial) -> None:
            console.trial(trial)
            if not trial.state.is_live:
                self._settle_pruner(learner)
                first_runs.trial_ended(trial)
                repeats.see(trial)
                self._check_objectives(trial)
                self._check_baseline(trial, trial.number in first_runs.baselines)

        space = file.space
        suggestions = Suggestions(self._api, file, space) if isinstance(space, OpenSpace) else None

        def on_step(scheduler: Scheduler) -> None:
            if suggestions is not None and suggestions.has_grown:
                console.attempt("what trials suggest is not on record", lambda: self._record_space(suggestions))
            console.progress(
                scheduler.trials,
                scheduler.workers,
                scheduler.earlier_attempts,
                scheduler.stranded,
                scheduler.spent.to_gain,
            )
            console.attempt("the template is not complete", first_runs.complete_templates)
            console.send()
            reports.step(scheduler)

        return Driver(
            learner,
            tasks,
            executor,
            file.goal,
            self._policy,
            initial=InitialTrials(
                without_baselines(records, first_runs.baselines),
                baselines=[*first_runs.baselines.values()],
                first=self._first_points(first_runs),
            ),
            lease=lease,
            hooks=DriverHooks(
                on_trial,
                console.note,
                on_step,
                params_of=suggestions.params_of if suggestions is not None else lambda trial: trial.params,
                on_budget=self._extend,
            ),
            stopped=self._stopped,
            bell=self._bell,
            aborts=self._aborts,
        )

    def _first_points(self, first_runs: FirstRuns) -> Sequence[Params]:
        """What is tried before the sampler proposes anything."""
        records, has_values = self._opened.records, bool(self._opened.known)
        good = good_points(self._file, first_runs.templates)
        said = said_of(good, has_values=has_values)
        if said and (records is None or not records.latest):
            self._console.note(said)
        known_good = () if has_values else good.fitting
        return untried_points(self._file, first_runs.templates, records, first_runs.baselines, known_good)

    def _extend(self, changes: Mapping[str, Any]) -> Budget:
        """Gives the study another budget, and keeps it with the study, so that it goes on with it."""
        self._file.extend(changes)
        self._opened.controller.set_configuration(study=self._file.text(ids_of(self._opened.templates)))
        return self._file.budget

    def _record_space(self, suggestions: Suggestions) -> None:
        """Keeps the grown space with the study, so that it goes on with it."""
        self._opened.controller.set_configuration(study=self._file.text(ids_of(self._opened.templates)))
        suggestions.has_grown = False

    def _learner(self) -> OptunaStudy:
        """Sampler and pruner of the study file; they know already what ``warm_start`` gives."""
        file, spec, records = self._file, self._file.spec, self._opened.records
        trials = file.budget.trials
        choice = choose_sampler(
            spec.sampler.name,
            space=file.space,
            goal=file.goal,
            trials=trials,
            fidelity=file.fidelity,
        )
        if self._sampler is None and choice.name != spec.sampler.name:
            self._console.note(str(choice))
        pruning = choose_pruner(spec.pruner.name, space=file.space, goal=file.goal, fidelity=file.fidelity)
        if self._pruner is None and pruning.name != spec.pruner.name:
            self._console.note(str(pruning))
        if self._pruner is None and (said := file.remark_on_pruner):
            self._console.note(said)
        seed = spec.sampler.seed
        if seed is not None and records is not None:
            seed = (seed + len(records.latest)) % 2**32  # the points that this seed begins with are known
        sampler = build_sampler(
            spec.sampler.name,
            seed=seed,
            options=spec.sampler.options,
            space=file.space,
            goal=file.goal,
            trials=trials,
            fidelity=file.fidelity,
        )
        learner = OptunaStudy(
            file.space,
            [objective.direction for objective in file.goal.objectives],
            pruned_by=file.goal.pruned_by.direction if file.goal.pruned_by else None,
            sampler=self._sampler or sampler,
            pruner=self._pruner or build_pruner(pruning.name, options=spec.pruner.options),
        )
        for index, known in enumerate(self._opened.known):
            learner.restore(-1 - index, known.params, "completed", known.values, known.violations)
        return learner

    def _repeats(self, learner: OptunaStudy) -> Repeats:
        """Has the sampler know what earlier studies know, once this study repeats it."""
        number = itertools.count(-1 - len(self._opened.known), -1)

        def tell(known: Known) -> None:
            learner.restore(next(number), known.params, "completed", known.values, known.violations)

        repeats = Repeats(self._opened.to_repeat, tell, self._console.note)
        for trial in self._opened.records.latest if self._opened.records is not None else ():
            repeats.see(trial)
        return repeats

    def _settle_pruner(self, learner: OptunaStudy) -> None:
        """Has ``auto`` prune nothing, and curves not be read, once it is seen that trials have none."""
        if self._is_pruner_settled or not learner.prunes:
            return
        choice = choose_by_reports(learner.reports, self._file.goal)
        self._is_pruner_settled = choice is not None
        if choice is not None and choice.name == NONE:
            self._console.note(str(choice))
            learner.prune_nothing()

    def _check_baseline(self, ended: Trial, is_baseline: bool) -> None:
        """Stops the study if the first run of a new template fails for good: its script is at fault, not a point."""
        if ended.state is not TrialState.FAILED or not is_baseline or self._fault is not None:
            return
        if self._policy.failures.retry(ended.state, ended.attempt) is None:
            said = f"the baseline, trial {ended.number}, failed: {ended.reason}"
            console = end_of_console(self._api, self._opened.controller.project_id, ended.task_id)
            self._fault = StudyError(f"{said}\n{console}")
            self._stopped.set()

    def _check_objectives(self, ended: Trial) -> None:
        """Stops the study if no run of a template reports the objective: more trials would only be waste."""
        model = self._file.space.model_of(ended.params)
        if ended.state in (TrialState.COMPLETED, TrialState.PAUSED):
            self._reporting.add(model)
        if ended.state is TrialState.NO_OBJECTIVE and model not in self._reporting and self._fault is None:
            faults = faults_of_objectives(metrics_of(self._api, ended.task_id), self._file.goal, model)
            if faults:
                url = self._api.task_url(self._opened.controller.project_id, ended.task_id)
                self._fault = InputError(f"{self._file.explain(faults)}\nits console: {url}")
                self._stopped.set()
