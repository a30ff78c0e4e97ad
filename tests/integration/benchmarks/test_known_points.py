"""The benchmark that makes known-good points, and shows them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.known_points import MAKING, SHOWING, portfolio


def test_a_portfolio_is_of_points_that_complement_each_other():
    own, median = np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0])
    values = np.array([[0.2, 0.2, 0.9], [0.25, 0.1, 0.9], [1.0, 1.0, 0.0], [0.0, 0.9, 1.0], [0.2, 0.2, 0.95]])
    chosen, means = portfolio(values, own, median)
    assert chosen[:2] == [1, 2], "the best one by itself, and then not one that is like it"
    assert means == sorted(means, reverse=True) and means[0] == 1.0 and means[-1] < 0.02


def test_points_are_shown_on_other_data_than_they_are_made_on():
    assert not MAKING.keys() & SHOWING.keys()


@pytest.mark.long
def test_it_makes_points_and_searches_with_and_without_them(tmp_path):
    cache = tmp_path / "trainings.jsonl"
    command = [sys.executable, "-m", "benchmarks.known_points", "--only", "lightgbm/small", "--cache", str(cache)]
    few = ["--points", "4", "--seeds", "1", "--trials", "5"]
    found = [json.loads(subprocess.check_output([*command, *few], timeout=240)) for _ in range(2)]
    assert found[0]["spaces"] == found[1]["spaces"], "the second time from the file"
    (result,) = found[0]["spaces"].values()
    assert 1 <= len(result["points"]) <= 4 and result["regret_pct"]["5"]["pairs"] == len(SHOWING)
    assert len(set(cache.read_text().splitlines())) == len(cache.read_text().splitlines())
