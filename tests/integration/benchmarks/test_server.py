"""The server's benchmark by small numbers: its command, and the keys of its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.load import percentiles_ms
from benchmarks.server import ACTIONS

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
SMALL = "--seconds 0.2 --tasks 120 --scalars 10 --starts 1 --clients 1 2"


@pytest.fixture(scope="module")
def result():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.server", *SMALL.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_result_names_settings_versions_and_machine(result):
    assert result["benchmark"] == "server"
    assert result["settings"]["tasks"] == 120
    assert {"versions", "machine", "measured_at"} <= set(result)


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_has_figures_by_number_of_clients_and_of_tasks(name, result):
    for figures in (*result["actions"][name].values(), result["few"][name], result["many"][name]):
        assert figures["per_s"] > 0
        assert 0 < figures["p50_ms"] <= figures["p99_ms"]
        assert figures["cpu_ms"] >= 0
    assert list(result["actions"][name]) == ["1", "2"]


def test_a_batch_has_scalars_a_second(result):
    figures = result["actions"]["add_batch_500"]["1"]
    assert figures["scalars_per_s"] == pytest.approx(figures["per_s"] * 500, abs=500)


def test_the_bare_app_answers_as_many_bytes_as_a_task_has(result):
    assert result["bare"]["answer_bytes"] > 1000
    assert result["bare"]["1"]["per_s"] > 0


def test_start_and_memory_are_of_few_and_of_many_tasks(result):
    assert set(result["start_s"]) == {"empty", "many"} and min(result["start_s"].values()) > 0
    assert set(result["memory_mb"]) == {"few", "many"} and min(result["memory_mb"].values()) > 0


def test_percentiles():
    assert percentiles_ms([n / 1000 for n in range(101)]) == {"p50_ms": 50.0, "p99_ms": 99.0}
    assert percentiles_ms([1.0]) == {}
