"""The loop: one step polls all live trials in one call, then reports, prunes, tells, runs again and launches.

There is no thread per trial and nothing here waits; time is passed in.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from clearml_hpo.budget import Spent
from clearml_hpo.errors import ApiError
from clearml_hpo.executors.base import Executor
from clearml_hpo.objective import Goal
from clearml_hpo.patience import Patience
from clearml_hpo.scheduler.endings import LIVE, Ending, ending_of
from clearml_hpo.scheduler.ledger import Ledger, without_value
from clearml_hpo.scheduler.placement import Room
from clearml_hpo.scheduler.points import Points
from clearml_hpo.scheduler.policy import Policy
from clearml_hpo.search_space import Params
from clearml_hpo.study import Ended, OptunaStudy
from clearml_hpo.tasks.trial_tasks import TaskSnapshot
from clearml_hpo.trial import Trial, TrialState, best_trial

_LOOK_AT_WORKERS_S = 60.0
_LOOK_FOR_FIRST_WORKER_S = 10.0
_LOOK_BACK_S = 30.0
_MOST_LOOKED_BACK = 500
_MOST_HELD = 8
_LOG_LINES = 15


class Tasks(Protocol):
    """What the loop needs of trial tasks; ``tasks.TrialTasks`` bound to a template."""

    def create(self, number: int, attempt: int, params: Params) -> str:
        """Makes the trial task and returns its id."""

    def poll(self, task_ids: Sequence[str]) -> Mapping[str, TaskSnapshot]:
        """Where the tasks stand; a deleted one is missing."""

    def histories(self, task_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Reported ``(iteration, value)`` of what the pruner looks at, by task."""

    def mark(self, task_id: str, **properties: object) -> None:
        """Sets user properties of a trial task."""

    def give_up(self, task_id: str, reason: str) -> None:
        """Ends a task that nobody runs any more, as failed."""

    def log_tail(self, task_id: str, lines: int) -> str:
        """The last lines of a task's console."""


@dataclass(frozen=True)
class _Launch:
    """An attempt that has no task yet; ``queue`` is given if it must go there."""

    number: int
    attempt: int
    params: Params
    queue: str = ""


@dataclass
class _Watch:
    """What the loop remembers of one attempt, beside the trial itself.

    Attributes:
        progress: changes with every report of what the pruner looks at.
        reported: the last step that the pruner has seen.
        alive: what the server last said, and when that was new.
        wish: how this side wishes it to end.
        marked: the state that its user properties say.
    """

    progress: object = None
    reported: int = -1
    running_since: float | None = None
    alive: tuple[object, float] | None = None
    missing_since: float | None = None
    wish: Ending | None = None
    marked: str = ""
    is_asked_to_stop: bool = False


@dataclass
class _Streak:
    """Ends of the same class in a row."""

    state: TrialState | None = None
    length: int = 0

    def add(self, state: TrialState) -> int:
        """Its length with this end."""
        self.length = self.length + 1 if state is self.state else 1
        self.state = state
        return self.length


@dataclass(frozen=True)
class Hooks:
    """Who hears of what.

    Attributes:
        on_trial: every change of a trial's state.
        on_note: what a person should know.
        on_stopping: the study is about to end its trials, for the given reason.
    """

    on_trial: Callable[[Trial], None] = field(default=lambda trial: None)
    on_note: Callable[[str], None] = field(default=lambda text: None)
    on_stopping: Callable[[str], None] = field(default=lambda reason: None)


