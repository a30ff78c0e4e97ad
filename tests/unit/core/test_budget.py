"""Which limit of a budget is reached, and how it is said."""

from __future__ import annotations

from dataclasses import fields

import pytest

from clearml_hpo.core.budget import Budget, Spent


@pytest.mark.parametrize(
    ("budget", "below", "at", "said"),
    [
        (Budget(wall_s=60), Spent(wall_s=59.9), Spent(wall_s=60), "the time budget of 60 s is used up"),
        (Budget(compute_s=90), Spent(compute_s=89), Spent(compute_s=91), "the compute budget of 90 s is used up"),
        (Budget(gpu_s=7200.0), Spent(gpu_s=7199), Spent(gpu_s=7200), "the GPU budget of 7200 s is used up"),
        (Budget(iterations=50), Spent(iterations=49), Spent(iterations=50), "the budget of 50 iterations is used up"),
        (Budget(stale_trials=4), Spent(trials_since_best=3), Spent(trials_since_best=4), "no improvement in 4 trials"),
        (Budget(stale_s=30), Spent(s_since_best=29), Spent(s_since_best=30), "no improvement in 30 s"),
        (
            Budget(stale_trials=4, min_gain=0.015),
            Spent(trials_since_best=3),
            Spent(trials_since_best=4),
            "no improvement in 4 trials (gains up to 1.5 % do not count)",
        ),
        (
            Budget(flat=0.015),
            Spent(to_gain=0.016),
            Spent(to_gain=0.01234),
            "flat: a trial is expected to gain 1.2 % of what was gained (limit 1.5 %)",
        ),
        (Budget(target=0.2), Spent(best_value=0.21), Spent(best_value=0.2), "the target of 0.2 is reached"),
        (
            Budget(target=0.9, maximize=True),
            Spent(best_value=0.89),
            Spent(best_value=0.95),
            "the target of 0.9 is reached",
        ),
    ],
)
def test_each_limit(budget, below, at, said):
    assert budget.reached(Spent()) is None
    assert budget.reached(below) is None
    assert budget.reached(at) == said


def test_without_limits_nothing_is_ever_reached():
    most = Spent(*[1e12 for _ in fields(Spent)])
    assert Budget().reached(most) is None
    assert Budget(trials=1).reached(most) is None, "the number of trials limits launches"


def test_a_limit_of_zero_is_a_limit():
    assert Budget(wall_s=0.0).reached(Spent()) == "the time budget of 0 s is used up"
    assert Budget(target=0.0).reached(Spent(best_value=0.0)) == "the target of 0 is reached"


def test_what_is_left_is_said_of_each_limit_that_is_set():
    spent = Spent(wall_s=20, compute_s=500, gpu_s=10, iterations=7, trials_since_best=2, s_since_best=3)
    assert Budget().remaining(spent, 5) == {}
    budget = Budget(trials=6, wall_s=60, compute_s=90, gpu_s=30, iterations=10, target=0.5, stale_trials=4, stale_s=9)
    assert budget.remaining(spent, 5) == {
        "trials": "1 of 6",
        "time": "40 of 60 s",
        "compute time": "0 of 90 s",
        "GPU time": "20 of 30 s",
        "iterations": "3 of 10",
        "trials without improvement": "2 of 4",
        "time without improvement": "6 of 9 s",
    }
    assert Budget(flat=0.01).remaining(spent, 5) == {
        "expected gain": "what a trial is expected to gain is not known yet (limit 1 %)"
    }
