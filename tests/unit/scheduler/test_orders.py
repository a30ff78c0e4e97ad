"""What users order by hand, in a simulated world."""

from __future__ import annotations

import optuna
import pytest

from clearml_hpo.backend.lease import Requests
from clearml_hpo.backend.orders import End, Extend, Try
from clearml_hpo.controller.orders import OrderBook
from clearml_hpo.core.budget import Budget
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Retry
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import drive, make, quadratic, states, until

POINT = {"General/x": 0.25}


def asked(orders):
    return Requests(orders=orders)


class Kept:
    """A controller task: what is taken off it."""

    def __init__(self):
        self.dropped = []

    def drop_orders(self, names):
        self.dropped += names


def book(scheduler, obeyed=()):
    """The order book of a scheduler, its controller task, and what it has noted."""
    kept, notes = Kept(), []
    orders = OrderBook(scheduler, kept, notes.append, lambda changes: Budget(**changes), dict(obeyed))
    return orders, kept, notes


def world_of(workers=1):
    return Simulation(quadratic, workers=workers)


def test_a_point_is_next_and_its_order_ends_once_it_has_a_task():
    world = world_of()
    scheduler = make(world, trials=4)
    orders, kept, notes = book(scheduler)
    scheduler.step()
    orders.hear(asked({"a": Try(POINT)}))
    orders.hear(asked({"a": Try(POINT)}))
    orders.settle()
    assert kept.dropped == [] and scheduler.is_hurried
    drive(scheduler, world)
    orders.settle()
    assert kept.dropped == ["a"]
    (tried,) = [trial for trial in scheduler.trials if trial.params == POINT]
    assert notes == [f"trial {tried.number} tries what a user ordered"] and tried.number <= 2
    assert states(scheduler) == [TrialState.COMPLETED] * 4


def test_a_point_that_the_sampler_was_quicker_with_is_not_tried_again():
    world = world_of()
    scheduler = make(world, trials=3)
    orders, kept, _ = book(scheduler)
    scheduler.step()
    orders.hear(asked({"a": Try(dict(scheduler.trial(0).params))}))
    drive(scheduler, world)
    orders.settle()
    assert kept.dropped == ["a"] and len({t.params["General/x"] for t in scheduler.trials}) == 3


def test_a_point_that_an_earlier_controller_has_tried_is_not_tried_again():
    world = world_of()
    scheduler = make(world, trials=2)
    orders, kept, notes = book(scheduler, {"a": 7})
    orders.hear(asked({"a": Try(POINT)}))
    orders.settle()
    drive(scheduler, world)
    assert kept.dropped == ["a"] and notes == ["trial 7 tries what a user ordered"]
    assert POINT not in [trial.params for trial in scheduler.trials]


