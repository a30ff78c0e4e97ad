"""The loop: one step polls all live trials in one call, then reports, prunes, tells and launches.

There is no thread per trial and nothing here waits; time is passed in.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from clearml_hpo.budget import Budget, TrialLimits
from clearml_hpo.errors import ApiError
from clearml_hpo.executors.base import Executor
from clearml_hpo.objective import Objective
from clearml_hpo.patience import Patience
from clearml_hpo.search_space import Params, Value
from clearml_hpo.study import Study
from clearml_hpo.tasks.trial_tasks import TaskSnapshot
from clearml_hpo.trial import Trial, TrialState, best_trial

_LOOK_AT_WORKERS_S = 60.0
_LOOK_FOR_FIRST_WORKER_S = 10.0
_DUPLICATES_IN_A_ROW = 20
_COMPLETED = ("completed", "published", "closed")


class Tasks(Protocol):
    """What the loop needs of trial tasks; ``tasks.TrialTasks`` bound to a template."""

    def create(self, number: int, attempt: int, params: Params) -> str:
        """Makes the trial task and returns its id."""

    def poll(self, task_ids: Sequence[str]) -> Mapping[str, TaskSnapshot]:
        """Where the tasks stand; a deleted one is missing."""

    def histories(self, task_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Reported ``(iteration, value)`` of the objective by task."""

    def mark(self, task_id: str, **properties: object) -> None:
        """Sets user properties of a trial task."""


@dataclass(frozen=True)
class Policy:
    """How much, how long, how many at once.

    Attributes:
        concurrency: trials that may run at once; None is one per worker.
        prefetch: trials that wait in line, per worker, beyond those that run.
    """

    budget: Budget
    limits: TrialLimits = field(default_factory=TrialLimits)
    concurrency: int | None = None
    prefetch: int = 1


