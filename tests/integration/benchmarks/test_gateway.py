"""The gateway's benchmark by small numbers: its command, and what must hold however fast it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
SMALL = "--trials 3 --clients 2 --seconds 2 --race 5 --storm 2"


def test_the_command():
    command = [sys.executable, "-m", "benchmarks.gateway", *SMALL.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["race"]["studies"] == 1 and found["race"]["numbers"] == 5 and found["race"]["faults"] == 0
    assert set(found["alone"]) >= {"ask", "should_prune"} and found["alone"]["ask"]["p50_ms"] > 0
    (together,) = found["together"]
    assert together["faults"] == together["numbers_twice"] == 0 and together["trials_per_s"] > 0
    assert found["database"] == "sqlite"
    killed = found["storm"]
    assert killed["faults"] == killed["numbers_twice"] == killed["missing_results"] == 0 and killed["trials"] == 20


@pytest.mark.exhaustive
def test_long_and_many_studies():
    small = "--side long many --trials 12 --calls 2 --live 2 --studies 2"
    command = [sys.executable, "-m", "benchmarks.gateway_scale", *small.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (
        found["long"]["finished"] == 12 and found["long"]["ask"]["p50_ms"] > 0 and found["long"]["poll"]["p50_ms"] > 0
    )
    assert found["many"]["memory_mb"]["with_all_open"] > 0 and found["many"]["ended_s"] > 0


@pytest.mark.exhaustive
def test_beside_agents():
    small = "--side regret --problems branin --seeds 2 --trials 4"
    command = [sys.executable, "-m", "benchmarks.gateway_peers", *small.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["regret"]["branin"]
    low, high = found["interval_95"]
    assert low <= found["mean_difference"] <= high
