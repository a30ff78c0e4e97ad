"""The loop, in a simulated world: what it launches, counts, prunes, tells and stops."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from itertools import pairwise

import optuna
import pytest

from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Failures, Policy, Scheduler, run_loop
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import Categorical, Int, SearchSpace
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import (
    LOSS,
    SPACE,
    Pauses,
    Troubled,
    drive,
    falling_or_flat,
    make,
    quadratic,
    states,
)


def test_runs_the_budget_and_tells_every_value():
    world = Simulation(quadratic)
    scheduler = make(world, trials=12)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 12
    assert [trial.number for trial in scheduler.trials] == list(range(12))
    told = scheduler.study.optuna_study.trials
    assert [t.value for t in told] == [trial.value for trial in scheduler.trials]
    assert scheduler.best.value == min(trial.value for trial in scheduler.trials)
    assert "12 trials" in scheduler.ended


def test_one_poll_a_step_however_many_trials_live():
    world = Simulation(quadratic, workers=50)
    scheduler = make(world, trials=200)
    scheduler.step()
    world.advance()
    before = world.calls.copy()
    scheduler.step()
    assert (world.calls - before) == {"poll": 1}


def test_one_create_and_one_submit_per_trial():
    world = Simulation(quadratic)
    scheduler = make(world, trials=9)
    drive(scheduler, world)
    assert world.calls["create"] == world.calls["submit"] == 9
    assert world.calls["histories"] == 0, "nothing prunes, so no history is read"


def test_queue_is_kept_one_ahead_per_worker():
    world = Simulation(quadratic, workers=3)
    scheduler = make(world, trials=100)
    scheduler.step()
    assert len(world.queue) == 6
    world.advance()
    scheduler.step()
    assert len(world.running) == 3 and len(world.queue) == 3


def test_more_workers_than_concurrency_get_no_more_than_that():
    world = Simulation(quadratic, workers=8)
    scheduler = make(world, trials=30, concurrency=2)
    for _ in range(20):
        scheduler.step()
        world.advance()
        assert len(world.running) + len(world.queue) <= 2


def test_without_workers_one_trial_waits_and_a_note_is_given():
    world = Simulation(quadratic, workers=0)
    scheduler = make(world, trials=5)
    scheduler.step()
    assert len(world.queue) == 1
    assert "no worker" in scheduler.notes[0]


def test_failures_are_told_as_failures_and_not_as_pruned():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=2, prefetch=0)
    scheduler.step()
    world.advance()
    world.end("task-0", "failed")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.FAILED, TrialState.COMPLETED]
    assert scheduler.study.optuna_study.trials[0].state == optuna.trial.TrialState.FAIL


@pytest.mark.parametrize(
    ("curve", "state", "said"),
    [
        ([], TrialState.NO_OBJECTIVE, "never reported"),
        ([0.5, math.nan], TrialState.NOT_FINITE, "is nan"),
        ([0.5, math.inf], TrialState.NOT_FINITE, "is inf"),
    ],
)
def test_no_usable_objective_is_a_class_of_its_own(curve, state, said):
    world = Simulation(lambda params: curve)
    scheduler = make(world, trials=1)
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is state
    assert said in trial.reason
    assert scheduler.best is None
    assert scheduler.study.optuna_study.trials[0].state == optuna.trial.TrialState.FAIL


def test_a_person_stops_removes_or_deletes():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=3, prefetch=2)
    scheduler.step()
    world.advance()
    world.end("task-0", "stopped")
    world.withdraw(["task-1"])
    del world.tasks["task-2"]
    world.queue.clear()
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.ABORTED] * 3
    reasons = [trial.reason for trial in scheduler.trials]
    assert "stopped by a user" in reasons[0] and "queue" in reasons[1] and "deleted" in reasons[2]


def test_pruning_stops_a_running_trial_and_marks_it():
    world = Simulation(falling_or_flat)
    scheduler = make(world, trials=20, pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3))
    drive(scheduler, world)
    pruned = [trial for trial in scheduler.trials if trial.state is TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        assert trial.params["General/x"] > 0.75
        properties = world.tasks[trial.task_id].properties
        assert (properties["state"], properties["value"]) == ("pruned", "1")
        told = scheduler.study.optuna_study.trials[trial.number]
        assert told.state == optuna.trial.TrialState.PRUNED
        assert trial.iteration < 30


def test_the_pruner_sees_every_step_although_polls_are_rare():
    world = Simulation(falling_or_flat, workers=1)
    scheduler = make(world, trials=2, pruner=optuna.pruners.MedianPruner(n_startup_trials=100))
    while scheduler.step():
        for _ in range(17):
            world.advance()
    for told in scheduler.study.optuna_study.trials:
        assert sorted(told.intermediate_values) == list(range(1, 31))


def test_a_finished_trial_is_never_pruned_on_its_final_value():
    world = Simulation(lambda params: [params["General/x"]], workers=1)
    always = optuna.pruners.ThresholdPruner(upper=-1.0)
    scheduler = make(world, trials=4, pruner=always, prefetch=0)
    while scheduler.step():
        for _ in range(3):  # from start to end between two polls
            world.advance()
    assert states(scheduler) == [TrialState.COMPLETED] * 4


def test_no_pruning_before_the_grace():
    world = Simulation(lambda params: [params["General/x"]] * 20, workers=1)
    always = optuna.pruners.ThresholdPruner(upper=-1.0)
    scheduler = make(world, trials=1, pruner=always, limits=TrialLimits(min_iterations=8))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.PRUNED
    assert trial.iteration == 8


@pytest.mark.parametrize("limits", [TrialLimits(time_s=4.5), TrialLimits(max_iterations=4)])
def test_a_trial_at_its_limit_is_stopped_and_keeps_its_value(limits):
    world = Simulation(lambda params: [1.0 / step for step in range(1, 100)], workers=1)
    scheduler = make(world, trials=1, limits=limits)
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.COMPLETED
    assert trial.iteration < 8 and trial.value == pytest.approx(1 / trial.iteration)
    assert "stopped after" in trial.reason


@pytest.mark.parametrize("budget", [Budget(wall_s=40), Budget(compute_s=60)])
def test_time_budgets_stop(budget):
    world = Simulation(quadratic)
    scheduler = make(world, budget=budget)
    drive(scheduler, world)
    assert "used up" in scheduler.ended
    assert not world.queue and not world.running
    assert TrialState.STOPPED in states(scheduler) and TrialState.COMPLETED in states(scheduler)


def test_known_points_are_told_not_run():
    world = Simulation(lambda params: [float(params["General/c"])])
    space = SearchSpace({"General/c": Categorical((1, 2, 3))})
    scheduler = make(world, trials=20, space=space)
    drive(scheduler, world)
    assert len(scheduler.trials) == 3
    assert {trial.value for trial in scheduler.trials} == {1.0, 2.0, 3.0}
    assert "was tried" in scheduler.ended


def test_stop_takes_back_what_waits_and_ends_what_runs():
    world = Simulation(quadratic)
    scheduler = make(world, trials=50)
    scheduler.step()
    world.advance()
    scheduler.step()
    scheduler.stop("enough")
    scheduler.step()
    assert not world.queue and not world.running
    assert scheduler.step() is False
    assert states(scheduler) == [TrialState.STOPPED] * 4
    assert len(scheduler.trials) == 4


def test_stop_may_leave_what_runs():
    world = Simulation(quadratic)
    scheduler = make(world, trials=50)
    scheduler.step()
    world.advance()
    scheduler.step()
    scheduler.stop("enough", abort=False)
    scheduler.step()
    assert len(world.running) == 2 and not world.queue


def test_adopted_and_listed_trials_come_first():
    world = Simulation(quadratic)
    scheduler = make(world, trials=4)
    task_id = world.create(0, 1, {"General/x": 0.9})
    world.submit(task_id)
    scheduler.takeover.adopt(Trial(0, {"General/x": 0.9}, task_id))
    scheduler.enqueue({"General/x": 0.25})
    drive(scheduler, world)
    assert [trial.params["General/x"] for trial in scheduler.trials[:2]] == [0.9, 0.25]
    assert [t.params["General/x"] for t in scheduler.study.optuna_study.trials[:2]] == [0.9, 0.25]
    assert len(scheduler.trials) == 4


def test_a_listed_point_outside_the_space_runs_but_teaches_nothing():
    world = Simulation(quadratic)
    scheduler = make(world, trials=3)
    scheduler.enqueue({"General/x": 7.0})
    drive(scheduler, world)
    assert scheduler.trials[0].state is TrialState.COMPLETED
    assert len(scheduler.study.optuna_study.trials) == 2


def test_best_reading_takes_the_extreme_of_the_run():
    world = Simulation(lambda params: [0.5, 0.2, 0.9])
    scheduler = make(world, trials=1, objective=Objective("validation", "loss", reading="best"))
    drive(scheduler, world)
    assert scheduler.trials[0].value == 0.2


def test_a_server_in_trouble_is_asked_again_and_nothing_is_lost():
    world = Simulation(quadratic)
    scheduler = make(world, trials=5)
    poll, failures = world.poll, iter([503, 500, 429])

    def troubled(task_ids):
        world.advance()
        code = next(failures, None)
        if code:
            raise ApiError("tasks.get_all", code, 0, "in trouble")
        return poll(task_ids)

    world.poll = troubled
    run_loop(scheduler, 0.001, threading.Event())
    assert states(scheduler) == [TrialState.COMPLETED] * 5
    assert len(scheduler.notes) == 4 and "asking again" in scheduler.notes[0]
    assert scheduler.notes[-1] == "the server answers again"


def test_a_refusal_ends_the_run():
    world = Simulation(quadratic)
    scheduler = make(world, trials=5)

    def refuses(number, attempt, params, order, **more):
        raise ApiError("tasks.clone", 400, 101, "Invalid task id")

    world.create = refuses
    with pytest.raises(ApiError, match="Invalid task id"):
        run_loop(scheduler, 0.001, threading.Event())
    assert not scheduler.trials


def test_the_time_budget_counts_from_the_start_that_is_given():
    world = Simulation(quadratic)
    scheduler = Scheduler(
        OptunaStudy(SPACE, ["minimize"]),
        world,
        world,
        Goal((LOSS,)),
        Policy(Budget(wall_s=100)),
        clock=world.clock,
        driven_since=world.clock() - 99,
    )
    scheduler.step()
    assert not scheduler.ended
    world.advance(2)
    scheduler.step()
    assert "used up" in scheduler.ended


def test_time_budgets_stop_also_after_the_last_launch():
    world = Simulation(lambda params: [1.0] * 10_000)
    scheduler = make(world, budget=Budget(trials=3, wall_s=50), concurrency=4)
    drive(scheduler, world)
    assert set(states(scheduler)) == {TrialState.STOPPED} and len(scheduler.trials) == 3


def test_a_small_space_is_tried_to_its_last_point():
    world = Simulation(lambda params: [abs(params["General/n"] - 13.0)])
    sampler = optuna.samplers.TPESampler(seed=0, multivariate=True, constant_liar=True)
    scheduler = make(world, trials=60, space=SearchSpace({"General/n": Int(1, 30)}), sampler=sampler)
    drive(scheduler, world)
    assert sorted(trial.params["General/n"] for trial in scheduler.trials) == list(range(1, 31))
    failed = [t for t in scheduler.study.optuna_study.trials if t.state == optuna.trial.TrialState.FAIL]
    assert len(failed) < 30


def test_another_scalar_with_higher_iterations_does_not_hide_the_objective():
    world = Simulation(falling_or_flat, workers=1)
    poll = world.poll
    world.poll = lambda ids: {i: replace(s, iteration=500) for i, s in poll(ids).items()}
    always = optuna.pruners.ThresholdPruner(upper=0.5, n_warmup_steps=5)
    scheduler = make(world, trials=8, pruner=always, limits=TrialLimits(max_iterations=25))
    drive(scheduler, world)
    assert TrialState.PRUNED in states(scheduler)
    for trial in scheduler.trials:
        if trial.state is TrialState.COMPLETED:
            assert "stopped after 25 iterations" in trial.reason
            assert len(world.tasks[trial.task_id].values()) == 26


@pytest.mark.parametrize("method", ["create", "submit", "poll", "histories", "mark", "abort", "withdraw", "workers"])
def test_one_failed_call_of_any_kind_changes_nothing_in_the_end(method):
    world = Simulation(falling_or_flat)
    Troubled(world, lambda call: call == 1, (method,))
    scheduler = make(
        world, budget=Budget(trials=9, wall_s=150), pruner=optuna.pruners.ThresholdPruner(upper=0.9, n_warmup_steps=4)
    )
    scheduler.enqueue({"General/x": 0.875})
    for _ in range(500):
        try:
            if not scheduler.step():
                break
        except ApiError:
            continue
        world.advance()
    assert scheduler.trials[0].params == {"General/x": 0.875}
    assert scheduler.trials[0].state is TrialState.PRUNED
    assert len(world.tasks) == len(scheduler.trials), "no task without a trial"
    assert not world.running and not world.queue
    for trial in scheduler.trials:
        if trial.state is TrialState.STOPPED and trial.started_at is None:
            assert not world.tasks[trial.task_id].properties
        else:
            assert world.tasks[trial.task_id].properties["state"] == trial.state.value


def test_the_first_reason_to_end_a_trial_counts():
    world = Simulation(lambda params: [1.0] * 100, workers=1)
    Troubled(world, lambda call: call == 1, ("abort",))
    scheduler = make(world, trials=1, limits=TrialLimits(time_s=3))
    for _ in range(20):
        try:
            scheduler.step()
        except ApiError:
            scheduler.stop("enough")
        world.advance()
    assert scheduler.trials[0].state is TrialState.COMPLETED


def test_a_trial_that_ends_before_it_is_pruned_is_marked_as_completed():
    world = Simulation(falling_or_flat)
    world.abort = lambda task_ids, reason: [world.end(task_id, "completed") for task_id in task_ids]
    scheduler = make(world, trials=6, pruner=optuna.pruners.ThresholdPruner(upper=-1.0))
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 6
    assert {task.properties["state"] for task in world.tasks.values()} == {"completed"}


def test_a_failed_call_for_one_trial_does_not_hide_what_another_has_reported():
    world = Simulation(lambda params: [0.1] * 5 if params["General/x"] < 0.5 else [1.0] * 50)
    scheduler = make(world, trials=2, concurrency=2, pruner=optuna.pruners.ThresholdPruner(upper=0.9))
    scheduler.enqueue({"General/x": 0.75})
    scheduler.enqueue({"General/x": 0.25})
    Troubled(world, lambda call: call == 1, ("mark",))
    scheduler.step()
    for _ in range(7):
        world.advance()  # by now the first one is to be pruned, and the second one has ended
    with pytest.raises(ApiError):
        scheduler.step()
    while scheduler.step():
        world.advance()
    assert states(scheduler) == [TrialState.PRUNED, TrialState.COMPLETED]
    assert sorted(scheduler.study.optuna_study.trials[1].intermediate_values) == [1, 2, 3, 4, 5]


def test_the_reason_is_the_limit_that_stopped_the_study():
    world = Simulation(lambda params: [1.0] * 10_000)
    scheduler = make(world, budget=Budget(trials=2, wall_s=50), concurrency=4)
    drive(scheduler, world)
    assert "time budget" in scheduler.ended


def test_between_rare_polls_somebody_looks_every_15_s():
    world = Simulation(quadratic)
    pauses, looked_at, stepped_at = Pauses(world), [], []
    scheduler = make(world, trials=4)
    run_loop(
        scheduler,
        40.0,
        pauses,
        before_step=lambda: looked_at.append(world.clock()),
        on_step=lambda: stepped_at.append(world.clock()),
    )
    assert states(scheduler) == [TrialState.COMPLETED] * 4
    assert pauses.lengths[-3:] == [15.0, 15.0, 10.0]
    assert max(later - at for at, later in pairwise(looked_at)) == 15.0
    assert [later - at for at, later in pairwise(stepped_at)] == [10.0, 10.0, 10.0, 20.0, 40.0, 40.0, 40.0]


@pytest.mark.parametrize("asks", ["stop", "retry"])
def test_what_is_asked_for_between_rare_polls_is_done_at_once(asks):
    world = Simulation(quadratic)
    pauses, at = Pauses(world), []
    scheduler = make(world, trials=3, failures=Failures({}))

    def look():
        if len(pauses.lengths) == 5:
            at.append(world.clock())
            scheduler.stop("a person") if asks == "stop" else scheduler.retry(0)

    def stepped():
        if at:
            at.append(world.clock())
            pauses.set()

    world.create(0, 1, {"General/x": 0.5})
    world.end("task-0", "failed")
    scheduler.takeover.restore([Trial(0, {"General/x": 0.5}, "task-0", state=TrialState.FAILED)])
    run_loop(scheduler, 900.0, pauses, before_step=look, on_step=stepped)
    assert at[0] == at[1]
    assert scheduler.ended == "a person" if asks == "stop" else scheduler.trial(0).attempt == 2


def test_a_server_in_trouble_between_rare_polls_is_asked_again():
    world = Simulation(quadratic)
    pauses, refusals = Pauses(world), iter([503, 503, 400])

    def look():
        if len(pauses.lengths) in (1, 2, 4):
            raise ApiError("tasks.edit_hyper_params", next(refusals), 0, "no")

    scheduler = make(world, trials=4)
    with pytest.raises(ApiError, match="400"):
        run_loop(scheduler, 900.0, pauses, before_step=look)
    assert len(pauses.lengths) == 4 and world.calls["workers"] == 1


def test_no_more_than_a_hundred_are_launched_in_one_step():
    world = Simulation(quadratic, workers=120)
    pauses, made = Pauses(world), []
    scheduler = make(world, trials=250)
    run_loop(scheduler, 10.0, pauses, on_step=lambda: made.append(world.calls["create"]))
    assert states(scheduler) == [TrialState.COMPLETED] * 250
    assert made[:3] == [100, 200, 240] and pauses.lengths[:3] == [0.25, 0.25, 2.0]


def test_no_more_than_a_hundred_drafts_are_submitted_in_one_step():
    world = Simulation(quadratic, workers=200)
    scheduler = make(world, trials=150)
    for number in range(150):
        params = {"General/x": number / 150}
        scheduler.takeover.adopt_draft(Trial(number, params, world.create(number, 1, params)))
    scheduler.step()
    assert len(world.queue) == 100
    scheduler.step()
    assert len(world.queue) == 150


def test_with_many_trials_the_server_has_a_second_for_each_call():
    world = Simulation(falling_or_flat, workers=600)
    scheduler = make(world, trials=600, prefetch=0, pruner=optuna.pruners.MedianPruner(n_startup_trials=10_000))
    for _ in range(10):
        scheduler.step()
        world.advance()
    assert scheduler._observer.calls == 2 + 6 and scheduler.pause_s(2.0) == 8.0
    few = make(Simulation(quadratic), trials=5)
    few.step()
    assert few.pause_s(2.0) == 0.5


@pytest.mark.parametrize(("trial_s", "pause_s"), [(0.1, 1.0), (3.0, 3.0), (50.0, 4.0)])
def test_looks_are_as_far_apart_as_trials_are_long_within_bounds(trial_s, pause_s):
    world = Simulation(lambda params: [params["General/x"]], workers=2)
    scheduler = make(world, trials=20)
    scheduler.step()
    while not any(trial.state is TrialState.COMPLETED for trial in scheduler.trials):
        world.advance(trial_s)
        scheduler.step()
    assert scheduler.pause_s(4.0) == pytest.approx(pause_s)


def test_before_the_first_end_looks_are_as_far_apart_as_was_waited_already():
    world = Simulation(lambda params: [1.0] * 1_000, workers=1)
    scheduler = make(world, trials=5)
    pauses = []
    for _ in range(6):
        scheduler.step()
        pauses.append(scheduler.pause_s(4.0))
        world.advance(pauses[-1])
    assert pauses == [1.0, 1.0, 1.0, 2.0, 4.0, 4.0], "it starts a moment after it was made"


def test_one_long_trial_after_short_ones_is_looked_at_as_often_as_any():
    seen = []

    def curve(params):
        seen.extend({params["General/x"]} - {*seen})
        return [0.5] * (1_000 if seen.index(params["General/x"]) == 4 else 3)

    world = Simulation(curve, workers=1)
    scheduler = make(world, trials=5, prefetch=0)
    while sum(trial.state is TrialState.COMPLETED for trial in scheduler.trials) < 4:
        scheduler.step()
        world.advance(0.1)
    pauses = []
    for _ in range(100):
        scheduler.step()
        pauses.append(scheduler.pause_s(4.0))
        world.advance(0.1)
    assert pauses[0] == 1.0 and pauses == sorted(pauses) and pauses[-1] == 4.0


def test_a_trial_that_starts_while_what_waits_is_taken_back_goes_on_with_what_runs():
    world = Simulation(quadratic, workers=2)
    scheduler = make(world, trials=2)
    scheduler.step()
    world.advance()  # both start, unseen
    scheduler.stop("enough", abort=False)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
