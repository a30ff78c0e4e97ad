"""Budgets that stop a study, exactly; limits of single trials; duplicates, which cost nothing."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import optuna
import pytest

from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Retry
from clearml_hpo.search.samplers import VIOLATIONS
from clearml_hpo.search.space import Categorical, Float, SearchSpace
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import LOSS, drive, make, states

Told = optuna.trial.TrialState


def flat(params):
    return [params["General/x"]] * 10


class OnGpus(Simulation):
    """Its workers have two GPUs each."""

    def poll(self, task_ids):
        found = super().poll(task_ids)
        return {
            i: replace(seen, worker=seen.worker.replace("default:", "host:gpu") + ",7") for i, seen in found.items()
        }


@pytest.mark.parametrize("trials", [1, 2, 7, 13])
@pytest.mark.parametrize("workers", [1, 5])
def test_trials_are_exact_whatever_is_run_again(trials, workers):
    world = Simulation(flat, workers=workers)
    scheduler = make(world, trials=trials, failures=Failures({TrialState.FAILED: Retry(99)}))
    for n in range(500):
        if not scheduler.step():
            break
        world.advance()
        if n % 4 == 0 and n < 60:
            for task in world.running[:1]:
                world.end(task.task_id, "failed")
    assert states(scheduler) == [TrialState.COMPLETED] * trials
    assert len(scheduler.earlier_attempts) == len(world.tasks) - trials > 0


def test_duplicates_do_not_run_and_do_not_count():
    world = Simulation(lambda params: [params["General/c"] + params["General/d"]], workers=2)
    space = SearchSpace({"General/c": Categorical((1, 2, 3)), "General/d": Categorical((10, 20, 30))})
    scheduler = make(world, trials=8, space=space)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 8 and len(world.tasks) == 8
    assert len({tuple(trial.params.values()) for trial in scheduler.trials}) == 8
    told = scheduler.study.optuna_study.trials
    assert len(told) > 8, "the sampler repeated itself"
    known = {tuple(trial.params.values()): trial.value for trial in scheduler.trials}
    for trial in told:
        if trial.state is Told.COMPLETE:
            assert trial.value == known[tuple(trial.params.values())]


def test_a_duplicate_of_a_trial_that_still_runs_does_not_wait_for_it():
    world = Simulation(lambda params: [1.0] * 1000, workers=3)
    space = SearchSpace({"General/c": Categorical((1, 2))})
    scheduler = make(world, trials=5, space=space)
    scheduler.step()
    assert len(world.tasks) == 2
    assert (
        Told.FAIL in [t.state for t in scheduler.study.optuna_study.trials]
        or len(scheduler.study.optuna_study.trials) == 2
    )
    assert not scheduler.ended, "what is tried may still fail, and run again"


def test_duplicates_run_if_that_is_wished():
    world = Simulation(lambda params: [float(params["General/c"])], workers=2)
    space = SearchSpace({"General/c": Categorical((1, 2))})
    scheduler = make(world, trials=9, space=space, rerun_duplicates=True)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 9 and len(world.tasks) == 9


def test_a_trial_that_failed_is_known_too():
    world = Simulation(lambda params: [] if params["General/c"] == 2 else [1.0], workers=1)
    space = SearchSpace({"General/c": Categorical((1, 2, 3))})
    scheduler = make(world, trials=20, space=space)
    drive(scheduler, world)
    assert sorted(trial.params["General/c"] for trial in scheduler.trials) == [1, 2, 3]
    assert "was tried" in scheduler.ended


@pytest.mark.parametrize(
    ("limits", "said", "used"),
    [
        ({"wall_s": 25}, "time budget of 25 s", lambda world: world.clock() - 1_000),
        ({"compute_s": 50}, "compute budget of 50 s", lambda world: seconds_of(world)),
        ({"gpu_s": 100}, "GPU budget of 100 s", lambda world: 2 * seconds_of(world)),
        ({"iterations": 50}, "budget of 50 iterations", lambda world: sum(t.iteration for t in world.tasks.values())),
    ],
)
def test_what_is_used_up_stops_the_study(limits, said, used):
    (limit,) = limits.values()
    world = OnGpus(flat, workers=2)
    scheduler = make(world, budget=Budget(**limits))
    drive(scheduler, world)
    assert said in scheduler.ended
    assert limit <= used(world) <= limit * 1.1 + 4
    assert not world.running and not world.queue
    assert TrialState.STOPPED in states(scheduler)


def seconds_of(world):
    return sum(task.ended_at - task.started_at for task in world.tasks.values() if task.started_at)


def test_cpu_workers_use_no_gpu_time():
    world = Simulation(flat, workers=2)
    scheduler = make(world, budget=Budget(trials=6, gpu_s=1))
    drive(scheduler, world)
    assert len(scheduler.trials) == 6


def test_attempts_that_failed_have_used_compute_time_too():
    world = Simulation(flat, workers=1)
    scheduler = make(world, budget=Budget(compute_s=30), failures=Failures({TrialState.FAILED: Retry(99)}))
    for _ in range(200):
        if not scheduler.step():
            break
        world.advance()
        for task in world.running:
            if task.iteration == 5:
                world.end(task.task_id, "failed")
    assert "compute budget" in scheduler.ended and world.clock() < 1_050


@pytest.mark.parametrize(("direction", "target"), [("minimize", 0.2), ("maximize", 0.8)])
def test_a_target_ends_the_study(direction, target):
    objective = Objective("validation", "loss", direction)
    world = Simulation(flat, workers=2)
    budget = Budget(trials=500, target=target, maximize=direction == "maximize")
    scheduler = make(world, objective=objective, budget=budget)
    drive(scheduler, world)
    values = [trial.value for trial in scheduler.trials if trial.state is TrialState.COMPLETED]
    assert f"target of {target:g}" in scheduler.ended and len(scheduler.trials) < 60
    assert objective.better(objective_best(objective, values), target)
    assert sum(objective.better(value, target) for value in values) <= 2


def objective_best(objective, values):
    return min(values) if objective.direction == "minimize" else max(values)


def test_a_target_that_breaks_a_constraint_is_none():
    goal = Goal((LOSS,), (MetricConstraint("latency", "ms", high=0.5),))
    world = Simulation(lambda params: [{"validation/loss": params["General/x"], "latency/ms": 1 - params["General/x"]}])
    scheduler = make(world, goal=goal, budget=Budget(trials=30, target=0.4))
    drive(scheduler, world)
    assert "30 trials" in scheduler.ended
    assert scheduler.best.value >= 0.5 and min(trial.value for trial in scheduler.trials) < 0.4


def test_no_improvement_in_so_many_trials():
    world = Simulation(lambda params: [1.0 + params["General/x"]], workers=1)
    scheduler = make(world, budget=Budget(stale_trials=6), prefetch=0)
    scheduler.enqueue({"General/x": 0.0})
    drive(scheduler, world)
    assert scheduler.ended == "no improvement in 6 trials"
    assert states(scheduler).count(TrialState.COMPLETED) == 7


def test_no_improvement_counts_a_trial_once_however_often_it_runs():
    world = Simulation(lambda params: [1.0], workers=1)
    failures = Failures({TrialState.FAILED: Retry(50)})
    scheduler = make(world, budget=Budget(stale_trials=4), prefetch=0, failures=failures, space=TWENTY)
    for n in range(200):
        if not scheduler.step():
            break
        world.advance()
        if n < 30:
            for task in world.running:
                world.end(task.task_id, "failed")
    assert scheduler.ended == "no improvement in 4 trials"
    assert states(scheduler).count(TrialState.COMPLETED) == 5


TWENTY = SearchSpace({"General/n": Float(0, 1)})


def test_no_improvement_for_so_long():
    world = Simulation(lambda params: [1.0] * 4, workers=1)
    scheduler = make(world, budget=Budget(stale_s=40))
    drive(scheduler, world)
    assert scheduler.ended == "no improvement in 40 s"
    best = scheduler.best
    assert best.number == 0
    assert 40 <= world.clock() - best.ended_at <= 43


@pytest.mark.parametrize("limits", [{"stale_trials": 3}, {"stale_s": 30}])
def test_several_objectives_have_no_best_that_could_grow_old(limits):
    goal = Goal((Objective("a", "b"), Objective("c", "d", "maximize")))
    world = Simulation(lambda params: [{"a/b": params["General/x"], "c/d": 1.0}] * 3)
    scheduler = make(world, goal=goal, budget=Budget(trials=20, **limits))
    drive(scheduler, world)
    assert "20 trials" in scheduler.ended


# --- until: flat -----------------------------------------------------------------------------------------------------


def near_the_minimum(number):
    """A sampler that has found it: points at ever smaller distances from 0.3."""
    return {"General/x": 0.3 + 0.7 * math.cos(number) / (1 + number)}


def flat_study(world, direction="minimize", **budget):
    objective = Objective("validation", "loss", direction)
    scheduler = make(world, objective=objective, budget=Budget(trials=100, **budget), prefetch=0)
    for number in range(100):
        scheduler.enqueue(near_the_minimum(number))
    return scheduler


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_a_study_ends_when_little_is_to_be_gained(direction, sign):
    world = Simulation(lambda params: [sign * (params["General/x"] - 0.3) ** 2], workers=2)
    scheduler = flat_study(world, direction, flat=0.01)
    drive(scheduler, world)
    assert re.fullmatch(r"flat: a trial is expected to gain \S+ % of what was gained \(limit 1 %\)", scheduler.ended)
    completed = states(scheduler).count(TrialState.COMPLETED)
    assert 20 <= completed < 60, "two looks, five trials apart, from 15 trials on"
    assert 0 < scheduler.spent.to_gain <= 0.01


def test_without_that_budget_nobody_looks(monkeypatch):
    monkeypatch.setattr("clearml_hpo.scheduler.prospects.expected_gain", lambda *_: pytest.fail("it costs time"))
    world = Simulation(lambda params: [(params["General/x"] - 0.3) ** 2], workers=2)
    scheduler = flat_study(world)
    drive(scheduler, world)
    assert "100 trials" in scheduler.ended and scheduler.spent.to_gain is None


def test_one_look_that_promises_little_is_not_enough(monkeypatch):
    looks = iter([0.5, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0])
    monkeypatch.setattr("clearml_hpo.scheduler.prospects.expected_gain", lambda *_: next(looks))
    world = Simulation(lambda params: [(params["General/x"] - 0.3) ** 2], workers=1)
    scheduler = flat_study(world, flat=0.01)
    drive(scheduler, world)
    assert scheduler.ended.startswith("flat") and [*looks] == [0.0]


def test_constant_values_are_not_flat():
    world = Simulation(lambda params: [1.0], workers=2)
    scheduler = flat_study(world, flat=0.5)
    drive(scheduler, world)
    assert "100 trials" in scheduler.ended


@pytest.mark.parametrize(("then", "last"), [("abort", TrialState.STOPPED), ("drain", TrialState.COMPLETED)])
def test_then_says_what_becomes_of_trials_that_run(then, last):
    world = Simulation(lambda params: [1.0] * 20, workers=2)
    scheduler = make(world, budget=Budget(wall_s=30, then=then))
    drive(scheduler, world)
    started = [trial.state for trial in scheduler.trials if trial.started_at is not None]
    assert started[-2:] == [last] * 2
    waited = [trial for trial in scheduler.trials if trial.started_at is None]
    assert waited and {trial.state for trial in waited} == {TrialState.STOPPED}
    assert {world.tasks[trial.task_id].status for trial in waited} == {"created"}
    assert not any(world.tasks[trial.task_id].properties for trial in waited), "as good as new"


def test_a_drain_may_be_cut_short():
    world = Simulation(lambda params: [1.0] * 1000, workers=2)
    scheduler = make(world, trials=9)
    scheduler.step()
    world.advance()
    scheduler.step()
    scheduler.stop("drain it", abort=False)
    for _ in range(5):
        assert scheduler.step()
        world.advance()
    scheduler.stop("enough")
    drive(scheduler, world, steps=5)
    assert not world.running and scheduler.ended == "enough"


def test_a_stop_is_no_failure_and_is_not_run_again():
    world = Simulation(flat, workers=2)
    failures = Failures({state: Retry(5) for state in TrialState if not state.is_live}, stop_after=1)
    scheduler = make(world, budget=Budget(wall_s=5), failures=failures)
    drive(scheduler, world)
    assert not scheduler.failure and not scheduler.earlier_attempts


# --- single trials ------------------------------------------------------------------------------------------------


def test_a_trial_stopped_at_its_limit_before_it_reported_has_no_objective():
    world = Simulation(lambda params: [{"other/scalar": 1.0}] * 99, workers=1)
    scheduler = make(world, trials=1, limits=TrialLimits(time_s=5))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.NO_OBJECTIVE and trial.reason == "stopped after 5 s"


def test_the_value_that_is_written_down_is_the_last_one():
    world = Simulation(lambda params: [1.0 / step for step in range(1, 100)], workers=1)
    abort = world.abort

    def hears_late(task_ids, reason):
        for _ in range(3):
            world.advance()
        abort(task_ids, reason)

    world.abort = hears_late
    scheduler = make(world, trials=1, limits=TrialLimits(max_iterations=4))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    properties = world.tasks["task-0"].properties
    assert (properties["state"], properties["value"]) == ("completed", f"{trial.value:.10g}")
    assert properties["queue"] == trial.queue, "it is known when the queue is gone"


def test_values_that_are_not_finite_count_as_iterations():
    world = Simulation(lambda params: [float("nan")] * 99, workers=1)
    scheduler = make(world, trials=1, limits=TrialLimits(max_iterations=4))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.NOT_FINITE and trial.iteration < 10


def test_a_limit_of_iterations_counts_reports_of_the_first_of_several_objectives():
    def curve(params):
        return [{"validation/loss": 1.0 / step, "model/size": 2.0} for step in range(1, 100)]

    goal = Goal((LOSS, Objective.parse("model/size")))
    world = Simulation(curve, workers=1)
    scheduler = make(world, trials=1, goal=goal, limits=TrialLimits(max_iterations=4))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.COMPLETED and trial.iteration < 10
    assert trial.reason == "stopped after 4 iterations"


@pytest.mark.parametrize(
    ("limits", "pruned_at"), [(TrialLimits(min_iterations=7), 7), (TrialLimits(min_time_s=9), 10), (TrialLimits(), 1)]
)
def test_grace_by_steps_and_by_time(limits, pruned_at):
    world = Simulation(lambda params: [1.0] * 30, workers=1)
    scheduler = make(world, trials=1, limits=limits, pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.PRUNED and trial.iteration == pruned_at


# --- several objectives -------------------------------------------------------------------------------------------

TWO = Goal((Objective("a", "b"), Objective("c", "d", "maximize")), pruned_by=Objective("train", "loss"))


def two(params):
    x = params["General/x"]
    return [{"a/b": x, "c/d": x * x, "train/loss": 1.0 if x > 0.5 else 0.1}] * 8


def test_several_objectives_are_told_together_and_pruned_by_the_named_metric():
    world = Simulation(two)
    world.looked_at = "train/loss"
    pruner = optuna.pruners.ThresholdPruner(upper=0.5, n_warmup_steps=3)
    scheduler = make(world, trials=20, goal=TWO, pruner=pruner)
    drive(scheduler, world)
    for trial in scheduler.trials:
        assert trial.state is (TrialState.PRUNED if trial.params["General/x"] > 0.5 else TrialState.COMPLETED)
    told = [t.values for t in scheduler.study.optuna_study.trials if t.state is Told.COMPLETE]
    assert told == [[t.value, t.value**2] for t in scheduler.trials if t.state is TrialState.COMPLETED]
    assert {t.params["General/x"] for t in scheduler.study.optuna_study.trials} >= {
        t.params["General/x"] for t in scheduler.trials
    }
    marked = {task.properties["value"].count(",") for task in world.tasks.values()}
    assert marked == {1}


def test_several_objectives_without_a_named_metric_are_not_pruned():
    world = Simulation(two)
    goal = Goal(TWO.objectives)
    scheduler = make(world, trials=6, goal=goal, pruner=optuna.pruners.ThresholdPruner(upper=-1.0))
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 6 and not world.calls["histories"]


def test_one_of_several_objectives_that_is_missing_is_no_value():
    world = Simulation(lambda params: [{"a/b": 1.0}])
    scheduler = make(world, trials=1, goal=Goal(TWO.objectives))
    drive(scheduler, world)
    (trial,) = scheduler.trials
    assert trial.state is TrialState.NO_OBJECTIVE and trial.reason == "c/d was never reported"


def test_constraints_on_metrics_reach_the_sampler():
    goal = Goal((LOSS,), (MetricConstraint("latency", "ms", high=0.5),))
    world = Simulation(lambda params: [{"validation/loss": 1.0, "latency/ms": params["General/x"]}])
    scheduler = make(world, trials=8, goal=goal)
    drive(scheduler, world)
    told = scheduler.study.optuna_study.trials
    found = [t.user_attrs[VIOLATIONS] for t in told]
    assert found == [[pytest.approx(t.params["General/x"] - 0.5)] for t in scheduler.trials]
    assert all(trial.is_feasible is (trial.params["General/x"] <= 0.5) for trial in scheduler.trials)
