"""``OptunaStrategy``: Optuna as a search strategy of ClearML's optimizer, on the single-threaded loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import optuna
from clearml import Task
from clearml.automation import ClearmlJob
from clearml.automation.job import LocalClearmlJob
from clearml.automation.optimization import Budget as ClearmlBudget
from clearml.automation.optimization import MultiObjective, SearchStrategy
from clearml.automation.optimization import Objective as ClearmlObjective
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import find_queues, own_queue_name
from clearml_hpo.backend.template import Template, faults_of_objectives, faults_of_space, template_by_id
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.clearml_optimizer.jobs import TrialJob
from clearml_hpo.clearml_optimizer.objectives import goal_of
from clearml_hpo.clearml_optimizer.parameters import space_of
from clearml_hpo.controller.driver import Driver, DriverHooks, trial_tasks
from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params, as_text
from clearml_hpo.executors import Executor
from clearml_hpo.executors.local import LOCAL, LocalExecutor
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.scheduler import Failures, Placement, Policy
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import SearchSpace
from clearml_hpo.workers.slots import default_slots

_LOG = logging.getLogger(__name__)

_HALT_S = 15.0
"""How long :meth:`OptunaStrategy.stop` waits until the calls that stop the trials are made."""

_LOST_AFTER_S = 600.0
"""A running trial that shows no sign of life for so long is lost."""


class OptunaStrategy(SearchStrategy):  # type: ignore[misc]
    """Give it to ClearML's ``HyperParameterOptimizer`` as ``optimizer_class``, or to ``StudyOptimizer``.

    It takes the arguments of ClearML's ``OptimizerOptuna``. What differs: one loop drives all trials with one batched
    call per step; only pruned trials are told as pruned, failures as failures; a finished trial is never pruned;
    points that were tried are not run again; time limits do stop.

    Attributes:
        driver: drives the trials; None before :meth:`start`.
        on_trial: called with each change of a trial's state, in the thread of :meth:`start`; set it before that.
    """

    def __init__(
        self,
        base_task_id: str,
        hyper_parameters: Sequence[ClearmlParameter] | SearchSpace,
        objective_metric: ClearmlObjective | MultiObjective,
        execution_queue: str | None,
        num_concurrent_workers: int | None,
        max_iteration_per_job: int | None = None,
        total_max_jobs: int | None = None,
        pool_period_min: float = 1 / 30,
        min_iteration_per_job: int | None = None,
        time_limit_per_job: float | None = None,
        compute_time_limit: float | None = None,
        optuna_sampler: optuna.samplers.BaseSampler | None = None,
        optuna_pruner: optuna.pruners.BasePruner | None = None,
        continue_previous_study: optuna.Study | None = None,
        *,
        seed: int | None = None,
        **optuna_kwargs: Any,
    ) -> None:
        """Checks the template; nothing runs before :meth:`start`.

        Args:
            base_task_id: the template task.
            hyper_parameters: ClearML's parameter objects, or a search space.
            objective_metric: what ``HyperParameterOptimizer`` makes of its title, series and sign.
            execution_queue: name or id of the queue.
            num_concurrent_workers: trials at once; None is one per worker of the queue.
            max_iteration_per_job: iterations after which a trial is stopped, its value kept.
            total_max_jobs: trials in all; None is without limit.
            pool_period_min: minutes between two polls (default: two seconds).
            min_iteration_per_job: iterations before which no trial is pruned.
            time_limit_per_job: minutes after which a trial is stopped, its value kept.
            compute_time_limit: minutes of running, all trials together, after which the study stops.
            optuna_sampler: default: multivariate TPE for parallel work.
            optuna_pruner: default: as ClearML's optimizer, Optuna's median pruner.
            continue_previous_study: an Optuna study whose trials are taken over as known.
            seed: for the default sampler.
            optuna_kwargs: passed on to ``optuna.create_study``.

        Raises:
            InputError: a parameter class without counterpart, or no such queue.
            ValueError: the base task does not exist.
        """
        self.api = Api()
        self._template = _template(self.api, base_task_id)
        self.space = hyper_parameters if isinstance(hyper_parameters, SearchSpace) else space_of(hyper_parameters)
        self.goal = goal_of(objective_metric)
        super().__init__(
            base_task_id=base_task_id,
            hyper_parameters=[] if isinstance(hyper_parameters, SearchSpace) else hyper_parameters,
            objective_metric=objective_metric,
            execution_queue=execution_queue,
            num_concurrent_workers=num_concurrent_workers,
            pool_period_min=pool_period_min,
            time_limit_per_job=time_limit_per_job,
            compute_time_limit=compute_time_limit,
            min_iteration_per_job=min_iteration_per_job,
            max_iteration_per_job=max_iteration_per_job,
            total_max_jobs=total_max_jobs,
        )
        # The loop enforces the compute budget. ClearML's reporter would compare it in the wrong unit, and fail.
        self.budget.compute_time = ClearmlBudget.Field(None)
        self._policy = Policy(
            budget=Budget(total_max_jobs, compute_s=_seconds(compute_time_limit)),
            limits=TrialLimits(_seconds(time_limit_per_job), max_iteration_per_job, min_iteration_per_job or 0),
            placement=Placement((execution_queue or LOCAL,), concurrency=num_concurrent_workers),
            failures=Failures(lost_after_s=_LOST_AFTER_S),
        )
        self._executor: Executor | None = None
        if execution_queue:
            self._executor = QueueExecutor(self.api, find_queues(self.api, [execution_queue]))
        self._sampler = optuna_sampler or build_sampler(
            seed=seed, space=self.space, goal=self.goal, trials=total_max_jobs
        )
        self._pruner = optuna_pruner or optuna.pruners.MedianPruner()
        self._history = continue_previous_study.trials if continue_previous_study else []
        self._create_options = optuna_kwargs
        self._jobs: dict[int, TrialJob] = {}
        self.driver: Driver | None = None
        self._is_local = False
        self.on_trial: Callable[[Trial], None] = lambda trial: None

    # --- what ClearML's optimizer calls ------------------------------------------------------------------------------

    def start(self) -> None:
        """Runs the study; returns when it has ended or :meth:`stop` was called.

        ClearML calls it in a thread and takes the study for running until it returns: an error is logged, not raised.
        """
        try:
            self.run()
        except Exception as error:
            _LOG.error("the study has ended early: %s", error)

    def run(self) -> None:
        """Runs the study; returns when it has ended or :meth:`stop` was called.

        Raises:
            ApiError: the server refused a call for good; the trials were stopped.
            InputError: there is no queue, and :meth:`set_job_class` has not asked for processes of this machine.
        """
        if self._is_local:
            slots = default_slots(self._num_concurrent_workers)
            executor = LocalExecutor(self.api, slots, queue=own_queue_name(LOCAL, self.parent_id), on_note=_LOG.warning)
            with closing(executor):
                self._drive(executor, replace(self._policy, placement=Placement((LOCAL,))))
        elif self._executor is None:
            raise InputError("execution_queue: start() wants the name of a queue; start_locally() does without")
        else:
            self._drive(self._executor, self._policy)

    def _drive(self, executor: Executor, policy: Policy) -> None:
        learner = OptunaStudy(
            self.space,
            [objective.direction for objective in self.goal.objectives],
            sampler=self._sampler,
            pruner=self._pruner,
            history=self._history,
            **self._create_options,
        )
        hooks = DriverHooks(on_trial=self._trial_changed, on_note=_LOG.warning)
        self.driver = Driver(
            learner, self.trial_tasks(), executor, self.goal, policy, hooks=hooks, stopped=self._stop_event
        )
        self.driver.run(self.pool_period_minutes * 60)

    def stop(self) -> None:
        """Ends the study from another thread: takes back what waits and stops what runs."""
        self._stop_event.set()
        if self.driver is not None:
            self.driver.wait_until_halted(_HALT_S)

    def set_job_class(self, job_class: type[ClearmlJob]) -> None:
        """``start_locally`` asks for trials as processes of this machine: one per GPU or core, each with its own.

        Raises:
            InputError: for another class: jobs are trials here.
        """
        if job_class not in (ClearmlJob, LocalClearmlJob):
            raise InputError(f"{job_class.__name__} is no way to run trials: ClearmlJob, or LocalClearmlJob")
        self._is_local = job_class is LocalClearmlJob

    def get_running_jobs(self) -> Sequence[ClearmlJob]:
        """Jobs of the trials that wait or run."""
        return [self._job(trial) for trial in self.trials if trial.state.is_live]

    def get_created_jobs_ids(self) -> Mapping[str, dict[str, Any]]:
        """Parameters by trial task id."""
        return {trial.task_id: dict(trial.params) for trial in self.trials}

    def get_created_jobs_tasks(self) -> Mapping[str, ClearmlJob]:
        """Jobs by trial task id."""
        return {trial.task_id: self._job(trial) for trial in self.trials}

    def get_top_experiments(self, top_k: int) -> Sequence[Task]:
        """ClearML's, without the trials that :meth:`_misplaced` names."""
        left_out = self._misplaced()
        found = super().get_top_experiments(top_k + len(left_out))
        return [task for task in found if task.id not in left_out][:top_k]

    def get_top_experiments_id_metrics_pair(self, top_k: int, **options: bool) -> Sequence[tuple[str, dict[str, Any]]]:
        """ClearML's, likewise."""
        left_out = self._misplaced()
        found = super().get_top_experiments_id_metrics_pair(top_k + len(left_out), **options)
        return [pair for pair in found if pair[0] not in left_out][:top_k]

    def get_top_experiments_details(self, top_k: int, **options: bool) -> Sequence[dict[str, Any]]:
        """ClearML's, likewise."""
        left_out = self._misplaced()
        found = super().get_top_experiments_details(top_k + len(left_out), **options)
        return [each for each in found if each["task_id"] not in left_out][:top_k]

    def _misplaced(self) -> set[str]:
        """Task ids of trials that a server sorts by a 0 which stands for NaN or infinity."""
        best_of_run = {objective.metric for objective in self.goal.objectives if objective.reading == "best"}
        return {t.task_id for t in self.trials if t.state is TrialState.NOT_FINITE or best_of_run & t.not_finite}

    def _validate_base_task(self) -> None:
        """Warns, as ClearML does, of parameters and metrics that the template has not."""
        self._base_task_name = self._template.name
        for fault in (
            *faults_of_space(self._template, self.space),
            *faults_of_objectives(self._template.metrics, self.goal),
        ):
            _LOG.warning(str(fault))

    # --- for StudyOptimizer ------------------------------------------------------------------------------------------

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials by number, each with its latest attempt."""
        return self.driver.scheduler.trials if self.driver is not None else ()

    @property
    def parent_id(self) -> str:
        """The task whose children the trial tasks are."""
        return str(self._job_parent_id or self._base_task_id)

    @property
    def project_id(self) -> str:
        """The project of the trial tasks: what ClearML's optimizer has set, its task's, or the template's."""
        if self._job_project_id:
            return str(self._job_project_id)
        return str(self._optimizer_task.project) if self._optimizer_task else self._template.project_id

    def trial_tasks(self) -> TrialTasks:
        """The study's trial tasks, named as ClearML's optimizer was told to."""
        template, naming = self._template.name, self._naming_function

        def name_of(number: int, params: Params) -> str:
            if naming is False:
                return template
            return str(naming(template, dict(params))) if naming else _trial_name(template, params)

        return trial_tasks(
            self.api,
            {"": self._template},
            self.goal,
            self.space,
            parent_id=self.parent_id,
            project_id=self.project_id,
            tag=self._tag,
            name_of=name_of,
        )

    def _job(self, trial: Trial) -> TrialJob:
        assert self.driver is not None  # there are no trials before it runs
        scheduler, number = self.driver.scheduler, trial.number
        if number not in self._jobs:
            self._jobs[number] = TrialJob(lambda: scheduler.trial(number))
        return self._jobs[number]

    def _trial_changed(self, trial: Trial) -> None:
        self.budget.jobs.update(trial.task_id, 1.0)
        if trial.state is not TrialState.QUEUED:
            self.budget.iterations.update(trial.task_id, float(trial.iteration))
        self.on_trial(trial)


def _template(api: Api, task_id: str) -> Template:
    try:
        return template_by_id(api, task_id)
    except InputError:
        raise ValueError(f"Could not find base task id {task_id}") from None


def _seconds(minutes: float | None) -> float | None:
    return None if not minutes else minutes * 60


def _trial_name(template: str, params: Params) -> str:
    """``train: General/depth=4 General/x=0.5``, as ClearML's own strategies name clones."""
    return f"{template}: {' '.join(f'{name}={as_text(params[name])}' for name in sorted(params))}"
