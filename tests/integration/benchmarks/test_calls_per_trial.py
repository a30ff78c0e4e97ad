"""The benchmark's command and the keys of its JSON, by the side that is quick: ``clearml-hpo run``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.calls_per_trial import SIDES, figures
from benchmarks.place import Ran
from benchmarks.wire import endpoint_of

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def result():
    quick = ["--only", "run", "--trials", "2", "--poll-s", "0.1", "--start-s", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calls_per_trial", *quick],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_result_names_settings_versions_and_machine(result):
    assert result["benchmark"] == "calls_per_trial"
    assert (result["trials"], result["poll_s"], result["start_s"], result["concurrent"]) == (2, 0.1, 0.0, 2)
    assert set(result["versions"]) == {"python", "clearml-hpo", "clearml", "clearml-agent", "optuna"}
    assert set(result["machine"]) == {"system", "cores", "load_before"}
    assert list(result["sides"]) == ["run"]


def test_a_side_has_the_promised_figures(result):
    side = result["sides"]["run"]
    assert (side["outcome"], side["trials"]) == ("done", 2)
    assert side["calls_per_trial"] == side["calls"] / 2
    assert len(side["most_frequent"]) == 5
    assert side["wall_s"] > 0
    assert side["cpu_s"] > 0


def test_run_counts_its_calls_as_they_are_seen_from_outside(result):
    assert result["sides"]["run"]["own_count_agrees"]


def test_there_are_four_sides():
    assert list(SIDES) == ["stock", "strategy", "optimizer", "run"]


def test_a_side_that_is_out_of_time_says_so():
    assert figures(Ran(None, 9.0, 1.0, 50), Counter(), 0)["outcome"] == "out of time"
    assert figures(Ran(3, 9.0, 1.0, 50), Counter(), 0)["outcome"] == "exit status 3"


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8008/v2.23/tasks.get_all", "tasks.get_all"),
        ("http://127.0.0.1:8008/auth.login?x=1", "auth.login"),
        ("http://127.0.0.1:8081/project/model.pkl", None),
        ("http://127.0.0.1:8008/", None),
    ],
)
def test_what_counts_as_a_call(url, endpoint):
    assert endpoint_of(url, "http://127.0.0.1:8008") == endpoint
