"""Odd parameters and values: everything that is drawn or written of a study takes them, or leaves them out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.report import figures, study_result, summary_page, summary_text
from clearml_hpo.report.best import best_yaml
from clearml_hpo.report.summary import StudySummary
from clearml_hpo.search.importances import importances
from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

SPACE = SearchSpace(
    {
        "General/optimizer": Categorical(("SGD", "AdamW")),
        "General/lr": Float(1e-5, 1.0, log=True),
        "General/x": Float(-1e308, 1e308),
        "General/n": Int(1, 8),
        "General/flag": Categorical((True, False)),
    }
)
ODD = st.sampled_from(
    [
        *["auto", "", "None", "Color.RED", "a/b", "<b>", "x" * 3000, True, False, None, 0, -1, 2**63, 10**400],
        *[0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, 1e-9, float("inf"), float("nan")],
    ]
)
VALUES = st.sampled_from([0.0, 1.0, -1.0, 1e308, -1e308, 1.7976931348623157e308, 5e-324, 0.1 + 0.2])
_WITHIN = {
    "General/optimizer": st.sampled_from(["SGD", "AdamW"]),
    "General/lr": st.floats(1e-5, 1.0),
    "General/x": st.floats(-1e308, 1e308),
    "General/n": st.integers(1, 8),
    "General/flag": st.booleans(),
}
GOALS = [
    Goal((Objective("m", "a"),)),
    Goal((Objective("m", "a", "maximize"), Objective("m", "b"))),
    Goal(tuple(Objective("m", name) for name in "abc")),
]


@st.composite
def studies(draw, goal):
    """Trials of which some have parameters outside of their space, or lack some."""
    trials = []
    for number in range(draw(st.sampled_from([0, 1, 2, 3, 80]))):
        names = draw(
            st.sets(st.sampled_from([*SPACE.distributions, "General/unknown"]), min_size=draw(st.sampled_from([0, 4])))
        )
        state = draw(st.sampled_from([TrialState.COMPLETED] * 20 + [*TrialState]))
        ended = None if state.is_live else 10.0 + number
        params = {name: draw(st.one_of(ODD, _WITHIN.get(name, ODD))) for name in sorted(names)}
        values = tuple(draw(VALUES) for _ in goal.objectives)
        times = {"queued_at": 0.0, "started_at": 1.0, "ended_at": ended}
        trials.append(Trial(number, params, f"{number:032x}", state=state, values=values, iteration=number, **times))
    return trials


def strictly(text):
    """The JSON of a browser, which knows no NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.long
@pytest.mark.parametrize("goal", GOALS, ids=["one", "two", "three"])
@settings(max_examples=60)
@given(data=st.data())
def test_all_is_drawn_and_written(goal, data):
    trials = data.draw(studies(goal))
    space = SPACE.distributions
    shares = [importances(trials, SPACE, goal, index) for index in range(len(goal.objectives))]
    histories = {trial.task_id: [(1, 1e308), (2, float("inf")), (3, -1e308)] for trial in trials}
    drawn = [
        *(figures.history_figure(trials, goal, index) for index in range(len(goal.objectives))),
        figures.front_figure(trials, goal),
        figures.hypervolume_figure(trials, goal),
        figures.edf_figure(trials, goal),
        figures.rank_figure(trials, goal, space, tuple(space)[:2]),
        figures.contour_figure(trials, goal, space, tuple(space)[:2]),
        figures.parallel_lines_figure(trials, goal, space),
        figures.slice_figure(trials, goal, space, shares[0]),
        figures.importance_figure(shares, goal),
        figures.timeline_figure(trials, 100.0),
        figures.table_figure(trials, goal, lambda trial: "http://host/"),
        figures.intermediate_figure(trials, goal.objectives[0], histories),
        figures.comparison_figure({"one": trials, "two": trials[:1]}, goal.objectives[0]),
    ]
    for figure in filter(None, drawn):
        strictly(figure)
    summary = StudySummary("s", "0" * 32, "p", "http://host", "completed", "", goal, SPACE, trials, [], 5.0, 50.0, str)
    assert summary_page("s", [summary, summary])
    assert summary_text("s", [summary])
    result = study_result(
        study="s", study_id="", goal=goal, trials=trials, earlier=(), status="", reason="", api_calls={}, wall_s=0.0
    )
    strictly(json.dumps(result))
    best = best_trial(trials, goal)
    if best is not None:
        assert best_yaml(best, goal)
