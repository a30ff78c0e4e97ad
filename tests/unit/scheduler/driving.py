"""Studies in a simulated world, and a server in trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable

import optuna
import pytest

from clearml_hpo.backend.trial_records import TrialRecords, _Entry, _sorted
from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Failures, Hooks, Placement, Policy, Scheduler
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import Float, SearchSpace
from clearml_hpo.testing import Simulation

SPACE = SearchSpace({"General/x": Float(0.0, 1.0)})
LOSS = Objective("validation", "loss")


def quadratic(params):
    final = (params["General/x"] - 0.3) ** 2
    return [final + 1 / step for step in range(1, 6)]


def make(
    world,
    *,
    trials=10,
    space=SPACE,
    pruner=None,
    sampler=None,
    objective=LOSS,
    goal=None,
    limits=None,
    budget=None,
    failures=None,
    placement=None,
    rerun_duplicates=False,
    fidelity=None,
    timer=lambda: 0.0,
    driven_since=None,
    clock=None,
    on_trial=lambda trial: None,
    on_stopping=lambda reason: None,
    **options,
):
    goal = goal or Goal((objective,))
    study = OptunaStudy(
        space,
        [one.direction for one in goal.objectives],
        sampler=sampler or optuna.samplers.RandomSampler(seed=0),
        pruner=pruner,
        pruned_by=goal.pruned_by and goal.pruned_by.direction,
    )
    heard: list[Trial] = []
    notes: list[str] = []

    def hear(trial):
        heard.append(trial)
        on_trial(trial)

    scheduler = Scheduler(
        study,
        world,
        world,
        goal,
        Policy(
            budget or Budget(trials=trials),
            limits or TrialLimits(),
            placement or Placement(**options),
            failures or Failures(),
            rerun_duplicates,
            fidelity=fidelity,
        ),
        hooks=Hooks(on_trial=hear, on_note=notes.append, on_stopping=on_stopping),
        clock=clock or world.clock,
        timer=timer,
        driven_since=driven_since,
    )
    scheduler.heard, scheduler.notes, scheduler.study = heard, notes, study
    return scheduler


def drive(scheduler, world, steps=500):
    for _ in range(steps):
        if not scheduler.step():
            return
        world.advance()
    pytest.fail("the study did not end")


def until(scheduler, world, holds, steps=300):
    """Steps until something holds."""
    for _ in range(steps):
        if holds():
            return
        scheduler.step()
        world.advance()
    pytest.fail("it never came to that")


def states(scheduler):
    return [trial.state for trial in scheduler.trials]


def falling_or_flat(params):
    return [1.0] * 30 if params["General/x"] > 0.75 else [1.0 / step for step in range(1, 31)]


CALLS = (
    "create",
    "submit",
    "poll",
    "histories",
    "mark",
    "abort",
    "withdraw",
    "workers",
    "waiting",
    "elsewhere",
    "deleted",
    "give_up",
    "log_tail",
)


class Troubled:
    """A server that fails at the calls that are counted out: the n-th of one method, or of all together.

    Attributes:
        failed: how many calls have failed so far.
    """

    def __init__(
        self, world: Simulation, fails: Callable[[int], bool], methods: tuple[str, ...] = CALLS, *, heard: bool = False
    ) -> None:
        """``fails`` says whether the call of this number, from 1, fails; ``heard`` that it is done all the same."""
        self.failed = self.calls = 0
        for method in methods:
            setattr(world, method, self._troubled(method, getattr(world, method), fails, heard))

    def _troubled(self, method, call, fails, heard):
        def troubled(*arguments, **named):
            self.calls += 1
            if not fails(self.calls):
                return call(*arguments, **named)
            self.failed += 1
            if heard:
                call(*arguments, **named)
            raise ApiError(method, 503, 0, "in trouble")

        return troubled


def records(world: Simulation, goal: Goal, stopping: float | None = None) -> TrialRecords:
    """The trial tasks as a controller that takes over reads them from a server."""
    entries = []
    for task_id, snapshot in Simulation.poll(world, list(world.tasks)).items():
        task = world.tasks[task_id]
        said = task.properties.get("state", "")
        trial = Trial(
            task.number,
            task.params,
            task_id,
            task.attempt,
            values=goal.values(snapshot.summaries),
            violations=goal.violations(snapshot.summaries),
            iteration=snapshot.iteration,
            queue=task.queue,
            worker=task.worker,
            reason=task.reason,
            started_at=task.started_at,
            ended_at=task.ended_at,
            length=task.length,
            continues=task.continues,
        )
        entries.append(_Entry(trial, snapshot, TrialState(said) if said else None))
    return _sorted(entries, stopping)


def take_over(scheduler: Scheduler, world: Simulation, stopping: float | None = None) -> TrialRecords:
    """Has ``scheduler`` go on with the study whose trial tasks are there, as ``Driver`` does."""
    found = records(world, scheduler._context.goal, stopping)
    scheduler.takeover.restore(found.settled, found.earlier)
    for trial in found.drafts:
        scheduler.takeover.adopt_draft(trial)
    for trial in found.unsettled:
        scheduler.takeover.adopt(trial, found.wishes.get(trial.task_id))
    for task_id in found.orphans:
        world.delete(task_id)
    return found


class Pauses(threading.Event):
    """Lets the world's time pass at once where the loop would wait."""

    def __init__(self, world):
        super().__init__()
        self.world, self.lengths = world, []

    def wait(self, timeout=None):
        self.lengths.append(timeout)
        self.world.advance(timeout)
        assert len(self.lengths) < 500, "it waits for ever"
        return self.is_set()
