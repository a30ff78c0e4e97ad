"""The figures: what they show, that Plotly takes them, and that they stay small."""

from __future__ import annotations

import json
import math
import random

import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import TrialState
from clearml_hpo.report import figures
from clearml_hpo.report.figures import history_figure, parallel_lines_figure, ranking, slice_figure, table_figure
from clearml_hpo.report.figures.parameters import dimensions_of
from clearml_hpo.report.figures.plot import short_names, thinned
from clearml_hpo.report.hypervolume import hypervolume_history
from clearml_hpo.search.importances import importances

from .study import BOUND, LOSS, SPACE, TWO, study, trial

FOUR = Goal(tuple(Objective("m", name) for name in "abcd"))
THREE = Goal(FOUR.objectives[:3])
DISTRIBUTIONS = SPACE.distributions
TRIALS = [
    trial(0, 0.5),
    trial(1, 0.3),
    trial(2, state=TrialState.FAILED, reason="no such file"),
    trial(3, 0.2, TrialState.PRUNED),
    trial(4, 0.4),
    trial(5, math.nan, TrialState.NOT_FINITE),
    trial(6, 0.1, violations=(2.0,)),
]


def traces(text):
    return {trace.get("name", trace["type"]): trace for trace in json.loads(text)["data"]}


def all_figures(goal, trials):
    histories = {t.task_id: [(step, t.values[0] + 1 / step) for step in range(1, 11)] for t in trials}
    for index in range(len(goal.objectives)):
        yield history_figure(trials, goal, index)
    yield figures.hypervolume_figure(trials, goal)
    yield figures.intermediate_figure(trials[:100], goal.objectives[0], histories)
    yield figures.curves_figure(trials, "train/loss", histories)
    yield figures.front_figure(trials, goal)
    yield parallel_lines_figure(trials, goal, DISTRIBUTIONS)
    names = tuple(DISTRIBUTIONS)[:2]
    yield figures.contour_figure(trials, goal, DISTRIBUTIONS, names)
    yield figures.rank_figure(trials, goal, DISTRIBUTIONS, names)
    yield figures.edf_figure(trials, goal)
    yield slice_figure(trials, goal, DISTRIBUTIONS)
    yield figures.importance_figure([importances(trials, SPACE, goal)], goal)
    yield figures.timeline_figure(trials, 100.0)
    yield table_figure(trials, goal, lambda t: f"http://host:8080/projects/{t.task_id}/tasks/{t.task_id}/output/log")
    yield figures.budget_figure({"trials": "3 of 60", "time": "1:02:03"})


def titles(drawn):
    """All titles in a figure, wherever they are."""
    inner = drawn.items() if isinstance(drawn, dict) else enumerate(drawn) if isinstance(drawn, list) else ()
    for key, value in inner:
        if key == "title":
            yield value
        yield from titles(value)


@pytest.mark.parametrize("goal", [LOSS, TWO, THREE, FOUR], ids=lambda goal: f"{len(goal.objectives)} objectives")
def test_titles_are_plain_texts_as_clearmls_web_app_needs_them(goal):
    for text in filter(None, all_figures(goal, study(40, len(goal.objectives)))):
        found = list(titles(json.loads(text)))
        assert found and all(isinstance(title, str) and title for title in found), text[:200]


@pytest.mark.parametrize("goal", [LOSS, BOUND, TWO, THREE, FOUR], ids=lambda goal: f"{len(goal.objectives)} objectives")
@pytest.mark.parametrize("count", [1, 40])
def test_plotly_takes_every_figure(goal, count):
    graph = pytest.importorskip("plotly.graph_objects")
    drawn = [text for text in all_figures(goal, study(count, len(goal.objectives))) if text]
    assert len(drawn) >= 7
    for text in drawn:
        graph.Figure(json.loads(text), skip_invalid=False)


def test_figures_of_thousands_of_trials_stay_small():
    for goal in (LOSS, TWO):
        for text in all_figures(goal, study(2_500, len(goal.objectives))):
            assert len(text) < 300_000, text[-400:]


def test_there_is_nothing_to_show_of_no_trials():
    assert not any(list(all_figures(TWO, []))[:-1])


def test_ranking_has_completed_trials_first_and_the_best_on_top():
    assert [t.number for t in ranking(TRIALS, LOSS)] == [1, 4, 0, 6, 2, 3, 5]
    upwards = Goal((Objective("a", "b", "maximize"),))
    assert [t.number for t in ranking(TRIALS, upwards)][:3] == [0, 4, 1]


def test_ranking_has_the_pareto_front_first():
    trials = [trial(0, (1.0, 5.0)), trial(1, (2.0, 4.0)), trial(2, (3.0, 9.0)), trial(3, (1.5, 4.5))]
    assert [t.number for t in ranking(trials, TWO)] == [0, 2, 3, 1]


