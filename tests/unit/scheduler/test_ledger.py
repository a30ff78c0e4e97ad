"""What a study has used, and what counts as an improvement."""

from __future__ import annotations

import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.ledger import Ledger, gpus_of

GOAL = Goal((Objective("validation", "loss"),))


def trial(number, value=None, **fields):
    state = TrialState.FAILED if value is None else TrialState.COMPLETED
    return Trial(number, {}, f"task-{number}", **{"state": state, "values": (value,), **fields})


def nobody():
    return []


@pytest.mark.parametrize(
    ("worker", "gpus"),
    [
        ("host:gpu0", 1),
        ("host:gpu0,1", 2),
        ("host:dgpu0,1,2,3", 4),
        ("host:gpuall", 1),
        ("host:gpu0-1", 1),
        ("host:local-123:gpu3-2", 1),
        ("host:gpuGPU-5a3b-11ee,GPU-77aa-01", 2),
        ("host:gpu0:service", 1),
        ("host:cpu:0", 0),
        ("host:0", 0),
        ("gpu-box:cpu:0", 0),
        ("", 0),
    ],
)
def test_gpus_by_the_name_of_the_worker(worker, gpus):
    assert gpus_of(worker) == gpus


def test_what_ended_and_what_runs_is_added_up():
    ledger = Ledger(GOAL, 100.0)
    ledger.ended(trial(0, 1.0, worker="host:gpu0,1", iteration=7), 10.0)
    ledger.ended(trial(1, worker="host:cpu:0", iteration=2), 5.0)
    live = [(trial(2, worker="host:gpu3", iteration=4, state=TrialState.RUNNING), 3.0)]
    spent = ledger.spent(150.0, 90.0, lambda: live)
    assert (spent.wall_s, spent.compute_s, spent.gpu_s, spent.iterations) == (60.0, 18.0, 23.0, 13)


def test_trials_and_seconds_since_the_best():
    ledger = Ledger(GOAL, 100.0)
    for number, value, at in ((0, 1.0, 110.0), (1, 2.0, 120.0), (2, 0.5, 130.0), (3, None, 140.0), (4, 0.5, 150.0)):
        ledger.decided(trial(number, value), at)
    spent = ledger.spent(160.0, 100.0, nobody)
    assert (spent.best_value, spent.trials_since_best, spent.s_since_best) == (0.5, 2, 30.0)


def test_before_there_is_a_best_it_counts_from_the_start():
    ledger = Ledger(GOAL, 100.0)
    ledger.decided(trial(0), 110.0)
    spent = ledger.spent(160.0, 100.0, nobody)
    assert (spent.best_value, spent.trials_since_best, spent.s_since_best) == (None, 1, 60.0)


def test_a_trial_that_is_decided_again_counts_once():
    ledger = Ledger(GOAL, 0.0)
    for at in (1.0, 2.0, 3.0):
        ledger.decided(trial(0), at)
    assert ledger.spent(4.0, 0.0, nobody).trials_since_best == 1


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_small_gains_count_once_they_add_up(direction, sign):
    """The median of the first ten values is 2, the best one some 1: a gain of more than 0.01 counts."""
    ledger = Ledger(Goal((Objective("validation", "loss", direction),)), 100.0, lambda: 0.01)
    since = []
    for number, value in enumerate((1.0, 3.0, *[2.0] * 8, 0.996, 0.993, 0.985, 0.984, 5.0)):
        ledger.decided(trial(number, sign * value), 101.0 + number)
        spent = ledger.spent(120.0, 100.0, nobody)
        since.append(spent.trials_since_best)
    assert since == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2]
    assert spent.best_value == sign * 0.984, "the target is reached by any gain"
    assert spent.s_since_best == 7.0


def test_a_gain_counts_against_the_share_that_holds_now():
    shares = [0.5]
    ledger = Ledger(GOAL, 100.0, lambda: shares[0])
    for number, value in enumerate((3.0, 4.0, 5.0, 2.5)):
        ledger.decided(trial(number, value), 101.0 + number)
    assert ledger.spent(110.0, 100.0, nobody).trials_since_best == 3
    shares[0] = 0.1
    ledger.decided(trial(4, 2.4), 106.0)
    assert ledger.spent(110.0, 100.0, nobody).trials_since_best == 0


def test_a_trial_that_breaks_a_constraint_is_no_improvement():
    ledger = Ledger(GOAL, 0.0)
    ledger.decided(trial(0, 0.1, violations=(0.5,)), 1.0)
    assert ledger.spent(2.0, 0.0, nobody).best_value is None


def test_a_while_in_which_nobody_drove_the_study_does_not_count():
    ledger = Ledger(GOAL, 0.0)
    ledger.decided(trial(0, 0.1), 100.0)
    ledger.decided(trial(1, 0.2), 130.0)
    ledger.goes_on(last_end=130.0, now=10_000.0)
    assert ledger.spent(10_005.0, 9_000.0, nobody).s_since_best == 35.0