class Scheduler:
    """Drives the trials of one study from its first to its last.

    Attributes:
        workers: how many trials each queue can run at once, as last seen.
        ended: why no more points are tried; empty while they are.
        failure: why the study has failed, with the tail of a log; empty if it has not.
    """

    def __init__(
        self,
        study: OptunaStudy,
        tasks: Tasks,
        executor: Executor,
        goal: Goal,
        policy: Policy,
        *,
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.time,
        driven_since: float | None = None,
    ) -> None:
        """The time budget counts from ``driven_since`` (default: now)."""
        self.goal = goal
        self.policy = policy
        self.workers: Mapping[str, int] = {}
        self.ended = ""
        self.failure = ""
        self._study = study
        self._tasks = tasks
        self._executor = executor
        self._clock = clock
        self._hooks = hooks or Hooks()
        self._driven_since = clock() if driven_since is None else driven_since
        self._trials: dict[int, Trial] = {}
        self._live: dict[int, Trial] = {}
        self._earlier: list[Trial] = []
        self._watches: dict[str, _Watch] = {}
        self._points = Points(study, self._tell_known, rerun_duplicates=policy.rerun_duplicates)
        self._ledger = Ledger(goal, self._driven_since)
        self._streak = _Streak()
        self._ends: Counter[tuple[int, TrialState]] = Counter()
        self._planned: list[_Launch] = []
        self._unsubmitted: dict[int, Trial] = {}
        self._looked_at_workers = self._looked_back = -math.inf
        self._is_stopped = self._takes_back = False

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number, each with its latest attempt."""
        return tuple(self._trials[number] for number in sorted(self._trials))

    @property
    def earlier_attempts(self) -> tuple[Trial, ...]:
        """Attempts that were followed by another one."""
        return tuple(self._earlier)

    def trial(self, number: int) -> Trial:
        """The trial of this number, as it is now."""
        return self._trials[number]

    @property
    def live(self) -> tuple[Trial, ...]:
        """Those that wait or run."""
        return tuple(self._live.values())

    @property
    def best(self) -> Trial | None:
        """The best completed trial so far."""
        return best_trial(self.trials, self.goal)

    @property
    def spent(self) -> Spent:
        """What is used of the budget by now."""
        return self._ledger.spent(
            self._clock(), self._driven_since, lambda: [(trial, self._running_s(trial)) for trial in self.live]
        )

    def enqueue(self, params: Params) -> None:
        """Has ``params`` tried before anything that the sampler proposes."""
        self._points.enqueue(params)

    def adopt(self, trial: Trial, wish: TrialState | None = None) -> None:
        """Takes over a trial that lives, or may have ended unseen: the next step looks.

        ``wish`` is how an earlier controller wished it to end.
        """
        if not self._study.add(trial.number, trial.params):
            self._note(f"trial {trial.number} lies outside the search space: the sampler does not learn from it")
        self._keep(trial)
        if wish is not None:
            self._watch(trial).wish = (wish, "as an earlier controller wished")
            self._watch(trial).marked = wish.value
        if trial.state is TrialState.QUEUED and trial.queue not in self.policy.placement.all_queues:
            self._unsubmitted[trial.number] = trial
            self._executor.withdraw([trial.task_id])
        self._hooks.on_trial(trial)

    def adopt_draft(self, trial: Trial) -> None:
        """Takes over a trial whose task was made but not submitted."""
        self._study.add(trial.number, trial.params)
        self._keep(trial)
        self._unsubmitted[trial.number] = trial

    def restore(
        self,
        ended: Iterable[Trial],
        earlier: Iterable[Trial] = (),
        histories: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    ) -> None:
        """Takes in trials that have ended for good, and the attempts before; those the policy runs again are planned.

        ``histories`` has what the pruner looks at, by task.
        """
        for attempt in earlier:
            self._earlier.append(attempt)
            self._ends[attempt.number, attempt.state] += 1
            self._ledger.ended(attempt, attempt.duration or 0.0)
        for trial in sorted(ended, key=lambda trial: trial.ended_at or 0.0):
            self._trials[trial.number] = trial
            self._points.tried(trial.number, trial.params)
            self._ends[trial.number, trial.state] += 1
            self._ledger.ended(trial, trial.duration or 0.0)
            if self._plan_retry(trial):
                self._study.add(trial.number, trial.params)
                continue
            self._ledger.decided(trial, trial.ended_at or self._clock())
            self._restore(trial, dict((histories or {}).get(trial.task_id, ())))

    def run(
        self,
        poll_s: float,
        stopped: threading.Event,
        *,
        before_step: Callable[[], None] = lambda: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Steps every ``poll_s`` seconds until all is done or ``stopped`` is set.

        A server that is in trouble (5xx, 429) is asked again, less and less often. What ``before_step`` raises ends
        the loop, unless it is such a trouble.

        Raises:
            ApiError: the server refused a call for good.
        """
        patience = Patience(poll_s, self._note)
        goes_on = True
        while goes_on and not stopped.is_set():
            try:
                before_step()
                if stopped.is_set():
                    return
                goes_on = self.step()
                on_step()
                patience.succeeded()
            except ApiError as error:
                patience.failed(error)
            if goes_on:
                stopped.wait(patience.wait_s)

    def step(self) -> bool:
        """One round; False once nothing is live and nothing more will be launched.

        A call that fails leaves everything as it was before it: the next step takes it up again.
        """
        self._look_at_workers()
        self._observe()
        self._look_back()
        if not self._is_stopped:
            self._spend()
        self._act()
        if not self._is_stopped:
            self._launch()
        return not self.is_done

    @property
    def is_done(self) -> bool:
        """Whether nothing is live and nothing more will be launched."""
        return bool(self.ended) and not self._live and (not self._planned or self._is_stopped)

    @property
    def prunes(self) -> bool:
        """Whether histories are of any use."""
        return self._study.prunes and self.goal.pruning_objective is not None

    def retry(self, number: int) -> None:
        """Has a trial that ended without a value run once more, as a person wishes; others are left as they are."""
        trial = self._trials.get(number)
        if trial is None or not without_value(trial.state) or any(p.number == number for p in self._planned):
            self._note(f"trial {number} cannot be run again: it is {trial.state.value if trial else 'not known'}")
            return
        self._planned.append(_Launch(number, trial.attempt + 1, trial.params))
        self._study.add(number, trial.params)
        self._note(f"trial {number} is run again, as attempt {trial.attempt + 1}")

    def stop(self, reason: str, *, abort: bool = True) -> None:
        """Has the next step launch no more, take back what waits and, if ``abort``, end what runs."""
        self.ended = reason
        self._is_stopped = self._takes_back = True
        for trial in self.live:
            if trial.number in self._unsubmitted:
                del self._live[trial.number]  # a draft: it is taken up if the study goes on
            elif abort or trial.state is TrialState.QUEUED:
                self._wish(trial, TrialState.STOPPED, reason)

    # --- observing ---------------------------------------------------------------------------------------------------

    def _look_at_workers(self) -> None:
        now, some = self._clock(), any(self.workers.values())
        if now - self._looked_at_workers < (_LOOK_AT_WORKERS_S if some else _LOOK_FOR_FIRST_WORKER_S):
            return
        before, self.workers = self.workers, self._executor.workers()
        is_first = self._looked_at_workers == -math.inf
        for queue in self.policy.placement.all_queues:
            if not self.workers.get(queue) and (before.get(queue) or is_first):
                gone = "the agents of queue {!r} are gone" if before.get(queue) else "no worker serves the queue {!r}"
                self._note(
                    gone.format(queue) + f": its trials wait (start one with `clearml-hpo agents up --queue {queue}`)"
                )
        self._looked_at_workers = now
        self._look_for_missing(now)
        self._move_from_unserved()

    def _look_for_missing(self, now: float) -> None:
        """Trials that are queued but in no queue: whoever took them has died before starting them."""
        queued = [t for t in self.live if t.state is TrialState.QUEUED and t.number not in self._unsubmitted]
        after = self.policy.failures.lost_after_s
        if not queued or after is None:
            return
        waiting = self._executor.waiting()
        for trial in queued:
            watch = self._watch(trial)
            if trial.task_id in waiting:
                watch.missing_since = None
            elif watch.missing_since is None:
                watch.missing_since = now
            elif now - watch.missing_since >= after:
                self._lose(trial, "lost: it was taken out of its queue by a worker that never started it")

    def _move_from_unserved(self) -> None:
        """Trials that wait in a queue which nobody serves go to another one that may run them."""
        for trial in self.live:
            others = [q for q in self.policy.placement.queues_for(trial.params) if self.workers.get(q)]
            if trial.state is TrialState.QUEUED and others and not self.workers.get(trial.queue):
                self._executor.withdraw([trial.task_id])
                self._unsubmitted[trial.number] = replace(trial, queue=others[0])
                self._note(f"trial {trial.number} moves to queue {others[0]!r}: nobody serves {trial.queue!r}")

    def _observe(self) -> None:
        watched = [trial for trial in self.live if trial.number not in self._unsubmitted]
        if not watched:
            return
        snapshots = self._tasks.poll([trial.task_id for trial in watched])
        histories = self._histories(watched, snapshots)
        for trial in watched:
            snapshot = snapshots.get(trial.task_id)
            if snapshot is None:
                self._end(trial, TrialState.ABORTED, "its task was deleted", mark=False)
                continue
            watch = self._watch(trial)
            wants_pruning = self._report(trial, watch, histories.get(trial.task_id, ()))
            # Noted trial by trial: a call that fails for one of them must not make the next step pass over the others.
            watch.progress = self._progress(snapshot)
            trial = self._see(trial, watch, snapshot)
            ending = ending_of(trial, snapshot, self.goal, watch.wish)
            if ending is not None:
                # A draft that was taken back at the end of the study is as good as new.
                is_draft = snapshot.status == "created" and ending[0] is TrialState.STOPPED
                self._end(trial, *ending, mark=not is_draft)
            else:
                self._limit(trial, watch, snapshot, wants_pruning)

    def _histories(
        self, trials: Sequence[Trial], snapshots: Mapping[str, TaskSnapshot]
    ) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Histories of the trials in which something moved, if anybody has a use for them."""
        looked_at = self.goal.pruning_objective
        if looked_at is None or not (self.prunes or self.policy.limits.max_iterations is not None):
            return {}
        seen = {t.task_id: s for t in trials if (s := snapshots.get(t.task_id)) and looked_at.metric in s.summaries}
        moved = [id_ for id_, snapshot in seen.items() if self._progress(snapshot) != self._watches[id_].progress]
        return self._tasks.histories(moved) if moved else {}

    def _progress(self, snapshot: TaskSnapshot) -> object:
        """Changes with every report that the pruner looks at; the iteration alone may be that of another scalar."""
        looked_at = self.goal.pruning_objective
        summary = snapshot.summaries.get(looked_at.metric) if looked_at else None
        return summary, None if summary is not None and summary.count > 0 else snapshot.iteration

    def _report(self, trial: Trial, watch: _Watch, history: Sequence[tuple[int, float]]) -> bool:
        """Shows the pruner every step that it has not seen; True if it would have pruned at one of them."""
        limits, wants_pruning = self.policy.limits, False
        for step, value in history:
            if step > watch.reported and math.isfinite(value):
                watch.reported = step
                pruned_here = self._study.report(trial.number, step, value)
                wants_pruning |= pruned_here and step >= limits.min_iterations
        return wants_pruning and self._running_s(trial) >= limits.min_time_s

    def _see(self, trial: Trial, watch: _Watch, snapshot: TaskSnapshot) -> Trial:
        seen = replace(
            trial,
            state=TrialState.QUEUED if snapshot.status == "queued" else TrialState.RUNNING,
            values=self.goal.values(snapshot.summaries),
            violations=self.goal.violations(snapshot.summaries),
            iteration=snapshot.iteration,
            worker=snapshot.worker or trial.worker,
            started_at=snapshot.started_at,
            ended_at=snapshot.ended_at,
        )
        self._trials[trial.number] = self._live[trial.number] = seen
        if seen.state is TrialState.RUNNING and watch.running_since is None:
            watch.running_since = self._clock()
        if seen.state is not trial.state:
            self._hooks.on_trial(seen)
        return seen

    def _limit(self, trial: Trial, watch: _Watch, snapshot: TaskSnapshot, wants_pruning: bool) -> None:
        """Ends a running trial that the pruner or a limit ends, or that shows no sign of life."""
        limits, lost_after_s = self.policy.limits, self.policy.failures.lost_after_s
        if trial.state is not TrialState.RUNNING:
            return
        stamp, now = (snapshot.updated_at, snapshot.iteration, snapshot.summaries), self._clock()
        if watch.alive is None or watch.alive[0] != stamp:
            watch.alive = (stamp, now)
        elif lost_after_s is not None and now - watch.alive[1] > lost_after_s:
            self._lose(trial, f"lost: no sign of life for {now - watch.alive[1]:.0f} s")
            return
        if wants_pruning:
            self._wish(trial, TrialState.PRUNED, f"pruned at iteration {watch.reported}")
        elif limits.time_s is not None and self._running_s(trial) > limits.time_s:
            self._wish(trial, TrialState.COMPLETED, f"stopped after {limits.time_s:g} s")
        elif limits.max_iterations is not None and watch.reported > limits.max_iterations:
            self._wish(trial, TrialState.COMPLETED, f"stopped after {limits.max_iterations} iterations")

    def _wish(self, trial: Trial, state: TrialState, reason: str) -> None:
        """Notes how a trial is to end; :meth:`_act` makes the calls. The first wish counts."""
        watch = self._watch(trial)
        watch.wish = watch.wish or (state, reason)

    def _act(self) -> None:
        """Makes the calls that :meth:`stop` and the limits wish for, until each has succeeded."""
        if self._takes_back:
            self._hooks.on_stopping(self.ended)
            self._executor.withdraw([trial.task_id for trial in self.live if trial.state is TrialState.QUEUED])
            self._takes_back = False
        by_reason: dict[str, list[Trial]] = {}
        for trial in self.live:
            watch = self._watch(trial)
            if watch.wish is None or watch.is_asked_to_stop or trial.state is TrialState.QUEUED:
                continue
            if watch.wish[0] is not TrialState.STOPPED:
                # First: whoever takes over after a crash must know why the task was stopped.
                self._mark(trial, watch.wish[0])
            by_reason.setdefault(watch.wish[1], []).append(trial)
        for reason, trials in by_reason.items():
            self._executor.abort([trial.task_id for trial in trials], reason)
            for trial in trials:
                self._watch(trial).is_asked_to_stop = True

    def _lose(self, trial: Trial, reason: str) -> None:
        self._tasks.give_up(trial.task_id, reason)
        self._end(trial, TrialState.LOST, reason)

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end(self, trial: Trial, state: TrialState, reason: str, *, mark: bool = True) -> None:
        ended = replace(trial, state=state, reason=reason, ended_at=trial.ended_at or self._clock())
        if mark:
            self._mark(ended, state)
        running_s = self._running_s(ended)
        self._ends[ended.number, state] += 1
        self._live.pop(ended.number)
        self._trials[ended.number] = ended
        self._ledger.ended(ended, running_s)
        self._count_failures(ended)
        self._hooks.on_trial(ended)
        if not self._is_stopped and self._plan_retry(ended):
            self._note(f"trial {ended.number} is run again, as attempt {ended.attempt + 1}")
            self._study.fail(ended.number)
            self._study.add(ended.number, ended.params)
            return
        self._ledger.decided(ended, self._clock())
        self._tell(ended.number, ended)

    def _plan_retry(self, ended: Trial) -> bool:
        """Plans a new attempt, if the policy has one for this end."""
        retry = self.policy.failures.retry(ended.state, self._ends[ended.number, ended.state])
        if retry is None:
            return False
        self._planned.append(_Launch(ended.number, ended.attempt + 1, ended.params, retry.queue))
        return True

    def _count_failures(self, ended: Trial) -> None:
        """Stops the study if too many ends in a row are of the same class."""
        failures = self.policy.failures
        if ended.state is TrialState.STOPPED:
            return
        in_a_row = self._streak.add(ended.state)
        if not without_value(ended.state) or in_a_row != failures.stop_after or self._is_stopped:
            return
        try:
            tail = self._tasks.log_tail(ended.task_id, _LOG_LINES)
        except ApiError as error:  # the message is poorer for it; what was noted so far must not be undone
            tail = f"(its log cannot be read: {error})"
        self.failure = "\n".join(
            [f"{in_a_row} trials in a row are {ended.state.value}, the last one, {ended.number}: {ended.reason}", tail]
        ).strip()
        self.stop(f"{in_a_row} trials in a row are {ended.state.value}")

    def _mark(self, trial: Trial, state: TrialState) -> None:
        watch = self._watch(trial)
        if watch.marked == state.value:
            return
        values = [f"{value:.10g}" for value in trial.values if value is not None]
        self._tasks.mark(trial.task_id, state=state.value, **({"value": ", ".join(values)} if values else {}))
        watch.marked = state.value

    def _tell(self, number: int, trial: Trial) -> None:
        if trial.state is TrialState.PRUNED:
            self._study.prune(number)
        elif trial.final_values is not None:
            self._study.complete(number, trial.final_values, trial.violations)
        else:
            self._study.fail(number)

    def _tell_known(self, number: int, known: int) -> None:
        """A duplicate is told at once what is known of its point; nothing, while the first one still runs."""
        trial = self._trials.get(known)
        if trial is None:
            self._study.fail(number)
        else:
            self._tell(number, trial)

    def _restore(self, trial: Trial, history: Mapping[int, float]) -> None:
        values = trial.final_values
        state: Ended = "failed" if values is None else "completed"
        if trial.state is TrialState.PRUNED:
            state = "pruned"
        self._study.restore(
            trial.number,
            trial.params,
            state,
            values or (),
            trial.violations,
            history,
        )

    def _look_back(self) -> None:
        """Now and then at attempts that have ended without a value: a person may have them run once more."""
        now = self._clock()
        if now - self._looked_back < _LOOK_BACK_S or self._is_stopped:
            return
        ended = [trial for trial in self._trials.values() if without_value(trial.state)]
        lost = [trial for trial in self._earlier if trial.number in self._live]
        watched = (ended + lost)[-_MOST_LOOKED_BACK:]
        if watched:
            snapshots = self._tasks.poll([trial.task_id for trial in watched])
            for trial in watched:
                snapshot = snapshots.get(trial.task_id)
                if snapshot is not None and snapshot.status in LIVE:
                    self._comes_back(trial, snapshot)
        self._looked_back = now

    def _comes_back(self, trial: Trial, snapshot: TaskSnapshot) -> None:
        if self._trials[trial.number].task_id != trial.task_id:
            later = f"attempt {self._trials[trial.number].attempt} of trial {trial.number} has taken its place"
            self._executor.withdraw([trial.task_id])
            self._executor.abort([trial.task_id], later)
            return
        self._note(f"trial {trial.number} was {trial.state.value} and is {snapshot.status} again")
        planned = [launch for launch in self._planned if launch.number == trial.number]
        for launch in planned:
            self._planned.remove(launch)
        if not planned:
            self._study.add(trial.number, trial.params)
        self._watches.pop(trial.task_id, None)
        self._keep(replace(trial, state=TrialState.QUEUED, reason="", started_at=None, ended_at=None))

    # --- spending and launching --------------------------------------------------------------------------------------

    def _running_s(self, trial: Trial) -> float:
        """By the server's clock if the trial has ended, else by our own: the two may differ."""
        if trial.duration is not None:
            return trial.duration
        since = self._watch(trial).running_since
        return 0.0 if since is None else self._clock() - since

    def _spend(self) -> None:
        reached = self.policy.budget.reached(self.spent)
        if reached:
            self.stop(reached, abort=self.policy.budget.then == "abort")

    def _launch(self) -> None:
        for trial in list(self._unsubmitted.values()):
            self._submit(trial)
        room = Room(self.policy.placement, self.workers, self.live)
        for launch in list(self._planned):
            self._place(launch, room)
        while not self.ended and room.is_left and len(self._planned) < _MOST_HELD:
            launch_or_none = self._next_launch()
            if launch_or_none is None:
                return
            self._planned.append(launch_or_none)
            self._place(launch_or_none, room)

    def _next_launch(self) -> _Launch | None:
        """The next new trial; None if there is none, for now or for good."""
        budget = self.policy.budget.trials
        numbers = self._trials.keys() | {launch.number for launch in self._planned}
        if budget is not None and len(numbers) >= budget:
            self.ended = f"the budget of {budget} trials is used up"
            return None
        number = max(numbers, default=-1) + 1
        params = self._points.next(number)
        if params is None:
            if not self._live and not self._planned:
                self.ended = "every point of the search space was tried"
            return None
        self._points.tried(number, params)
        return _Launch(number, 1, params)

    def _place(self, launch: _Launch, room: Room) -> None:
        """Has a planned attempt run, if there is room where it may."""
        queues = (launch.queue,) if launch.queue else self.policy.placement.queues_for(launch.params)
        queue = room.take(queues)
        if queue is None:
            return
        task_id = self._tasks.create(launch.number, launch.attempt, launch.params)
        self._planned.remove(launch)
        earlier = self._trials.get(launch.number)
        if earlier is not None:
            self._earlier.append(earlier)
        trial = Trial(launch.number, dict(launch.params), task_id, launch.attempt, queue=queue)
        self._keep(trial)
        self._unsubmitted[trial.number] = trial
        self._submit(trial)

    def _submit(self, trial: Trial) -> None:
        """Has a trial run whose task exists."""
        placement = self.policy.placement
        queue = trial.queue if trial.queue in placement.all_queues else placement.queues_for(trial.params)[0]
        self._executor.submit(trial.task_id, queue)
        del self._unsubmitted[trial.number]
        queued = replace(trial, queue=queue, queued_at=self._clock(), state=TrialState.QUEUED)
        self._keep(queued)
        self._hooks.on_trial(queued)

    def _keep(self, trial: Trial) -> None:
        self._trials[trial.number] = self._live[trial.number] = trial
        self._points.tried(trial.number, trial.params)
        self._watch(trial)

    def _watch(self, trial: Trial) -> _Watch:
        return self._watches.setdefault(trial.task_id, _Watch())

    def _note(self, text: str) -> None:
        self._hooks.on_note(text)
