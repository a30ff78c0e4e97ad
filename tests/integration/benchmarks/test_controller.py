"""The controller's benchmark by small numbers: its command, the keys of its JSON, and how idle slots are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.controller import WORKER_POLL_S, idle_s, percentiles

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "--side ours --trials 4 --workers 2 --train-s 0.1 --poll-s 0.2 --live 6 --record 30 --more 2 --report-s 0.2 "
    "--live-train-s 0.5"
)


@pytest.fixture(scope="module")
def result():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.controller", *SMALL.split(), "--window-s", "1", "--rebuild", "40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_result_names_settings_versions_and_machine(result):
    assert result["benchmark"] == "controller"
    assert result["settings"]["trials"] == 4
    assert set(result["versions"]) == {"python", "clearml-hpo", "clearml", "clearml-agent", "optuna"}
    assert {"quick", "live", "rebuild", "machine", "measured_at"} <= set(result)


def test_quick_trials_have_calls_and_idle_seconds(result):
    quick = result["quick"]["ours"]
    assert (quick["outcome"], quick["trials"]) == ("done", 4)
    assert quick["calls_per_trial"] == round(quick["calls"] / 4, 1)
    assert 0.0 <= quick["idle_s"]["p50"] <= quick["idle_s"]["p95"]


def test_live_trials_have_a_steady_window_and_the_whole_study(result):
    live = result["live"]["ours"]["6"]
    assert (live["outcome"], live["trials"]) == ("done", 8)
    assert live["cpu_s_per_trial"] > 0
    assert live["steady"]["calls_per_s"] > 0
    assert 0.0 <= live["steady"]["share_of_core"] < 2.0


def test_a_study_of_many_trials_goes_on(result):
    rebuilt = result["rebuild"]["ours"]
    assert rebuilt["trials"] == 40
    assert 0 < rebuilt["opened_s"] <= rebuilt["first_step_s"] <= rebuilt["ended_s"]
    assert 0 < rebuilt["calls_to_open"] < rebuilt["calls_in_all"]


def test_a_slot_is_idle_from_an_end_to_the_next_start_of_its_worker():
    def task(worker, started, completed):
        at = "2026-01-01T00:00:{:06.3f}+00:00".format
        return {"last_worker": worker, "started": at(started), "completed": completed and at(completed)}

    tasks = [task("a", 1, 2), task("b", 1, 4), task("a", 5, 6), task("a", 2.5, 4.98), task("b", 5, None)]
    assert sorted(idle_s(tasks)) == pytest.approx([0.0, 0.5 - WORKER_POLL_S], abs=1e-6)


def test_percentiles_of_too_few_are_none():
    assert percentiles([1.0]) is None
    assert percentiles([float(n) for n in range(101)]) == {"p50": 50.0, "p95": 95.0}
