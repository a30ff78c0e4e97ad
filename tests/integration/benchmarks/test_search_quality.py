"""The search-quality benchmark: its problems, its simulated workers, its command and the keys of its JSON."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search_quality
from benchmarks.problem import Problem, hypervolume
from benchmarks.search_quality import HALVES, PROBLEMS, SIDES, STOCK, WORKERS, Run, jobs, run, search, summarise
from clearml_hpo.search.space import Categorical, Int, SearchSpace, at_random

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]

MINIMA = {
    "hartmann6": {f"x{i}": x for i, x in enumerate((0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573))},
    "branin": {"x": math.pi, "y": 2.275},
    "mixed": {"rate": 10**-2.15, "depth": 8, "subsample": 0.7, "kind": "a", "flag": True},
    "branches": {"model": "boosting", "rate": 10**-1.7, "depth": 5, "subsample": 0.75},
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_known_optimum_is_one(name):
    problem = PROBLEMS[name]
    generator = random.Random(1)
    values = [
        problem.value(problem.space.build(at_random(generator))) for _ in range(5 if problem.optimum is None else 2000)
    ]
    assert np.isfinite(values).all()
    if problem.optimum is not None:
        assert problem.space.contains(MINIMA[name])
        assert problem.value(MINIMA[name]) == pytest.approx(problem.optimum, abs=1e-5)
        assert min(values) > problem.optimum


class Watched:
    """A side that notes how many trials run."""

    def __init__(self):
        self.running, self.most, self.told = set(), 0, []

    def ask(self, number):
        if number == 5:
            return None
        self.running.add(number)
        self.most = max(self.most, len(self.running))
        return {"x": number}

    def tell(self, number, value):
        self.running.remove(number)
        self.told.append((number, value))


def test_eight_run_at_once_and_end_by_their_durations():
    side = Watched()
    durations = iter([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5, *[50.0] * 20])
    rows = list(search(side, lambda params: float(params["x"]), durations, 12))
    assert side.most == WORKERS == 8
    assert [number for number, _ in side.told] == [1, 9, 2]
    assert [value for _, value, _ in rows] == [0, 1, 2, 3, 4, None, 6, 7, 8, 9, 10, 11]


FEW_POINTS = Problem(
    SearchSpace({"a": Int(1, 4), "b": Categorical(("x", "y", "z"))}), lambda p: p["a"] + len(p["b"]), optimum=2.0
)


@pytest.fixture
def few_points(monkeypatch):
    monkeypatch.setitem(search_quality.PROBLEMS, "few_points", FEW_POINTS)


@pytest.mark.usefixtures("few_points")
def test_the_stock_side_spends_trials_on_duplicates_and_ours_does_not():
    assert run(("few_points", "stock", 0, 12)).values.count(None) > 0
    for sampler in ("tpe", "random", "brute_force"):
        assert run(("few_points", sampler, 0, 12)).values.count(None) == 0


@pytest.mark.parametrize("sampler", ["tpe", "gp_tpe", "stock", "random", "gp"])
def test_a_seed_repeats_a_search_and_a_short_one_is_the_beginning_of_a_long_one(sampler):
    if sampler == "gp":
        pytest.importorskip("torch")
    first, again, short = (run(("branches", sampler, 3, trials)).values for trials in (30, 30, 20))
    assert first == again and first[:20] == short
    assert run(("branches", sampler, 4, 30)).values != first


@pytest.mark.usefixtures("few_points")
def test_regret_is_of_the_best_value_so_far_and_the_interval_holds_the_median():
    runs = [Run("few_points", "random", seed, (5.0 + seed, None, 3.0 + seed), (0.1,) * 3) for seed in range(9)]
    regret = summarise(runs, [1, 3])["few_points"]["regret"]
    assert regret["1"]["random"]["median"] == 5.0 - 2.0 + 4
    assert regret["3"]["random"]["median"] == 3.0 - 2.0 + 4
    assert regret["3"]["random"]["low"] < 5.0 < regret["3"]["random"]["high"]
    assert (regret["1"]["random"]["wasted"], regret["3"]["random"]["wasted"]) == (0.0, 1.0)
    assert set(regret["3"]) == {"random"}


def test_the_difference_to_stock_is_of_pairs_with_one_seed():
    name = "svr_friedman"
    stock = [Run(name, "stock", seed, (float(seed),) * 2, (0.1,) * 2) for seed in range(9)]
    ours = [Run(name, "gp_tpe", seed, (seed - 0.5,) * 2, (0.1,) * 2) for seed in range(9)]
    problems = summarise([*stock, *ours], [2])
    assert problems[name]["regret"]["2"]["gp_tpe"]["against_stock"] == [-0.5, -0.5]
    found = search_quality.verdicts(problems)["choosing"]["2"]["gp_tpe"]
    assert found == {"problems": 1, "below": 1, "level": 0, "surely_below": 1, "surely_above": 0}


def test_noise_is_told_but_not_counted():
    found = run(("noisy_svr", "random", 0, 20))
    assert found.values != found.seen
    best = min(range(20), key=lambda number: found.seen[number])
    assert found.best(20) == found.values[best]


def test_the_hypervolume_is_a_share_of_the_box_and_what_lies_beyond_counts_for_nothing():
    staircase = [(1.0, 3.0), (2.0, 1.0), (2.0, 2.0)]
    assert hypervolume(staircase, (4.0, 5.0)) == pytest.approx((3 * 2 + 2 * 2) / 20)
    assert hypervolume([*staircase, (0.0, 5.0), (9.0, 0.5)], (4.0, 5.0)) == hypervolume(staircase, (4.0, 5.0))


FRONTS = [name for name, problem in PROBLEMS.items() if problem.reference]


@pytest.mark.parametrize("name", FRONTS)
def test_the_librarys_own_values_are_a_point_with_sizes_within_the_reference(name):
    problem = PROBLEMS[name]
    own = problem.space.build(lambda axis, _: problem.own[axis])
    error, size = problem.value(own)
    assert problem.space.contains(own)
    assert 0 < error < problem.reference[0] and 0 <= size <= problem.reference[1]


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "stock", "random"])
def test_a_search_with_two_objectives_repeats_and_its_front_grows(sampler):
    first, again = (run(("classifiers_size", sampler, 3, 30)) for _ in range(2))
    assert first.values == again.values
    assert -1 <= first.best(30) <= first.best(20) < 0


def test_what_is_missing_is_measured_from_the_front_of_all_sides():
    name = "svr_size"
    stock = [Run(name, STOCK, seed, ((0.5, 0.5),) * 2, (0.1,) * 2) for seed in range(9)]
    ours = [Run(name, "tpe", seed, ((0.5, 0.5), (0.25, 0.75)), (0.1,) * 2) for seed in range(9)]
    problems = summarise([*stock, *ours], [1, 2])
    assert problems[name]["best"] == -0.3125
    assert problems[name]["regret"]["2"][STOCK]["median"] == 0.0625
    assert problems[name]["regret"]["2"]["auto"]["median"] == 0
    found = search_quality.verdicts(problems)["fronts_choosing"]["2"]["auto"]
    assert found == {"problems": 1, "below": 1, "level": 0, "surely_below": 1, "surely_above": 0}


def test_a_side_searches_what_it_can_and_generations_hang_on_the_budget():
    wanted = {(job.problem, job.sampler, job.trials) for job in jobs(["svr_size", "branin"], [9, 12], 1, 8, SIDES)}
    assert {("svr_size", "nsgaii", 9), ("svr_size", "nsgaii", 12), ("svr_size", "tpe", 12)} <= wanted
    assert ("svr_size", "tpe", 9) not in wanted
    assert not {("svr_size", "gp_tpe", 12), ("branin", "nsgaii", 12)} & wanted
    of_twelve = [Run("svr_size", "nsgaii", 0, ((0.5, 0.5),) * 12, (0.1,) * 12)]
    assert "nsgaii" not in summarise(of_twelve, [9, 12])["svr_size"]["regret"]["9"]
    assert "nsgaii" in summarise(of_twelve, [9, 12])["svr_size"]["regret"]["12"]


def test_each_problem_is_in_one_half():
    assert sorted(name for names in HALVES.values() for name in names) == sorted(PROBLEMS)


def command(*options):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.search_quality", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_command_prints_json_and_goes_on_from_what_it_kept(tmp_path):
    small = [
        "--only",
        "branches",
        "--only",
        "gbm_diabetes",
        "--only",
        "svr_size",
        "--trials",
        "9",
        "12",
        "--seeds",
        "2",
    ]
    kept = ["--runs", str(tmp_path / "runs.jsonl")]
    done = command(*small, *kept)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["benchmark"], result["trials"], result["seeds"], result["workers"]) == (
        "search_quality",
        [9, 12],
        2,
        8,
    )
    assert {"versions", "machine", "measured_at"} <= set(result)
    problems = result["problems"]
    assert list(problems) == ["branches", "gbm_diabetes", "svr_size"]
    assert problems["gbm_diabetes"]["known"] is False
    for problem, sampler in zip(problems.values(), ("gp_tpe", "gp_tpe", "tpe"), strict=True):
        for budget in ("9", "12"):
            sides = problem["regret"][budget]
            assert {"auto", "tpe", "stock", "random"} <= set(sides)
            assert ("nsgaii" in sides) == (sampler == "tpe")
            assert all(0 <= side["low"] <= side["median"] <= side["high"] for side in sides.values())
            assert {side["seeds"] for side in sides.values()} == {2}
            assert sides["auto"]["sampler"] == sampler
    searches = len((tmp_path / "runs.jsonl").read_text().splitlines())
    again = command(*small, *kept)
    assert json.loads(again.stdout)["problems"] == problems
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == searches
