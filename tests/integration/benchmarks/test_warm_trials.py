"""The benchmark's command and the keys of its JSON, by the sides that are quick."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.catboost_cancer import train
from benchmarks.warm_trials import TRIALS, figures, share

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
SIDES = ["warm", "dask", "optuna"]


@pytest.fixture(scope="module")
def result():
    sides = [word for side in SIDES for word in ("--side", side)]
    quick = [*sides, "--template", "no_op", "--trials", "3", "--no-sleep"]
    command = [sys.executable, "-m", "benchmarks.warm_trials", *quick]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_side_has_the_promised_figures(result):
    assert result["benchmark"] == "warm_trials" and result["slots"] == 2
    assert list(result["templates"]) == ["no_op"] and list(result["templates"]["no_op"]) == SIDES
    for side in result["templates"]["no_op"].values():
        assert side["outcome"] == "done" and side["trials"] >= 3
        assert side["trials_per_hour"] > 0 and side["cpu_s_per_trial"] > 0
    assert all(result["templates"]["no_op"][side]["workers_cpu_s"] > 0 for side in ("warm", "dask"))


def test_the_rate_is_from_the_first_end_to_the_last():
    found = figures([100.0, 110.0, 120.0], 0, 3.0, 6.0)
    assert (found["trials_per_hour"], found["cpu_s_per_trial"]) == (360, 3.0)
    assert figures([100.0], None, 1.0, 1.0)["outcome"] == "out of time"
    assert figures([], 1, 1.0, 1.0)["trials_per_hour"] is None


def test_the_sides():
    assert list(TRIALS) == ["stock", "tuned", "warm", "dask", "optuna", "daskstorage", "ray", "ray-reused"]


def test_the_share_of_the_ideal():
    spans = [(0.0, 1.0), (0.0, 1.1), (1.0, 2.1), (1.2, 2.5)]
    assert share(spans, 2) == {"trials": 4, "slots": 2, "wall_s": 2.5, "share_of_ideal": 0.8}
    assert share([], 2)["share_of_ideal"] is None


def test_a_python_without_ray_is_refused():
    command = [sys.executable, "-m", "benchmarks.warm_trials", "--side", "ray", "--ray-python", "false"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2 and "--side ray: false cannot import ray.tune" in done.stderr


def test_the_training_learns():
    seen = []
    last = train(0.1, 2, lambda loss, i: seen.append((i, loss)))
    assert [i for i, _ in seen] == list(range(19, 200, 20))
    assert seen[-1][1] == last < seen[0][1]
