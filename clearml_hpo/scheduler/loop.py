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
from clearml_hpo.scheduler.ahead import Ahead
from clearml_hpo.scheduler.endings import LIVE, Streak, ending_of, is_back, wished, without_value
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.line import Launch, Line
from clearml_hpo.scheduler.placement import Room
from clearml_hpo.scheduler.points import Points
from clearml_hpo.scheduler.policy import Policy
from clearml_hpo.scheduler.queues import Queues
from clearml_hpo.scheduler.roster import Roster
from clearml_hpo.scheduler.watch import Pulse, Watch
from clearml_hpo.search_space import Params
from clearml_hpo.study import Ended, OptunaStudy
from clearml_hpo.tasks.trial_tasks import TaskSnapshot
from clearml_hpo.trial import Trial, TrialState, best_trial

_LOOK_BACK_S = 30.0
_MOST_LOOKED_BACK = 500
_SOON_S = 0.25
_LOG_LINES = 15
_REFUSED = 400
_NO_SUCH_TASK = 101


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
        timer: Callable[[], float] = time.perf_counter,
        driven_since: float | None = None,
    ) -> None:
        """The time budget counts from ``driven_since`` (default: now); ``timer`` measures what the sampler costs."""
        self.goal = goal
        self.policy = policy
        self.ended = ""
        self.failure = ""
        self._study = study
        self._tasks = tasks
        self._executor = executor
        self._clock = clock
        self._hooks = hooks or Hooks()
        self._note = self._hooks.on_note
        self._driven_since = clock() if driven_since is None else driven_since
        self._roster = Roster()
        self._pulse = Pulse()
        self._queues = Queues(executor, policy.placement, self._note)
        self._line = Line(policy.placement)
        self._unsubmitted: dict[int, Trial] = {}
        self._points = Points(study, self._tell_known, rerun_duplicates=policy.rerun_duplicates)
        self._ahead = Ahead(self._points, study.fail, timer=timer)
        self._ledger = Ledger(goal, self._driven_since)
        self._streak = Streak()
        self._ends: Counter[tuple[int, TrialState]] = Counter()
        self._next_number = 0
        self._looked_back = -math.inf
        self._is_stopped = self._takes_back = False

    @property
    def workers(self) -> Mapping[str, int]:
        """How many trials each queue can run at once, as last seen."""
        return self._queues.workers

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number, each with its latest attempt."""
        return self._roster.trials

    @property
    def earlier_attempts(self) -> tuple[Trial, ...]:
        """Attempts that were followed by another one."""
        return tuple(self._roster.earlier)

    def trial(self, number: int) -> Trial:
        """The trial of this number, as it is now."""
        return self._roster[number]

    @property
    def live(self) -> tuple[Trial, ...]:
        """Those that wait or run."""
        return self._roster.live

    @property
    def best(self) -> Trial | None:
        """The best completed trial so far."""
        return best_trial(self.trials, self.goal)

    # --- before the first step ---------------------------------------------------------------------------------------

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
        self._take_over(trial)
        if wish is not None:
            self._roster.watch(trial).wish = (wish, "as an earlier controller wished")
        self._hooks.on_trial(trial)

    def adopt_draft(self, trial: Trial) -> None:
        """Takes over a trial whose task was made but not submitted."""
        self._take_over(trial)
        self._line.join(Launch(trial.number, trial.attempt, trial.params, task_id=trial.task_id))

    def _take_over(self, trial: Trial) -> None:
        if not self._study.add(trial.number, trial.params):
            self._note(f"trial {trial.number} lies outside the search space: the sampler does not learn from it")
        self._roster.keep(trial)
        self._count(trial.number, trial.params)

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
            self._roster.earlier.append(attempt)
            self._ends[attempt.number, attempt.state] += 1
            self._ledger.ended(attempt, _duration(attempt))
        last_end = 0.0
        for trial in sorted(ended, key=lambda trial: trial.ended_at or 0.0):
            last_end = trial.ended_at or last_end
            self._roster.settle(trial)
            self._count(trial.number, trial.params)
            self._ends[trial.number, trial.state] += 1
            self._ledger.ended(trial, _duration(trial))
            if self._plan_retry(trial):
                self._study.add(trial.number, trial.params)
                continue
            self._ledger.decided(trial, last_end)
            self._restore(trial, dict((histories or {}).get(trial.task_id, ())))
        self._ledger.goes_on(last_end, self._clock())

    def _restore(self, trial: Trial, history: Mapping[int, float]) -> None:
        values = trial.final_values
        state: Ended = "failed" if values is None else "completed"
        if trial.state is TrialState.PRUNED:
            state = "pruned"
        self._study.restore(trial.number, trial.params, state, values or (), trial.violations, history)

    def _count(self, number: int, params: Params) -> None:
        self._next_number = max(self._next_number, number + 1)
        self._points.tried(number, params)

    # --- running -----------------------------------------------------------------------------------------------------

    def run(
        self,
        poll_s: float,
        stopped: threading.Event,
        *,
        before_step: Callable[[], None] = lambda: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Steps every ``poll_s`` seconds until all is done or ``stopped`` is set.

        A server that is in trouble (out of reach, 5xx, 429) is asked again, less and less often. What ``before_step``
        raises ends the loop, unless it is such a trouble.

        Raises:
            ApiError: the server refused a call for good.
        """
        patience = Patience(poll_s, self._note)
        goes_on = True
        try:
            while goes_on and not stopped.is_set():
                try:
                    before_step()
                    if stopped.is_set():
                        return
                    goes_on = self.step()
                    on_step()
                    patience.succeeded()
                    wait_s = min(poll_s, _SOON_S) if self._ahead.is_thinking else poll_s
                except ApiError as error:
                    patience.failed(error)
                    wait_s = patience.wait_s
                if goes_on:
                    stopped.wait(wait_s)
        finally:
            self._ahead.close()

    def step(self) -> bool:
        """One round; False once nothing is live and nothing more will be launched.

        A call that fails leaves everything as it was before it: the next step takes it up again.
        """
        self._look_at_queues()
        self._observe()
        self._look_back()
        if not self._is_stopped:
            self._spend()
        self._act()
        if not self._is_stopped:
            self._launch()
        if self.ended:
            self._ahead.close()
        return not self.is_done

    @property
    def is_done(self) -> bool:
        """Whether nothing is live and nothing more will be launched."""
        return bool(self.ended) and not self.live and not self._line

    @property
    def prunes(self) -> bool:
        """Whether histories are of any use."""
        return self._study.prunes and self.goal.pruning_objective is not None

    def retry(self, number: int) -> None:
        """Has a trial that ended without a value run once more, as a person wishes; others are left as they are."""
        trial = self._roster.get(number)
        if trial is None or not without_value(trial.state) or number in self._line or self._is_stopped:
            self._note(f"trial {number} cannot be run again: it is {trial.state.value if trial else 'not known'}")
            return
        self._run_again(trial)

    def stop(self, reason: str, *, abort: bool = True) -> None:
        """Has the next step launch no more, take back what waits and, if ``abort``, end what runs."""
        self.ended = reason
        self._is_stopped = self._takes_back = True
        for launch in self._line:
            self._line.leave(launch.number)
            if not launch.task_id:
                self._study.fail(launch.number)
        self._unsubmitted.clear()  # whether they wait all the same shows
        for trial in self.live:
            if abort or trial.state is TrialState.QUEUED:
                self._wish(trial, TrialState.STOPPED, reason)

    # --- queues ------------------------------------------------------------------------------------------------------

    def _submitted(self) -> list[Trial]:
        """Live trials that are the workers' now."""
        return [t for t in self.live if t.number not in self._line and t.number not in self._unsubmitted]

    def _queued(self) -> list[Trial]:
        return [trial for trial in self._submitted() if trial.state is TrialState.QUEUED]

    def _look_at_queues(self) -> None:
        """Sees to trials that wait where nobody will run them."""
        now = self._clock()
        self._queues.look(now)
        for trial in self._queues.missing(self._queued(), self.policy.failures.lost_after_s, now):
            self._lose(trial, "lost: it was taken out of its queue by a worker that never started it")
        if not self._is_stopped:
            self._move(self._queues.unserved(self._queued()))

    def _move(self, trials: Sequence[Trial]) -> None:
        """Has trials wait in another queue."""
        if not trials:
            return
        self._executor.withdraw([trial.task_id for trial in trials])
        for trial in trials:
            self._roster.keep(replace(trial, queue=""))
            self._line.join(Launch(trial.number, trial.attempt, trial.params, task_id=trial.task_id))
        numbers = ", ".join(str(trial.number) for trial in trials)
        queues = ", ".join(sorted({repr(trial.queue) for trial in trials}))
        self._note(f"nobody serves {queues}: what waits there moves to another queue (trials {numbers})")

    # --- observing ---------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        watched = self._submitted()
        if not watched:
            return
        snapshots = self._tasks.poll([trial.task_id for trial in watched])
        histories = self._histories(watched, snapshots)
        self._pulse.listen(self._clock())
        self._pulse.forget_others({trial.task_id for trial in watched})
        for trial in watched:
            snapshot = snapshots.get(trial.task_id)
            if snapshot is None:
                self._end(trial, TrialState.ABORTED, "its task was deleted", mark=False)
                continue
            if _begins_anew(trial, snapshot):
                trial = self._begin_anew(trial)
            watch = self._roster.watch(trial)
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
        moved = [
            trial.task_id
            for trial in trials
            if (snapshot := snapshots.get(trial.task_id))
            and looked_at.metric in snapshot.summaries
            and self._progress(snapshot) != self._roster.watch(trial).progress
        ]
        return self._tasks.histories(moved) if moved else {}

    def _progress(self, snapshot: TaskSnapshot) -> object:
        """Changes with every report that the pruner looks at; the iteration alone may be that of another scalar."""
        looked_at = self.goal.pruning_objective
        summary = snapshot.summaries.get(looked_at.metric) if looked_at else None
        return summary, None if summary is not None and summary.count > 0 else snapshot.iteration

    def _report(self, trial: Trial, watch: Watch, history: Sequence[tuple[int, float]]) -> bool:
        """Shows the pruner every step that it has not seen; True if it would have pruned at one of them."""
        limits, wants_pruning = self.policy.limits, False
        for step, value in history:
            if step <= watch.reported:
                continue
            watch.reported = step
            if math.isfinite(value):
                pruned_here = self._study.report(trial.number, step, value)
                wants_pruning |= pruned_here and step >= limits.min_iterations
        return wants_pruning and self._running_s(trial) >= limits.min_time_s

    def _see(self, trial: Trial, watch: Watch, snapshot: TaskSnapshot) -> Trial:
        states = {"queued": TrialState.QUEUED, "in_progress": TrialState.RUNNING}
        is_queued, is_live = snapshot.status == "queued", snapshot.status in LIVE
        seen = replace(
            trial,
            state=states.get(snapshot.status, trial.state),
            values=self.goal.values(snapshot.summaries),
            violations=self.goal.violations(snapshot.summaries),
            iteration=snapshot.iteration,
            worker=snapshot.worker or trial.worker,
            # A task that is run once more has the times of its last run until it starts, or ends, again.
            started_at=None if is_queued else snapshot.started_at,
            ended_at=None if is_live else snapshot.ended_at,
        )
        self._roster.keep(seen)
        if seen.state is TrialState.RUNNING:
            watch.runs(snapshot, self._clock())
        if seen.state is not trial.state:
            self._hooks.on_trial(seen)
        return seen

    def _begin_anew(self, trial: Trial) -> Trial:
        """A person has a running trial run once more from its start; what it has used is used."""
        self._note(f"trial {trial.number} was put in line again by somebody, and starts anew")
        self._ledger.ended(trial, self._running_s(trial))
        self._roster.forget(trial)
        self._learn_anew(trial)
        fresh = replace(trial, state=TrialState.QUEUED, values=(), iteration=0, started_at=None)
        self._roster.keep(fresh)
        if self._is_stopped:
            self._wish(fresh, TrialState.STOPPED, self.ended)
            self._takes_back = True
        return fresh

    def _limit(self, trial: Trial, watch: Watch, snapshot: TaskSnapshot, wants_pruning: bool) -> None:
        """Ends a running trial that the pruner or a limit ends, or that shows no sign of life."""
        limits, lost_after_s = self.policy.limits, self.policy.failures.lost_after_s
        if trial.state is not TrialState.RUNNING:
            return
        sign = (snapshot.updated_at, snapshot.iteration, snapshot.summaries)
        silent_s = self._pulse.silent_s(trial.task_id, sign, self._clock())
        if lost_after_s is not None and silent_s > lost_after_s:
            self._lose(trial, f"lost: no sign of life for {silent_s:.0f} s")
        elif wants_pruning:
            self._wish(trial, TrialState.PRUNED, f"pruned at iteration {watch.reported}")
        elif limits.time_s is not None and self._running_s(trial) > limits.time_s:
            self._wish(trial, TrialState.COMPLETED, f"stopped after {limits.time_s:g} s")
        elif limits.max_iterations is not None and watch.reported > limits.max_iterations:
            self._wish(trial, TrialState.COMPLETED, f"stopped after {limits.max_iterations} iterations")

    def _wish(self, trial: Trial, state: TrialState, reason: str) -> None:
        """Notes how a trial is to end; :meth:`_act` makes the calls. The first wish counts."""
        watch = self._roster.watch(trial)
        watch.wish = watch.wish or (state, reason)

    def _act(self) -> None:
        """Makes the calls that :meth:`stop` and the limits wish for, until each has succeeded."""
        if self._takes_back:
            self._hooks.on_stopping(self.ended)
            queued = [trial.task_id for trial in self.live if trial.state is TrialState.QUEUED]
            if queued:
                self._executor.withdraw(queued)
            self._takes_back = False
        by_reason: dict[str, list[Trial]] = {}
        for trial in self.live:
            watch = self._roster.watch(trial)
            if watch.wish is None or watch.is_asked_to_stop or trial.state is TrialState.QUEUED:
                continue
            if watch.wish[0] is not TrialState.STOPPED:
                # First: whoever takes over after a crash must know why the task was stopped.
                self._mark(trial, watch.wish[0])
            by_reason.setdefault(watch.wish[1], []).append(trial)
        for reason, trials in by_reason.items():
            self._executor.abort([trial.task_id for trial in trials], reason)
            for trial in trials:
                self._roster.watch(trial).is_asked_to_stop = True

    # --- ends --------------------------------------------------------------------------------------------------------

    def _lose(self, trial: Trial, reason: str) -> None:
        try:
            self._tasks.give_up(trial.task_id, reason)
        except ApiError as error:
            if error.subcode != _NO_SUCH_TASK:
                raise
        wish = self._roster.watch(trial).wish
        self._end(trial, *(wished(trial, self.goal, wish) if wish else (TrialState.LOST, reason)))

    def _end(self, trial: Trial, state: TrialState, reason: str, *, mark: bool = True) -> None:
        ended = replace(trial, state=state, reason=reason, ended_at=trial.ended_at or self._clock())
        if mark:
            self._mark(ended, state)
        running_s = self._running_s(trial)
        self._roster.settle(ended)
        self._ends[ended.number, state] += 1
        self._ledger.ended(ended, running_s)
        self._count_failures(ended)
        if not self._is_stopped and self._plan_retry(ended):
            self._learn_anew(ended)
        else:
            self._ledger.decided(ended, self._clock())
            self._tell(ended.number, ended)
        # Last: whoever hears of it may make calls too, and these may fail.
        self._hooks.on_trial(ended)
        if ended.number in self._line:
            self._note(f"trial {ended.number} is run again, as attempt {ended.attempt + 1}")

    def _plan_retry(self, ended: Trial) -> bool:
        """Plans a new attempt, if the policy has one for this end."""
        retry = self.policy.failures.retry(ended.state, self._ends[ended.number, ended.state])
        if retry is None:
            return False
        self._line.join(Launch(ended.number, ended.attempt + 1, ended.params, retry.queue))
        return True

    def _run_again(self, ended: Trial) -> None:
        self._line.join(Launch(ended.number, ended.attempt + 1, ended.params))
        self._study.add(ended.number, ended.params)
        self._note(f"trial {ended.number} is run again, as attempt {ended.attempt + 1}")

    def _learn_anew(self, trial: Trial) -> None:
        """The sampler sees a failure, and another trial at the same point."""
        self._study.fail(trial.number)
        self._study.add(trial.number, trial.params)

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
        text = f"{in_a_row} trials in a row are {ended.state.value}"
        self.failure = f"{text}, the last one, {ended.number}: {ended.reason}\n{tail}".strip()
        self.stop(text)

    def _mark(self, trial: Trial, state: TrialState) -> None:
        """Says on the task how its trial has ended, or is to end."""
        watch = self._roster.watch(trial)
        properties = {"state": state.value}
        values = [f"{value:.10g}" for value in trial.values if value is not None]
        if values:
            properties["value"] = ", ".join(values)
        if watch.marked == properties:
            return
        try:
            self._tasks.mark(trial.task_id, **properties)
        except ApiError as error:  # deleted or published meanwhile: no reason to end a study
            if error.code != _REFUSED:
                raise
            self._note(f"trial {trial.number} cannot be marked as {state.value}: {error}")
        watch.marked = properties

    def _tell(self, number: int, trial: Trial) -> None:
        if trial.state is TrialState.PRUNED:
            self._study.prune(number)
        elif trial.final_values is not None:
            self._study.complete(number, trial.final_values, trial.violations)
        else:
            self._study.fail(number)

    def _tell_known(self, number: int, known: int) -> None:
        """A duplicate is told at once what is known of its point: nothing, while the first one still runs."""
        trial = self._roster.get(known)
        if trial is None:
            self._study.fail(number)
        else:
            self._tell(number, trial)

    # --- coming back -------------------------------------------------------------------------------------------------

    def _look_back(self) -> None:
        """Now and then, and at the end, at attempts that failed or were pruned: a person may run them once more."""
        now = self._clock()
        if self._is_stopped or (now - self._looked_back < _LOOK_BACK_S and not self.is_done):
            return
        ended = [t for t in self._roster.latest if without_value(t.state) or t.state is TrialState.PRUNED]
        watched = (ended + self._roster.earlier)[-_MOST_LOOKED_BACK:]
        if watched:
            snapshots = self._tasks.poll([trial.task_id for trial in watched])
            for trial in watched:
                snapshot = snapshots.get(trial.task_id)
                if snapshot is not None and is_back(trial, snapshot):
                    self._comes_back(trial, snapshot)
        self._looked_back = now

    def _comes_back(self, trial: Trial, snapshot: TaskSnapshot) -> None:
        latest = self._roster[trial.number]
        if latest.task_id != trial.task_id:
            if snapshot.status in LIVE:
                self._executor.withdraw([trial.task_id])
                later = f"attempt {latest.attempt} of trial {trial.number} has taken its place"
                self._executor.abort([trial.task_id], later)
            return
        self._note(f"trial {trial.number} was {trial.state.value} and is {snapshot.status} again")
        if self._line.leave(trial.number) is None:  # the sampler has seen it end
            self._study.add(trial.number, trial.params)
        self._roster.forget(trial)
        self._roster.keep(replace(trial, state=TrialState.QUEUED, reason="", started_at=None, ended_at=None))

    # --- spending and launching --------------------------------------------------------------------------------------

    def _running_s(self, trial: Trial) -> float:
        """By the server's clock if the trial has ended, else by our own: the two may differ."""
        if trial.duration is not None:
            return _duration(trial)
        since = self._roster.watch(trial).running_since
        return 0.0 if since is None else self._clock() - since

    def _spend(self) -> None:
        reached = self.policy.budget.reached(self.spent)
        if reached:
            self.stop(reached, abort=self.policy.budget.then == "abort")

    def _launch(self) -> None:
        for trial in list(self._unsubmitted.values()):
            self._submit(trial)
        room = Room(self.policy.placement, self.workers, [t for t in self.live if t.number not in self._line])
        for launch in self._line:
            self._place(launch, room)
        while not self.ended and room.is_left and not self._line.is_full(self.workers):
            launch_or_none = self._next_launch()
            if launch_or_none is None:
                return
            self._line.join(launch_or_none)
            self._place(launch_or_none, room)

    def _next_launch(self) -> Launch | None:
        """The next new trial; None if there is none, for now or for good."""
        budget, count = self.policy.budget.trials, len(self._roster) + len(self._line.new)
        if budget is not None and count >= budget:
            self.ended = f"the budget of {budget} trials is used up"
            return None
        left = sum(self.workers.values()) if budget is None else min(budget - count, sum(self.workers.values()))
        params = self._ahead.next(self._next_number, max(1, left))
        if params is None:
            if not (self._ahead.is_thinking or self.live or self._line):
                self.ended = "every point of the search space was tried"
            return None
        launch = Launch(self._next_number, 1, params)
        self._count(launch.number, params)
        return launch

    def _place(self, launch: Launch, room: Room) -> None:
        """Has a planned attempt run, if there is room where it may."""
        queue = self._line.place_for(launch, room)
        if queue is None:
            return
        task_id = launch.task_id or self._tasks.create(launch.number, launch.attempt, launch.params)
        self._line.leave(launch.number)
        trial = Trial(launch.number, dict(launch.params), task_id, launch.attempt, queue=queue)
        self._roster.keep(trial)
        self._unsubmitted[trial.number] = trial
        self._submit(trial)

    def _submit(self, trial: Trial) -> None:
        """Has a trial run whose task exists."""
        self._executor.submit(trial.task_id, trial.queue)
        del self._unsubmitted[trial.number]
        queued = replace(trial, queued_at=self._clock())
        self._roster.keep(queued)
        self._hooks.on_trial(queued)


def _duration(trial: Trial) -> float:
    return max(0.0, trial.duration or 0.0)


def _begins_anew(trial: Trial, snapshot: TaskSnapshot) -> bool:
    """Whether a trial that ran was put in line again since, or has started from its first iteration again."""
    if trial.state is not TrialState.RUNNING or trial.started_at is None:
        return False
    return snapshot.status == "queued" or (
        snapshot.status == "in_progress"
        and snapshot.started_at != trial.started_at
        and snapshot.iteration < trial.iteration
    )
