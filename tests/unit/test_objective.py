"""Which number a trial is judged by."""

from __future__ import annotations

import math

import pytest

from clearml_hpo.objective import MetricSummary, Objective
from clearml_hpo.trial import Trial, TrialState, best_trial

SUMMARY = MetricSummary(last=0.5, min=0.1, max=0.9)


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


def test_best_trial_is_a_completed_one_and_the_first_of_equals():
    trials = [
        Trial(0, {}, "a", state=TrialState.COMPLETED, value=0.3),
        Trial(1, {}, "b", state=TrialState.PRUNED, value=0.1),
        Trial(2, {}, "c", state=TrialState.COMPLETED, value=0.2),
        Trial(3, {}, "d", state=TrialState.COMPLETED, value=0.2),
    ]
    assert best_trial(trials, Objective("a", "b")).number == 2
    assert best_trial(trials, Objective("a", "b", "maximize")).number == 0
    assert best_trial([], Objective("a", "b")) is None
