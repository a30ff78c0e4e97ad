"""The benchmark's command and the keys of its JSON, by a small study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def result():
    small = ["--workers", "3", "--trials", "100", "--train-s", "0.5", "--poll-s", "1", "--seconds", "40"]
    command = [sys.executable, "-m", "benchmarks.scale", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_study_has_the_promised_figures(result):
    study = result["study"]
    assert study["trials"] > 3 and study["trials_per_s"] > 0 and 0 < study["share_of_ideal"] <= 1.2
    names = {"controller", "server", "scheduler", "workers"}
    assert study["cores"].keys() == study["cpu_ms_per_trial"].keys() == study["peak_mb"].keys() == names
    assert all(mb > 10 for mb in study["peak_mb"].values())
    assert study["calls_per_s"]["controller"]["tasks.clone"] > 0
    assert study["calls_per_s"]["workers"]["tasks.completed"] > 0


def test_the_sampler_is_timed_by_how_many_trials_have_ended(result):
    assert {sampler: list(times) for sampler, times in result["ask_s"].items()} == {"tpe": ["100"], "random": ["100"]}
    assert all(seconds > 0 for times in result["ask_s"].values() for seconds in times.values())
