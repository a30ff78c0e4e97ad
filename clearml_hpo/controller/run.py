"""A study file, from start to result."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.controller.objectives import clearml_objective, sign_of
from clearml_hpo.controller.optimizer import StudyOptimizer
from clearml_hpo.controller.registration import FirstRun, find_or_create_template
from clearml_hpo.controller.strategy import OptunaStrategy, StudyContext
from clearml_hpo.display import Progress, View
from clearml_hpo.errors import ApiError, ClearmlHpoError, InputError
from clearml_hpo.executors import QueueExecutor
from clearml_hpo.patience import Patience
from clearml_hpo.pruners import build_pruner
from clearml_hpo.report import Publisher, study_result
from clearml_hpo.samplers import build_sampler
from clearml_hpo.scheduler import Scheduler
from clearml_hpo.spec import StudyFile, dump_params
from clearml_hpo.tasks import Api, ControllerTask, Template, TrialTasks
from clearml_hpo.tasks.names import ensure_project, find_queue
from clearml_hpo.tasks.template import faults_of_objective, faults_of_space, metrics_of, register, reported_metrics
from clearml_hpo.trial import Trial, TrialState, best_trial

_PING_S = 600.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: completed, stopped (by a person) or failed (no trial completed).
        reason: in one line.
        result: as ``report.study_result`` makes it.
    """

    status: str
    reason: str
    trials: tuple[Trial, ...]
    best: Trial | None
    url: str
    result: dict[str, Any]


@dataclass(frozen=True)
class _Ended:
    status: str
    reason: str
    trials: tuple[Trial, ...] = ()


