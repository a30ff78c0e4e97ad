"""``StudyOptimizer``: ClearML's ``HyperParameterOptimizer`` around ``OptunaStrategy``; its reports cost few calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from clearml.automation import HyperParameterOptimizer
from clearml.automation.parameters import Parameter as ClearmlParameter

from clearml_hpo.controller.strategy import OptunaStrategy
from clearml_hpo.report import Publisher
from clearml_hpo.scheduler import Scheduler
from clearml_hpo.search_space import SearchSpace
from clearml_hpo.tasks import ControllerTask
from clearml_hpo.trial import Trial, TrialState

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
        objective_metric_title: str,
        objective_metric_series: str,
        objective_metric_sign: str = "min",
        optimizer_class: Any = OptunaStrategy,
        **options: Any,
    ) -> None:
        """As ``HyperParameterOptimizer``; ``options`` are its other arguments, and those of the strategy."""
        super().__init__(
            base_task_id=base_task_id,
            hyper_parameters=[] if isinstance(hyper_parameters, SearchSpace) else hyper_parameters,
            objective_metric_title=objective_metric_title,
            objective_metric_series=objective_metric_series,
            objective_metric_sign=objective_metric_sign,
            optimizer_class=optimizer_class,
            **options,
        )

    @property
    def strategy(self) -> OptunaStrategy:
        """The strategy, which holds the loop."""
        strategy: OptunaStrategy = self.optimizer
        return strategy

    def start(self, job_complete_callback: JobCompleteCallback | None = None) -> bool:
        """Starts the study in a thread; see ``HyperParameterOptimizer.start``."""
        if job_complete_callback is not None:
            self.strategy.on_trial = self._notifier(job_complete_callback)
        return bool(super().start(job_complete_callback=None))

    def run(self) -> None:
        """Runs the study in this thread; returns when it has ended."""
        self.optimization_start_time = time.time()
        self.strategy.run()

    def _notifier(self, callback: JobCompleteCallback) -> Callable[[Trial], None]:
        def notify(trial: Trial) -> None:
            best = self.strategy.scheduler.best if self.strategy.scheduler else None
            if trial.state == "completed" and trial.value is not None and best is not None:
                callback(trial.task_id, trial.value, trial.iteration, dict(trial.params), best.task_id)

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
        trials = self.strategy.scheduler.trials if self.strategy.scheduler else ()
        completed = {
            trial.task_id: ([trial.value], [trial.iteration], dict(trial.params))
            for trial in trials
            if trial.state is TrialState.COMPLETED
        }
        self._auto_archive_low_performance_tasks(completed)

    def _publish(self, publisher: Publisher | None, *, final: bool = False) -> None:
        scheduler: Scheduler | None = self.strategy.scheduler
        if publisher is not None and scheduler is not None:
            publisher.publish(scheduler.trials, final=final)

    def _publisher(self) -> Publisher | None:
        """Reports on the optimizer task, if there is one that may be written to."""
        if self._task is None or self._readonly_task:
            return None
        task = ControllerTask(self.strategy.api, self._task.id, self._task.project)
        return Publisher(
            task,
            self.strategy.objective,
            self.strategy.url_of,
            clock=time.time,
            period_s=self._report_period_min * 60.0,
        )