class Scheduler:
    """Drives the trials of one study from its first to its last.

    Attributes:
        workers: how many trials the executor can run at once, as last seen.
        ended: why no more trials are launched; empty while they are.
    """

    def __init__(
        self,
        study: Study,
        tasks: Tasks,
        executor: Executor,
        objective: Objective,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.time,
        started_at: float | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``on_trial`` hears of every change of a trial's state, ``on_note`` what a person should know.

        The time budget counts from ``started_at`` (default: now).
        """
        self.objective = objective
        self.policy = policy
        self.workers = 0
        self.ended = ""
        self._study = study
        self._tasks = tasks
        self._executor = executor
        self._clock = clock
        self._on_trial = on_trial
        self._on_note = on_note
        self._started_at = clock() if started_at is None else started_at
        self._looked_at_workers = -math.inf
        self._trials: dict[int, Trial] = {}
        self._first: deque[Params] = deque()
        self._stopping: dict[int, tuple[TrialState, str]] = {}
        self._asked_to_stop: set[int] = set()
        self._is_stopped = self._takes_back = False
        self._unsubmitted: deque[Trial] = deque()
        self._progress: dict[int, object] = {}
        self._reported: dict[int, int] = {}
        self._running_since: dict[int, float] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number."""
        return tuple(self._trials[number] for number in sorted(self._trials))

    def trial(self, number: int) -> Trial:
        """The trial of this number, as it is now."""
        return self._trials[number]

    @property
    def live(self) -> tuple[Trial, ...]:
        """Those that wait or run."""
        return tuple(trial for trial in self.trials if trial.state.is_live)

    @property
    def best(self) -> Trial | None:
        """The best completed trial so far."""
        return best_trial(self.trials, self.objective)

    def enqueue(self, params: Params) -> None:
        """Has ``params`` tried before anything that the sampler proposes."""
        self._first.append(params)

    def adopt(self, trial: Trial) -> None:
        """Takes over a live trial that already has a task."""
        self._study.add(trial.number, trial.params)
        self._trials[trial.number] = trial
        self._on_trial(trial)

    def run(
        self,
        poll_s: float,
        stopped: threading.Event,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Steps every ``poll_s`` seconds until all is done or ``stopped`` is set.

        A server that is in trouble (5xx, 429) is asked again, less and less often.

        Raises:
            ApiError: the server refused a call for good.
        """
        patience = Patience(poll_s, self._on_note)
        goes_on = True
        while goes_on and not stopped.is_set():
            try:
                goes_on = self.step()
                patience.succeeded()
            except ApiError as error:
                patience.failed(error)
            on_step()
            if goes_on:
                stopped.wait(patience.wait_s)

    def step(self) -> bool:
        """One round; False once nothing is live and nothing more will be launched.

        A call that fails leaves everything as it was before it: the next step takes it up again.
        """
        self._look_at_workers()
        self._observe()
        if not self._is_stopped:
            self._spend()
        self._act()
        if not self.ended:
            self._launch()
        return bool(self.live) or not self.ended

    def stop(self, reason: str, *, abort: bool = True) -> None:
        """Has the next step launch no more, take back what waits and, if ``abort``, end what runs."""
        self.ended = reason
        self._is_stopped = self._takes_back = True
        if abort:
            # A trial that waited a moment ago may have been taken by an agent since; stopping it is right either way.
            for trial in self.live:
                self._end_early(trial, TrialState.ABORTED, reason)

    # --- observing ---------------------------------------------------------------------------------------------------

    def _look_at_workers(self) -> None:
        now = self._clock()
        if now - self._looked_at_workers < (_LOOK_AT_WORKERS_S if self.workers else _LOOK_FOR_FIRST_WORKER_S):
            return
        before, self.workers = self.workers, self._executor.workers()
        if self.workers == 0 and (before or self._looked_at_workers == -math.inf):
            self._on_note("no worker serves the queue: trials wait (start one with `clearml-hpo agents up`)")
        self._looked_at_workers = now

    def _observe(self) -> None:
        live = self.live
        if not live:
            return
        snapshots = self._tasks.poll([trial.task_id for trial in live])
        histories = self._histories(live, snapshots)
        for trial in live:
            snapshot = snapshots.get(trial.task_id)
            if snapshot is None:
                self._end(trial, TrialState.ABORTED, "its task was deleted")
                continue
            wants_pruning = self._report(trial, histories.get(trial.task_id, ()))
            # Noted trial by trial: a call that fails for one of them must not make the next step pass over the others.
            self._progress[trial.number] = _progress(snapshot)
            trial = self._see(trial, snapshot)
            end = self._end_of(trial, snapshot)
            if end is not None:
                self._end(trial, *end)
            else:
                self._limit(trial, wants_pruning)

    def _histories(
        self, live: Sequence[Trial], snapshots: Mapping[str, TaskSnapshot]
    ) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Histories of the trials whose objective moved, if anybody has a use for them."""
        if not self._study.prunes and self.policy.limits.max_iterations is None:
            return {}
        seen = {t.number: _progress(s) for t in live if (s := snapshots.get(t.task_id)) is not None and s.summary}
        moved = [t for t in live if t.number in seen and seen[t.number] != self._progress.get(t.number)]
        return self._tasks.histories([trial.task_id for trial in moved]) if moved else {}

    def _report(self, trial: Trial, history: Sequence[tuple[int, float]]) -> bool:
        """Shows the pruner every step that it has not seen; True if it would have pruned at one of them."""
        wants_pruning = False
        for step, value in history:
            if step > self._reported.get(trial.number, -1) and math.isfinite(value):
                self._reported[trial.number] = step
                pruned_here = self._study.report(trial.number, step, value)
                wants_pruning |= pruned_here and step >= self.policy.limits.min_iterations
        return wants_pruning

    def _see(self, trial: Trial, snapshot: TaskSnapshot) -> Trial:
        value = self.objective.value(snapshot.summary)
        seen = replace(
            trial,
            state=TrialState.QUEUED if snapshot.status == "queued" else TrialState.RUNNING,
            value=value,
            iteration=snapshot.iteration,
            worker=snapshot.worker or trial.worker,
            started_at=snapshot.started_at,
            ended_at=snapshot.ended_at,
        )
        self._trials[trial.number] = seen
        if seen.state is TrialState.RUNNING:
            self._running_since.setdefault(trial.number, self._clock())
        if seen.state is not trial.state:
            self._on_trial(seen)
        return seen

    def _end_of(self, trial: Trial, snapshot: TaskSnapshot) -> tuple[TrialState, str] | None:
        """How the trial has ended, and why; None while it lives."""
        if snapshot.status in ("queued", "in_progress"):
            return None
        if snapshot.status in _COMPLETED:
            return self._with_value(trial)
        if trial.number in self._stopping:
            state, reason = self._stopping[trial.number]
            return (*self._with_value(trial)[:1], reason) if state is TrialState.COMPLETED else (state, reason)
        if snapshot.status == "failed":
            return TrialState.FAILED, snapshot.reason
        if snapshot.status == "created":
            return TrialState.ABORTED, "it was taken out of its queue"
        return TrialState.ABORTED, snapshot.reason or "it was stopped by somebody"

    def _with_value(self, trial: Trial) -> tuple[TrialState, str]:
        if trial.value is None:
            return TrialState.NO_OBJECTIVE, f"{self.objective.metric} was never reported"
        if not math.isfinite(trial.value):
            return TrialState.NO_OBJECTIVE, f"{self.objective.metric} is {trial.value}"
        return TrialState.COMPLETED, ""

    def _limit(self, trial: Trial, wants_pruning: bool) -> None:
        """Ends a running trial that the pruner or a limit ends."""
        limits, running_s = self.policy.limits, self._running_s(trial)
        if trial.number in self._stopping or trial.state is not TrialState.RUNNING:
            return
        if wants_pruning:
            self._end_early(trial, TrialState.PRUNED, f"pruned at iteration {self._reported[trial.number]}")
        elif limits.time_s is not None and running_s > limits.time_s:
            self._end_early(trial, TrialState.COMPLETED, f"stopped after {limits.time_s:g} s")
        elif limits.max_iterations is not None and self._reported.get(trial.number, 0) > limits.max_iterations:
            self._end_early(trial, TrialState.COMPLETED, f"stopped after {limits.max_iterations} iterations")

    def _end_early(self, trial: Trial, state: TrialState, reason: str) -> None:
        """Notes the wish; :meth:`_act` makes the call. The first reason counts."""
        self._stopping.setdefault(trial.number, (state, reason))

    def _act(self) -> None:
        """Makes the calls that :meth:`stop` and the limits wish for, until each has succeeded."""
        if self._takes_back:
            self._executor.withdraw([trial.task_id for trial in self.live if trial.state is TrialState.QUEUED])
            self._takes_back = False
        wanted = [t for t in self.live if t.number in self._stopping and t.number not in self._asked_to_stop]
        for reason in dict.fromkeys(self._stopping[trial.number][1] for trial in wanted):
            trials = [trial for trial in wanted if self._stopping[trial.number][1] == reason]
            self._executor.abort([trial.task_id for trial in trials], reason)
            self._asked_to_stop |= {trial.number for trial in trials}

    def _end(self, trial: Trial, state: TrialState, reason: str) -> None:
        if state is TrialState.PRUNED:
            self._tasks.mark(trial.task_id, state=state.value)
        ended = replace(trial, state=state, reason=reason, ended_at=trial.ended_at or self._clock())
        self._trials[trial.number] = ended
        self._tell(trial.number, ended)
        self._on_trial(ended)

    def _tell(self, number: int, trial: Trial) -> None:
        if trial.state is TrialState.COMPLETED and trial.value is not None:
            self._study.complete(number, trial.value)
        elif trial.state is TrialState.PRUNED:
            self._study.prune(number)
        else:
            self._study.fail(number)

    # --- spending and launching --------------------------------------------------------------------------------------

    def _running_s(self, trial: Trial) -> float:
        """By the server's clock if the trial has ended, else by our own: the two may differ."""
        if trial.duration is not None:
            return trial.duration
        since = self._running_since.get(trial.number)
        return 0.0 if since is None else self._clock() - since

    def _spend(self) -> None:
        compute_s = sum(self._running_s(trial) for trial in self.trials)
        spent = self.policy.budget.spent(wall_s=self._clock() - self._started_at, compute_s=compute_s)
        if spent:
            self.stop(spent)

    def _launch(self) -> None:
        while self._unsubmitted:
            self._submit(self._unsubmitted[0])
        while self._free_slots() > 0:
            if self.policy.budget.trials is not None and len(self._trials) >= self.policy.budget.trials:
                self.ended = f"the budget of {self.policy.budget.trials} trials is used up"
                return
            number = max(self._trials, default=-1) + 1
            params = self._next_params(number)
            if params is None:
                if not self.live:
                    self.ended = "every point of the search space was tried"
                return
            try:
                task_id = self._tasks.create(number, 1, params)
            except BaseException:
                self._study.fail(number)
                raise
            if self._first:
                self._first.popleft()
            self._unsubmitted.append(Trial(number, dict(params), task_id))
            self._submit(self._unsubmitted[0])

    def _submit(self, trial: Trial) -> None:
        """Has a trial run whose task exists."""
        self._executor.submit(trial.task_id)
        self._unsubmitted.popleft()
        queued = self._trials[trial.number] = replace(trial, queued_at=self._clock())
        self._on_trial(queued)

    def _free_slots(self) -> int:
        at_once = self.policy.concurrency or max(1, self.workers)
        # More workers than trials allowed at once: what waits would run beyond that number, so nothing may wait.
        waiting = self.policy.prefetch * self.workers if self.workers <= at_once else 0
        return at_once + waiting - len(self.live)

    def _next_params(self, number: int) -> Mapping[str, Value] | None:
        """A point that was not tried yet; None if there is none left."""
        if self._first:
            params = dict(self._first[0])
            self._study.add(number, params)
            return params
        tried = {_key(trial.params): trial for trial in self.trials}
        if len(tried) >= self._study.points:
            return None
        for _ in range(_DUPLICATES_IN_A_ROW):
            params = self._study.ask(number)
            known = tried.get(_key(params))
            if known is None:
                return params
            self._tell(number, known)
        return self._study.ask_at_random(number, lambda params: _key(params) not in tried)


def _progress(snapshot: TaskSnapshot) -> object:
    """Changes with every report of the objective; the iteration alone may be that of another scalar."""
    counts = snapshot.summary is not None and snapshot.summary.count > 0
    return snapshot.summary, None if counts else snapshot.iteration


def _key(params: Params) -> frozenset[tuple[str, type, Value]]:
    return frozenset((name, type(value), value) for name, value in params.items())