def test_history_shows_every_trial_and_the_best_so_far_as_steps():
    drawn = traces(history_figure(TRIALS, BOUND))
    assert drawn["trial"]["x"] == [0, 1, 4] and drawn["trial"]["y"] == [0.5, 0.3, 0.4]
    best = drawn["best so far"]
    assert (best["x"], best["y"], best["line"]["shape"]) == ([0, 1, 6], [0.5, 0.3, 0.3], "hv")
    assert drawn["breaks a constraint"]["x"] == [6]
    without = {name: trace["x"] for name, trace in drawn.items() if trace.get("yaxis") == "y2"}
    assert without == {"pruned": [3], "failed": [2], "not_finite": [5]}
    assert drawn["failed"]["text"] == ["trial 2: no such file"]


def test_the_table_links_every_trial():
    table = json.loads(table_figure(TRIALS, LOSS, lambda t: f"http://x/{t.task_id}"))["data"][0]
    assert table["header"]["values"] == ["trial", "validation/loss", "state", "time", "x"]
    assert table["cells"]["values"][0][0] == '<a href="http://x/task-1">1</a>'


def test_the_table_shows_constraints_attempts_and_all_objectives_where_there_are_some():
    header = json.loads(table_figure([trial(0, 0.5, attempt=2)], BOUND, lambda t: ""))["data"][0]["header"]["values"]
    assert header == ["trial", "validation/loss", "state", "constraints", "attempt", "time", "x"]
    header = json.loads(table_figure([trial(0, (0.5, 1.0))], TWO, lambda t: ""))["data"][0]["header"]["values"]
    assert header[:4] == ["trial", "validation/loss", "speed/rows/s", "state"]


def parallel_axes(trials):
    found = dimensions_of(trials, DISTRIBUTIONS)
    labels = short_names([axis["label"] for axis in found])
    return {labels[axis["label"]]: {**axis, "label": labels[axis["label"]]} for axis in found}


def test_parallel_axes_are_as_the_search_space_has_them():
    points = [
        {"General/rate": 1e-4, "General/booster": "tree", "General/leaves": 100, "General/depth": 3},
        {"General/rate": 1e-2, "General/booster": "linear", "General/depth": 8},
    ]
    axes = parallel_axes([trial(n, 0.5 - n / 10, params=params) for n, params in enumerate(points)])
    assert axes["rate"]["values"] == pytest.approx([-4, -2])
    assert axes["rate"]["ticktext"] == ["0.0001", "0.001", "0.01"]
    assert (axes["booster"]["values"], axes["booster"]["ticktext"]) == ([0, 1], ["tree", "linear"])
    leaves = axes["leaves"]
    assert leaves["values"][0] == pytest.approx(2) and leaves["values"][1] == leaves["tickvals"][0] < 2
    assert leaves["ticktext"][0] == "inactive"
    assert axes["depth"] == {"label": "depth", "values": [3, 8]}


def test_parallel_axes_of_texts_that_no_space_describes():
    axes = parallel_axes([trial(0, 0.5, params={"a/b": "z"}), trial(1, 0.4, params={"a/b": None})])
    assert (axes["b"]["values"], axes["b"]["ticktext"]) == ([1, 0], ["", "z"])


def test_slices_have_the_most_important_parameter_first_and_only_trials_in_which_it_is_active():
    trials = study(60)
    drawn = json.loads(slice_figure(trials, LOSS, DISTRIBUTIONS, {"General/leaves": 0.7, "General/rate": 0.2}))
    assert [trace["name"] for trace in drawn["data"]][:2] == ["General/leaves", "General/rate"]
    active = [t for t in trials if t.final_values and "General/leaves" in t.params]
    assert drawn["data"][0]["x"] == [t.params["General/leaves"] for t in active]
    kinds = {layout["title"]: layout["type"] for key, layout in drawn["layout"].items() if key.startswith("xaxis")}
    assert kinds == {"leaves": "log", "rate": "log", "x": "linear", "depth": "linear", "booster": "category"}


def test_the_front_of_two_objectives_is_set_off():
    trials = [trial(0, (1.0, 5.0)), trial(1, (2.0, 4.0)), trial(2, (3.0, 9.0)), trial(3, (0.1, 9.9), violations=(1.0,))]
    drawn = traces(figures.front_figure(trials, TWO))
    points = {name: list(zip(trace["x"], trace["y"], strict=True)) for name, trace in drawn.items()}
    assert points == {
        "dominated": [(2.0, 4.0)],
        "breaks a constraint": [(0.1, 9.9)],
        "Pareto front": [(1.0, 5.0), (3.0, 9.0)],
    }


def test_one_line_per_trial_over_its_iterations():
    curves = {"task-0": [(1, 0.9), (2, math.nan), (3, 0.5)], "task-3": [(1, 0.2)]}
    shown = json.loads(figures.intermediate_figure(TRIALS, LOSS.objectives[0], curves))["data"]
    assert [(line["text"], line["x"], line["y"]) for line in shown] == [
        ("trial 0", [1, 3], [0.9, 0.5]),
        ("trial 3", [1], [0.2]),
    ]


