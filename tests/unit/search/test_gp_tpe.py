"""The sampler gp_tpe: its Gaussian process, its rows, and what it makes of trials of every kind."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search import gaussian_process as gp
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.rows import Rows
from clearml_hpo.search.samplers import build_sampler
from clearml_hpo.search.space import Categorical, Combination, Constant, Float, Int, SearchSpace, parse_expression

ONE = Goal((Objective.parse("validation/loss"),))
SPACE = SearchSpace(
    {
        "General/kind": Categorical(("a", "b", "c")),
        "General/rate": Float(1e-5, 1.0, log=True),
        "General/depth": Int(2, 8),
        "General/units": Int(1, 1000, log=True),
        "General/share": Float(0.0, 1.0, step=0.25),
        "General/deep": Float(0.0, 1.0),
        "General/fixed": Constant("on"),
        "General/child": Int(1, 3),
    },
    conditions={
        "General/share": {"General/kind": ("a", "b")},
        "General/deep": {"General/depth": (7, 8)},
        "General/child": {"General/fixed": ("on",), "General/lr": (0.1,)},
    },
    combinations=(Combination(({"General/lr": 0.1, "General/steps": 10}, {"General/lr": 0.5})),),
)
LINE = SearchSpace({"General/x": Float(0.0, 1.0)})
SQUARE = SearchSpace({"General/x": Float(0.0, 1.0), "General/y": Float(0.0, 1.0)})


def made(space=SQUARE, seed=1, trials=None, **options):
    return build_sampler("gp_tpe", space=space, goal=ONE, seed=seed, trials=trials, options=options)


def study_of(space, sampler=None, direction="minimize"):
    return OptunaStudy(space, [direction], sampler=sampler or made(space))


def searched(space, value, trials, *, workers=1, sampler=None, direction="minimize"):
    """The points and values of a search in which ``workers`` trials run at once."""
    study, points = study_of(space, sampler, direction), []
    for number in range(trials):
        points.append(study.ask(number))
        if number >= workers - 1:
            ended = number - workers + 1
            study.complete(ended, (value(points[ended]),))
    return points, [value(point) for point in points]


def bowl(point):
    return (point["General/x"] - 0.3) ** 2 + (point["General/y"] - 0.7) ** 2


# --- the Gaussian process --------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    features = gp.Features(np.array([0, 1, 2, 2, 3]))
    x, y = rng.random((12, 5)), rng.normal(size=12)
    apart = sum_by_parameter(features, x)
    theta = np.array([-0.5, 0.3, 0.8, -1.0, 0.4, -2.0])
    _, gradient = gp.loss(theta, apart, y)
    for index in range(len(theta)):
        step = np.eye(len(theta))[index] * 1e-5
        slope = (gp.loss(theta + step, apart, y)[0] - gp.loss(theta - step, apart, y)[0]) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def sum_by_parameter(features, x):
    apart = np.zeros((features.count, len(x), len(x)))
    for column, owner in enumerate(features.owner):
        apart[owner] += (x[:, None, column] - x[None, :, column]) ** 2
    return apart


def test_it_predicts_what_it_has_seen_and_is_unsure_far_away():
    features, x = gp.Features(np.array([0])), np.linspace(0.0, 0.5, 12)[:, None]
    y = np.sin(8 * x[:, 0])
    surface = gp.condition(features, x, y, gp.fit(features, x, y))
    mean, deviation = surface.predict(np.array([[0.21], [1.0]]))
    assert mean[0] == pytest.approx(math.sin(8 * 0.21), abs=0.05)
    assert deviation[1] > 5 * deviation[0]
    sure = surface.believe(np.array([[1.0]])).predict(np.array([[1.0]]))
    assert sure[0][0] == pytest.approx(mean[1], abs=0.1) and sure[1][0] < deviation[1] / 3


def test_the_expected_improvement_is_exact_and_finite_everywhere():
    mean = np.array([0.0, 1.0, -2.0, 30.0, 1e6])
    found = gp.log_expected_improvement(mean, np.ones(5), 0.0)
    draws = np.random.default_rng(0).normal(size=400_000)
    for index in range(3):
        simulated = np.maximum(0.0, -(mean[index] + draws)).mean()
        assert math.exp(found[index]) == pytest.approx(simulated, rel=0.02)
    assert np.isfinite(found).all() and (np.diff(found[[2, 0, 1, 3, 4]]) < 0).all()


def test_a_diverged_value_does_not_hide_the_differences_between_good_ones():
    values = [0.10, 0.11, 0.12, 0.13, 0.5, 1e9]
    found = gp.half_ranked(np.array(values), others=1)
    again = gp.half_ranked(np.array([*values[:5], 2.0]), others=1)
    assert found == pytest.approx(again)
    assert (np.diff(found) > 0).all()
    assert found[1] - found[0] == pytest.approx(found[2] - found[1])


# --- rows ------------------------------------------------------------------------------------------------------------


def test_rows_are_points_of_the_space_and_come_back_the_same():
    rows, rng = Rows(SPACE), np.random.default_rng(0)
    drawn = rows.at_random(rng, 300)
    for row in np.vstack([drawn, rows.near(drawn, rng, 0.3, 0.1)]):
        params = rows.params(row)
        assert SPACE.contains(params)
        assert rows.encode(SPACE.along_axes(params)) == pytest.approx(row, nan_ok=True)
    counts = dict.fromkeys(range(2, 9), 0)
    for row in rows.at_random(rng, 3000):
        counts[rows.params(row)["General/depth"]] += 1
    assert min(counts.values()) > 300  # the ends too


def test_a_wide_range_on_a_logarithm_is_searched_evenly():
    rates = [Rows(SPACE).params(row)["General/rate"] for row in Rows(SPACE).at_random(np.random.default_rng(0), 500)]
    assert 0.3 < np.mean([rate < 10**-2.5 for rate in rates]) < 0.7


# --- the sampler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_finds_the_bottom_of_a_bowl(direction):
    sign = 1 if direction == "minimize" else -1
    _, values = searched(SQUARE, lambda p: sign * bowl(p), 30, direction=direction)
    assert min(sign * value for value in values) < 1e-3


def test_it_finds_the_best_branch_with_its_own_parameters():
    def value(point):
        base = {"a": 0.5, "b": 0.2, "c": 0.4}[point["General/kind"]]
        rate = math.log10(point["General/rate"]) + 3
        return base + 0.05 * rate**2 + abs(point.get("General/share", 0.5) - 0.75)

    points, values = searched(SPACE, value, 60, workers=4)
    best = points[int(np.argmin(values))]
    assert (best["General/kind"], best["General/share"]) == ("b", 0.75)
    assert all(SPACE.contains(point) for point in points)


@pytest.mark.parametrize("workers", [8, 32])
def test_workers_do_not_try_one_point_twice(workers):
    points, _ = searched(SQUARE, bowl, 64, workers=workers)
    apart = [math.dist(a.values(), b.values()) for i, a in enumerate(points) for b in points[:i]]
    assert min(apart) > 0


def test_constraints_between_parameters_hold():
    names = {"x": "General/x", "y": "General/y"}
    order = parse_expression("x + y < 0.5", names.values(), names.get)
    space = SearchSpace(SQUARE.parameters, constraints=(order,))
    sampler = made(space)
    points, values = searched(space, bowl, 40, sampler=sampler)
    assert all(space.allows(point) for point in points)
    assert min(values) < 0.13  # 0.125 is the least that the constraint leaves


def test_a_small_space_is_tried_without_repeating_a_point():
    space = SearchSpace({"General/a": Int(1, 4), "General/b": Categorical((True, False))})
    points, _ = searched(space, lambda p: p["General/a"], 6)
    own = [tuple(point.values()) for number, point in enumerate(points) if number < 5 or number % 2 == 0]
    assert len(own[5:]) == len(set(own[5:]))


@pytest.mark.parametrize("ending", ["failed", "pruned"])
def test_failed_and_pruned_trials_are_shunned(ending):
    study, points = study_of(SQUARE), []
    for number in range(40):
        point = study.ask(number)
        points.append(point)
        if point["General/x"] < 0.5:
            study.complete(number, ((point["General/x"] - 0.6) ** 2 + point["General/y"],))
        elif ending == "failed":
            study.fail(number)
        else:
            study.report(number, 1, 9.0)
            study.prune(number)
    own = [point for number, point in enumerate(points) if number >= 20 and number % 2 == 0]
    assert sum(point["General/x"] < 0.5 for point in own) >= 6


def test_a_seed_repeats_a_search():
    first, again, other = (searched(SQUARE, bowl, 20, workers=3, sampler=made(seed=seed))[0] for seed in (3, 3, 4))
    assert first == again and first != other


def test_a_study_that_goes_on_elsewhere_knows_the_same():
    points, values = searched(SQUARE, bowl, 12)
    asked = []
    for _ in range(2):
        study = study_of(SQUARE)
        for number, (point, value) in enumerate(zip(points, values, strict=True)):
            assert study.restore(number, point, "completed", (value,))
        asked.append(study.ask(12))
    assert asked[0] == asked[1]
    assert bowl(asked[0]) < 0.05


def test_lengths_are_fitted_rarely(monkeypatch):
    fits, fit = [], gp.fit
    monkeypatch.setattr(gp, "fit", lambda *given: fits.append(0) or fit(*given))
    searched(SQUARE, bowl, 100)
    assert 5 < len(fits) < 20


@pytest.mark.parametrize(
    "values",
    [
        [-1.7e308, -1e308, 0.0, 1e308, 1.7e308, 1.6e308],
        [0.3, 0.1, 0.2, 1e200, 0.4, 1e300],
        [5e-324, 1e-320, 0.0, 3e-310, 1e-300, 2.0],
        [2.0, 2.0, 2.0, 2.0, 3.0, 1.0],
    ],
)
def test_values_of_any_size_keep_their_order(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gp.half_ranked(np.array(values), 1)
    assert np.isfinite(found).all() and found[-1] == found.max()
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[:-1][order]) >= -1e-12).all()
    assert found[:-1][order[0]] < found[:-1][order[-1]]


def test_of_many_running_trials_the_newest_are_believed(monkeypatch):
    study, believed = study_of(LINE, made(LINE)), []
    for number in range(30):
        study.restore(number, {"General/x": number / 30}, "completed", ((number / 30 - 0.4) ** 2,))
    for number in range(30, 630):
        study.add(number, {"General/x": number / 1000})
    believe = gp.Surface.believe
    monkeypatch.setattr(gp.Surface, "believe", lambda surface, x: believed.append(len(x)) or believe(surface, x))
    for number in range(630, 640):
        study.ask(number)
    assert believed and {*believed} == {400}


# --- time ------------------------------------------------------------------------------------------------------------


def two_hollows(point):
    return min(abs(point["General/x"] - 0.2), abs(point["General/x"] - 0.8))


def seconds_of(point):
    return 100.0 if point["General/x"] > 0.5 else 1.0


def long_trials(sampler, *, seconds=seconds_of):
    """How many trials took a hundred seconds, where the short ones may be as good."""
    study, points = study_of(LINE, sampler), []
    for number in range(24):
        points.append(study.ask(number))
        study.complete(number, (two_hollows(points[-1]),), seconds=seconds(points[-1]))
    return sum(seconds_of(point) > 1 for point in points[10:])


def test_what_trials_promise_is_weighed_by_how_long_they_take():
    weighed, not_weighed = (
        sum(long_trials(made(LINE, seed, per_second=per_second)) for seed in range(3)) for per_second in (True, False)
    )
    assert weighed < not_weighed / 2


@pytest.mark.parametrize("seconds", [lambda _: None, lambda _: 7.0])
def test_time_does_not_count_where_it_is_unknown_or_the_same(seconds):
    found = [long_trials(made(LINE, per_second=weighed), seconds=seconds) for weighed in (True, False)]
    assert found[0] == found[1]


def test_a_study_that_goes_on_elsewhere_knows_how_long_trials_took():
    asked = []
    for seconds in (seconds_of, lambda point: 101.0 - seconds_of(point)):
        study = study_of(LINE, made(LINE, per_second=True))
        for number in range(12):
            point = {"General/x": (number + 0.5) / 12}
            assert study.restore(number, point, "completed", (two_hollows(point),), seconds=seconds(point))
        asked.append(study.ask(12)["General/x"])
    assert asked[0] < 0.5 < asked[1]


def test_a_time_that_cannot_be_does_not_count():
    seconds = [lambda point: -5.0 if point["General/x"] < 0.1 else seconds_of(point)]
    seconds.append(lambda point: None if point["General/x"] < 0.1 else seconds_of(point))
    found = [long_trials(made(LINE, per_second=True), seconds=each) for each in seconds]
    assert found[0] == found[1]


def test_an_ask_takes_one_thread_of_the_linear_algebra(monkeypatch):
    threads, condition = [], gp.condition

    def count():
        return max(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")

    monkeypatch.setattr(gp, "condition", lambda *given: threads.append(count()) or condition(*given))
    before = count()
    searched(SQUARE, bowl, 8)
    assert set(threads) == {1} and count() == before


@pytest.mark.parametrize(("trials", "weighs"), [(None, True), (60, False)])
def test_time_counts_where_no_number_of_trials_ends_a_study(trials, weighs):
    assert long_trials(made(LINE, trials=trials)) == long_trials(made(LINE, per_second=weighs))


def test_torch_is_not_imported():
    code = (
        "import sys; from tests.unit.search.test_gp_tpe import *; searched(SQUARE, bowl, 12);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
