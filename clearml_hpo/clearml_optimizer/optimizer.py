"""``StudyOptimizer``: ClearML's ``HyperParameterOptimizer`` around ``OptunaStrategy``; its reports cost few calls."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from clearml.automation import HyperParameterOptimizer
from clearml.automation.optimization import MultiObjective
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.clearml_optimizer.strategy import OptunaStrategy
from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.report import Publisher
from clearml_hpo.scheduler import Scheduler
from clearml_hpo.search.space import SearchSpace

_OPTIMIZER_OPTIONS = frozenset(inspect.signature(HyperParameterOptimizer.__init__).parameters)

_LOG = logging.getLogger(__name__)

JobCompleteCallback = Callable[[str, float, int, dict[str, Any], str], None]


class StudyOptimizer(HyperParameterOptimizer):  # type: ignore[misc]
    """A script written for ClearML's optimizer gets this one by changing the class it names.

    Differences: ``optimizer_class`` is ``OptunaStrategy`` by default; the completion callback is called when a trial
    has completed, with the documented types, and not at the next report; a report reads nothing from the server.
    """

    def __init__(
        self,
        base_task_id: str,
        hyper_parameters: Sequence[ClearmlParameter] | SearchSpace,
        objective_metric_title: str | Sequence[str],
        objective_metric_series: str | Sequence[str],
        objective_metric_sign: str | Sequence[str] = "min",
        optimizer_class: Any = OptunaStrategy,
        **options: Any,
    ) -> None:
        """As ``HyperParameterOptimizer``; ``options`` are its other arguments, and those of the strategy.

        Several objectives are given as lists of titles, series and signs, for any strategy that takes them.
        """
        titles, series, signs = (
            [given] if isinstance(given, str) else list(given)
            for given in (objective_metric_title, objective_metric_series, objective_metric_sign)
        )
        metric = MultiObjective(
            title=titles,
            series=series,
            order=["min" if sign in ("min", "min_global") else "max" for sign in signs],
            extremum=[sign.endswith("_global") for sign in signs],
        )
        parameters = [] if isinstance(hyper_parameters, SearchSpace) else hyper_parameters
        if len(titles) > 1 and isinstance(optimizer_class, type):
            # ClearML's class makes a strategy for several objectives only if it is its own one.
            optimizer_class = optimizer_class(
                base_task_id=base_task_id,
                hyper_parameters=hyper_parameters,
                objective_metric=metric,
                execution_queue=options.get("execution_queue", "default"),
                num_concurrent_workers=options.get("max_number_of_concurrent_tasks", 10),
                compute_time_limit=options.get("compute_time_limit"),
                **{name: options.pop(name) for name in list(options) if name not in _OPTIMIZER_OPTIONS},
            )
        super().__init__(
            base_task_id=base_task_id,
            hyper_parameters=parameters,
            objective_metric_title=titles[0],
            objective_metric_series=series[0],
            objective_metric_sign=signs[0],
            optimizer_class=optimizer_class,
            **options,
        )
        self._objective_metric = metric

    @property
    def strategy(self) -> OptunaStrategy:
        """The strategy, which holds the loop."""
        strategy: OptunaStrategy = self.optimizer
        return strategy

    @property
    def _scheduler(self) -> Scheduler | None:
        driver = self.strategy.driver
        return driver.scheduler if driver is not None else None

    def start(self, job_complete_callback: JobCompleteCallback | None = None) -> bool:
        """Starts the study in a thread; see ``HyperParameterOptimizer.start``."""
        if job_complete_callback is not None:
            self.strategy.on_trial = self._notifier(job_complete_callback)
        return bool(super().start(job_complete_callback=None))

    def _notifier(self, callback: JobCompleteCallback) -> Callable[[Trial], None]:
        effort = BestEffort(_LOG.warning)

        def notify(trial: Trial) -> None:
            best = self._scheduler.best if self._scheduler is not None else None
            if trial.state is TrialState.COMPLETED and trial.value is not None and best is not None:
                seen = (trial.task_id, trial.value, trial.iteration, dict(trial.params), best.task_id)
                effort.attempt("job_complete_callback failed", lambda: callback(*seen))

        return notify

    def _report_daemon(self) -> None:
        """Reports every ``set_report_period`` minutes, and once at the end; ends the study at its time limit."""
        publisher = self._publisher()
        while self._thread is not None:
            wait_s = self._report_period_min * 60.0
            if self.optimization_timeout:
                wait_s = max(0.0, min(wait_s, self.optimization_timeout - time.time()))
            self._stop_event.wait(min(wait_s, 1.0))
            self._publish(publisher)
            if self.optimization_timeout and time.time() >= self.optimization_timeout:
                self.stop(wait_for_reporter=False)
                break
        self._publish(publisher, final=True)
        self._archive_all_but_the_best()

    def _archive_all_but_the_best(self) -> None:
        """``save_top_k_tasks_only``, by ClearML's own code."""
        completed = {
            trial.task_id: (list(trial.values), [trial.iteration] * len(trial.values), dict(trial.params))
            for trial in self.strategy.trials
            if trial.state is TrialState.COMPLETED
        }
        self._auto_archive_low_performance_tasks(completed)

    def _publish(self, publisher: Publisher | None, *, final: bool = False) -> None:
        scheduler = self._scheduler
        if publisher is None or scheduler is None:
            return
        try:
            publisher.publish(scheduler.trials, scheduler.earlier_attempts, final=final)
        except ClearmlHpoError as error:  # a server in trouble: the next report makes up for it
            _LOG.warning("the report is behind: %s", error)

    def _publisher(self) -> Publisher | None:
        """Reports on the optimizer task, if there is one that may be written to."""
        if self._task is None or self._readonly_task:
            return None
        task = ControllerTask(self.strategy.api, self._task.id, self._task.project)
        return Publisher(
            task,
            self.strategy.goal,
            lambda trial: self.strategy.api.task_url(self.strategy.project_id, trial.task_id),
            BestEffort(_LOG.warning),
            clock=time.time,
            period_s=self._report_period_min * 60.0,
            space=self.strategy.space,
            budget=self.strategy.total_max_jobs,
            histories=self.strategy.trial_tasks().histories,
        )
