"""Servers that fail, workers that die, people who meddle, controllers that are killed: what must hold all the same."""

from __future__ import annotations

import random
from collections import Counter

import optuna
import pytest

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Retry
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import CALLS, LOSS, Troubled, falling_or_flat, make, records, take_over

GOAL = Goal((LOSS,))


def assert_sound(scheduler, world):
    """No number twice, no task without a trial, nothing left running, every end written down and told."""
    known = {trial.task_id: trial for trial in (*scheduler.earlier_attempts, *scheduler.trials)}
    assert not world.running and not world.queue
    for task in world.tasks.values():
        # A clone whose answer was lost is a draft, which the controller deletes at its end.
        assert task.task_id in known or task.status == "created", task
    by_attempt = Counter((trial.number, trial.attempt) for trial in known.values())
    assert set(by_attempt.values()) <= {1}
    assert [trial.number for trial in scheduler.trials] == list(range(len(scheduler.trials)))
    for trial in scheduler.trials:
        task = world.tasks.get(trial.task_id)
        assert not trial.state.is_live
        if task is not None and task.status != "created":
            assert task.properties["state"] == trial.state.value
            assert (task.status == "completed") <= (trial.state is TrialState.COMPLETED)
    running = [t for t in scheduler.study.optuna_study.trials if t.state == optuna.trial.TrialState.RUNNING]
    assert not running
    complete = [t for t in scheduler.study.optuna_study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert sorted(t.value for t in complete) == sorted(t.value for t in scheduler.trials if t.final_values)


def troubled_study(world):
    """A study in which every kind of call is made."""
    return make(
        world,
        budget=Budget(trials=14, wall_s=150),
        pruner=optuna.pruners.ThresholdPruner(upper=0.9, n_warmup_steps=4),
        failures=Failures({TrialState.LOST: Retry(2), TrialState.FAILED: Retry(1)}, stop_after=9, lost_after_s=15),
    )


def drive_through(scheduler, world, rounds=600):
    done_at = None
    for n in range(rounds):
        try:
            if not scheduler.step():
                done_at = n
                break
        except ApiError as error:
            assert error.code == 503
        if n == 6:
            world.silent.update(task.task_id for task in world.running[:1])
        if n == 70:
            for task in world.running[:1]:
                world.end(task.task_id, "failed", "killed")
        world.advance()
    assert done_at is not None, "the study did not end"


@pytest.mark.long
@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
@pytest.mark.parametrize("method", CALLS)
def test_any_call_may_fail_at_any_time(method, heard):
    for nth in (*range(1, 12), *range(12, 200, 9)):
        world = Simulation(falling_or_flat)
        server = Troubled(world, lambda call, nth=nth: call == nth, (method,), heard=heard)
        scheduler = troubled_study(world)
        drive_through(scheduler, world)
        assert_sound(scheduler, world)
        assert len(scheduler.trials) == 14 or "time budget" in scheduler.ended
        if not server.failed:
            break
    assert nth > 1 or method in ("log_tail", "elsewhere", "deleted")


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
def test_a_server_that_fails_again_and_again_changes_nothing_in_the_end(rate, heard):
    world, draw = Simulation(falling_or_flat), random.Random(rate)
    Troubled(world, lambda call: draw.random() < rate, heard=heard)
    scheduler = troubled_study(world)
    drive_through(scheduler, world, rounds=3000)
    assert_sound(scheduler, world)


class Chaos:
    """Random events in a simulated world, for a while; then the study is left in peace."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.world = Simulation(falling_or_flat, workers=self.random.choice([{"default": 1}, {"default": 4}]))
        self.is_calm = False
        self.deleted: set[int] = set()
        self.revived: set[int] = set()
        self.completed: dict[int, str] = {}
        self.stopping: float | None = None
        self.trials = 12
        fails = lambda call: not self.is_calm and self.random.random() < 0.04  # noqa: E731
        Troubled(self.world, fails, heard=self.random.random() < 0.5)

    def controller(self):
        scheduler = make(
            self.world,
            trials=self.trials,
            pruner=optuna.pruners.ThresholdPruner(upper=0.9, n_warmup_steps=6),
            failures=Failures({TrialState.LOST: Retry(9), TrialState.FAILED: Retry(1)}, lost_after_s=25),
        )
        if self.world.tasks:
            take_over(scheduler, self.world, self.stopping)
        return scheduler

    def happens(self):
        world, draw = self.world, self.random
        live = [task for task in world.tasks.values() if task.status in ("queued", "in_progress")]
        over = [task for task in world.tasks.values() if task.status in ("failed", "stopped")]
        if not live:
            return
        task, event = draw.choice(live), draw.randrange(10)
        if event == 0:
            world.silent.add(task.task_id)
        elif event == 1 and task.status == "in_progress":
            world.end(task.task_id, "failed", draw.choice(["lost: agent died", "exit code 1"]))
        elif event == 2:
            world.end(task.task_id, "stopped", "by ada")
        elif event == 3:
            world.withdraw([task.task_id])
        elif event == 4 and len(self.deleted) < 3:
            self.deleted.add(task.number)
            world.delete(task.task_id)
        elif event == 5:
            world.reset(task.task_id)
            world.submit(task.task_id)
        elif event == 6 and over:
            again = draw.choice(over)
            world.reset(again.task_id)
            world.submit(again.task_id)
            self.revived.add(again.number)
        elif event == 7 and world.silent:
            self.revived.update(world.tasks[task_id].number for task_id in world.silent)
            world.silent.clear()
        elif event == 8 and world.queue:
            world.queue.pop(0)  # a worker takes it, and dies before it has started it
        elif event == 9 and task.status == "in_progress":
            world.dequeue_running(task.task_id)

    def note_ends(self):
        for task in self.world.tasks.values():
            if task.status == "completed":
                self.completed.setdefault(task.number, task.task_id)

    def run(self):
        scheduler = self.controller()
        for n in range(4000):
            self.is_calm = n >= 250
            if n == 250:  # the machines that are gone are replaced, and go on
                self.revived.update(self.world.tasks[task_id].number for task_id in self.world.silent)
                self.world.silent.clear()
            if not self.is_calm:
                for _ in range(self.random.randrange(3) == 0):
                    self.attempt(self.happens)
                if self.random.random() < 0.03:
                    scheduler = self.attempt(self.controller) or scheduler
            if self.attempt(scheduler.step) is False:
                return scheduler
            self.note_ends()
            self.world.advance()
        pytest.fail("the study did not end")

    @staticmethod
    def attempt(call):
        try:
            return call()
        except ApiError as error:
            assert error.code == 503
            return None


@pytest.mark.parametrize("seed", range(51))
def test_a_study_ends_well_whatever_happens(seed):
    chaos = Chaos(seed)
    scheduler = chaos.run()
    world = chaos.world
    trials = {trial.number: trial for trial in scheduler.trials}
    assert len(trials) == len(scheduler.trials) == chaos.trials, "the budget is exact"
    known = {trial.task_id for trial in (*scheduler.earlier_attempts, *scheduler.trials)}
    orphans = {task_id for task_id in world.tasks if task_id not in known}
    assert all(world.tasks[task_id].status == "created" for task_id in orphans), "no task without a trial"
    by_attempt = Counter((t.number, t.attempt) for t in (*scheduler.earlier_attempts, *scheduler.trials))
    assert max(by_attempt.values()) == 1, "no attempt twice"
    for number, task_id in chaos.completed.items():
        if number not in chaos.revived | chaos.deleted:
            assert trials[number].state is TrialState.COMPLETED and trials[number].task_id == task_id
    running = {task.task_id for task in world.running} | set(world.queue)
    assert not {trials[world.tasks[task_id].number].task_id for task_id in running} & running, "nothing goes on unseen"
    again = records(world, GOAL)
    assert not again.unsettled or chaos.revived
    for trial in again.settled:
        if trial.number in chaos.deleted:
            continue
        assert trial.state is trials[trial.number].state
