"""Attempts on their way from a point to a queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from clearml_hpo.backend.codes import Subcode
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler.ask_ahead import AskAhead
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launch_queue import Launch, LaunchQueue
from clearml_hpo.scheduler.placement import Places
from clearml_hpo.scheduler.points import Points
from clearml_hpo.scheduler.queues import Queues

_MOST_AT_ONCE = 100


class Launcher:
    """Fills the queues, as far as there is room: with what is planned, then with new trials.

    Attributes:
        exhausted: why there are no new trials any more; empty while there may be some.
        is_behind: whether there may be room for more than was launched at once.
    """

    def __init__(
        self,
        context: Context,
        queues: Queues,
        tell_known: Callable[[int, int], None],
        *,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``tell_known`` is that of ``Points``, ``timer`` that of ``AskAhead``."""
        self.exhausted = ""
        self.is_behind = False
        self._study = study = context.study
        self._tasks = context.tasks
        self._executor = context.executor
        self._queues = queues
        self._roster = context.roster
        self._policy = policy = context.policy
        self._goal = context.goal
        self._hooks = context.hooks
        self._clock = context.clock
        self._planned = LaunchQueue(policy.placement)
        self._unsubmitted: dict[int, Trial] = {}
        self._points = Points(study, tell_known, rerun_duplicates=policy.rerun_duplicates)
        self._timer = timer
        self._ask_ahead = AskAhead(self._points, study.fail, timer=timer)
        self._next_number = 0
        self._is_stopped = False

    @property
    def is_thinking(self) -> bool:
        """Whether there is room, and the sampler is busy with a point for it."""
        return self._ask_ahead.is_thinking

    def wait_for_point(self, seconds: float) -> None:
        """Returns once the sampler has a point, or so much later."""
        self._ask_ahead.wait(seconds)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is planned, and no paused trial may go on."""
        return not self._planned and not self._promotions()

    @property
    def stranded(self) -> int:
        """How many planned attempts may only go to queues that no worker serves."""
        return self._planned.stranded(self._queues.workers)

    @property
    def submitted(self) -> list[Trial]:
        """Live trials that are the workers' now."""
        return [trial for trial in self._roster.live if not self.has(trial)]

    @property
    def by_order(self) -> Mapping[str, int]:
        """The trials that are to try, or have tried, what users ordered, by the order's name."""
        return self._points.by_order

    def enqueue(self, params: Params, order: str = "") -> None:
        """Has ``params`` tried before anything that the sampler proposes; by this order, if a user gave one."""
        self._points.enqueue(params, order)

    def knows(self, number: int, params: Params) -> None:
        """Trial ``number`` is there already."""
        self._next_number = max(self._next_number, number + 1)
        self._points.tried(number, params)

    @property
    def room_of_budget(self) -> int | None:
        """How many new trials the budget still allows; None for any number."""
        budget = self._policy.budget.trials
        return None if budget is None else max(0, budget - len(self._roster) - len(self._planned.new))

    def take_number(self) -> int:
        """The number of a trial that another part makes; it must be known (:meth:`knows`) before the next step."""
        self._ask_ahead.drop()
        return self._next_number

    def was_proposed(self, number: int) -> bool:
        """Whether the sampler proposed the point of this trial; false if a user wanted it."""
        return not self._points.was_wanted(number)

    def forget(self, trials: Collection[Trial]) -> None:
        """There are none of these any more, and their points may come again; the last numbers are free again."""
        for trial in trials:
            self._roster.forget(trial)
            self._roster.drop(trial)
            self._points.forget(trial.number, trial.params)
            self._study.fail(trial.number)
        self._ask_ahead.drop()
        there = [*(trial.number for trial in self._roster.latest), *(launch.number for launch in self._planned)]
        self._next_number = max(there, default=-1) + 1
        if trials:
            self.reopen()

    def plan(self, launch: Launch) -> None:
        """Has an attempt run as soon as there is room."""
        self._planned.add(launch)

    def plans(self, number: int) -> bool:
        """Whether an attempt of this trial is planned."""
        return number in self._planned

    def unplan(self, number: int) -> bool:
        """Takes back what is planned of a trial; False if there is nothing."""
        return self._planned.remove(number) is not None

    def has(self, trial: Trial) -> bool:
        """Whether a live trial is still on its way to a queue."""
        return trial.number in self._planned or trial.number in self._unsubmitted

    def stop(self) -> None:
        """Nothing more is launched. Whether tasks that are made already wait somewhere all the same is to be seen."""
        self._is_stopped = True
        for launch in self._planned:
            self._planned.remove(launch.number)
            if not launch.task_id:
                self._study.fail(launch.number)
        self._unsubmitted.clear()
        self.close()

    def close(self) -> None:
        """No new points are needed."""
        self._ask_ahead.close()

    def reopen(self) -> None:
        """There may be new trials again: the budget has grown or is used less, or a user wants a point tried."""
        if self.exhausted:
            self.exhausted = ""
            self._ask_ahead = AskAhead(self._points, self._study.fail, timer=self._timer)

    def leave(self, trial: Trial) -> None:
        """Has a live trial that is still on its way to a queue not go there."""
        self._planned.remove(trial.number)
        self._unsubmitted.pop(trial.number, None)

    def fill(self, live: Collection[Trial]) -> None:
        """Puts attempts in queues until these are full, or there is nothing more to run, for now or for good.

        A hundred at once, so that those who drive many machines do not forget all else meanwhile.
        """
        self.is_behind = self._ask_ahead.is_thinking = False
        for trial in list(self._unsubmitted.values()):
            self._submit(trial)
        workers = self._queues.workers
        there = [trial for trial in live if trial.number not in self._planned]
        room = self._policy.room(self._policy.placement, workers, there, self._queues.gone)
        placed = 0
        for launch in self._planned:
            if placed < _MOST_AT_ONCE:
                placed += self._place(launch, room)
        promotions = iter(self._promotions())
        while placed < _MOST_AT_ONCE:
            paused = next(promotions, None)
            if paused is None and self.exhausted:
                break  # before it is asked for room: who asks wants a place
            if not room.is_left or self._planned.is_full(workers):
                break
            launch_or_none = self._next_launch(sum(workers.values())) if paused is None else self._promoted(paused)
            if launch_or_none is None:
                return
            self._planned.add(launch_or_none)
            placed += self._place(launch_or_none, room)
        self.is_behind = placed == _MOST_AT_ONCE

    def _promotions(self) -> list[Trial]:
        """The paused trials that may go on now."""
        fidelity, roster = self._policy.fidelity, self._roster
        if fidelity is None or self._is_stopped:
            return []
        at_end = bool(self.exhausted) and not roster.live and not self._planned
        found = fidelity.promotable(roster.latest, roster.earlier, self._goal, at_end=at_end)
        return [trial for trial in found if trial.number not in self._planned]

    def _promoted(self, trial: Trial) -> Launch:
        """A further attempt of a paused trial, which goes on from its checkpoint."""
        assert self._policy.fidelity is not None  # it has paused it
        self._study.resume(trial.number, trial.params)
        length = self._policy.fidelity.after(trial.length)
        return replace(Launch.after(trial), length=length, continues=trial.task_id)

    def _next_launch(self, slots: int) -> Launch | None:
        """The next new trial; None if there is none, for now or for good."""
        left = self.room_of_budget
        if left == 0:
            self._is_over(f"the budget of {self._policy.budget.trials} trials is used up")
            return None
        most = slots if left is None else min(left, slots)
        params = self._ask_ahead.next(self._next_number, max(1, most))
        if params is None:
            if not (self.is_thinking or self._roster.live or self._planned):
                self._is_over("every point of the search space was tried")
            return None
        order = next((name for name, number in self.by_order.items() if number == self._next_number), "")
        fidelity = self._policy.fidelity
        length = fidelity.first(self._next_number) if fidelity is not None else 0
        launch = Launch(self._next_number, 1, params, order=order, length=length)
        self.knows(launch.number, params)
        return launch

    def _is_over(self, why: str) -> None:
        self.exhausted = why
        self.close()

    def _place(self, launch: Launch, room: Places) -> bool:
        """Has a planned attempt run, if there is room where it may; whether there was."""
        queue = self._planned.place_for(launch, room)
        if queue is None:
            return False
        length, continues = launch.length, launch.continues
        task_id = launch.task_id or self._tasks.create(
            launch.number, launch.attempt, launch.params, launch.order, length=length, continues=continues
        )
        self._planned.remove(launch.number)
        trial = Trial(
            launch.number,
            dict(launch.params),
            task_id,
            launch.attempt,
            queue=queue,
            length=length,
            continues=continues,
        )
        self._roster.keep(trial)
        self._unsubmitted[trial.number] = trial
        self._submit(trial)
        return True

    def _submit(self, trial: Trial) -> None:
        """Has a trial run whose task exists."""
        try:
            self._executor.submit(trial.task_id, trial.queue)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_QUEUE:
                raise
            self._queues.lose(trial.queue)
            self.requeue(trial)
            return
        del self._unsubmitted[trial.number]
        queued = replace(trial, queued_at=self._clock())
        self._roster.keep(queued)
        self._hooks.on_trial(queued)

    def requeue(self, trial: Trial) -> None:
        """Has a trial whose task waits nowhere go to a queue as soon as there is room."""
        self._unsubmitted.pop(trial.number, None)
        self._roster.keep(replace(trial, queue=""))
        self.plan(Launch.of(trial))
