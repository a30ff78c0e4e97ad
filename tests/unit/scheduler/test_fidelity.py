"""Trials that pause at a length, and go on from their checkpoints."""

from __future__ import annotations

from collections import Counter

import optuna
import pytest

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Retry, Room
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.gp_tpe import SECONDS
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import drive, make, records, states, take_over, until

Told = optuna.trial.TrialState
ASHA = Fidelity("General/epochs", (2, 6, 18), 3)
GOAL = Objective("validation", "loss")


def descent(params):
    """Curves that do not cross: 18 steps, better by x."""
    return [params["General/x"] + 1 / step for step in range(1, 19)]


def lengths(world):
    return Counter(task.length for task in world.tasks.values())


def test_a_study_of_nine_completes_one():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=9, fidelity=ASHA)
    drive(scheduler, world)
    done = Counter(states(scheduler))
    assert done == {TrialState.PAUSED: 8, TrialState.COMPLETED: 1}
    best = min(scheduler.trials, key=lambda trial: trial.params["General/x"])
    assert scheduler.best.number == best.number and best.state is TrialState.COMPLETED and best.length == 18
    assert lengths(world)[2] == 9 and lengths(world)[18] == 1
    assert "budget of 9 trials" in scheduler.ended


def test_a_promotion_is_an_attempt_of_the_same_trial_that_goes_on_from_the_task_before():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA)
    drive(scheduler, world)
    best = scheduler.best
    attempts = sorted((t for t in world.tasks.values() if t.number == best.number), key=lambda task: task.attempt)
    assert [(task.attempt, task.length) for task in attempts] == [(1, 2), (2, 6), (3, 18)]
    assert [task.continues for task in attempts] == ["", attempts[0].task_id, attempts[1].task_id]
    assert len({tuple(task.params.items()) for task in attempts}) == 1
    assert [task.properties["state"] for task in attempts] == ["paused", "paused", "completed"]


def test_a_promotion_comes_before_a_new_point():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=9, fidelity=ASHA, prefetch=0)
    until(scheduler, world, lambda: len(world.tasks) == 4)
    assert [task.length for task in world.tasks.values()] == [2, 2, 2, 6]


def test_iterations_that_were_trained_before_are_not_counted_twice():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA)
    drive(scheduler, world)
    assert scheduler.spent.iterations == 2 + 2 + 18


def test_the_sampler_learns_of_a_trial_once_as_far_as_it_came():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=9, fidelity=ASHA)
    drive(scheduler, world)
    told = scheduler.study.optuna_study.trials
    assert Counter(t.state for t in told) == {Told.PRUNED: 8, Told.COMPLETE: 1}
    assert all(t.last_step == trial.length for t in told for trial in scheduler.trials
               if t.state is Told.PRUNED and t.params["General/x"] == trial.params["General/x"])  # fmt: skip
    pruned = {t.params["General/x"]: t.value for t in told if t.state is Told.PRUNED}
    assert pruned == {t.params["General/x"]: t.value for t in scheduler.trials if t.state is TrialState.PAUSED}


def test_the_time_of_a_last_part_is_not_told_as_that_of_a_trial():
    def told_seconds(fidelity):
        world = Simulation(descent, workers=1)
        scheduler = make(world, trials=3, fidelity=fidelity)
        drive(scheduler, world)
        return [t.user_attrs.get(SECONDS) for t in scheduler.study.optuna_study.trials if t.state is Told.COMPLETE]

    assert told_seconds(ASHA) == [None]
    assert all(told_seconds(None))


def test_only_a_trial_of_full_length_is_best_or_reaches_the_target():
    world = Simulation(descent, workers=1)
    scheduler = make(world, fidelity=ASHA, budget=Budget(trials=9, target=1e9))
    until(scheduler, world, lambda: any(t.state is TrialState.PAUSED for t in scheduler.trials))
    assert scheduler.best is None and not scheduler.ended
    drive(scheduler, world)
    assert scheduler.best.length == 18 and "target" in scheduler.ended