def test_a_few_trials_are_compared_each_in_its_colour():
    curves = {"task-0": [(1, 0.9), (2, math.nan), (3, 0.5)], "task-3": [(1, 0.2)], "task-6": []}
    shown = json.loads(figures.curves_figure(TRIALS, "train/loss", curves))["data"]
    assert [(line["name"], line["x"], line["y"]) for line in shown] == [
        ("trial 0", [1, 3], [0.9, 0.5]),
        ("trial 3", [1], [0.2]),
    ]
    many = [trial(number, 0.5) for number in range(20)]
    lines = json.loads(figures.curves_figure(many, "a/b", {t.task_id: [(1, 0.5)] for t in many}))["data"]
    assert len({(line["line"]["color"], line["line"]["dash"]) for line in lines}) == len(lines) == 12
    assert figures.curves_figure(TRIALS, "a/b", {}) == ""


def test_the_timeline_has_a_row_per_worker_and_one_per_queue():
    trials = [
        trial(0, 0.5, worker="a", queue="gpu", queued_at=1.0, started_at=3.0, ended_at=8.0, attempt=2),
        trial(1, state=TrialState.RUNNING, worker="b", queue="gpu", queued_at=2.0, started_at=4.0, ended_at=None),
        trial(2, state=TrialState.QUEUED, queue="gpu", queued_at=5.0, started_at=None, ended_at=None),
    ]
    drawn = traces(figures.timeline_figure(trials, now=10.0))
    bars = {name: list(zip(t["y"], t["base"], t["x"], strict=True)) for name, t in drawn.items()}

    def at(second):
        return f"1970-01-01 00:00:0{second}.000"

    assert bars == {
        "waited": [("in queue gpu", at(1), 2000), ("in queue gpu", at(2), 2000), ("in queue gpu", at(5), 5000)],
        "completed": [("a", at(3), 5000)],
        "running": [("b", at(4), 6000)],
    }
    assert drawn["completed"]["text"] == ["trial 0, attempt 2"]


def test_importances_find_what_matters():
    found = importances(study(200), SPACE, LOSS)
    assert next(iter(found)) == "General/rate" and found["General/rate"] > 0.5
    assert sum(found.values()) == pytest.approx(1)
    assert set(found) == set(DISTRIBUTIONS)


def test_importances_of_a_conditional_parameter_come_from_the_trials_in_which_it_is_active():
    chance = random.Random(1)
    trials = []
    for number in range(300):
        params = {"General/x": chance.random(), "General/booster": chance.choice(["tree", "linear"])}
        if params["General/booster"] == "tree":
            params["General/leaves"] = chance.randint(2, 512)
        trials.append(trial(number, abs(params.get("General/leaves", 600) - 20) / 100, params=params))
    found = importances(trials, SPACE, LOSS)
    assert found["General/leaves"] > 0.4 and found["General/x"] < 0.1
    assert "General/rate" not in found, "it was never given"


def test_importances_want_some_trials():
    assert importances(study(10), SPACE, LOSS) == {}
    same = [trial(n, 0.5, params={"General/depth": 3}) for n in range(50)]
    assert importances(same, SPACE, LOSS) == {}


def test_the_hypervolume_of_a_staircase():
    # Scaled: (0, 1), (1, 0) span nothing; (0.5, 0.5) a quarter; (1, 1) everything.
    points = [(1.0, 1.0), (0.0, 0.0), (0.5, 0.5), (0.9, 0.1), (0.0, 1.0)]
    volumes = hypervolume_history([trial(n, point) for n, point in enumerate(points)], TWO)
    assert volumes == pytest.approx([0, 0, 0.25, 0.25, 1])


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_hypervolume_is_the_share_of_random_points_that_the_front_covers(objectives):
    goal = Goal(FOUR.objectives[:objectives])
    chance = random.Random(objectives)
    points = [tuple(chance.random() for _ in range(objectives)) for _ in range(30)]
    volumes = hypervolume_history([trial(n, point) for n, point in enumerate(points)], goal)
    spans = [(min(column), max(column)) for column in zip(*points, strict=True)]
    samples = 20_000
    hits = 0
    for _ in range(samples):
        sample = [chance.uniform(low, high) for low, high in spans]
        hits += any(all(p <= s for p, s in zip(point, sample, strict=True)) for point in points)
    assert volumes[-1] == pytest.approx(hits / samples, abs=0.02)
    assert volumes == sorted(volumes)


def test_thinning_keeps_the_best_and_the_order():
    trials = [trial(n, 1.0 / (n + 1)) for n in range(1_000)]
    kept = [t.number for t in thinned(trials, ranking(trials, LOSS), 100)]
    assert kept == sorted(kept) and len(kept) == 100
    assert set(range(975, 1_000)) <= set(kept) and 0 in kept


def test_names_are_short_where_that_is_clear():
    assert short_names(["General/x", "Args/x", "Args/y"]) == {
        "General/x": "General/x",
        "Args/x": "Args/x",
        "Args/y": "y",
    }