@pytest.mark.parametrize("how", ["prune", "abort"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_trial_that_runs_or_waits_is_ended(how, number):
    world = world_of()
    scheduler = make(world, trials=3)
    orders, kept, notes = book(scheduler)
    scheduler.step()
    until(scheduler, world, lambda: scheduler.trial(0).state is TrialState.RUNNING and len(scheduler.trials) > 1)
    assert scheduler.trial(1).state is TrialState.QUEUED
    orders.hear(asked({"a": End(number, scheduler.trial(number).task_id, how)}))
    orders.settle()
    assert kept.dropped == [], "it is not on record"
    drive(scheduler, world)
    orders.settle()
    expected = TrialState.PRUNED if how == "prune" else TrialState.ABORTED
    assert [s for s in states(scheduler) if s is not TrialState.COMPLETED] == [expected]
    assert scheduler.trial(number).state is expected and kept.dropped == ["a"]
    assert notes == [f"trial {number} {expected.value} by order of a user"]
    told = {t.state for t in scheduler.study.optuna_study.trials}
    assert (optuna.trial.TrialState.PRUNED in told) == (how == "prune")


def test_trials_that_a_user_ends_do_not_fail_the_study():
    world = world_of(workers=4)
    scheduler = make(world, trials=6, failures=Failures(stop_after=2))
    orders, _, _ = book(scheduler)
    scheduler.step()
    until(scheduler, world, lambda: [t.state for t in scheduler.trials[:4]] == [TrialState.RUNNING] * 4)
    orders.hear(asked({str(n): End(n, scheduler.trial(n).task_id, "abort") for n in range(4)}))
    drive(scheduler, world)
    assert not scheduler.failure and states(scheduler) == [TrialState.ABORTED] * 4 + [TrialState.COMPLETED] * 2


def test_another_attempt_than_the_one_that_was_meant_goes_on():
    world = world_of()
    scheduler = make(world, trials=1, failures=Failures({TrialState.ABORTED: Retry(1)}))
    orders, kept, _ = book(scheduler)
    scheduler.step()
    order = End(0, scheduler.trial(0).task_id, "abort")
    orders.hear(asked({"a": order}))
    drive(scheduler, world)
    orders.hear(asked({"b": order}))
    orders.settle()
    assert kept.dropped == ["a", "b"] and scheduler.trial(0).attempt == 2
    assert states(scheduler) == [TrialState.COMPLETED]


def test_what_has_ended_by_itself_is_said():
    world = world_of()
    scheduler = make(world, trials=1)
    orders, kept, notes = book(scheduler)
    drive(scheduler, world)
    orders.hear(asked({"a": End(0, scheduler.trial(0).task_id, "prune"), "b": End(7, "gone", "abort")}))
    orders.settle()
    assert kept.dropped == ["a", "b"]
    assert notes == [
        "trial 0 was completed before a user's order to prune it",
        "trial 7 was gone before a user's order to abort it",
    ]


def test_a_larger_budget_after_the_last_trial_was_launched():
    world = world_of()
    scheduler = make(world, trials=1)
    orders, kept, notes = book(scheduler)
    until(scheduler, world, lambda: bool(scheduler.ended))
    orders.hear(asked({"a": Extend({"trials": 3})}))
    assert not scheduler.ended
    drive(scheduler, world)
    orders.settle()
    assert states(scheduler) == [TrialState.COMPLETED] * 3
    assert (kept.dropped, notes) == (["a"], ["budget changed by order of a user: trials: 3"])


def test_a_study_that_stops_leaves_points_and_budgets_to_the_next_controller():
    world = world_of()
    scheduler = make(world, trials=2)
    orders, kept, _ = book(scheduler)
    scheduler.step()
    scheduler.stop("a user asked for it", abort=False)
    orders.hear(asked({"a": Try(POINT), "b": Extend({"trials": 3})}))
    drive(scheduler, world)
    orders.settle()
    assert kept.dropped == [] and POINT not in [trial.params for trial in scheduler.trials]


def test_an_order_that_the_server_did_not_take_off_is_taken_off_the_next_time():
    world = world_of()
    scheduler = make(world, trials=2)
    orders, kept, notes = book(scheduler)
    scheduler.step()
    orders.hear(asked({"a": None}))
    drop, kept.drop_orders = kept.drop_orders, None
    with pytest.raises(TypeError):
        orders.settle()
    assert notes == []
    kept.drop_orders = drop
    orders.settle()
    orders.settle()
    assert (kept.dropped, notes) == (["a"], ["a is no order, and is passed over"])


def test_points_are_proposed_within_what_a_user_has_narrowed():
    world = world_of()
    scheduler = make(world, trials=30)
    orders, kept, notes = book(scheduler)
    scheduler.step()
    orders.hear(Requests(narrowed='{"General/x": {"low": 0.25, "high": 0.3}}'))
    orders.hear(Requests(narrowed='{"General/x": {"low": 0.25, "high": 0.3}}'))
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 30
    proposed = [trial.params["General/x"] for trial in scheduler.trials]
    assert all(0.25 <= x <= 0.3 for x in proposed[2:]) and len(set(proposed)) == 30
    assert len(notes) == 1 and notes[0].startswith("proposed by order of a user: General/x: ")
    assert kept.dropped == []


@pytest.mark.parametrize("text", ["{", "[]", '{"General/x": 7}', '{"General/x": {"low": 7}}', '{"General/y": {}}'])
def test_limits_that_a_user_has_spoilt_change_nothing(text):
    world = world_of()
    scheduler = make(world, trials=2)
    orders, _, notes = book(scheduler)
    orders.hear(Requests(narrowed=text))
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2 and "narrowed is not possible" in notes[0]