def test_the_best_value_of_a_run_is_that_of_all_its_attempts():
    def rising(params):
        return [params["General/x"] + step for step in range(1, 19)]

    world = Simulation(rising, workers=1)
    scheduler = make(world, trials=1, fidelity=ASHA, objective=Objective("validation", "loss", "minimize", "best"))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.COMPLETED and trial.value == trial.params["General/x"] + 1


@pytest.mark.parametrize("step", range(1, 40, 3))
def test_a_controller_that_is_killed_at_any_step_goes_on(step):
    world = Simulation(descent, workers=2)
    first = make(world, trials=9, fidelity=ASHA)
    for _ in range(step):
        first.step()
        world.advance()
    scheduler = make(world, trials=9, fidelity=ASHA)
    take_over(scheduler, world)
    drive(scheduler, world)
    assert Counter(states(scheduler))[TrialState.COMPLETED] >= 1
    assert lengths(world)[2] == 9
    assert scheduler.best.params == min((t.params for t in scheduler.trials), key=lambda p: p["General/x"])
    attempts = Counter((task.number, task.attempt) for task in world.tasks.values())
    assert set(attempts.values()) == {1}
    told = Counter(t.state for t in scheduler.study.optuna_study.trials)
    assert told[Told.PRUNED] + told[Told.COMPLETE] == 9 and not told[Told.RUNNING]


def test_a_controller_that_is_killed_at_each_step_gets_there_too():
    world = Simulation(descent, workers=2)
    for _ in range(300):
        scheduler = make(world, trials=9, fidelity=ASHA)
        take_over(scheduler, world)
        if not scheduler.step():
            break
        world.advance()
    assert lengths(world)[2] == 9 and lengths(world)[18] >= 1
    assert not [trial for trial in scheduler.trials if trial.state.is_live]


def test_a_promotion_whose_task_was_made_and_not_submitted_is_submitted_as_it_was():
    world = Simulation(descent, workers=1)
    first = make(world, trials=3, fidelity=ASHA, prefetch=0)
    until(first, world, lambda: len(world.tasks) == 3 and not world.running)
    world.submit = None  # the controller dies as it submits the promotion
    with pytest.raises(TypeError):
        first.step()
    del world.submit
    (draft,) = records(world, first._context.goal).drafts
    assert draft.length == 6 and draft.continues
    scheduler = make(world, trials=3, fidelity=ASHA)
    take_over(scheduler, world)
    drive(scheduler, world)
    assert scheduler.best.length == 18 and len(world.tasks) == 5


def test_a_larger_budget_lets_paused_trials_go_on():
    world = Simulation(descent, workers=1)
    drive(make(world, trials=3, fidelity=ASHA), world)
    scheduler = make(world, trials=9, fidelity=ASHA)
    take_over(scheduler, world)
    drive(scheduler, world)
    assert lengths(world)[2] == 9 and Counter(states(scheduler))[TrialState.PAUSED] >= 6


def test_a_lost_continuation_goes_on_from_the_same_checkpoint():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA, failures=Failures({TrialState.LOST: Retry(1)}))
    until(scheduler, world, lambda: any(task.length == 6 for task in world.running))
    (lost,) = world.running
    world.end(lost.task_id, "failed", "lost: agent died")
    drive(scheduler, world)
    again = next(t for t in world.tasks.values() if t.number == lost.number and t.attempt == lost.attempt + 1)
    assert (again.length, again.continues) == (6, lost.continues) and scheduler.best.number == lost.number


