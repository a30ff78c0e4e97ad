"""Trials that are ready for outside workers and that nobody asks for are given up."""

from __future__ import annotations

import optuna
import pytest

from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Placement, Retry
from clearml_hpo.search.space import Int, SearchSpace
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import drive, make, quadratic, states

OUT = Placement(("out",), outside=frozenset({"out"}))


def numbers(scheduler):
    return [trial.number for trial in scheduler.trials]


def given_up(scheduler, world):
    """What waits is given up; nobody asks any more."""
    world.slots["out"] = 0
    scheduler.look_at_workers()
    scheduler.unasked.give_up()
    scheduler.step()


def asked(scheduler, world, count):
    world.slots["out"] = count
    scheduler.look_at_workers()
    scheduler.step()


def test_their_tasks_are_gone_their_numbers_are_free_and_the_budget_is_whole():
    world = Simulation(quadratic, workers={"out": 3})
    scheduler = make(world, trials=4, placement=OUT)
    scheduler.step()
    first = [trial.params for trial in scheduler.trials]
    given_up(scheduler, world)
    assert scheduler.trials == () and world.tasks == {} and world.queue == []
    assert scheduler.notes[-1].startswith("nobody has asked for waiting trials 0, 1, 2")
    asked(scheduler, world, 9)
    assert numbers(scheduler) == [0, 1, 2, 3], "all four of the budget"
    assert [trial.params for trial in scheduler.trials][:3] != first, "their points are other ones"


def test_a_study_whose_last_trials_are_given_up_goes_on():
    world = Simulation(quadratic, workers={"out": 5})
    scheduler = make(world, trials=4, placement=OUT)
    scheduler.step()
    assert scheduler.ended == "the budget of 4 trials is used up"
    given_up(scheduler, world)
    assert scheduler.trials == () and not scheduler.ended and scheduler.step()
    world.slots["out"] = 2
    scheduler.look_at_workers()
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 4


def test_what_runs_and_what_agents_may_run_stays():
    world = Simulation(quadratic, workers={"out": 1, "gpu": 1})
    placement = Placement(("gpu", "out"), outside=frozenset({"out"}))
    scheduler = make(world, trials=50, placement=placement)
    scheduler.step()
    world.advance()
    scheduler.step()
    running = {trial.number for trial in scheduler.trials if trial.state is TrialState.RUNNING}
    asked(scheduler, world, 3)
    given_up(scheduler, world)
    left = {trial.number: trial.queue for trial in scheduler.trials}
    assert running <= left.keys() and len(running) == 2
    assert {queue for number, queue in left.items() if number not in running} <= {"gpu", ""}
    asked(scheduler, world, 3)
    assert len({*numbers(scheduler)}) == len(numbers(scheduler)) and max(numbers(scheduler)) < 50


def test_what_a_user_wanted_tried_and_further_attempts_stay():
    world = Simulation(lambda params: [], workers={"out": 1})
    scheduler = make(world, trials=50, placement=OUT, failures=Failures({TrialState.FAILED: Retry(1)}))
    scheduler.step()
    world.advance()
    world.end(scheduler.trials[0].task_id, "failed", "broken")
    scheduler.orders.enqueue({"General/x": 0.125}, "order_1")
    asked(scheduler, world, 4)
    waiting = {trial.number: trial.attempt for trial in scheduler.trials if trial.state is TrialState.QUEUED}
    assert waiting[0] == 2 and scheduler.orders.trial_of("order_1").number == 1 and len(waiting) > 2
    given_up(scheduler, world)
    assert numbers(scheduler) == [0, 1]
    scheduler.unasked.keep([1])


def test_orders_of_an_earlier_controller_stay_too():
    world = Simulation(quadratic, workers={"out": 2})
    scheduler = make(world, trials=50, placement=OUT)
    scheduler.step()
    scheduler.unasked.keep([0])
    given_up(scheduler, world)
    assert numbers(scheduler) == [0]
    asked(scheduler, world, 2)
    assert numbers(scheduler) == [0, 1]


def test_a_point_that_was_given_up_may_be_tried_again():
    world = Simulation(lambda params: [], workers={"out": 3})
    space = SearchSpace({"General/x": Int(0, 2)})
    scheduler = make(world, trials=None, placement=OUT, space=space, sampler=optuna.samplers.RandomSampler(seed=0))
    scheduler.step()
    assert len(scheduler.trials) == 3, "all points"
    given_up(scheduler, world)
    asked(scheduler, world, 3)
    assert {trial.params["General/x"] for trial in scheduler.trials} == {0, 1, 2}


def test_a_call_that_fails_is_made_again(monkeypatch):
    world = Simulation(quadratic, workers={"out": 2})
    scheduler = make(world, trials=4, placement=OUT)
    scheduler.step()
    discard, failures = world.discard, [1]

    def fails(task_ids):
        if failures:
            failures.pop()
            raise ApiError("tasks.delete_many", 503, 0, "away")
        discard(task_ids)

    monkeypatch.setattr(world, "discard", fails)
    with pytest.raises(ApiError):
        given_up(scheduler, world)
    assert len(world.tasks) == 2
    scheduler.step()
    assert world.tasks == {} and scheduler.trials == ()