class StudyRun:
    """One run of a study file on the ClearML server that is configured."""

    def __init__(
        self, file: StudyFile, api: Api, view: View, stopped: threading.Event, *, abort_on_stop: bool = True
    ) -> None:
        """``stopped`` ends the run early; trials that run then are aborted, or left if not ``abort_on_stop``."""
        self._file = file
        self._api = api
        self._view = view
        self._stopped = stopped
        self._abort_on_stop = abort_on_stop
        self._started_at = self._pinged_at = time.time()
        self._metric_is_known = False
        self._first_run: FirstRun | None = None
        self._fault: ClearmlHpoError | None = None

    def run(self) -> Outcome:
        """Runs it.

        Raises:
            InputError: the server lacks the queue, the template, a parameter or the metric; nothing goes on running.
            StudyError: the first run of a new template failed.
        """
        spec = self._file.spec
        queue_id = find_queue(self._api, spec.execution.queue)
        project_id = ensure_project(self._api, spec.project)
        template = find_or_create_template(self._api, spec.template, project_id)
        if template.is_registered:
            self._check(template)
        controller = ControllerTask.create(
            self._api, name=spec.study, project_id=project_id, study_yaml=self._file.text
        )
        self._view.note(f"study {spec.study}: {controller.url}")
        try:
            ended = self._run_as(controller, template, QueueExecutor(self._api, queue_id))
        except KeyboardInterrupt:
            raise  # somebody is in a hurry: no more calls
        except BaseException as error:
            with suppress(ClearmlHpoError):
                controller.finish("failed", str(error).partition("\n")[0] or type(error).__name__)
            raise
        controller.finish(ended.status, ended.reason)
        return self._outcome(controller, ended)

    def _check(self, template: Template) -> None:
        faults = faults_of_space(template, self._file.space)
        metrics = reported_metrics(self._api, template)
        if metrics:
            faults += faults_of_objective(metrics, self._file.objective)
        if faults:
            raise InputError(self._file.explain(faults))
        self._metric_is_known = bool(metrics)

    def _run_as(self, controller: ControllerTask, template: Template, executor: QueueExecutor) -> _Ended:
        baseline: Trial | None = None
        if not template.is_registered:
            registered = self._register(controller, template, executor)
            if isinstance(registered, _Ended):
                return registered
            template, baseline = registered
        strategy = self._strategy(controller, template, baseline)
        optimizer = self._optimizer(strategy)
        publisher = Publisher(controller, self._file.objective, strategy.url_of, clock=time.time)
        strategy.on_trial = self._trial_changed
        strategy.on_note = self._view.note
        strategy.on_step = lambda scheduler: self._step_done(scheduler, publisher, controller)
        optimizer.run()
        scheduler = strategy.scheduler
        assert scheduler is not None  # run() made it
        publisher.publish(scheduler.trials, final=True)
        if self._fault is not None:
            raise self._fault
        return self._conclude(controller, scheduler)

    def _register(
        self, controller: ControllerTask, template: Template, executor: QueueExecutor
    ) -> tuple[Template, Trial | None] | _Ended:
        """Waits until the first run of the template has shown its hyperparameters; with it trial 0, if it is that."""
        self._view.note(f"{template.name} is new: its first run makes its hyperparameters known")
        first = FirstRun(self._api, template, self._file, self._trial_tasks(controller, template), executor)
        trial = Trial(0, {}, first.start(), queued_at=time.time())
        try:
            registered = self._wait_for(first, trial, controller)
        except Exception:
            with suppress(ClearmlHpoError):
                first.cancel(trial.task_id)
            raise
        if isinstance(registered, _Ended):
            self._view.note("stopping: ending the first run")
            first.cancel(trial.task_id)
            return registered
        if not first.is_trial:
            first.cancel(trial.task_id)
            return registered, None
        self._first_run = first
        return registered, replace(trial, params=self._file.space.parse(registered.params))

    def _wait_for(self, first: FirstRun, trial: Trial, controller: ControllerTask) -> Template | _Ended:
        """The template once it is complete, or how the study has ended before that."""
        workers = first.executor.workers()
        if workers == 0:
            self._view.note("no worker serves the queue yet: the first run waits")
        patience = Patience(self._file.spec.execution.poll_interval, self._view.note)
        while True:
            try:
                registered = first.look(trial.task_id)
                if registered is not None:
                    return registered
                patience.succeeded()
            except ApiError as error:
                patience.failed(error)
            self._show_progress([trial], workers)
            self._keep_alive(controller)
            spent = self._file.budget.spent(wall_s=self._elapsed_s, compute_s=0.0)
            if spent or self._stopped.wait(patience.wait_s):
                reason = spent or "interrupted"
                ended = replace(trial, state=TrialState.ABORTED, reason=reason, ended_at=time.time())
                return _Ended("failed" if spent else "stopped", reason, (ended,))

    def _trial_tasks(self, controller: ControllerTask, template: Template) -> TrialTasks:
        return TrialTasks(
            self._api,
            template,
            self._file.objective,
            study=controller.task_id,
            parent_id=controller.task_id,
            project_id=controller.project_id,
            name_of=lambda number, params: f"{template.name}: baseline",
            tags=("optimization", f"opt: {controller.task_id}"),
        )

    def _strategy(self, controller: ControllerTask, template: Template, baseline: Trial | None) -> OptunaStrategy:
        file, spec = self._file, self._file.spec
        own_values = file.space.parse(template.params)
        return OptunaStrategy(
            base_task_id=template.task_id,
            hyper_parameters=file.space,
            objective_metric=clearml_objective(file.objective),
            execution_queue=spec.execution.queue,
            num_concurrent_workers=spec.execution.concurrency,
            total_max_jobs=file.budget.trials,
            pool_period_min=spec.execution.poll_interval / 60,
            optuna_sampler=build_sampler(spec.sampler.name, seed=spec.sampler.seed, options=spec.sampler.options),
            optuna_pruner=build_pruner(spec.pruner.name, options=spec.pruner.options),
            context=StudyContext(
                self._api,
                template,
                parent_id=controller.task_id,
                project_id=controller.project_id,
                wall_s=file.budget.wall_s,
                started_at=self._started_at,
                prefetch=spec.execution.prefetch,
                baseline=baseline,
                first=() if baseline is not None else (own_values,),
                stopped=self._stopped,
                abort_on_stop=self._abort_on_stop,
                is_checked=True,
            ),
        )

    def _optimizer(self, strategy: OptunaStrategy) -> StudyOptimizer:
        objective = self._file.objective
        return StudyOptimizer(
            base_task_id=strategy.base_task_id,
            hyper_parameters=self._file.space,
            objective_metric_title=objective.title,
            objective_metric_series=objective.series,
            objective_metric_sign=sign_of(objective),
            optimizer_class=strategy,
            execution_queue=self._file.spec.execution.queue,
            auto_connect_task=False,
        )

    @property
    def _elapsed_s(self) -> float:
        return time.time() - self._started_at

    def _trial_changed(self, trial: Trial) -> None:
        self._view.trial(trial)
        if trial.state.is_live:
            return
        if self._first_run is not None and trial.number == 0:
            # What the script connected after its first report belongs to the template too.
            register(self._api, self._first_run.template, trial.task_id)
        self._metric_is_known |= trial.state is TrialState.COMPLETED
        if trial.state is TrialState.NO_OBJECTIVE and not self._metric_is_known and self._fault is None:
            # No run of this template is known to have reported the objective: more trials would only be waste.
            faults = faults_of_objective(metrics_of(self._api, trial.task_id), self._file.objective)
            if faults:
                self._fault = InputError(self._file.explain(faults))
                self._stopped.set()

    def _step_done(self, scheduler: Scheduler, publisher: Publisher, controller: ControllerTask) -> None:
        self._show_progress(scheduler.trials, scheduler.workers)
        publisher.publish(scheduler.trials)
        self._keep_alive(controller)

    def _show_progress(self, trials: Sequence[Trial], workers: int) -> None:
        self._view.progress(Progress(trials, workers, self._elapsed_s, self._file.budget.trials))

    def _keep_alive(self, controller: ControllerTask) -> None:
        if time.time() - self._pinged_at > _PING_S:
            self._pinged_at = time.time()
            controller.ping()

    def _conclude(self, controller: ControllerTask, scheduler: Scheduler) -> _Ended:
        best = scheduler.best
        if best is not None:
            heading = f"# trial {best.number}: {self._file.objective.metric} = {best.value!r}"
            controller.set_configuration(best=f"{heading}\n{dump_params(best.params)}")
        if self._stopped.is_set():
            return _Ended("stopped", "interrupted", scheduler.trials)
        if best is None:
            return _Ended("failed", "no trial completed with a value", scheduler.trials)
        return _Ended("completed", scheduler.ended, scheduler.trials)

    def _outcome(self, controller: ControllerTask, ended: _Ended) -> Outcome:
        result = study_result(
            study=self._file.spec.study,
            controller_task_id=controller.task_id,
            objective=self._file.objective,
            trials=ended.trials,
            api_calls=self._api.calls,
            wall_s=self._elapsed_s,
        )
        best = best_trial(ended.trials, self._file.objective)
        return Outcome(ended.status, ended.reason, ended.trials, best, controller.url, result)
