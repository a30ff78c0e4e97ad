"""The benchmark of searches with a time budget."""

from __future__ import annotations

from benchmarks import time_budget


def test_each_side_searches_within_the_budget(capsys):
    command = ["--only", "svr_friedman", "--trials", "16", "--seeds", "2", "--side", "weighed", "--side", "not_weighed"]
    found = time_budget.main(command)["problems"]["svr_friedman"]
    whole = found["1 of the budget"]
    assert found["unequal"] >= 1
    assert whole["weighed"]["trials"] >= 1 and whole["weighed"]["median"] >= 0
    assert len(whole["weighed"]["against_not_weighed"]) == 2 and "against_not_weighed" not in whole["not_weighed"]
    assert '"benchmark": "time_budget"' in capsys.readouterr().out


def test_regret_is_of_what_has_ended_by_then():
    runs = {"not_weighed": {0: [(1.0, 5.0), (3.0, 2.0)]}, "weighed": {0: [(1.0, 3.0), (3.5, 1.0)]}}
    found = time_budget.figures(runs, 4.0)
    assert found["0.5 of the budget"]["weighed"] == {"median": 2.0, "trials": 1, "against_not_weighed": [-2.0, -2.0]}
    assert found["1 of the budget"]["weighed"] == {"median": 0.0, "trials": 2, "against_not_weighed": [-1.0, -1.0]}
