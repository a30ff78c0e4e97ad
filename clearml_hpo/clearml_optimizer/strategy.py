"""``OptunaStrategy``: Optuna as a search strategy of ClearML's optimizer, on the single-threaded loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import optuna
from clearml import Task
from clearml.automation import ClearmlJob
from clearml.automation.job import LocalClearmlJob
from clearml.automation.optimization import Budget as ClearmlBudget
from clearml.automation.optimization import MultiObjective, SearchStrategy
from clearml.automation.optimization import Objective as ClearmlObjective
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.names import find_queues
from clearml_hpo.backend.patience import Patience, patiently
from clearml_hpo.backend.template import Template, Templates, faults_of_objectives, faults_of_space, template_by_id
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.clearml_optimizer.jobs import TrialJob
from clearml_hpo.clearml_optimizer.objectives import goal_of
from clearml_hpo.clearml_optimizer.parameters import space_of
from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.errors import ApiError, HeldError, InputError, is_trouble
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params, as_text
from clearml_hpo.executors import Executor
from clearml_hpo.executors.local import LOCAL, LocalExecutor
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.scheduler import Failures, Hooks, Placement, Policy, Scheduler
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.mirror import Known
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import SearchSpace
from clearml_hpo.workers.slots import default_slots

_Answer = TypeVar("_Answer")
_LOG = logging.getLogger(__name__)
_HALT_S = 15.0
_SEE_THE_END_S = 30.0
_LOOK_S = 1.0
_LOST_AFTER_S = 600.0
LOCALLY = Placement((LOCAL,))
STOP_ASKED = "somebody asked for the study to stop"


@dataclass(frozen=True)
class StudyContext:
    """What a study file's run has beyond the arguments of ClearML's optimizer.

    Attributes:
        parent_id: parent of the trial tasks; default: the optimizer task, else the template.
        project_id: project of the trial tasks; default: the optimizer task's, else the template's.
        goal: in place of ``objective_metric``, with what ClearML's classes have no words for.
        policy: in place of the limits among the arguments.
        executor: in place of one for ``execution_queue``.
        baselines: trials that run already, with the templates' own values.
        first: parameters to try before the sampler's.
        known: points whose values are known from elsewhere.
        records: the trials of a study that goes on.
        hold: shows that the study is driven, and says what people ask for.
        stopped: set by whoever wants the study to stop.
        aborts: whether that ends trials that run, or leaves them to a successor.
        is_checked: whether space and objectives were held against the template already.
    """

    api: Api
    templates: Templates
    parent_id: str | None = None
    project_id: str | None = None
    goal: Goal | None = None
    policy: Policy | None = None
    executor: Executor | None = None
    baselines: Sequence[Trial] = ()
    first: Sequence[Params] = ()
    known: Sequence[Known] = ()
    records: TrialRecords | None = None
    hold: Lease | None = None
    stopped: threading.Event | None = None
    aborts: Callable[[], bool] = lambda: True
    is_checked: bool = False


class OptunaStrategy(SearchStrategy):  # type: ignore[misc]
    """Give it to ClearML's ``HyperParameterOptimizer`` as ``optimizer_class``, or to ``StudyOptimizer``.

    It takes the arguments of ClearML's ``OptimizerOptuna``. What differs: trials are driven by one loop with one
    batched call per step; only pruned trials are told as pruned, failures as failures; a finished trial is never
    pruned; points that were tried are not run again; time limits do stop.
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
        context: StudyContext | None = None,
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
            context: what is there already, when a study file is run.
            optuna_kwargs: passed on to ``optuna.create_study``.

        Raises:
            InputError: a parameter class without counterpart, or no such queue.
            ValueError: the base task does not exist.
        """
        self._context = context or _context_of(base_task_id)
        self.api = self._context.api
        self.space = hyper_parameters if isinstance(hyper_parameters, SearchSpace) else space_of(hyper_parameters)
        self.goal = self._context.goal or goal_of(objective_metric)
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
        self._policy = self._context.policy or Policy(
            budget=Budget(total_max_jobs, compute_s=_seconds(compute_time_limit)),
            limits=TrialLimits(_seconds(time_limit_per_job), max_iteration_per_job, min_iteration_per_job or 0),
            placement=Placement((execution_queue or LOCAL,), concurrency=num_concurrent_workers),
            failures=Failures(lost_after_s=_LOST_AFTER_S),
        )
        self._executor = self._context.executor
        if self._executor is None and execution_queue:
            self._executor = QueueExecutor(self.api, find_queues(self.api, [execution_queue]))
        self._sampler = optuna_sampler or build_sampler(
            seed=seed, space=self.space, goal=self.goal, trials=total_max_jobs, workers=num_concurrent_workers
        )
        self._pruner = optuna_pruner or optuna.pruners.MedianPruner()
        self._history = continue_previous_study.trials if continue_previous_study else []
        self._create_options = optuna_kwargs
        if self._context.stopped is not None:
            self._stop_event = self._context.stopped
        self._halted = threading.Event()
        self._jobs: dict[int, TrialJob] = {}
        self.scheduler: Scheduler | None = None
        self.stop_asked = False
        self._is_local = False
        self.on_trial: Callable[[Trial], None] = lambda trial: None
        self.on_note: Callable[[str], None] = _LOG.warning
        self.on_step: Callable[[Scheduler], None] = lambda scheduler: None

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
            HeldError: another controller has taken over; the trials were left to it.
        """
        if self._is_local:
            slots = default_slots(self._num_concurrent_workers)
            executor = LocalExecutor(self.api, slots, queue=f"local-{self.parent_id}", on_note=self._note)
            with closing(executor):
                self._drive(executor)
        elif self._executor is None:
            raise InputError("execution_queue: start() wants the name of a queue; start_locally() does without")
        else:
            self._drive(self._executor)

    def _drive(self, executor: Executor) -> None:
        scheduler = self.scheduler = self._build(executor)
        self._halted.clear()
        try:
            self._take_up(scheduler)
            scheduler.run(
                self.pool_period_minutes * 60,
                self._stop_event,
                before_step=lambda: self._heed(scheduler),
                on_step=lambda: self.on_step(scheduler),
            )
            if self._stop_event.is_set() and not scheduler.is_done:
                self._halt(scheduler)
        except HeldError:
            raise  # the trials are another controller's now
        except Exception:
            with suppress(Exception):  # nobody would look after the trials any more
                self._halt(scheduler)
            raise
        finally:
            self._halted.set()

    def stop(self) -> None:
        """Ends the study from another thread: takes back what waits and stops what runs."""
        self._stop_event.set()
        if self.scheduler is not None:
            self._halted.wait(_HALT_S)

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
        return [self._job(trial) for trial in self._trials if trial.state.is_live]

    def get_created_jobs_ids(self) -> Mapping[str, dict[str, Any]]:
        """Parameters by trial task id."""
        return {trial.task_id: dict(trial.params) for trial in self._trials}

    def get_created_jobs_tasks(self) -> Mapping[str, ClearmlJob]:
        """Jobs by trial task id."""
        return {trial.task_id: self._job(trial) for trial in self._trials}

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
        return {t.task_id for t in self._trials if t.state is TrialState.NOT_FINITE or best_of_run & t.not_finite}

    def _validate_base_task(self) -> None:
        """Warns, as ClearML does, of parameters and metrics that the template has not; a study file was checked."""
        self._base_task_name = self._template.name
        if self._context.is_checked:
            return
        for fault in faults_of_space(self._template, self.space):
            _LOG.warning(str(fault))
        for fault in faults_of_objectives(self._template.metrics, self.goal):
            _LOG.warning(str(fault))

    @property
    def _template(self) -> Template:
        """The template task, the first of several."""
        return next(iter(self._context.templates.values()))

    # --- the parts ---------------------------------------------------------------------------------------------------

    def trial_tasks(self) -> TrialTasks:
        """The study's trial tasks."""
        parent_id = self.parent_id
        return TrialTasks(
            self.api,
            self._context.templates,
            self.goal,
            study=parent_id,
            parent_id=parent_id,
            project_id=self._project_id(),
            name_of=self._name_of,
            space=self.space,
            tags=(self._tag, f"opt: {parent_id}"),
        )

    @property
    def parent_id(self) -> str:
        """The task whose children the trial tasks are."""
        return str(self._context.parent_id or self._job_parent_id or self._base_task_id)

    @property
    def base_task_id(self) -> str:
        """The template task."""
        return str(self._base_task_id)

    def url_of(self, trial: Trial) -> str:
        """The page of a trial task."""
        return self.api.task_url(self._project_id(), trial.task_id)

    def _build(self, executor: Executor) -> Scheduler:
        study = OptunaStudy(
            self.space,
            [objective.direction for objective in self.goal.objectives],
            pruned_by=self.goal.pruned_by.direction if self.goal.pruned_by else None,
            sampler=self._sampler,
            pruner=self._pruner,
            history=self._history,
            **self._create_options,
        )
        for index, known in enumerate(self._context.known):
            study.restore(-1 - index, known.params, "completed", known.values, known.violations)
        return Scheduler(
            study,
            self.trial_tasks(),
            executor,
            self.goal,
            replace(self._policy, placement=LOCALLY) if self._is_local else self._policy,
            hooks=Hooks(on_trial=self._trial_changed, on_note=self._note, on_stopping=self._stopping),
            driven_since=time.time() - (hold.driven_s if (hold := self._context.hold) else 0.0),
        )

    def _take_up(self, scheduler: Scheduler) -> None:
        """Puts the trials that exist already before the loop, and the points that people want tried."""
        context = self._context
        records = context.records
        if records is not None:
            tasks = self.trial_tasks()
            told = [t.task_id for t in records.settled if t.state in (TrialState.COMPLETED, TrialState.PRUNED)]
            histories = self._patiently(lambda: tasks.histories(told)) if scheduler.prunes else {}
            scheduler.restore(records.settled, records.earlier, histories)
            for trial in records.drafts:
                scheduler.adopt_draft(trial)
            for trial in records.unsettled:
                scheduler.adopt(trial, records.wishes.get(trial.task_id))
            known = [trial.task_id for trial in (*records.latest, *records.earlier)]
            self._patiently(lambda: tasks.delete_twins(records.orphans, known))
            for trial in records.settled:
                # Perhaps nobody has noted it yet; a third controller could not tell it from an aborted one.
                if trial.state is TrialState.STOPPED:
                    self._patiently(partial(tasks.mark, trial.task_id, state=trial.state.value))
        for baseline in context.baselines:
            scheduler.adopt(baseline)
        for params in context.first:
            scheduler.enqueue(params)

    def _patiently(self, call: Callable[[], _Answer]) -> _Answer:
        return patiently(call, self.on_note, self._stop_event)

    def _heed(self, scheduler: Scheduler) -> None:
        """Shows that the study is driven, and does what people ask for; raises HeldError."""
        if self._context.hold is None:
            return
        asked = self._context.hold.renew()
        for number in asked.retry:
            scheduler.retry(number)
        if asked.stop == "drain" and not self.stop_asked:
            self.on_note("asked to stop: taking back what waits, waiting for what runs (Ctrl-C ends it)")
            scheduler.stop(STOP_ASKED, abort=False)
        elif asked.stop == "abort":
            self._stop_event.set()
        self.stop_asked |= bool(asked.stop)

    def _stopping(self, reason: str) -> None:
        if self._context.hold is None:
            return
        try:
            self._context.hold.stopping()
        except ApiError as error:
            if is_trouble(error):
                raise
            self.on_note(f"the controller task cannot be written to: {error}")

    def _halt(self, scheduler: Scheduler) -> None:
        """Stops the trials, tells whoever waits that this is under way, and sees it through; raises HeldError."""
        if self._context.hold is not None:
            with suppress(ApiError):  # a server in trouble has no news of another controller
                self._context.hold.renew(at_once=True)
        aborts = self._context.aborts()
        ending = "ending what runs" if aborts else "leaving what runs"
        self.on_note(f"stopping: taking back what waits, {ending} (Ctrl-C once more to leave at once)")
        scheduler.stop("the study was stopped", abort=aborts)
        patience = Patience(_LOOK_S, self.on_note)
        until = time.monotonic() + _SEE_THE_END_S
        while time.monotonic() < until:
            try:
                goes_on = scheduler.step()
                self._halted.set()
                self.on_step(scheduler)
                patience.succeeded()
                if not (goes_on and aborts):
                    return
            except ApiError as error:
                patience.failed(error)
            threading.Event().wait(patience.wait_s)

    @property
    def _trials(self) -> Sequence[Trial]:
        return self.scheduler.trials if self.scheduler else ()

    def _job(self, trial: Trial) -> TrialJob:
        number = trial.number
        if number not in self._jobs:
            self._jobs[number] = TrialJob(lambda: self._scheduled().trial(number))
        return self._jobs[number]

    def _scheduled(self) -> Scheduler:
        assert self.scheduler is not None  # jobs exist only once it runs
        return self.scheduler

    def _name_of(self, number: int, params: Params) -> str:
        template = self._context.templates[self.space.model_of(params)].name
        if self._naming_function is False:
            return template
        if self._naming_function:
            return str(self._naming_function(template, dict(params)))
        values = " ".join(f"{name}={as_text(params[name])}" for name in sorted(params))
        return f"{template}: {values}"

    def _project_id(self) -> str:
        given = self._context.project_id or self._job_project_id
        if given:
            return str(given)
        return str(self._optimizer_task.project) if self._optimizer_task else self._template.project_id

    def _trial_changed(self, trial: Trial) -> None:
        self.budget.jobs.update(trial.task_id, 1.0)
        if trial.state is not TrialState.QUEUED:
            self.budget.iterations.update(trial.task_id, float(trial.iteration))
        self.on_trial(trial)

    def _note(self, text: str) -> None:
        self.on_note(text)


def _context_of(task_id: str) -> StudyContext:
    api = Api()
    try:
        return StudyContext(api, {"": template_by_id(api, task_id)})
    except InputError:
        raise ValueError(f"Could not find base task id {task_id}") from None


def _seconds(minutes: float | None) -> float | None:
    return None if not minutes else minutes * 60
