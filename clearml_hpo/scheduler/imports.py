"""Trials that ended elsewhere: each becomes one of this study, with a task, and the sampler learns of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from clearml_hpo.backend.imported import IMPORTED, Finished
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import MetricSummary
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.outcome_reporter import OutcomeReporter

_AT_ONCE = 10  # in one step: each is six calls, and workers wait meanwhile


@dataclass(frozen=True)
class Import:
    """A trial to be added; ``name`` is known again if it comes twice."""

    name: str
    params: Params
    finished: Finished


@dataclass
class _Batch:
    imports: Sequence[Import]
    done: Future[list[int]] = field(default_factory=Future)
    numbers: list[int] = field(default_factory=list)


class Imports:
    """Any thread adds; the loop's thread makes the trials, a few in each step."""

    def __init__(self, context: Context, launcher: Launcher, reporter: OutcomeReporter, ledger: Ledger) -> None:
        self._context = context
        self._launcher = launcher
        self._reporter = reporter
        self._ledger = ledger
        self._lock = threading.Lock()
        self._batches: deque[_Batch] = deque()
        self._is_closed = False
        self._known: dict[str, int] = {}
        self._begun: dict[str, Trial] = {}  # their tasks are made, and not ended

    @property
    def are_waiting(self) -> bool:
        """Whether a step is to follow soon."""
        return bool(self._batches)

    def add(self, imports: Sequence[Import]) -> Future[list[int]]:
        """Has these become trials, all or none; the numbers of the trials, once all have ended.

        One whose name is known is the trial that there is. The future raises InputError if the budget has no room for
        all, and is cancelled if the study is driven no more.
        """
        batch = _Batch(imports)
        with self._lock:
            if self._is_closed:
                batch.done.cancel()
            else:
                self._batches.append(batch)
        return batch.done

    def knows(self, orders: Mapping[str, int]) -> None:
        """The study has these trials already, by the name of what they were made for."""
        self._known |= orders

    def go_on(self, trial: Trial, finished: Finished) -> None:
        """Ends a trial whose task was made by an earlier controller, and not ended. Raises ApiError."""
        self._launcher.knows(trial.number, trial.params)
        self._end(trial, finished)

    def act(self) -> None:
        """Makes some of those that wait.

        Raises:
            ApiError: a call failed; the next time goes on with that one.
        """
        for _ in range(_AT_ONCE):
            if not self._batches:
                return
            batch = self._batches[0]
            if not batch.numbers and (full := self._without_room(batch)):
                self._batches.popleft().done.set_exception(InputError(full))
                continue
            each = batch.imports[len(batch.numbers)]
            batch.numbers.append(self._known[each.name] if each.name in self._known else self._make(each))
            if len(batch.numbers) == len(batch.imports):
                self._batches.popleft().done.set_result(batch.numbers)

    def close(self) -> None:
        """No more steps follow."""
        with self._lock:
            self._is_closed = True
            for batch in self._batches:
                batch.done.cancel()
            self._batches.clear()

    def _without_room(self, batch: _Batch) -> str:
        """Why not all of a batch can be added; empty if they can."""
        new = sum(each.name not in self._known and each.name not in self._begun for each in batch.imports)
        left = self._launcher.room_of_budget
        if left is None or new <= left:
            return ""
        return f"the budget leaves room for {left} more trials, found {new}; extend it first: clearml-hpo study extend"

    def _make(self, each: Import) -> int:
        trial = self._begun.get(each.name)
        if trial is None:
            number, properties = self._launcher.take_number(), {IMPORTED: each.finished.as_json()}
            task_id = self._context.tasks.create(number, 1, each.params, each.name, properties)
            self._launcher.knows(number, each.params)
            trial = self._begun[each.name] = Trial(number, dict(each.params), task_id, is_imported=True)
        self._end(trial, each.finished)
        del self._begun[each.name]
        self._known[each.name] = trial.number
        return trial.number

    def _end(self, trial: Trial, finished: Finished) -> None:
        goal, now = self._context.goal, self._context.clock()
        self._context.tasks.end_as(trial.task_id, finished)
        summaries = {metric: MetricSummary(value, value, value, 1) for metric, value in finished.values.items()}
        ended = Trial(
            trial.number,
            trial.params,
            trial.task_id,
            state=TrialState(finished.state),
            values=goal.values(summaries),
            violations=goal.violations(summaries),
            iteration=finished.step,
            reason=finished.said,
            queued_at=now,
            started_at=now,
            ended_at=now,
            is_imported=True,
        )
        self._reporter.mark(ended, ended.state)
        self._context.roster.settle(ended)
        self._ledger.decided(ended, now)
        looked_at = goal.pruning_objective
        known = looked_at is not None and looked_at.metric in finished.values
        self._reporter.restore(ended, {finished.step: finished.values[looked_at.metric]} if known and looked_at else {})
        self._context.hooks.on_trial(ended)
