"""The benchmark of earlier studies: when their values count, and the keys of its JSON."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import earlier_points
from benchmarks.earlier_points import FAMILIES, search

pytestmark = pytest.mark.long


def test_earlier_values_count_once_two_are_repeated():
    space, problem, _ = FAMILIES["svr"]
    value = problem("friedman1")
    earlier = search(space, value, 1, 12, "gp_tpe")
    first = [earlier[0][1], earlier[5][1]]
    points = search(space, value, 2, 8, "gp_tpe", first)
    values = search(space, value, 2, 8, "gp_tpe", first, earlier)
    assert points[:2] == values[:2] == [earlier[0], earlier[5]]
    assert points[2:] != values[2:]
    of_other_data = [(value + 0.001, params) for value, params in earlier]
    assert search(space, value, 2, 8, "gp_tpe", first, of_other_data) == points


@pytest.mark.parametrize(
    ("options", "sides"), [((), {"without", "points"}), (("--same-data",), {"without", "points", "values"})]
)
def test_the_command_prints_the_regret_of_each_side(options, sides, monkeypatch, capsys):
    monkeypatch.setattr(earlier_points, "FAMILIES", {"svr": FAMILIES["svr"]})
    small = ["--seeds", "2", "--trials", "6", "--budgets", "3", "5", "--sampler", "random"]
    monkeypatch.setattr(sys, "argv", ["earlier_points", *small, *options])
    assert earlier_points.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["benchmark"], result["same_data"]) == ("earlier_points", bool(options))
    for budgets in result["regret_pct"]["svr"].values():
        assert set(budgets) == {"3", "5"}
        assert all(set(figures) == {*sides, "won", "lost"} for figures in budgets.values())