def test_a_continuation_that_fails_is_trained_from_the_beginning_once():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA, failures=Failures({}))
    until(scheduler, world, lambda: any(task.length == 6 for task in world.running))
    (failed,) = world.running
    world.end(failed.task_id, "failed", "task abc has no artifact checkpoint")
    until(scheduler, world, lambda: any(task.length == 6 for task in world.running))
    (again,) = world.running
    assert (again.number, again.length, again.continues) == (failed.number, 6, "")
    assert any("from the beginning" in note for note in scheduler.notes)
    world.end(again.task_id, "failed", "it is the script")
    drive(scheduler, world)
    assert scheduler.trial(failed.number).state is TrialState.FAILED


def test_a_study_that_is_stopped_ends_although_trials_could_go_on():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=30, fidelity=ASHA)
    until(scheduler, world, lambda: Counter(states(scheduler))[TrialState.PAUSED] >= 4)
    scheduler.stop("enough")
    drive(scheduler, world)
    assert not [trial for trial in scheduler.trials if trial.state.is_live]


def test_nothing_is_over_while_there_is_no_worker_for_a_promotion():
    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA, prefetch=0)
    until(scheduler, world, lambda: len(world.tasks) == 3 and not world.running)
    world.slots = {"default": 0}
    scheduler.look_at_workers()
    assert scheduler.step() and not scheduler.is_done
    world.slots = {"default": 1}
    drive(scheduler, world)
    assert scheduler.best is not None


def test_hyperband_begins_at_several_lengths():
    world = Simulation(descent, workers=2)
    hyperband = Fidelity("General/epochs", (2, 6, 18), 3, is_hyperband=True)
    scheduler = make(world, trials=17, fidelity=hyperband)
    drive(scheduler, world)
    begun = Counter(task.length for task in world.tasks.values() if task.attempt == 1)
    assert begun == {2: 9, 6: 5, 18: 3}


def test_a_study_that_has_nothing_more_to_begin_asks_for_no_room():
    """A campaign takes who asks for one that wants a place."""
    asked = []

    class Asked(Room):
        @property
        def is_left(self):
            asked.append(scheduler.ended)
            return super().is_left

    world = Simulation(descent, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA, prefetch=0)
    scheduler._context.policy.room = Asked
    until(scheduler, world, lambda: any(task.length == 18 for task in world.running))
    asked.clear()
    scheduler.step()
    assert scheduler.ended and asked == []


def test_what_was_stopped_while_it_went_on_goes_on_with_its_study():
    world = Simulation(descent, workers=1)
    first = make(world, trials=3, fidelity=ASHA)
    until(first, world, lambda: any(task.length == 6 and task.iteration == 4 for task in world.running))
    (stopped,) = world.running
    first.stop("interrupted")
    drive(first, world)
    scheduler = make(world, trials=3, fidelity=ASHA)
    take_over(scheduler, world)
    drive(scheduler, world)
    again = next(t for t in world.tasks.values() if t.number == stopped.number and t.attempt == stopped.attempt + 1)
    assert (again.length, again.continues) == (6, stopped.continues)
    assert scheduler.best.number == stopped.number


def test_a_paused_trial_is_no_lack_of_improvement():
    world = Simulation(descent, workers=1)
    scheduler = make(world, budget=Budget(trials=27, stale_trials=4), trials=27, fidelity=ASHA)
    drive(scheduler, world)
    assert scheduler.best is not None and scheduler.best.length == 18


def test_a_continuation_without_a_value_has_none_though_the_attempt_before_had():
    goal = Goal((Objective("validation", "loss", reading="best"),))
    assert goal.carried((None,), (0.3,)) == (None,)
    assert goal.carried((0.5,), (0.3,)) == (0.3,)
    assert goal.carried((0.2,), (0.3,)) == (0.2,)


def test_the_noted_value_of_a_continuation_has_all_its_digits():
    exact = 0.12345678901234567
    world = Simulation(lambda params: [exact] * 18, workers=1)
    scheduler = make(world, trials=3, fidelity=ASHA)
    drive(scheduler, world)
    noted = [task.properties["value"] for task in world.tasks.values() if task.continues]
    assert noted and set(map(float, noted)) == {exact}
