"""Which number a trial is judged by."""

from __future__ import annotations

import math

import pytest

from clearml_hpo.core.goal import Goal, MetricConstraint, MetricSummary, Objective
from clearml_hpo.core.trial import Trial, TrialState, best_trial, pareto_front

SUMMARY = MetricSummary(last=0.5, min=0.1, max=0.9)
LOSS = Goal((Objective("a", "b"),))


@pytest.mark.parametrize(
    ("direction", "reading", "value"),
    [("minimize", "last", 0.5), ("minimize", "best", 0.1), ("maximize", "last", 0.5), ("maximize", "best", 0.9)],
)
def test_value(direction, reading, value):
    assert Objective("a", "b", direction, reading).value(SUMMARY) == value


def test_nothing_reported_is_no_value():
    assert Objective("a", "b").value(None) is None


@pytest.mark.parametrize("metric", ["loss", "/loss", "validation/", ""])
def test_a_metric_has_title_and_series(metric):
    with pytest.raises(ValueError, match="title/series"):
        Objective.parse(metric)


def test_a_title_may_hold_slashes():
    objective = Objective.parse("fold/1/auc", "maximize")
    assert (objective.title, objective.series, objective.metric) == ("fold/1", "auc", "fold/1/auc")


def test_nan_is_never_better():
    assert not Objective("a", "b").better(math.nan, 1.0)
    assert not Objective("a", "b", "maximize").better(math.nan, 1.0)


def completed(number, *values, violations=()):
    return Trial(number, {}, f"t{number}", state=TrialState.COMPLETED, values=values, violations=violations)


def test_best_trial_is_a_completed_one_and_the_first_of_equals():
    pruned = Trial(1, {}, "b", state=TrialState.PRUNED, values=(0.1,))
    trials = [completed(0, 0.3), pruned, completed(2, 0.2), completed(3, 0.2)]
    assert best_trial(trials, LOSS).number == 2
    assert best_trial(trials, Goal((Objective("a", "b", "maximize"),))).number == 0
    assert best_trial([], LOSS) is None


def test_a_trial_that_breaks_a_constraint_is_not_the_best():
    trials = [completed(0, 0.1, violations=(0.5,)), completed(1, 0.2, violations=(-0.5,))]
    assert best_trial(trials, LOSS).number == 1


def test_the_pareto_front_has_what_nothing_beats_in_all_objectives():
    goal = Goal((Objective("loss", "x"), Objective("speed", "x", "maximize")))
    trials = [completed(0, 3, 1), completed(1, 1, 1), completed(2, 2, 5), completed(3, 2, 4), completed(4, 1, 1)]
    assert [trial.number for trial in pareto_front(trials, goal)] == [1, 2]
    assert best_trial(trials, goal).number == 1, "the best in the first objective"
    assert [trial.number for trial in pareto_front(trials[:1], goal)] == [0]


def test_a_goal_reads_each_scalar_once():
    bound = MetricConstraint("perf", "latency", high=20.0)
    goal = Goal((Objective("a", "b"), Objective("a", "c")), (bound,), pruned_by=Objective("a", "b"))
    assert goal.metrics == ("a/b", "a/c", "perf/latency")
    summaries = {"a/b": SUMMARY, "perf/latency": MetricSummary(30.0, 1.0, 30.0)}
    assert goal.values(summaries) == (0.5, None)
    assert goal.violations(summaries) == (10.0,) and goal.violations({}) == (math.inf,)
    assert str(bound) == "perf/latency <= 20"


@pytest.mark.parametrize(
    ("low", "high", "value", "violation"),
    [(1.0, None, 0.5, 0.5), (1.0, None, 3.0, -2.0), (0.0, 1.0, 0.25, -0.25), (None, 1.0, math.nan, math.inf)],
)
def test_a_violation_is_how_far_a_bound_is_exceeded(low, high, value, violation):
    assert MetricConstraint("a", "b", low, high).violation(MetricSummary(value, value, value)) == violation


def test_what_the_pruner_looks_at():
    one, other = Objective("a", "b"), Objective("a", "c", "maximize")
    assert Goal((one,)).pruning_objective is one
    assert Goal((one, other)).pruning_objective is None
    assert Goal((one, other), pruned_by=other).pruning_objective is other


def test_a_goal_has_different_objectives():
    with pytest.raises(ValueError, match="different"):
        Goal((Objective("a", "b"), Objective("a", "b", "maximize")))
    with pytest.raises(ValueError, match="at least one"):
        Goal(())
