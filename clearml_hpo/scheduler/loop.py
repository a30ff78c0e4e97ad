"""The loop: one step polls all live trials in one call, then reports, prunes, tells, runs again and launches.

There is no thread per trial and nothing here waits; time is passed in.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from clearml_hpo.backend.codes import BAD_REQUEST, LOST, Subcode
from clearml_hpo.backend.patience import Patience
from clearml_hpo.backend.trial_tasks import LIVE, TaskSnapshot
from clearml_hpo.core.budget import Spent
from clearml_hpo.core.errors import ApiError, is_trouble
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.not_finite import finite_points
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.core.values import Params
from clearml_hpo.executors.base import Executor
from clearml_hpo.scheduler.endings import Streak, ending_of, has_become_draft, is_back, wished
from clearml_hpo.scheduler.interfaces import Hooks, Tasks
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.line import Launch
from clearml_hpo.scheduler.observing import Observer
from clearml_hpo.scheduler.policy import Policy
from clearml_hpo.scheduler.queues import Queues
from clearml_hpo.scheduler.reasons import of_a_row, own_words
from clearml_hpo.scheduler.roster import Roster
from clearml_hpo.scheduler.telling import Teller
from clearml_hpo.scheduler.watch import Pulse, Silence
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.workers.last_line import could_not_log_in

_LOOK_BACK_S = 30.0
_MOST_LOOKED_BACK = 500
_SOON_S = 0.25
_FEW_CALLS = 2
_LONGEST_PAUSE_S = 15.0


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
        self._silence = Silence(policy.failures.silent_after_s, tasks.output)
        self._queues = Queues(executor, policy.placement, self._note)
        self._teller = Teller(study, tasks, self._roster, self._note)
        self._observer = Observer(study, tasks, self._roster, goal, policy, clock, self._begin_anew)
        self._launcher = Launcher(
            study,
            tasks,
            executor,
            self._queues,
            self._roster,
            policy,
            self._hooks,
            self._teller.known,
            clock=clock,
            timer=timer,
        )
        self._ledger = Ledger(goal, self._driven_since)
        self._streak = Streak()
        self._ends: Counter[tuple[int, TrialState]] = Counter()
        self._looked_back = -math.inf
        self._moving: set[str] = set()  # tasks on their way to another queue, if the answer to that was lost
        self._is_stopped = self._takes_back = self._takes_more = self._is_hurried = False

    @property
    def workers(self) -> Mapping[str, int]:
        """How many trials each queue can run at once, as last seen."""
        return self._queues.workers

    @property
    def stranded(self) -> int:
        """How many planned attempts may only go to queues that nobody serves."""
        return self._launcher.stranded

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

    @property
    def spent(self) -> Spent:
        """What is used of the budget by now."""
        running = [(trial, self._observer.running_s(trial)) for trial in self.live]
        return self._ledger.spent(self._clock(), self._driven_since, lambda: running)

    # --- before the first step ---------------------------------------------------------------------------------------

    def enqueue(self, params: Params) -> None:
        """Has ``params`` tried before anything that the sampler proposes."""
        self._launcher.enqueue(params)

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
        self._launcher.plan(Launch(trial.number, trial.attempt, trial.params, task_id=trial.task_id))

    def _take_over(self, trial: Trial) -> None:
        if not self._study.add(trial.number, trial.params):
            self._note(f"trial {trial.number} lies outside the search space: the sampler does not learn from it")
        self._roster.keep(trial)
        self._launcher.knows(trial.number, trial.params)

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
            self._launcher.knows(trial.number, trial.params)
            self._ends[trial.number, trial.state] += 1
            self._ledger.ended(trial, _duration(trial))
            if self._plan_retry(trial):
                self._study.add(trial.number, trial.params)
                continue
            self._ledger.decided(trial, last_end)
            curve = (histories or {}).get(trial.task_id, ())
            if (looked_at := self.goal.pruning_objective) is not None:
                curve = finite_points(curve, looked_at.metric, trial.not_finite)
            self._teller.restore(trial, dict(curve))
        self._ledger.goes_on(last_end, self._clock())

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

        ``before_step`` is called every 15 s at least; if it stops the study or retries a trial, a step follows at once.
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
                    more = self._launcher.is_thinking or self._launcher.is_behind
                    wait_s = min(poll_s, _SOON_S) if more else max(poll_s, self._calm_s)
                except ApiError as error:
                    patience.failed(error)
                    wait_s = patience.wait_s
                if goes_on:
                    self._wait(wait_s, stopped, before_step)
        finally:
            self._launcher.close()

    @property
    def _calm_s(self) -> float:
        """A second for each call of the last look, once there are more than a few: hundreds of trials can wait."""
        calls = self._observer.calls
        return float(calls) if calls > _FEW_CALLS else 0.0

    def _wait(self, seconds: float, stopped: threading.Event, before_step: Callable[[], None]) -> None:
        while not stopped.wait(min(seconds, _LONGEST_PAUSE_S)) and seconds > _LONGEST_PAUSE_S:
            seconds -= _LONGEST_PAUSE_S
            try:
                before_step()
            except ApiError as error:
                if not is_trouble(error):  # it is said with the next step
                    raise
            if self._is_hurried:
                return

    def step(self) -> bool:
        """One round; False once nothing is live and nothing more will be launched.

        A call that fails leaves everything as it was before it: the next step takes it up again.
        """
        self._observe()
        self._look_at_queues()  # second: what somebody has stopped or taken back is not moved to another queue
        self._look_back(_LOOK_BACK_S)
        if not self._is_stopped:
            self._spend()
        self._act()
        if not self._is_stopped:
            self._launcher.fill(self.live)
            self.ended = self._launcher.exhausted
            self._end_without_queues()
        if self.is_done:
            self._look_back(0.0)
        return not self.is_done

    @property
    def is_done(self) -> bool:
        """Whether nothing is live and nothing more will be launched."""
        return bool(self.ended) and not self.live and self._launcher.is_idle

    @property
    def prunes(self) -> bool:
        """Whether histories are of any use."""
        return self._observer.prunes

    def retry(self, number: int) -> None:
        """Has a trial that ended without a value run once more, as a person wishes; others are left as they are."""
        trial = self._roster.get(number)
        if trial is None or not trial.state.is_retryable or self._is_stopped:
            self._note(f"trial {number} cannot be run again: it is {trial.state.value if trial else 'not known'}")
        elif self._launcher.plans(number):
            self._note(f"trial {number} is about to run again")
        else:
            self._run_again(trial)
            self._is_hurried = True

    def stop(self, reason: str, *, abort: bool = True) -> None:
        """Has the next step launch no more, take back what waits and, if ``abort``, end what runs."""
        self.ended = reason
        self._is_stopped = self._takes_back = self._is_hurried = True
        self._launcher.stop()
        for trial in self.live:
            if abort or trial.state is TrialState.QUEUED:
                self._wish(trial, TrialState.STOPPED, reason)

    # --- queues ------------------------------------------------------------------------------------------------------

    def _submitted(self) -> list[Trial]:
        """Live trials that are the workers' now."""
        return [trial for trial in self.live if not self._launcher.has(trial)]

    def _queued(self) -> list[Trial]:
        return [trial for trial in self._submitted() if trial.state is TrialState.QUEUED]

    def _look_at_queues(self) -> None:
        """Sees to trials that wait where nobody will run them."""
        now = self._clock()
        self._queues.look(now)
        for trial in self._queues.missing(self._queued(), self.policy.failures.lost_after_s, now):
            self._lose(trial, f"{LOST} it was taken out of its queue by a worker that never started it")
        if not self._is_stopped:
            self._move(self._queues.unserved(self._queued()))

    def _move(self, trials: Sequence[Trial]) -> None:
        """Has trials wait in another queue."""
        self._moving = {trial.task_id for trial in trials}
        if not trials:
            return
        left = self._executor.withdraw([trial.task_id for trial in trials])
        self._moving = set()
        trials = [trial for trial in trials if trial.task_id not in left]
        if not trials:
            return
        for trial in trials:
            self._launcher.back_in_line(trial)
        numbers = ", ".join(str(trial.number) for trial in trials)
        queues = ", ".join(sorted({repr(trial.queue) for trial in trials}))
        self._note(f"nobody serves {queues}: what waits there moves to another queue (trials {numbers})")

    def _end_without_queues(self) -> None:
        """Fails the study if some of its trials have nowhere to go; what runs comes to its end."""
        deleted = ", ".join(map(repr, self._queues.deleted_choice))
        if deleted:
            self.failure = f"every queue that some trials may go to was deleted: {deleted}; make it again, and go on"
            self.stop("there is no queue any more", abort=False)

    # --- observing ---------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        watched = self._submitted()
        if not watched:
            return
        found = self._observer.look(watched)
        self._pulse.listen(self._clock())
        self._pulse.forget_others({trial.task_id for trial in watched})
        self._silence.listen(self._clock(), {trial.task_id for trial in watched})
        for seen in found:
            trial, snapshot = seen.trial, seen.snapshot
            if seen.is_changed:
                self._hooks.on_trial(trial)
            if snapshot is None:
                self._end(trial, TrialState.ABORTED, "its task was deleted", mark=False)
                continue
            ending = ending_of(trial, snapshot, self.goal, self._roster.watch(trial).wish)
            if ending is not None and self._went_with_its_queue(trial, snapshot, ending[0]):
                self._launcher.back_in_line(trial)
            elif ending is not None:
                state, reason = ending
                if has_become_draft(snapshot):
                    self._end_draft(trial, reason)
                # A draft that was taken back at the end of the study is as good as new.
                is_new = snapshot.status == "created" and snapshot.started_at is None
                is_draft = is_new and state is TrialState.STOPPED
                reason = own_words(self._tasks, trial.task_id, reason)
                if state is TrialState.FAILED and could_not_log_in(reason):
                    state = TrialState.LOST  # the script had no part in it
                self._end(trial, state, reason, mark=not is_draft)
            elif trial.state is TrialState.RUNNING:
                self._limit(trial, snapshot, seen.wants_pruning)

    def _end_draft(self, trial: Trial, reason: str) -> None:
        """A draft with a run in it is no draft: nobody would know that it has ended, and a successor would run it."""
        try:
            self._tasks.end_draft(trial.task_id, reason)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise

    def _went_with_its_queue(self, trial: Trial, snapshot: TaskSnapshot, ending: TrialState) -> bool:
        """Whether it no longer waits as its queue was deleted, or it moves, and not as somebody did not want it."""
        was_taken_out = (trial.state, snapshot.status, ending) == (TrialState.QUEUED, "created", TrialState.ABORTED)
        if not was_taken_out or self._is_stopped:
            return False
        return trial.task_id in self._moving or self._queues.was_deleted(trial.queue, self._clock())

    def _begin_anew(self, trial: Trial) -> Trial:
        """A person has a running trial run once more from its start; what it has used is used."""
        self._teller.unmark(trial)
        self._note(f"trial {trial.number} was put in line again by somebody, and starts anew")
        self._ledger.ended(trial, self._observer.running_s(trial))
        self._roster.forget(trial)
        self._teller.anew(trial)
        fresh = replace(trial, state=TrialState.QUEUED, values=(), iteration=0, started_at=None)
        self._roster.keep(fresh)
        if self._is_stopped:
            self._wish(fresh, TrialState.STOPPED, self.ended)
            self._takes_back = True
        return fresh

    def _limit(self, trial: Trial, snapshot: TaskSnapshot, wants_pruning: bool) -> None:
        """Ends a running trial that the pruner or a limit ends, or that shows no sign of life."""
        limits, lost_after_s = self.policy.limits, self.policy.failures.lost_after_s
        reported = self._roster.watch(trial).reported
        sign = (snapshot.updated_at, snapshot.iteration, snapshot.summaries)
        silent_s = self._pulse.silent_s(trial.task_id, sign, self._clock())
        if lost_after_s is not None and silent_s > lost_after_s:
            self._lose(self._observer.last_values(trial, snapshot), f"{LOST} no sign of life for {silent_s:.0f} s")
        elif wants_pruning:
            self._wish(trial, TrialState.PRUNED, f"pruned at iteration {reported}")
        elif limits.time_s is not None and self._observer.running_s(trial) > limits.time_s:
            self._complete(trial, snapshot, f"stopped after {limits.time_s:g} s")
        elif limits.max_iterations is not None and reported > limits.max_iterations:
            self._complete(trial, snapshot, f"stopped after {limits.max_iterations} iterations")
        elif self._hangs(trial, snapshot):
            self._wish(trial, TrialState.FAILED, f"it hangs: {self._silence}")

    def _hangs(self, trial: Trial, snapshot: TaskSnapshot) -> bool:
        """Whether it puts out nothing; of one that is to end already nobody asks."""
        sign = (snapshot.started_at, snapshot.summaries)  # another run of the task is not silent yet
        return self._roster.watch(trial).wish is None and self._silence.has_come(trial.task_id, sign, self._clock())

    def _complete(self, trial: Trial, snapshot: TaskSnapshot, reason: str) -> None:
        """Ends a trial at a limit; its task then says what counts of its values, should nobody see its end."""
        if self._roster.watch(trial).wish is None:
            self._roster.keep(self._observer.last_values(trial, snapshot))
            self._wish(trial, TrialState.COMPLETED, reason)

    def _wish(self, trial: Trial, state: TrialState, reason: str) -> None:
        """Notes how a trial is to end; :meth:`_act` makes the calls. The first wish counts."""
        watch = self._roster.watch(trial)
        watch.wish = watch.wish or (state, reason)

    def _act(self) -> None:
        """Makes the calls that :meth:`stop` and the limits wish for, until each has succeeded."""
        self._is_hurried = False
        if self._takes_back:
            self._say_that_it_stops()
            self._takes_back, self._takes_more = False, True
        if self._takes_more:
            # What a worker has taken and not started is asked for once more: it may have died, and will never start it.
            queued = [trial.task_id for trial in self.live if trial.state is TrialState.QUEUED]
            left = self._executor.withdraw(queued) if queued else {}
            self._takes_more = "queued" in left.values()
        by_reason: dict[str, list[Trial]] = {}
        for trial in self.live:
            watch = self._roster.watch(trial)
            if watch.wish is None or watch.asked_to_stop_at is not None or trial.state is TrialState.QUEUED:
                continue
            if watch.wish[0] is not TrialState.STOPPED:
                # First: whoever takes over after a crash must know why the task was stopped.
                self._teller.mark(replace(trial, reason=watch.wish[1]), watch.wish[0])
            by_reason.setdefault(watch.wish[1], []).append(trial)
        for reason, trials in by_reason.items():
            self._executor.abort([trial.task_id for trial in trials], reason)
            for trial in trials:
                self._roster.watch(trial).asked_to_stop_at = self._clock()

    def _say_that_it_stops(self) -> None:
        try:
            self._hooks.on_stopping(self.ended)
        except ApiError as error:  # the study's task was deleted: what runs must be ended all the same
            if error.code != BAD_REQUEST:
                raise
            self._note(f"it is not on record that the study stops: {error}")

    # --- ends --------------------------------------------------------------------------------------------------------

    def _lose(self, trial: Trial, reason: str) -> None:
        try:
            self._tasks.give_up(trial.task_id, reason)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise
        wish = self._roster.watch(trial).wish
        self._end(trial, *(wished(trial, self.goal, wish) if wish else (TrialState.LOST, reason)))

    def _end(self, trial: Trial, state: TrialState, reason: str, *, mark: bool = True) -> None:
        ended = replace(trial, state=state, reason=reason, ended_at=trial.ended_at or self._clock())
        if mark:
            self._teller.mark(ended, state)
        running_s = self._observer.running_s(trial)
        self._roster.settle(ended)
        self._ends[ended.number, state] += 1
        self._ledger.ended(ended, running_s)
        self._count_failures(ended)
        if not self._is_stopped and self._plan_retry(ended):
            self._teller.anew(ended)
        else:
            self._ledger.decided(ended, self._clock())
            self._teller.ended(ended.number, ended)
        # Last: whoever hears of it may make calls too, and these may fail.
        self._hooks.on_trial(ended)
        if self._launcher.plans(ended.number):
            self._note(f"trial {ended.number} is run again, as attempt {ended.attempt + 1}")

    def _plan_retry(self, ended: Trial) -> bool:
        """Plans a new attempt, if the policy has one for this end."""
        retry = self.policy.failures.retry(ended.state, self._ends[ended.number, ended.state])
        if retry is None:
            return False
        self._launcher.plan(Launch(ended.number, ended.attempt + 1, ended.params, retry.queue))
        return True

    def _run_again(self, ended: Trial) -> None:
        self._launcher.plan(Launch(ended.number, ended.attempt + 1, ended.params))
        self._study.add(ended.number, ended.params)
        self._note(f"trial {ended.number} is run again, as attempt {ended.attempt + 1}")

    def _count_failures(self, ended: Trial) -> None:
        """Stops the study if too many ends in a row are of the same class."""
        failures = self.policy.failures
        if ended.state is TrialState.STOPPED:
            return
        in_a_row = self._streak.add(ended.state)
        if not ended.state.is_retryable or in_a_row != failures.stop_after or self._is_stopped:
            return
        line, self.failure = of_a_row(self._tasks, ended, in_a_row)
        self.stop(line)

    # --- coming back -------------------------------------------------------------------------------------------------

    def _look_back(self, after_s: float) -> None:
        """Now and then at attempts that failed or were pruned: a person may have them run once more."""
        now = self._clock()
        if self._is_stopped or now - self._looked_back < after_s:
            return
        ended = [t for t in self._roster.latest if t.state.is_retryable or t.state is TrialState.PRUNED]
        watched = (self._roster.earlier + ended)[-_MOST_LOOKED_BACK:]
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
        self._teller.unmark(trial)
        self._note(f"trial {trial.number} was {trial.state.value} and is {snapshot.status} again")
        # What waits has the times of its last run.
        if snapshot.status != "queued" and snapshot.started_at == trial.started_at:
            self._ledger.goes_on_running(trial)
        if not self._launcher.unplan(trial.number):  # the sampler has seen it end
            self._study.add(trial.number, trial.params)
        self._roster.forget(trial)
        self._roster.keep(replace(trial, state=TrialState.QUEUED, reason="", started_at=None, ended_at=None))

    # --- spending ----------------------------------------------------------------------------------------------------

    def _spend(self) -> None:
        reached = self.policy.budget.reached(self.spent)
        if reached:
            self.stop(reached, abort=self.policy.budget.then == "abort")


def _duration(trial: Trial) -> float:
    return max(0.0, trial.duration or 0.0)
