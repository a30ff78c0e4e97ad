"""Trials that ended elsewhere become trials of the study, a few in each step."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.imported import IMPORTED, Finished, read_finished
from clearml_hpo.core.errors import ApiError, InputError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Import, Retry
from clearml_hpo.testing import Simulation
from clearml_hpo.testing.world import METRIC
from tests.unit.scheduler.driving import drive, make, quadratic, states


def given(place, state="completed", x=None):
    values = {METRIC: place / 10} if state != "failed" else {}
    return Import(f"import_{place}", {"General/x": (place if x is None else x) / 100}, Finished(state, values, step=3))


def test_they_have_numbers_tasks_and_values_and_the_rest_goes_on_after_them():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=5)
    done = scheduler.imports.add([given(0), given(1, "pruned"), given(2, "failed")])
    assert not done.done()
    scheduler.step()
    assert done.result(0) == [0, 1, 2]
    assert states(scheduler)[:3] == [TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED]
    first = scheduler.trials[0]
    assert (first.values, first.iteration, first.is_imported) == ((0.0,), 3, True)
    assert read_finished(world.tasks[first.task_id].properties[IMPORTED]) == given(0).finished
    assert world.tasks[first.task_id].properties["state"] == "completed"
    drive(scheduler, world)
    assert states(scheduler)[3:] == [TrialState.COMPLETED] * 2, "they count in the budget of trials"
    assert world.calls["end_as"] == 3


def test_what_failed_elsewhere_is_not_run_again_whatever_the_policy_says():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=1, failures=Failures({TrialState.FAILED: Retry(5)}))
    scheduler.imports.add([given(0, "failed")])
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.FAILED] and len(world.tasks) == 1


def test_many_take_some_steps_and_workers_do_not_wait_for_them():
    world = Simulation(quadratic, workers=2)
    scheduler = make(world, trials=50)
    done = scheduler.imports.add([given(place) for place in range(25)])
    scheduler.step()
    assert scheduler.imports.are_waiting and scheduler.pause_s(60.0) < 1
    assert world.calls["end_as"] == 10 and world.queue, "something else waits for the workers already"
    scheduler.step()
    scheduler.step()
    assert len({*done.result(0)}) == 25 and not scheduler.imports.are_waiting
    assert [trial.number for trial in scheduler.trials] == [*range(len(scheduler.trials))]


def test_a_name_that_is_known_is_the_trial_that_there_is():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=9)
    first, again = scheduler.imports.add([given(0), given(1)]), scheduler.imports.add([given(1), given(2)])
    scheduler.step()
    assert (first.result(0), again.result(0)) == ([0, 1], [1, 2])
    assert world.calls["end_as"] == 3


def test_all_or_none_fit_the_budget():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=3)
    done = scheduler.imports.add([given(place) for place in range(4)])
    scheduler.step()
    with pytest.raises(InputError, match="room for 3 more trials, found 4"):
        done.result(0)
    assert not [trial for trial in scheduler.trials if trial.is_imported]


def test_a_call_that_fails_is_made_again_and_makes_no_twin(monkeypatch):
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=9)
    end_as, failures = world.end_as, [1, 1]

    def fails(task_id, finished):
        if failures:
            failures.pop()
            raise ApiError("tasks.started", 503, 0, "away")
        end_as(task_id, finished)

    monkeypatch.setattr(world, "end_as", fails)
    done = scheduler.imports.add([given(0), given(1)])
    for _ in range(2):
        with pytest.raises(ApiError):
            scheduler.step()
    scheduler.step()
    assert done.result(0) == [0, 1]
    assert sum(IMPORTED in task.properties for task in world.tasks.values()) == 2


def test_the_end_of_the_loop_cancels_what_waits():
    scheduler = make(Simulation(quadratic, workers=1), trials=9)
    before = scheduler.imports.add([given(0)])
    scheduler.close()
    assert before.cancelled() and scheduler.imports.add([given(1)]).cancelled()


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "{", '{"state": "running"}', '{"state": "failed", "more": 1}']
)
def test_a_property_that_a_user_has_spoilt_is_none(text):
    assert read_finished(text) is None
