"""One step: polls all live trials in one call, then reports, prunes, tells, retries and launches.

There is no thread per trial and nothing here waits; time is passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from clearml_hpo.core.budget import Spent
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.core.values import Params
from clearml_hpo.executors.base import Executor
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.endings import ending_of
from clearml_hpo.scheduler.imports import Imports
from clearml_hpo.scheduler.interfaces import Hooks, Tasks
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.limits import Limits
from clearml_hpo.scheduler.observing import Observer
from clearml_hpo.scheduler.orders import Orders
from clearml_hpo.scheduler.outcome_reporter import OutcomeReporter
from clearml_hpo.scheduler.outcomes import Outcomes
from clearml_hpo.scheduler.policy import Policy
from clearml_hpo.scheduler.prospects import Prospects
from clearml_hpo.scheduler.queues import Queues
from clearml_hpo.scheduler.requeueing import Requeueing
from clearml_hpo.scheduler.stopping import Stopping
from clearml_hpo.scheduler.takeover import Takeover
from clearml_hpo.scheduler.unasked import Unasked
from clearml_hpo.scheduler.user_reruns import Reruns
from clearml_hpo.search.learner import OptunaStudy

_LOOK_BACK_S = 30.0
"""How often ended attempts are looked at: a user may have enqueued them again."""

_SOON_S = 0.25
"""Time to the next step while the sampler computes a point for which there is room."""

_FEW_CALLS = 2
SHORTEST_POLL = 0.25
"""Share of the poll period to which short trials may shorten it."""


class Scheduler:
    """Drives the trials of one study from its first to its last.

    Attributes:
        takeover: takes in the trials that there are before the first step.
        orders: what users order by hand.
        imports: trials that ended elsewhere.
        unasked: what is ready for outside workers, and nobody asks for.
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
        self._context = context = Context(study, tasks, executor, goal, policy, hooks or Hooks(), clock)
        self.note = context.note
        self._roster = context.roster
        self._began_at = clock()
        self._driven_since = self._began_at if driven_since is None else driven_since
        self._ledger = Ledger(goal, self._driven_since, lambda: policy.budget.min_gain)
        self._prospects = Prospects(context, lambda: self._ledger.gained)
        self._queues = Queues(executor, policy.placement, context.hooks.on_note)
        reporter = OutcomeReporter(context)
        self._launcher = Launcher(context, self._queues, reporter.known, timer=timer)
        self._stopping = Stopping(context, self._launcher, reporter)
        self._outcomes = Outcomes(context, self._launcher, reporter, self._stopping, self._ledger)
        self._reruns = Reruns(context, self._launcher, reporter, self._stopping, self._outcomes, self._ledger)
        self._observer = Observer(context, self._reruns.begin_anew)
        self._limits = Limits(context, self._observer, self._stopping, self._outcomes)
        self._requeueing = Requeueing(context, self._launcher, self._queues, self._stopping, self._outcomes)
        self.orders = Orders(context, self._launcher, self._stopping)
        self.imports = Imports(context, self._launcher, reporter, self._ledger)
        self.unasked = Unasked(context, self._launcher)
        self.takeover = Takeover(context, self._launcher, reporter, self._outcomes, self._ledger)

    # --- where it stands ---------------------------------------------------------------------------------------------

    @property
    def workers(self) -> Mapping[str, int]:
        """How many trials each queue can run at once, as last seen."""
        return self._queues.workers

    @property
    def stranded(self) -> int:
        """How many planned attempts may only go to queues that no worker serves."""
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

    def live_trial(self, task_id: str) -> Trial | None:
        """The trial of this task, if it waits or runs; for any thread."""
        return next((trial for trial in self._roster.live if trial.task_id == task_id), None)

    @property
    def best(self) -> Trial | None:
        """The best completed trial so far."""
        return best_trial(self.trials, self._context.goal)

    @property
    def spent(self) -> Spent:
        """What is used of the budget by now."""
        now = self._context.clock()
        running = [(trial, self._roster.running_s(trial, now)) for trial in self._roster.live]
        spent = self._ledger.spent(now, self._driven_since, lambda: running)
        return replace(spent, to_gain=self._prospects.gain)

    @property
    def ended(self) -> str:
        """Why no more points are tried; empty while they are."""
        return self._stopping.reason if self._stopping.is_stopped else self._launcher.exhausted

    @property
    def failure(self) -> str:
        """Why the study has failed, with the tail of a log; empty if it has not."""
        return self._stopping.failure

    @property
    def is_done(self) -> bool:
        """Whether nothing is live and nothing more will be launched."""
        return bool(self.ended) and not self._roster.live and self._launcher.is_idle

    @property
    def is_hurried(self) -> bool:
        """Whether a step is to follow at once."""
        return self._stopping.is_hurried

    @property
    def prunes(self) -> bool:
        """Whether histories are of any use."""
        return self._observer.prunes

    def pause_s(self, poll_s: float) -> float:
        """Seconds until the next step: few while there is more to begin, until the next look at the latest."""
        is_filling = self.is_thinking or self._launcher.is_behind or self.imports.are_waiting
        return min(poll_s, _SOON_S) if is_filling else self.looks_apart_s(poll_s)

    def looks_apart_s(self, poll_s: float) -> float:
        """Seconds between two looks at the trials.

        Once a look costs more than a few calls, a second for each: hundreds of trials can wait. Where trials are
        shorter than ``poll_s``, no longer than a trial, so that slots do not stand idle. Before the first one has
        ended, each may be as long as the youngest has run, or as all were waited for, already.
        """
        calls = self._observer.calls
        if calls > _FEW_CALLS:
            return max(poll_s, float(calls))
        now = self._context.clock()
        running = [self._roster.running_s(t, now) for t in self._roster.live if t.state is TrialState.RUNNING]
        if self._ledger.recent_s is None:
            trial_s = min(running, default=now - self._began_at)
        else:
            trial_s = max(self._ledger.recent_s, min(running, default=0.0))
        return min(poll_s, max(trial_s, poll_s * SHORTEST_POLL))

    @property
    def is_thinking(self) -> bool:
        """Whether there is room, and the sampler is busy with a point for it."""
        return self._launcher.is_thinking

    def wait_for_point(self, seconds: float) -> bool:
        """Waits for a point of the sampler that thinks, for so long at most; false, as an event that is not set."""
        self._launcher.wait_for_point(seconds)
        return False

    # --- what it is told ---------------------------------------------------------------------------------------------

    def enqueue(self, params: Params) -> None:
        """Has ``params`` tried before anything that the sampler proposes."""
        self._launcher.enqueue(params)

    def retry(self, number: int) -> None:
        """Plans one more attempt of a trial that ended without a value; others are left as they are."""
        self._reruns.retry(number)

    def look_at_workers(self) -> None:
        """Has the next step see who serves the queues, however lately it has."""
        self._queues.look_anew()

    def judge(self, number: int, step: int, value: float) -> bool:
        """Shows the pruner, from any thread, what an outside trial reports; whether it is to end there.

        Only of trials in the placement's ``outside`` queues: what others report is seen at each step.
        """
        return self._observer.judge(self._roster[number], step, value)

    def stop(self, reason: str, *, abort: bool = True) -> None:
        """Has the next step launch no more, take back what waits and, if ``abort``, end what runs."""
        self._stopping.stop(reason, abort=abort)

    def close(self) -> None:
        """Ends the thread of the sampler: no more steps follow."""
        self._launcher.close()
        self.imports.close()

    # --- the step ----------------------------------------------------------------------------------------------------

    def step(self, *, looks: bool = True) -> bool:
        """One round; False once nothing is live and nothing more will be launched.

        Unless it ``looks``, trials count as they were last seen.

        A call that fails leaves everything as it was before it: the next step takes it up again.
        """
        # Where the trials stand. Queues come second: what a user has stopped or taken back does not move to another.
        if looks:
            self._observe()
        self._requeueing.look()
        self._reruns.look_back(_LOOK_BACK_S)

        # What is to end.
        if not self._stopping.is_stopped:
            self._prospects.look()
            budget = self._context.policy.budget
            if reached := budget.reached(self.spent):
                self.stop(reached, abort=budget.then == "abort")
        self._stopping.act()

        # What is to begin.
        if not self._stopping.is_stopped:
            self.unasked.act()
            self.imports.act()
            self._launcher.fill(self._roster.live)
            self._requeueing.fail_without_queues()
        if self.is_done:
            self._reruns.look_back(0.0)
        return not self.is_done

    def _observe(self) -> None:
        """Looks at the submitted trials, and settles or ends those for which it is time."""
        watched = self._launcher.submitted
        if not watched:
            return
        found = self._observer.look(watched)
        self._limits.listen(watched)
        for seen in found:
            trial, snapshot = seen.trial, seen.snapshot
            if seen.is_changed:
                self._context.hooks.on_trial(trial)
            if snapshot is None:
                self._outcomes.end(trial, TrialState.ABORTED, "its task was deleted", mark=False)
                continue
            ending = ending_of(trial, snapshot, self._context.goal, self._roster.memo(trial).wish)
            if ending is None:
                if trial.state is TrialState.RUNNING:
                    self._limits.check(trial, snapshot, seen.wants_pruning)
            elif self._requeueing.went_with_its_queue(trial, snapshot, ending[0]):
                self._launcher.requeue(trial)
            else:
                self._outcomes.end_as_seen(trial, snapshot, ending)
