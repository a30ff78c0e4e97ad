"""What the SDK has replaced by 0 is nothing to the sampler, the pruner, the best or the target."""

from __future__ import annotations

import math

import optuna

from clearml_hpo.backend.nan_values import without_replaced
from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.testing import Simulation
from clearml_hpo.testing.world import METRIC
from tests.unit.scheduler.driving import drive, make, states

Told = optuna.trial.TrialState


class Replacing(Simulation):
    """Its zeros stand for NaN; every other trial reports one from its third step on."""

    def __init__(self):
        curves = ([0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.0, 0.0, 0.0])
        super().__init__(lambda params: curves[len(self.tasks) % 2], workers=1)

    def as_reported(self, snapshot, curve, *, ends=False):
        return without_replaced(snapshot, {METRIC}), [(step, value or math.nan) for step, value in curve]


def test_it_is_no_value_prunes_nothing_and_reaches_no_target():
    world = Replacing()
    pruner = optuna.pruners.PercentilePruner(10.0, n_startup_trials=1, n_warmup_steps=2)
    scheduler = make(world, budget=Budget(trials=6, target=0.1), pruner=pruner)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED, TrialState.NOT_FINITE] * 3
    assert scheduler.best.value == 0.5
    told = scheduler.study.optuna_study.trials
    assert [(trial.state, trial.value) for trial in told] == [(Told.COMPLETE, 0.5), (Told.FAIL, None)] * 3
    assert all(value > 0 for trial in told for value in trial.intermediate_values.values())
    assert {task.properties["not_finite"] for task in world.tasks.values()} == {'["validation/loss"]'}


def test_a_study_that_goes_on_does_not_show_it_to_the_pruner():
    scheduler = make(Replacing(), pruner=optuna.pruners.MedianPruner())
    trial = Trial(
        *(0, {"General/x": 0.5}, "t"), state=TrialState.COMPLETED, values=(0.5,), not_finite=frozenset({METRIC})
    )
    scheduler.takeover.restore([trial], histories={"t": [(1, 0.9), (2, 0.0), (3, 0.5)]})
    (told,) = scheduler.study.optuna_study.trials
    assert told.intermediate_values == {1: 0.9, 3: 0.5}


def test_what_a_limit_ends_is_on_record_as_not_finite_before_its_end_is_seen():
    """A controller may be killed in between; whoever takes over has no other word of it."""

    class LooksAtTheEnd(Simulation):
        def as_reported(self, snapshot, curve, *, ends=False):
            return (without_replaced(snapshot, {METRIC}) if ends else snapshot), curve

    world = LooksAtTheEnd(lambda params: [0.9, *[0.0] * 50], workers=1)
    scheduler = make(world, trials=1, limits=TrialLimits(max_iterations=3))
    while not world.calls["abort"]:
        scheduler.step()
        world.advance()
    task = world.tasks["task-0"]
    assert task.properties["state"] == "completed"
    assert (task.properties["not_finite"], task.properties["value"]) == ('["validation/loss"]', "nan")
